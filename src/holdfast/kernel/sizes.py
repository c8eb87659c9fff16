"""Sizes in bytes: the unit constants, and the one reader and writer of human sizes such as ``500M``."""

from __future__ import annotations

import re

from holdfast.kernel.errors import InputError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

TRACK_BYTES = 64 * KIB
"""The unit of change recording of a fixed-block volume (``copy-services.md`` section 6)."""

_UNITS = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` names: a whole number with an optional suffix K, M, G or T (powers of 1024).

    Raises :class:`InputError` for anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a size", remedy="write a whole number with K, M, G or T, for example 500M")
    return int(match[1]) * _UNITS[match[2].upper()]


def format_size(size_bytes: int) -> str:
    """Return ``size_bytes`` as a person reads it, for example ``1.5 MiB``."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
