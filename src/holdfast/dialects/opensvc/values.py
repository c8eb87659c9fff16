"""Single values of a service file: durations, switches, lists.

A bare number of a delay or an interval means minutes, as in every release of the agent; newer files write ``1d3h``.
"""

from __future__ import annotations

import re

from holdfast.kernel.errors import InputError

_UNITS_S = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_PARTS = re.compile(r"(\d+)([wdhms])")
_TRUE, _FALSE = ("true", "yes", "y", "1", "on"), ("false", "no", "n", "0", "off")


def duration_s(text: str) -> float:
    """Return seconds: ``1440`` (minutes), ``1d``, ``1d3h``, ``90s``. Raises :class:`InputError`."""
    bare = text.strip().lower()
    if bare.isascii() and bare.isdigit() and len(bare) < 10:
        return float(int(bare) * 60)
    parts = _PARTS.findall(bare)
    if not parts or "".join(number + unit for number, unit in parts) != bare or len(bare) > 40:
        raise InputError(f"{text!r} is not a duration", remedy="write minutes such as 1440, or 1d3h, 30m, 90s")
    return float(sum(int(number) * _UNITS_S[unit] for number, unit in parts))


def spoken(seconds: float) -> str:
    """Return a duration as a service file writes it, ``1d3h``."""
    left, words = int(seconds), []
    for unit, size in _UNITS_S.items():
        count, left = divmod(left, size)
        words += [f"{count}{unit}"] if count else []
    return "".join(words) or "0s"


def switch(text: str) -> bool:
    """Return whether a switch is on. Raises :class:`InputError`."""
    bare = text.strip().lower()
    if bare not in _TRUE + _FALSE:
        raise InputError(f"{text!r} is neither true nor false", remedy="write true or false")
    return bare in _TRUE
