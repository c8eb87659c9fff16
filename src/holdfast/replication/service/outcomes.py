"""What verbs share: the names of pairs, and a failure as the outcome of its object."""

from __future__ import annotations

from holdfast.kernel.errors import HoldfastError, InputError, Refused, Unavailable
from holdfast.replication.model.identity import parse_subsystem, parse_volume
from holdfast.replication.operations import Outcome


def failed(name: str, error: HoldfastError | OSError) -> Outcome:
    """Return the outcome of an object that could not be done."""
    if isinstance(error, OSError):
        return Outcome(name, "disk", f"the array's disk failed: {error.strerror}", "make room, then try again")
    code = "unavailable" if isinstance(error, Unavailable) else "error"
    if isinstance(error, Refused):
        code = error.refusal.code
    return Outcome(name, code, error.message, error.remedy)


def split_pair(name: str) -> tuple[str, str]:
    """Return the two volumes of ``1260:1360``. Raises :class:`InputError`."""
    first, colon, second = name.partition(":")
    if not colon:
        raise InputError(f"{name!r} is not a pair", remedy="write source:target")
    return parse_volume(first), parse_volume(second)


def split_subsystems(name: str) -> tuple[str, str]:
    """Return the two subsystems of ``12:13``; ``12`` alone stands for ``12:12``. Raises :class:`InputError`."""
    first, colon, second = name.partition(":")
    return parse_subsystem(first), parse_subsystem(second if colon else first)
