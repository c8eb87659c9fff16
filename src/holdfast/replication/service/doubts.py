"""Which tracks were mirrored since both ends last flushed: after a kill of the array these alone are in doubt.

A mirrored write sets no bit of its pair; should this process be killed in the middle of one, only one end may have it.
So a bit for each such track stands in a file that is mapped into memory: setting it costs no call, and the page cache
keeps it whatever becomes of the process. After a power failure it says nothing, and the activity log's whole regions
count instead.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path

from holdfast.replication.array.activity import REGION_TRACKS

LIMIT_TRACKS = 960
"""How many may be in doubt at once: 60 MiB; with what is in flight no kill costs more than 64 MiB of copying."""
_GRAIN_BYTES = 64 * 1024


class Doubts:
    """The files of one array's volumes under ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self._maps: dict[str, mmap.mmap] = {}
        self._counts: dict[str, int] = {}

    def found(self, volume: str) -> list[int]:
        """Return the tracks that an earlier process left in doubt."""
        path = self._directory / volume
        data = path.read_bytes() if path.exists() else b""
        return [place * 8 + bit for place, byte in enumerate(data) if byte for bit in range(8) if byte >> bit & 1]

    def note(self, volume: str, tracks: Iterable[int]) -> None:
        """These tracks are about to be written at both ends. Raises ``OSError`` when the disk has no room for it."""
        for track in tracks:
            place, mask = track >> 3, 1 << (track & 7)
            held = self._maps.get(volume)
            if held is None or place >= len(held):
                held = self._map(volume, place)
            if not held[place] & mask:
                held[place] |= mask
                self._counts[volume] += 1

    def count(self, volume: str) -> int:
        """Return how many tracks are in doubt."""
        return self._counts.get(volume, 0)

    def settle(self, volume: str, regions: Iterable[int]) -> None:
        """Both ends have flushed all that was written to these regions."""
        held = self._maps.get(volume)
        width = REGION_TRACKS // 8
        for region in regions:
            first = region * width
            if held is not None and first < len(held):
                self._counts[volume] -= int.from_bytes(held[first : first + width], "big").bit_count()
                held[first : first + width] = bytes(width)

    def forget(self, volume: str) -> None:
        """Nothing of the volume is in doubt."""
        held = self._maps.pop(volume, None)
        if held is not None:
            held.close()
        self._counts.pop(volume, None)
        (self._directory / volume).unlink(missing_ok=True)

    def _map(self, volume: str, place: int) -> mmap.mmap:
        held = self._maps.pop(volume, None)
        if held is not None:
            held.close()
        descriptor = os.open(self._directory / volume, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = (place // _GRAIN_BYTES + 1) * _GRAIN_BYTES
            os.posix_fallocate(descriptor, 0, size)  # a store to a mapped hole would kill the process on a full disk
            held = self._maps[volume] = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self._counts.setdefault(volume, 0)
        return held

    def close(self) -> None:
        """Unmap every file; they stay as they are."""
        for held in self._maps.values():
            held.close()
        self._maps = {}
