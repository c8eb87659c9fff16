"""Which tracks have a mirrored write on its way: after a kill of the array these alone are in doubt.

A mirrored write sets no bit of its pair; should this process be killed in the middle of one, only one end may have it.
So a bit for each such track stands in a file that is mapped into memory: setting it costs no call, and the page cache
keeps it whatever becomes of the process. What the target has confirmed is not in doubt: should the target's machine
lose power, the target's own activity log tells what it lost. After a power failure here the file says nothing, and the
activity log's whole regions count instead.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path

LIMIT_TRACKS = 960
"""How many may be in doubt at once: 60 MiB; with what is being written no kill costs more than 64 MiB of copying."""
_GRAIN_BYTES = 64 * 1024


class Doubts:
    """The files of one array's volumes under ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self._maps: dict[str, mmap.mmap] = {}
        self._flying: dict[str, dict[int, int]] = {}

    def found(self, volume: str) -> list[int]:
        """Return the tracks that an earlier process left in doubt."""
        path = self._directory / volume
        data = path.read_bytes() if path.exists() else b""
        return [place * 8 + bit for place, byte in enumerate(data) if byte for bit in range(8) if byte >> bit & 1]

    def begin(self, volume: str, tracks: Iterable[int]) -> None:
        """A write to these tracks is about to be made at both ends. Raises ``OSError`` when the disk has no room for
        it."""
        flying = self._flying.setdefault(volume, {})
        held = self._maps.get(volume, b"")
        for track in tracks:
            count = flying.get(track, 0)
            if not count:
                place = track >> 3
                if isinstance(held, bytes) or place >= len(held):
                    held = self._map(volume, place)
                held[place] |= 1 << (track & 7)
            flying[track] = count + 1

    def end(self, volume: str, tracks: Iterable[int]) -> None:
        """A write that began is at both ends, or what it may have left different has been recorded."""
        flying = self._flying.get(volume, {})
        for track in tracks:
            count = flying.get(track, 0)
            if count > 1:
                flying[track] = count - 1
            elif count:
                del flying[track]
                self._maps[volume][track >> 3] &= ~(1 << (track & 7))

    def tracks(self, volume: str) -> tuple[int, ...]:
        """Return the tracks in doubt."""
        return tuple(self._flying.get(volume, ()))

    def count(self, volume: str) -> int:
        """Return how many tracks are in doubt."""
        return len(self._flying.get(volume, ()))

    def forget(self, volume: str) -> None:
        """Nothing of the volume is in doubt."""
        held = self._maps.pop(volume, None)
        if held is not None:
            held.close()
        self._flying.pop(volume, None)
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
        return held

    def close(self) -> None:
        """Unmap every file; they stay as they are."""
        for held in self._maps.values():
            held.close()
        self._maps = {}
