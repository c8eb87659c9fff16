"""The NBD service: one export per volume and host registration, ``<host>.<key>/<volume>``.

A connection is a protocol of the event loop, not a task: what can be answered at once (reads, writes that need nobody)
is answered while its bytes are still where the kernel put them, and the replies to all that came in one go leave in one
go. What requests do is said in ``service.nbdrequests``; what must wait (a mirror, a flush, a long busy) goes on beside
the connection, bounded. When a host's key is barred its connections are closed after the bar is durable; the write path
checks the key again at the moment of applying, so nothing of a barred connection is applied afterwards.
"""

from __future__ import annotations

import asyncio
import socket
import ssl

import structlog

from holdfast.replication.array import nbd
from holdfast.replication.array.handshake import Handshake
from holdfast.replication.array.inbox import Inbox
from holdfast.replication.array.machine import HostRefused
from holdfast.replication.array.nbd import Command, Export
from holdfast.replication.service.beside import IN_FLIGHT_REQUESTS, Beside
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.hostio import HostIO
from holdfast.replication.service.nbdrequests import Requests
from holdfast.replication.service.outbox import SLICE_BYTES, Outbox, Tail
from holdfast.runtime.identity import proven_name

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


class Session(asyncio.BufferedProtocol):
    """One connection: negotiation, then requests."""

    def __init__(self, server: NbdServer) -> None:
        self._server = server
        self.export: Export | None = None
        self._transport: asyncio.Transport | None = None
        self._proven = ""
        self._handshake = Handshake(
            lambda: {name: volume.size_bytes for name, volume in server.engine.image.volumes.items()},
            lambda name: server.open_export(name, self._proven), server.tls is not None, server.requires_tls,
        )  # fmt: skip
        self._in = Inbox()
        self._requests: Requests | None = None
        self._out = Outbox(self._fetch, server.scratch)
        self._beside = Beside(self._less_to_do, self._failed)
        self._sending: asyncio.Handle | None = None
        self._collecting = self._full = self._leaving = False
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
        self._beside.cancel()
        if self._limit is not None:
            self._limit.cancel()

    def abort(self) -> list[asyncio.Task[None]]:
        """Cut the connection; requests under way fail. Returns their tasks."""
        if self._transport is not None:
            self._transport.abort()
        return self._beside.cancel()

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
        crowded = self._in.came(nbytes)
        while crowded:
            crowded = self._take_in()

    def _take_in(self) -> bool:
        """Handle what has come, as far as its replies find room; True when there may be more to handle at once."""
        self._collecting = True
        try:
            if self._requests is None:
                self._negotiate()
            if self._requests is not None:
                self._take_requests(self._requests)
        except nbd.ProtocolError as error:
            self.broken(str(error))
        finally:
            self._collecting = False
        crowded = len(self._out) >= _REPLIES_AT_ONCE
        self._send_out()
        return crowded and self._goes_on()

    def _take_requests(self, requests: Requests) -> None:
        self._server.hostio.foresee(self._in.writes_ahead)
        try:
            for request, data in self._in.requests(self._goes_on):
                if request.command == Command.DISC:
                    self._leaving = True
                else:
                    requests.handle(request, data)
        finally:
            self._server.hostio.foresee(None)
        if self._beside.full:
            self._stop_reading()

    def _goes_on(self) -> bool:
        return not (self._full or self._leaving or self._beside.full) and len(self._out) < _REPLIES_AT_ONCE

    def eof_received(self) -> bool:
        """The client sends nothing more; what is under way is still answered, then the connection ends."""
        self._leaving = True
        return not self._handshake.encrypted and bool(self._beside.count or self._out)

    def _negotiate(self) -> None:
        said = self._in.negotiate(self._handshake.take)
        if said:
            self._out.put(said)
        handshake = self._handshake
        if handshake.export is not None:
            modes = handshake.structured, handshake.block_status
            self.export = handshake.export
            self._requests = Requests(self._server.hostio, handshake.export, *modes, self._beside, self._reply)
        elif handshake.over:
            self._leaving = True
        elif handshake.wants_tls and said:  # said once; until it stands, more bytes may come and go on waiting
            self._send_out()
            self._beside.spawn(self._secure())

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

    def _reply(self, *parts: bytes | Tail) -> None:
        self._out.put(*parts)
        if not self._collecting:
            self._soon()

    def _fetch(self, offset: int, view: memoryview) -> None:
        assert self._requests is not None, "nothing is read before something is open"
        self._requests.fetch(offset, view)

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
        if self._leaving and not self._beside.count and not self._out:
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
        slow = self._beside.full or len(self._out) > IN_FLIGHT_REQUESTS
        if self._full and not slow and self._transport is not None:
            self._full = False
            self.buffer_updated(0)
            if not self._full:
                self._transport.resume_reading()

    def _less_to_do(self) -> None:
        if self._full:
            self._read_on()
        if self._leaving:
            self._soon()

    def _failed(self, error: BaseException) -> None:
        _LOG.error("request failed", export=str(self.export), error=repr(error))
        self.abort()


def _too_slow(session: Session) -> None:
    if session.export is None:
        session.broken("nothing was opened in time")


def _keep_alive(transport: asyncio.Transport) -> None:
    plain = transport.get_extra_info("socket")
    if plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
