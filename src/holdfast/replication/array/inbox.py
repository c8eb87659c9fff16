"""Bytes that a host sends, as they come: requests where they lie in the buffer, long writes in memory of their own.

Pure: whoever reads the socket asks where the next bytes go and says how many came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdfast.replication.array import nbd
from holdfast.replication.array.nbd import Command

BUFFER_BYTES = 256 * 1024
IN_PLACE_BYTES = 64 * 1024
"""A write up to this size waits in the buffer until it is whole; a larger one gets memory of its own."""


class Inbox:
    """One connection's incoming bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._end = 0
        self._long: tuple[nbd.Request, bytearray] | None = None
        self._filled = 0

    def room(self) -> memoryview:
        """Where the next bytes go."""
        if self._long is not None:
            return memoryview(self._long[1])[self._filled :]
        return self._view[self._end :]

    def came(self, count: int) -> bool:
        """So many bytes have come; whether there is anything whole to look at."""
        if self._long is None:
            self._end += count
            return True
        self._filled += count
        return self._filled == len(self._long[1])

    def negotiate(self, take: Callable[[bytearray], bytes]) -> bytes:
        """Let ``take`` consume from the front, while there are no requests yet; return what it answers."""
        data = bytearray(self._view[: self._end])
        said = take(data)
        self._view[: len(data)] = data
        self._end = len(data)
        return said

    def writes_ahead(self) -> list[tuple[int, int]]:
        """Return offset and length of the writes that are whole already, without taking them."""
        found: list[tuple[int, int]] = []
        start = 0
        while self._end - start >= nbd.REQUEST.size:
            _, _, command, _, offset, length = nbd.REQUEST.unpack_from(self._buffer, start)
            start += nbd.REQUEST.size
            if command == Command.WRITE:
                start += length
                if start > self._end:
                    break
                found.append((offset, length))
        return found

    def requests(self, going: Callable[[], bool]) -> Iterator[tuple[nbd.Request, memoryview | None]]:
        """Yield every whole request with its data, which is valid until the next is asked for, as long as ``going``
        says so. Raises ``ProtocolError``."""
        if self._long is not None:
            if self._filled < len(self._long[1]):
                return
            (request, payload), self._long = self._long, None
            yield request, memoryview(payload)
        start = 0
        try:
            while self._end - start >= nbd.REQUEST.size and going():
                request = nbd.decode_request(self._buffer, start)
                first = start + nbd.REQUEST.size
                if request.command != Command.WRITE:
                    start = first
                    yield request, None
                    continue
                if request.length > nbd.REQUEST_LIMIT_BYTES:
                    raise nbd.ProtocolError(f"a write of {request.length} bytes")
                last = first + request.length
                if last <= self._end:
                    start = last
                    yield request, self._view[first:last]
                elif request.length > IN_PLACE_BYTES:
                    self._begin_long(request, first)
                    start = self._end
                else:
                    break
        finally:
            self._keep_from(start)

    def _begin_long(self, request: nbd.Request, first: int) -> None:
        payload = bytearray(request.length)
        self._long, self._filled = (request, payload), self._end - first
        payload[: self._filled] = self._view[first : self._end]

    def _keep_from(self, start: int) -> None:
        if start:
            left = self._end - start
            self._view[:left] = bytes(self._view[start : self._end])
            self._end = left
