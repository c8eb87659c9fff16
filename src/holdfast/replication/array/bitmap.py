"""A bitmap of tracks: one bit says "this track may differ". Pure; the shell persists the bytes that a change touched.

Setting is cheap and never forgotten; clearing is done only by the side that proved the track equal. The byte layout is
the file layout, so a file is read and written without conversion (2 MiB for a volume of 1 TiB).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_COUNTS = bytes(bin(value).count("1") for value in range(256))


class Bitmap:
    """``size`` bits, with a running count of those set."""

    __slots__ = ("_count", "data", "size")

    def __init__(self, size: int, data: bytes | None = None) -> None:
        self.size = size
        self.data = bytearray(-(-size // 8))
        if data is not None:
            self.data[:] = data[: len(self.data)].ljust(len(self.data), b"\0")
            self._trim()
        self._count = self._recount()

    @classmethod
    def full(cls, size: int) -> Bitmap:
        """Return a bitmap with every bit set."""
        return cls(size, b"\xff" * (-(-size // 8)))

    def __len__(self) -> int:
        return self._count

    def __contains__(self, track: int) -> bool:
        return bool(self.data[track >> 3] & (1 << (track & 7)))

    def __iter__(self) -> Iterator[int]:
        for index, byte in enumerate(self.data):
            if byte:
                for bit in range(8):
                    if byte & (1 << bit):
                        yield index * 8 + bit

    def set(self, track: int) -> bool:
        """Set one bit; True when it was clear."""
        mask = 1 << (track & 7)
        if self.data[track >> 3] & mask:
            return False
        self.data[track >> 3] |= mask
        self._count += 1
        return True

    def clear(self, track: int) -> bool:
        """Clear one bit; True when it was set."""
        mask = 1 << (track & 7)
        if not self.data[track >> 3] & mask:
            return False
        self.data[track >> 3] &= ~mask
        self._count -= 1
        return True

    def set_all(self, tracks: Iterable[int]) -> None:
        """Set the bits of ``tracks`` that exist."""
        for track in tracks:
            if track < self.size:
                self.set(track)

    def merge(self, other: Bitmap) -> None:
        """Set every bit that ``other`` has set, as far as this bitmap reaches."""
        for index in range(min(len(self.data), len(other.data))):
            self.data[index] |= other.data[index]
        self._trim()
        self._count = self._recount()

    def next_set(self, start: int) -> int | None:
        """Return the first set track at or after ``start``, or None."""
        index = start >> 3
        if start >= self.size:
            return None
        head = self.data[index] >> (start & 7)
        if head:
            return start + (head & -head).bit_length() - 1
        for later in range(index + 1, len(self.data)):
            byte = self.data[later]
            if byte:
                return later * 8 + (byte & -byte).bit_length() - 1
        return None

    def _trim(self) -> None:
        spare = len(self.data) * 8 - self.size
        if spare:
            self.data[-1] &= 0xFF >> spare

    def _recount(self) -> int:
        return sum(self.data.translate(_COUNTS))
