"""Names of arrays, volumes and pairs, and the one reader of their text forms.

``IBM.2107-75FA120`` is a storage image (an array), ``1260`` a volume in logical subsystem ``12``, and
``IBM.2107-75FA120/1260`` an endpoint: a volume of a stated array. Two endpoints make a pair; whichever of them is
source at the moment, the pair keeps one key in the store, so both arrays compare and set the same record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from holdfast.kernel.errors import InputError

_IMAGE = re.compile(r"[A-Z]{3}\.[0-9A-Z]{4}-[0-9A-Z]{7}")
_VOLUME = re.compile(r"[0-9A-F]{4}")


def parse_image(text: str) -> str:
    """Return ``text`` as a storage image id such as ``IBM.2107-75FA120``. Raises :class:`InputError`."""
    if _IMAGE.fullmatch(text) is None:
        raise InputError(f"{text!r} is not a storage image id", remedy="write it like IBM.2107-75FA120")
    return text


def parse_volume(text: str) -> str:
    """Return the four upper-case hexadecimal digits of a volume id (LSS, then volume). Raises :class:`InputError`."""
    bare = text.rsplit("/", 1)[-1].upper()
    if _VOLUME.fullmatch(bare) is None or bare.startswith("FF"):
        raise InputError(f"{text!r} is not a volume id", remedy="write four hexadecimal digits, for example 1260")
    return bare


def parse_subsystem(text: str) -> str:
    """Return the two upper-case hexadecimal digits of a logical subsystem, ``12``. Raises :class:`InputError`."""
    bare = text.rsplit("/", 1)[-1].upper()
    if re.fullmatch(r"[0-9A-F]{2}", bare) is None or bare == "FF":
        raise InputError(f"{text!r} is not a logical subsystem", remedy="write two hexadecimal digits, for example 12")
    return bare


def expand_volumes(text: str) -> tuple[str, ...]:
    """Return the volumes that ``1260`` or ``1260-1263`` names, in order. Raises :class:`InputError`."""
    first, dash, last = text.partition("-") if "/" not in text else (text, "", "")
    if not dash:
        return (parse_volume(text),)
    low, high = int(parse_volume(first), 16), int(parse_volume(last) if last != "FFFF" else "FEFF", 16)
    if high < low:
        raise InputError(f"range {text!r} runs backwards", remedy="write the lower volume first")
    return tuple(f"{number:04X}" for number in range(low, high + 1))


def expand_pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Return the source and target volumes that ``1260:1360`` or ``1260-1261:1360-1361`` names."""
    source, colon, target = text.partition(":")
    if not colon:
        raise InputError(f"{text!r} is not a pair of volumes", remedy="write source:target, for example 1260:1360")
    sources, targets = expand_volumes(source), expand_volumes(target)
    if len(sources) != len(targets):
        raise InputError(f"the two ranges of {text!r} differ in length", remedy="name as many targets as sources")
    return tuple(zip(sources, targets, strict=True))


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A volume of a stated array."""

    image: str
    volume: str

    def __str__(self) -> str:
        return f"{self.image}/{self.volume}"

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read ``IBM.2107-75FA120/1260``. Raises :class:`InputError`."""
        image, slash, volume = text.partition("/")
        if not slash:
            raise InputError(f"{text!r} is not an endpoint", remedy="write IMAGE/VOLUME")
        return cls(parse_image(image), parse_volume(volume))


def pair_key(one: Endpoint, other: Endpoint) -> str:
    """Return the key of the pair's record in the store; the same from both ends and after every role swap."""
    low, high = sorted((one, other))
    return f"replication/pairs/{low}|{high}"


def access_key(incarnation: str) -> int:
    """Return the key by which an array knows an incarnation of a system: a later incarnation has a larger key.

    An incarnation is ``<milliseconds in hex>-<random>``; a plain decimal number is a key already.
    Raises :class:`InputError` for anything else.
    """
    try:
        return int(incarnation) if incarnation.isdecimal() else int(incarnation.partition("-")[0], 16)
    except ValueError as error:
        raise InputError(f"{incarnation!r} is no key", remedy="give a number or a system's incarnation") from error
