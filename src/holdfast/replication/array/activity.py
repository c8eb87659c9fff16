"""The activity log of one volume: which 1 MiB regions may hold writes that are not proven to be everywhere. Pure.

Before the first write to a region the shell records the region as *hot* on disk. After a crash every track of a hot
region counts as changed in every bitmap of the volume, so no change is lost although bits are not synced one by one.

A hot region is *dirty* from its first write until a flush that began after its last write has ended on all copies.
Only clean regions leave the log. Invariant: a region with a write in flight is hot and dirty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.kernel.sizes import MIB, TRACK_BYTES

REGION_BYTES = MIB
REGION_TRACKS = REGION_BYTES // TRACK_BYTES
BUSY_ROUNDS = 10
"""How many times a volume that is written all the time is left alone before it is flushed nevertheless."""


def parts_of(offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield where the parts of a range begin and end that lie in one region each."""
    end = offset + length
    while offset < end:
        stop = min(end, (offset // REGION_BYTES + 1) * REGION_BYTES)
        yield offset, stop
        offset = stop


def region_tracks(regions: Iterable[int], tracks: int) -> list[int]:
    """Return the tracks of ``regions`` in a volume of ``tracks`` tracks."""
    return [
        track
        for region in sorted(regions)
        for track in range(region * REGION_TRACKS, min((region + 1) * REGION_TRACKS, tracks))
    ]


class ActivityLog:
    """Hot regions in order of last use, with their writes in flight and the write epoch that dirtied them."""

    def __init__(self, regions: int) -> None:
        self.capacity = max(16, min(regions, 1024))
        self._hot: dict[int, int] = {}
        self._flying: dict[int, int] = {}
        self._epoch = 1
        self._writes = self._seen = self._rounds = 0

    @property
    def hot(self) -> tuple[int, ...]:
        """Every region in the log, least recently used first."""
        return tuple(self._hot)

    def is_hot(self, region: int) -> bool:
        """True when the region stands in the log."""
        return region in self._hot

    def __len__(self) -> int:
        return len(self._hot)

    @property
    def full(self) -> bool:
        """True when another region needs room first."""
        return len(self._hot) >= self.capacity

    def add(self, region: int) -> None:
        """Make a region hot; the shell must write the log before the write goes on."""
        self._hot.setdefault(region, 0)

    def begin(self, region: int) -> None:
        """A write to a hot region starts."""
        self._hot.pop(region)
        self._hot[region] = self._epoch
        self._flying[region] = self._flying.get(region, 0) + 1
        self._writes += 1

    def end(self, region: int) -> None:
        """A write that began has ended, well or not."""
        left = self._flying[region] - 1
        if left:
            self._flying[region] = left
        else:
            del self._flying[region]
        if region in self._hot:
            self._hot[region] = self._epoch

    def rests(self) -> bool:
        """Asked now and then: True when nothing was written since the last time, or for long enough something was."""
        self._rounds = self._rounds + 1 if self._writes != self._seen else BUSY_ROUNDS
        self._seen = self._writes
        if self._rounds < BUSY_ROUNDS:
            return False
        self._rounds = 0
        return True

    def flush_begins(self) -> int:
        """Start an epoch; pass the value to :meth:`flush_ended` once every copy has flushed."""
        self._epoch += 1
        return self._epoch

    def flush_ended(self, epoch: int) -> None:
        """Regions whose last write ended before that epoch are clean now."""
        cleaned = [region for region, last in self._hot.items() if last and last < epoch and region not in self._flying]
        self._hot.update(dict.fromkeys(cleaned, 0))

    def evict(self, keep: int) -> bool:
        """Drop clean regions, oldest first, until ``keep`` are left; True when one was dropped."""
        droppable = [region for region, epoch in self._hot.items() if not epoch]
        dropped = droppable[: max(0, len(self._hot) - keep)]
        for region in dropped:
            del self._hot[region]
        return bool(dropped)
