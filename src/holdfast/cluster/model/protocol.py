"""The protocol of the records in the store, and who may coordinate while systems of several versions run together.

A record may gain fields at any time: a reader ignores what it does not know and takes a default for what is missing.
What an older reader could not bear (a new kind of value, another meaning) raises :data:`PROTOCOL`, and is written only
once every system is there: the coordinator's record keeps the protocol that all had reached, and it never goes back.

While a newer system lives it coordinates, for it understands both. If it is lost before the others have followed, an
older one may: nothing was written yet that it could not read. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

PROTOCOL = 1
"""What this version speaks. Versions that did not say so spoke 0."""


def needed_by(living: Iterable[int], reached: int) -> int:
    """Return the protocol that a planner must speak at least, beside living systems, when all had ``reached`` one."""
    return max((reached, *living))


def reached_by(systems: Iterable[int], before: int) -> int:
    """Return the protocol that every one of ``systems`` speaks, never less than it was ``before``."""
    return max(before, min(systems, default=before))
