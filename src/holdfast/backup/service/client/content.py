"""Reading content: a file becomes pieces (chunks by name, holes by length), and new chunks are handed on.

Files up to the average chunk size are one chunk; larger ones are cut by content, extent by extent, so holes are never
read. A file that changes while it is read is read again, at most four times (SHRSTATIC), and is then left alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from blake3 import blake3
from pyfastcdc import FastCDC

from holdfast.backup.model.objects import Extra, Piece, Stat
from holdfast.backup.service.client.scan import extra_of
from holdfast.kernel.sizes import KIB, MIB

AVERAGE_BYTES = 256 * KIB
_READ_BYTES = 4 * MIB
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
Keep = Callable[[bytes, bytes | memoryview], None]
"""Takes a chunk's name and bytes; it decides whether the chunk is new."""
Content = tuple[tuple[Piece, ...], os.stat_result, Extra]
"""Pieces, facts and extended attributes of a file."""


class Changed(Exception):
    """The file kept changing while it was read (ANS4037E)."""


class Reader:
    """Reads files of one filespace into pieces. ``retries`` counts the files that had to be read again.

    With ``dynamic`` the last reading is kept although the file changed: its facts are those of before, so that the next
    run sees the change."""

    def __init__(self, naming: bytes, keep: Keep, tries: int, dynamic: bool = False) -> None:
        self._naming, self._keep, self._tries, self._dynamic = naming, keep, tries, dynamic
        self._cutter = FastCDC(avg_size=AVERAGE_BYTES, min_size=AVERAGE_BYTES // 4, max_size=AVERAGE_BYTES * 4)
        self.retries = 0

    def read(self, directory: int, name: bytes, seen: Stat) -> Content:
        """Return what the file holds and the facts that were true throughout; ``seen`` is what the scanner saw.

        Raises:
            Changed: It changed in every try.
            OSError: It cannot be read.
        """
        for attempt in range(self._tries):
            self.retries += attempt > 0
            descriptor = os.open(name, _FLAGS, dir_fd=directory)
            try:
                found = self._small(descriptor, seen) if not attempt and seen.size <= AVERAGE_BYTES else None
                if found is None:
                    found = self._whole(descriptor, self._dynamic and attempt == self._tries - 1)
            finally:
                os.close(descriptor)
            if found is not None:
                return found
        raise Changed

    def _small(self, descriptor: int, seen: Stat) -> Content | None:
        """One chunk, read at once; None when the file is not what the scanner saw, or may have holes."""
        data = os.read(descriptor, seen.size + 1)
        after = os.fstat(descriptor)
        if len(data) != seen.size or after.st_blocks * 512 < seen.size:
            return None
        if (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) != (seen.ino, seen.mtime_ns, seen.ctime_ns):
            return None
        return (self._piece(data),) if data else (), after, extra_of(descriptor)

    def _whole(self, descriptor: int, anyway: bool) -> Content | None:
        """Read a file to its end; None when it changed meanwhile, unless it is kept ``anyway``."""
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            return None
        pieces = tuple(self._pieces(descriptor, before))
        extra = extra_of(descriptor)
        after = os.fstat(descriptor)
        if _same(before, after) and sum(piece.length for piece in pieces) == after.st_size:
            return pieces, after, extra
        if not anyway:
            return None
        missing = before.st_size - sum(piece.length for piece in pieces)
        return (*pieces, Piece(b"", missing)) if missing else pieces, before, extra

    def _pieces(self, descriptor: int, found: os.stat_result) -> Iterator[Piece]:
        size = found.st_size
        if size == 0:
            return
        if found.st_blocks * 512 >= size:
            yield from self._extent(descriptor, 0, size)
            return
        at = 0
        while at < size:
            try:
                start = os.lseek(descriptor, at, os.SEEK_DATA)
                end = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
            except OSError:  # no more data: the rest is a hole
                start = end = size
            start = min(start, size)
            if start > at:
                yield Piece(b"", start - at)
            if end > start:
                yield from self._extent(descriptor, start, end)
            at = max(end, start)

    def _extent(self, descriptor: int, start: int, end: int) -> Iterator[Piece]:
        if end - start <= AVERAGE_BYTES:
            data = os.pread(descriptor, end - start, start)
            if data:
                yield self._piece(data)
            return
        rest = b""
        at = start
        while at < end:
            data = os.pread(descriptor, min(_READ_BYTES, end - at), at)
            if not data:
                break
            at += len(data)
            buffer = rest + data if rest else data
            cuts = [memoryview(chunk.data) for chunk in self._cutter.cut_buf(buffer)]
            rest = bytes(cuts.pop()) if at < end else b""
            for cut in cuts:
                yield self._piece(cut)
        if rest:
            yield self._piece(rest)

    def _piece(self, data: bytes | memoryview) -> Piece:
        name = blake3(data, key=self._naming).digest()
        self._keep(name, data)
        return Piece(name, len(data))


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
