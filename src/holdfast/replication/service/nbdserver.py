"""The NBD service: one export per volume and host registration, ``<host>.<key>/<volume>``.

A connection is a protocol of the event loop, not a task: what can be answered at once (reads, writes that need nobody)
is answered while its bytes are still where the kernel put them, and the replies to all that came in one go leave in one
go. What must wait (a mirror, a flush, a long busy) goes on beside it, bounded. When a host's key is barred its
connections are closed after the bar is durable; the write path checks the key again at the moment of applying, so
nothing of a barred connection is applied afterwards.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from holdfast.replication.array import nbd
from holdfast.replication.array.handshake import Handshake
from holdfast.replication.array.inbox import Inbox
from holdfast.replication.array.machine import HostRefused
from holdfast.replication.array.nbd import Command, Errno, Export
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.frames import Reply
from holdfast.replication.service.hostio import Begun, HostIO
from holdfast.replication.service.outbox import SLICE_BYTES, Outbox, Tail
from holdfast.runtime.identity import proven_name

IN_FLIGHT_REQUESTS = 64
IN_FLIGHT_BYTES = 64 * 1024 * 1024
NEGOTIATION_LIMIT_S = 10.0
_REPLIES_AT_ONCE = 2 * IN_FLIGHT_REQUESTS
"""How many parts of replies may wait to be sent: who asks without listening must not fill the memory."""

_LOG = structlog.get_logger("holdfast.replication.nbd")


class NbdServer:
    """Serves NBD connections over the host I/O of one array. ``tls`` is what it offers, or with ``requires_tls``
    insists on; a certificate of ``host:NAME`` opens exports of that host only."""

    def __init__(
        self, engine: Engine, hostio: HostIO, tls: ssl.SSLContext | None = None, requires_tls: bool = False
    ) -> None:
        self.engine, self.hostio, self.tls, self.requires_tls = engine, hostio, tls, requires_tls
        self.sessions: set[Session] = set()
        self.scratch = memoryview(bytearray(SLICE_BYTES))

    def session(self) -> Session:
        """Return the protocol of a new connection."""
        return Session(self)

    def connections(self) -> list[Export]:
        """Return the exports that are open now."""
        return [session.export for session in self.sessions if session.export is not None]

    def drop(self, host: str, key: int) -> int:
        """Close the connections of ``host`` with a key up to ``key``; return how many there were."""
        found = [s for s in self.sessions if s.export and s.export.host == host and s.export.key <= key]
        for session in found:
            session.abort()
        return len(found)

    async def close(self) -> None:
        """Cut every connection and wait until nothing of theirs is under way."""
        waiting = [task for session in self.sessions for task in session.abort()]
        await asyncio.gather(*waiting, return_exceptions=True)

    def open_export(self, name: str, proven: str) -> Export | str:
        """Return the export, or why it may not be opened; ``proven`` is whom a certificate names."""
        export = nbd.parse_export(name)
        if export is None:
            return f"{name!r} is not an export: connect as <host>.<key>/<volume>"
        if proven.startswith("host:") and proven != f"host:{export.host}":
            return f"the certificate is of {proven}, not of host:{export.host}"
        machine = self.engine.machine
        try:
            machine.volume(export.volume)
            machine.check_key(export.host, export.key)
            machine.check_access(export.host, export.volume)
            machine.check_read(export.volume)
        except HostRefused as refused:
            return refused.reason
        return export


@dataclass(slots=True)
class UnderWay:
    """The requests of a connection that have not been answered, bounded."""

    count: int = 0
    size_bytes: int = 0

    def begin(self, cost: int) -> None:
        """One more."""
        self.count += 1
        self.size_bytes += cost

    def end(self, cost: int) -> None:
        """One less."""
        self.count -= 1
        self.size_bytes -= cost

    @property
    def full(self) -> bool:
        """No more may begin."""
        return self.count >= IN_FLIGHT_REQUESTS or self.size_bytes >= IN_FLIGHT_BYTES


class Session(asyncio.BufferedProtocol):
    """One connection: negotiation, then requests."""

    def __init__(self, server: NbdServer) -> None:
        self._server, self._hostio = server, server.hostio
        self.export: Export | None = None
        self._transport: asyncio.Transport | None = None
        self._proven = ""
        self._handshake = Handshake(
            lambda: {name: volume.size_bytes for name, volume in server.engine.image.volumes.items()},
            lambda name: server.open_export(name, self._proven), server.tls is not None, server.requires_tls,
        )  # fmt: skip
        self._in = Inbox()
        self._out = Outbox(lambda offset, view: self._hostio.read_into(self.export, offset, view), server.scratch)
        self._collecting = False
        self._sending: asyncio.Handle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = UnderWay()
        self._full = self._leaving = False
        self._limit: asyncio.TimerHandle | None = None

    # --- the connection ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet; whoever does not come to an export in time is cut off."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        _keep_alive(transport)
        self._server.sessions.add(self)
        self._limit = asyncio.get_running_loop().call_later(NEGOTIATION_LIMIT_S, _too_slow, self)
        transport.write(nbd.GREETING)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is under way."""
        self._server.sessions.discard(self)
        self._end_tasks()
        if self._limit is not None:
            self._limit.cancel()

    def abort(self) -> list[asyncio.Task[None]]:
        """Cut the connection; requests under way fail. Returns their tasks."""
        tasks = self._end_tasks()
        if self._transport is not None:
            self._transport.abort()
        return tasks

    def _end_tasks(self) -> list[asyncio.Task[None]]:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks

    def broken(self, reason: str) -> None:
        """Cut the connection and say why in the log."""
        _LOG.info("nbd connection ended", export=str(self.export), reason=reason)
        self.abort()

    # --- bytes come in -----------------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._in.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        if self._in.came(nbytes):
            while self._take_in():
                pass

    def _take_in(self) -> bool:
        """Handle what has come, as far as its replies find room; True when there may be more to handle at once."""
        self._collecting = True
        try:
            if self.export is None:
                self._negotiate()
            if self.export is not None:
                ahead = ((one.offset, one.length) for one in self._in.writes_ahead())
                self._hostio.warm(self.export.volume, ahead)
                for request, data in self._in.requests(self._goes_on):
                    self._handle(request, data)
        except nbd.ProtocolError as error:
            self.broken(str(error))
        finally:
            self._collecting = False
        crowded = len(self._out) >= _REPLIES_AT_ONCE
        self._send_out()
        return crowded and self._goes_on()

    def _goes_on(self) -> bool:
        return not (self._full or self._leaving) and len(self._out) < _REPLIES_AT_ONCE

    def eof_received(self) -> bool:
        """The client sends nothing more; what is under way is still answered."""
        self._leaving = True
        return True

    def _negotiate(self) -> None:
        said = self._in.negotiate(self._handshake.take)
        if said:
            self._out.put(said)
        self.export = self._handshake.export
        if self._handshake.over:
            self._leaving = True
        elif self._handshake.wants_tls and said:  # said once; until it stands, more bytes may come and go on waiting
            self._send_out()
            self._later(self._secure(), 0)

    async def _secure(self) -> None:
        assert self._transport is not None
        assert self._server.tls is not None
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(self._transport, self, self._server.tls, server_side=True)
        except (OSError, ssl.SSLError) as error:
            self.broken(f"TLS: {error}")
            return
        assert isinstance(secured, asyncio.Transport)
        self._transport, self._proven = secured, proven_name(secured)
        self._handshake.secured()
        self.buffer_updated(0)  # what came through the new channel before this task went on

    # --- answers go out ----------------------------------------------------------------------------------------------

    def _answer(self, request: nbd.Request, error: int = 0, *parts: bytes | Tail) -> None:
        """Say how a request ended; ``parts`` are its whole reply where that is more than a simple one."""
        if parts and not error:
            self._out.put(*parts)
        elif self._handshake.structured and request.command in (Command.READ, Command.BLOCK_STATUS):
            self._out.put(nbd.encode_error(request.handle, error))
        else:
            self._out.put(nbd.encode_reply(request.handle, error))
        if not self._collecting:
            self._soon()

    def _soon(self) -> None:
        """Send what there is once all that happens now has happened."""
        if self._sending is None:
            self._sending = asyncio.get_running_loop().call_soon(self._send_out)

    def _send_out(self) -> None:
        self._sending = None
        transport = self._transport
        if transport is None or transport.is_closing():
            self._out.clear()
            return
        try:
            self._out.send(transport)
        except (HostRefused, OSError) as error:
            self.broken(f"a read broke off: {error}")
            return
        if len(self._out) > IN_FLIGHT_REQUESTS:
            self._stop_reading()
        if self._leaving and not self._under_way.count and not self._out:
            transport.close()

    def pause_writing(self) -> None:
        """The client takes its replies more slowly than they come."""
        self._out.choked = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._out.choked = False
        self._send_out()
        self._read_on()

    def _stop_reading(self) -> None:
        self._full = True
        assert self._transport is not None
        self._transport.pause_reading()

    def _read_on(self) -> None:
        slow = self._under_way.full or len(self._out) > IN_FLIGHT_REQUESTS
        if self._full and not slow and self._transport is not None:
            self._full = False
            self.buffer_updated(0)
            if not self._full:
                self._transport.resume_reading()

    # --- requests ----------------------------------------------------------------------------------------------------

    def _handle(self, request: nbd.Request, data: memoryview | None) -> None:
        if request.command == Command.DISC:
            self._leaving = True
            return
        try:
            self._execute(request, data)
        except (HostRefused, OSError) as error:
            self._failed(request, error)

    def _execute(self, request: nbd.Request, data: memoryview | None) -> None:
        assert self.export is not None
        size = self._server.engine.machine.volume(self.export.volume).size_bytes
        wrong = nbd.check_request(request, size)
        if wrong:
            self._answer(request, wrong)
        elif request.command == Command.READ:
            long = request.length > SLICE_BYTES
            found = (
                Tail(request.offset, request.length)
                if long and self._hostio.may_read(self.export)
                else self._hostio.read(self.export, request.offset, request.length)
            )
            if self._handshake.structured:
                head = nbd.encode_data_head(request.handle, request.offset, request.length)
            else:
                head = nbd.encode_reply(request.handle)
            self._answer(request, 0, head, found)
        elif request.command in (Command.WRITE, Command.WRITE_ZEROES):
            self._write(request, data)
        elif request.command == Command.BLOCK_STATUS:
            self._tell_extents(request)
        else:
            self._later(self._slowly(request, None), 0)

    def _write(self, request: nbd.Request, data: memoryview | None) -> None:
        assert self.export is not None
        begun = None
        if not request.fua:
            begun = self._hostio.write_now(self.export, request.offset, data, request.length)
        if begun is None:
            self._later(self._slowly(request, None if data is None else bytes(data)), request.length)
        elif begun.done:
            self._answer(request)
        elif begun.single is not None:
            self._begin(request.length)
            begun.single.add_done_callback(lambda sent: self._landed(request, begun, sent))
        else:
            self._later(self._guarded(request, self._hostio.finish(self.export, begun)), request.length)

    def _landed(self, request: nbd.Request, begun: Begun, sent: asyncio.Future[Reply]) -> None:
        """The target has answered for a write, or never will."""
        assert self.export is not None
        if sent.exception() is None and not sent.result().code:
            self._answer(request)
        elif self._transport is not None and not self._transport.is_closing():
            self._later(self._guarded(request, self._hostio.finish(self.export, begun)), 0)
        self._end(request.length)

    def _tell_extents(self, request: nbd.Request) -> None:
        assert self.export is not None
        if not self._handshake.block_status:
            self._answer(request, Errno.EINVAL)
            return
        most = 1 if request.flags & nbd.FLAG_REQ_ONE else 1024
        found = self._hostio.extents(self.export, request.offset, request.length, most)
        told = [(length, nbd.HOLE_THAT_READS_AS_ZEROS if hole else 0) for length, hole in found]
        self._answer(request, 0, nbd.encode_extents(request.handle, told))

    async def _slowly(self, request: nbd.Request, data: bytes | None) -> None:
        assert self.export is not None
        if request.command == Command.FLUSH:
            work = self._hostio.flush(self.export)
        elif request.command == Command.TRIM:
            work = self._hostio.trim(self.export, request.offset, request.length)
        else:
            work = self._hostio.write(self.export, request.offset, data, request.length, request.fua)
        await self._guarded(request, work)

    async def _guarded(self, request: nbd.Request, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (HostRefused, OSError) as error:
            self._failed(request, error)
        else:
            self._answer(request)

    def _failed(self, request: nbd.Request, error: HostRefused | OSError) -> None:
        if isinstance(error, HostRefused):
            _LOG.info("host refused", export=str(self.export), reason=error.reason)
            self._answer(request, Errno.EPERM)
        else:
            _LOG.warning("disk error", export=str(self.export), error=str(error))
            self._answer(request, Errno.ENOSPC if error.errno == Errno.ENOSPC else Errno.EIO)

    def _later(self, work: Coroutine[Any, Any, None], cost: int) -> None:
        """Go on beside what comes next, within bounds."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        self._begin(cost)
        task.add_done_callback(lambda done: self._done(done, cost))

    def _begin(self, cost: int) -> None:
        self._under_way.begin(cost)
        if self._under_way.full:
            self._stop_reading()

    def _end(self, cost: int) -> None:
        self._under_way.end(cost)
        if self._full:
            self._read_on()
        if self._leaving:
            self._soon()

    def _done(self, task: asyncio.Task[None], cost: int) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("request failed", export=str(self.export), error=repr(error))
            self.abort()
        self._end(cost)


def _too_slow(session: Session) -> None:
    if session.export is None:
        session.broken("nothing was opened in time")


def _keep_alive(transport: asyncio.Transport) -> None:
    plain = transport.get_extra_info("socket")
    if plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
