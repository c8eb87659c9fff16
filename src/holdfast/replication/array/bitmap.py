"""A bitmap of tracks: one bit says "this track may differ". Pure; the shell persists the bytes that a change touched.

Setting is cheap and never forgotten; clearing is done only by the side that proved the track equal.

Memory grows with what differs from the start: the bits lie in chunks of 4 KiB, and a chunk that still holds the
bitmap's *base* (all clear, or all set for a copy that begins with every track) is not there at all. The file layout is
the plain bitmap combined with the base by exclusive or, so a chunk that is not there is a hole in the file, and a file
is read and written without conversion. The bitmap's name tells the base (:func:`base_of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

CHUNK_BYTES = 4096
CHUNK_BITS = CHUNK_BYTES * 8
FULL = "-full"
"""What ends the name of a bitmap whose base is all set."""
_INVERTED = bytes(255 - value for value in range(256))


def base_of(name: str) -> bool:
    """Return the base of the bitmap of that name: True when it began with every bit set."""
    return name.endswith(FULL)


class Bitmap:
    """``size`` bits, with a running count of those set. ``base`` is what every bit was at first."""

    __slots__ = ("_chunks", "_count", "base", "size")

    def __init__(self, size: int, data: bytes | None = None, *, base: bool = False) -> None:
        self.size, self.base = size, base
        self._chunks: dict[int, bytearray] = {}
        self._count = size if base else 0
        if data is not None:
            for index in range(-(-len(data) // CHUNK_BYTES)):
                self.load(index, data[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])

    @classmethod
    def full(cls, size: int) -> Bitmap:
        """Return a bitmap with every bit set."""
        return cls(size, base=True)

    # --- the file's view: difference from the base -------------------------------------------------------------------

    @property
    def chunk_count(self) -> int:
        """How many chunks the whole bitmap has."""
        return -(-self.size // CHUNK_BITS)

    @property
    def chunks(self) -> tuple[int, ...]:
        """The chunks that may differ from the base."""
        return tuple(sorted(self._chunks))

    def stored(self, chunk: int) -> bytes:
        """Return a chunk as the file has it: a set bit differs from the base."""
        held = self._chunks.get(chunk)
        if held is None:
            return bytes(self._bytes_in(chunk))
        return bytes(held).translate(_INVERTED) if self.base else bytes(held)

    def load(self, chunk: int, stored: bytes) -> None:
        """Take a chunk as the file has it."""
        if chunk >= self.chunk_count or not any(stored):
            return
        held = self._held(chunk)
        before = int.from_bytes(held).bit_count()
        stored = stored[: len(held)].ljust(len(held), b"\0")
        held[:] = stored.translate(_INVERTED) if self.base else stored
        self._trim(chunk, held)
        self._count += int.from_bytes(held).bit_count() - before

    def _bytes_in(self, chunk: int) -> int:
        return min(CHUNK_BYTES, -(-self.size // 8) - chunk * CHUNK_BYTES)

    def _held(self, chunk: int) -> bytearray:
        held = self._chunks.get(chunk)
        if held is None:
            held = self._chunks[chunk] = bytearray(self.plain(chunk))
        return held

    def _trim(self, chunk: int, held: bytearray) -> None:
        spare = (chunk * CHUNK_BYTES + len(held)) * 8 - self.size
        if spare > 0:
            held[-1] &= 0xFF >> spare

    # --- one bit -----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._count

    def __contains__(self, track: int) -> bool:
        held = self._chunks.get(track // CHUNK_BITS)
        if held is None:
            return self.base and track < self.size
        return bool(held[(track >> 3) % CHUNK_BYTES] & (1 << (track & 7)))

    def set(self, track: int) -> bool:
        """Set one bit; True when it was clear."""
        if track in self:
            return False
        self._held(track // CHUNK_BITS)[(track >> 3) % CHUNK_BYTES] |= 1 << (track & 7)
        self._count += 1
        return True

    def clear(self, track: int) -> bool:
        """Clear one bit; True when it was set."""
        if track not in self:
            return False
        self._held(track // CHUNK_BITS)[(track >> 3) % CHUNK_BYTES] &= ~(1 << (track & 7))
        self._count -= 1
        return True

    # --- many bits ---------------------------------------------------------------------------------------------------

    def set_all(self, tracks: Iterable[int]) -> None:
        """Set the bits of ``tracks`` that exist."""
        for track in tracks:
            if track < self.size:
                self.set(track)

    def merge(self, other: Bitmap) -> None:
        """Set every bit that ``other`` has set, as far as this bitmap reaches."""
        for chunk in range(min(self.chunk_count, other.chunk_count)) if other.base else other.chunks:
            if chunk >= self.chunk_count:
                break
            if self.base and chunk not in self._chunks:
                continue
            held = self._held(chunk)
            before, theirs = int.from_bytes(held), other.plain(chunk)
            theirs = theirs[: len(held)].ljust(len(held), b"\0")
            held[:] = (before | int.from_bytes(theirs)).to_bytes(len(held))
            self._trim(chunk, held)
            self._count += int.from_bytes(held).bit_count() - before.bit_count()

    def plain(self, chunk: int) -> bytes:
        """Return a chunk's bits."""
        held = self._chunks.get(chunk)
        if held is not None:
            return bytes(held)
        fresh = bytearray((b"\xff" if self.base else b"\0") * self._bytes_in(chunk))
        self._trim(chunk, fresh)
        return bytes(fresh)

    def dense(self) -> bytes:
        """Return all bits, for a peer; :class:`Bitmap` reads them again."""
        return b"".join(self.plain(chunk) for chunk in range(self.chunk_count))

    def __iter__(self) -> Iterator[int]:
        track = self.next_set(0)
        while track is not None:
            yield track
            track = self.next_set(track + 1)

    def next_set(self, start: int) -> int | None:
        """Return the first set track at or after ``start``, or None."""
        while start < self.size:
            chunk = start // CHUNK_BITS
            held = self._chunks.get(chunk)
            if held is None:
                if self.base:
                    return start
                start = self._next_chunk(chunk) * CHUNK_BITS
                continue
            found = _first(held, start - chunk * CHUNK_BITS)
            if found is not None:
                return chunk * CHUNK_BITS + found
            start = (chunk + 1) * CHUNK_BITS
        return None

    def _next_chunk(self, chunk: int) -> int:
        """Return the next chunk that is held, or one past the end."""
        return min((held for held in self._chunks if held > chunk), default=self.chunk_count)


def _first(held: bytearray, start: int) -> int | None:
    """Return the first bit at or after ``start`` that is set in a chunk."""
    index = start >> 3
    head = held[index] >> (start & 7)
    if head:
        return start + (head & -head).bit_length() - 1
    rest = int.from_bytes(held[index + 1 :], "little")
    if not rest:
        return None
    return (index + 1) * 8 + (rest & -rest).bit_length() - 1
