"""A set of flash copies that is resynchronised as one, on a schedule or by hand, and what an array says of its pairs.

The set belongs to a service or stands alone, to drive the clones of other servers. ``plan/syncset.py`` decides.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SyncSet:
    """Pairs ``source:target`` of one array. ``bgcopy``: copy in the background; ``recording``: only what changed is
    copied at the next resync; ``freeze``: hold the sources' writes while all pairs get their point in time."""

    name: str
    array: str
    pairs: tuple[str, ...]
    bgcopy: bool
    recording: bool
    min_delay_s: float
    max_delay_s: float
    freeze: bool = False


@dataclass(frozen=True, slots=True)
class FlashFact:
    """What the array says of one pair. ``synced`` is its point in time in seconds since the epoch, None if it is not
    told or its zone is not known; ``thin_target``: the target is an extent space efficient (ESE) volume."""

    pair: str
    recording: bool
    persistent: bool
    state: str
    thin_target: bool
    synced: float | None
