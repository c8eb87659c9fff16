"""Reading what the server keeps, by offset: for a mounted point in time and for verification.

A file's pieces are located once, the groups that hold them are fetched whole and the last few are kept, so reading in
order fetches every group once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future

import zstandard

from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import HoldfastError

_GROUPS = 8
_PLACES = 50_000
_LOCATE = 5_000


class Damaged(HoldfastError):
    """Content that the server could not give back whole; names the volume."""


class Contents:
    """Content of versions within one session; usable from several threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._places: OrderedDict[int, tuple[int, int, int]] = OrderedDict()
        self._groups: OrderedDict[int, Future[memoryview]] = OrderedDict()
        self.fetched_bytes = 0

    def read(self, version: m.StoredVersion, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``. Raises :class:`Damaged`, ``Unavailable`` or ``Refused``."""
        wanted = self._wanted(version, offset, length)
        self._locate([chunk for chunk, _, _ in wanted if chunk])
        parts = []
        for chunk, start, end in wanted:
            parts.append(bytes(self._chunk(chunk)[start:end]) if chunk else bytes(end - start))
        return b"".join(parts)

    @staticmethod
    def _wanted(version: m.StoredVersion, offset: int, length: int) -> list[tuple[int, int, int]]:
        """Return (chunk, first, last) for each piece that the range touches."""
        end, at = min(offset + length, version.stat.size), 0
        wanted = []
        for chunk, size in version.pieces:
            first, last = max(offset - at, 0), min(end - at, size)
            if first < last:
                wanted.append((chunk, first, last))
            at += size
            if at >= end:
                break
        return wanted

    def _locate(self, chunks: list[int]) -> None:
        with self._lock:
            unknown = sorted({chunk for chunk in chunks if chunk not in self._places})
        for start in range(0, len(unknown), _LOCATE):
            part = tuple(unknown[start : start + _LOCATE])
            reply = self._session.call(lambda seq, p=part: m.Locate(seq, p))  # type: ignore[misc]
            assert isinstance(reply, m.Located)
            with self._lock:
                self._places.update(zip(part, reply.places, strict=True))
                while len(self._places) > _PLACES + len(chunks):
                    self._places.popitem(last=False)

    def _chunk(self, chunk: int) -> memoryview:
        with self._lock:
            group, offset, length = self._places[chunk]
        return self._group(group)[offset : offset + length]

    def _group(self, group: int) -> memoryview:
        with self._lock:
            future = self._groups.get(group)
            mine = future is None
            if future is None:
                future = self._groups[group] = Future()
                while len(self._groups) > _GROUPS:
                    self._groups.popitem(last=False)
            else:
                self._groups.move_to_end(group)
        if mine:
            try:
                future.set_result(self._fetch(group))
            except HoldfastError as error:
                with self._lock:
                    self._groups.pop(group, None)
                future.set_exception(error)
        return future.result()

    def _fetch(self, group: int) -> memoryview:
        reply = self._session.call(lambda seq: m.Fetch(seq, group))
        assert isinstance(reply, m.Fetched)
        if reply.damage:
            raise Damaged(f"data on volume {reply.volume} cannot be read: {reply.damage}", "AUDIT VOLUME")
        self.fetched_bytes += len(reply.data)
        plain = zstandard.ZstdDecompressor().decompress(reply.data, max_output_size=sum(reply.lengths))
        return memoryview(plain)
