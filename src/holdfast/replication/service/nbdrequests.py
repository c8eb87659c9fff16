"""The requests of one open export: what each does to the volume, and the reply that says so.

What needs nobody is answered while it is handled; what must wait (a mirror, a flush, a long busy) is answered when it
has ended. Nothing here knows the connection: replies go to ``put``, in parts that belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from holdfast.replication.array import nbd
from holdfast.replication.array.machine import HostRefused
from holdfast.replication.array.nbd import Command, Errno, Export, Request
from holdfast.replication.service.beside import Beside
from holdfast.replication.service.frames import Reply
from holdfast.replication.service.hostio import Begun, HostIO
from holdfast.replication.service.outbox import SLICE_BYTES, Tail
from holdfast.replication.service.sent import Sent

_EXTENTS_AT_MOST = 1024
_LOG = structlog.get_logger("holdfast.replication.nbd")


@dataclass(slots=True)
class Requests:
    """``structured`` and ``block_status`` are what was negotiated."""

    hostio: HostIO
    export: Export
    structured: bool
    block_status: bool
    beside: Beside
    put: Callable[..., None]

    def handle(self, request: Request, data: memoryview | None) -> None:
        """Carry out one request; ``data``, a write's, is used up when this returns."""
        try:
            wrong = nbd.check_request(request, self.hostio.size_bytes(self.export))
            if wrong:
                self._answer(request, wrong)
            else:
                self._execute(request, data)
        except (HostRefused, OSError) as error:
            self._failed(request, error)

    def fetch(self, offset: int, view: memoryview) -> None:
        """Fill ``view`` with what the next slice of a long read sends. Raises :class:`HostRefused`, ``OSError``."""
        self.hostio.read_into(self.export, offset, view)

    def _execute(self, request: Request, data: memoryview | None) -> None:
        if request.command == Command.READ:
            self._read(request)
        elif request.command in (Command.WRITE, Command.WRITE_ZEROES):
            self._write(request, data)
        elif request.command == Command.BLOCK_STATUS:
            self._tell_extents(request)
        elif request.command == Command.TRIM:
            self._later(request, self.hostio.trim(self.export, request.offset, request.length))
        else:
            self._later(request, self.hostio.flush(self.export))

    def _read(self, request: Request) -> None:
        found: bytes | Tail = Tail(request.offset, request.length)
        if request.length > SLICE_BYTES:
            self.hostio.check_read(self.export)
        else:
            found = self.hostio.read(self.export, request.offset, request.length)
        if self.structured:
            self.put(nbd.encode_data_head(request.handle, request.offset, request.length), found)
        else:
            self.put(nbd.encode_reply(request.handle), found)

    def _write(self, request: Request, data: memoryview | None) -> None:
        begun = self.hostio.begin(self.export, request.offset, data, request.length)
        if request.fua:
            self._later(request, self._through(begun))
        elif begun is None:
            self._answer(request)
        elif isinstance(begun, Sent):
            self.beside.begin(request.length)
            begun.then(lambda reply: self._landed(request, begun, reply))
        else:
            self._later(request, self.hostio.finish(self.export, begun))

    async def _through(self, begun: Sent | Begun | None) -> None:
        """A write that is durable before it is answered."""
        await self.hostio.finish(self.export, begun)
        await self.hostio.flush(self.export)

    def _landed(self, request: Request, begun: Sent, reply: Reply | None) -> None:
        """The target has answered for a write, or never will."""
        if reply is not None and not reply.code:
            self._answer(request)
        else:
            self._later(request, self.hostio.finish(self.export, begun))
        self.beside.end(request.length)

    def _tell_extents(self, request: Request) -> None:
        if not self.block_status:
            self._answer(request, Errno.EINVAL)
            return
        most = 1 if request.flags & nbd.FLAG_REQ_ONE else _EXTENTS_AT_MOST
        found = self.hostio.extents(self.export, request.offset, request.length, most)
        told = [(length, nbd.HOLE_THAT_READS_AS_ZEROS if hole else 0) for length, hole in found]
        self.put(nbd.encode_extents(request.handle, told))

    # --- how it ended ------------------------------------------------------------------------------------------------

    def _later(self, request: Request, work: Coroutine[Any, Any, None]) -> None:
        """Answer when ``work`` has ended."""
        self.beside.spawn(self._guarded(request, work), request.length if request.command == Command.WRITE else 0)

    async def _guarded(self, request: Request, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (HostRefused, OSError) as error:
            self._failed(request, error)
        else:
            self._answer(request)

    def _failed(self, request: Request, error: HostRefused | OSError) -> None:
        if isinstance(error, HostRefused):
            _LOG.info("host refused", export=str(self.export), reason=error.reason)
            self._answer(request, Errno.EPERM)
        else:
            _LOG.warning("disk error", export=str(self.export), error=str(error))
            self._answer(request, Errno.ENOSPC if error.errno == Errno.ENOSPC else Errno.EIO)

    def _answer(self, request: Request, error: int = 0) -> None:
        """Say how a request without a reply of its own ended, or that one with such a reply failed."""
        if self.structured and request.command in (Command.READ, Command.BLOCK_STATUS):
            self.put(nbd.encode_error(request.handle, error))
        else:
            self.put(nbd.encode_reply(request.handle, error))
