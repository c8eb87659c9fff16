"""The NBD service: one export per volume and host registration, ``<host>.<key>/<volume>``.

Requests of a connection run side by side (bounded), replies go out as they finish. When a host's key is barred its
connections are closed after the bar is durable; the write path checks the key again at the moment of applying, so
nothing of a barred connection is applied afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import structlog

from holdfast.replication.array import nbd
from holdfast.replication.array.machine import HostRefused
from holdfast.replication.array.nbd import Command, Errno, Export, Option, OptionReply
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.hostio import HostIO

IN_FLIGHT_REQUESTS = 64
IN_FLIGHT_BYTES = 64 * 1024 * 1024
NEGOTIATION_LIMIT_S = 10.0

_LOG = structlog.get_logger("holdfast.replication.nbd")


class NbdServer:
    """Serves NBD connections over the host I/O of one array."""

    def __init__(self, engine: Engine, hostio: HostIO) -> None:
        self._engine, self._hostio = engine, hostio
        self._sessions: set[_Session] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        plain = writer.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        session = _Session(self._engine, self._hostio, reader, writer)
        self._sessions.add(session)
        try:
            await session.run()
        except (nbd.ProtocolError, OSError, EOFError, TimeoutError) as error:
            _LOG.info("nbd connection ended", export=str(session.export), reason=str(error))
        finally:
            self._sessions.discard(session)
            await session.close()

    def connections(self) -> list[Export]:
        """Return the exports that are open now."""
        return [session.export for session in self._sessions if session.export is not None]

    def drop(self, host: str, key: int) -> int:
        """Close the connections of ``host`` with a key up to ``key``; return how many there were."""
        found = [s for s in self._sessions if s.export and s.export.host == host and s.export.key <= key]
        for session in found:
            session.abort()
        return len(found)


class _Session:
    def __init__(
        self, engine: Engine, hostio: HostIO, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._engine, self._hostio, self._reader, self._writer = engine, hostio, reader, writer
        self.export: Export | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(IN_FLIGHT_REQUESTS)
        self._bytes = 0
        self._less = asyncio.Event()

    def abort(self) -> None:
        """Cut the connection; requests under way fail."""
        for task in self._tasks:
            task.cancel()
        self._writer.transport.abort()

    async def close(self) -> None:
        """Wait for what is under way and close."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def run(self) -> None:
        """Negotiate, then serve requests until the client leaves."""
        async with asyncio.timeout(NEGOTIATION_LIMIT_S):
            going = await self._negotiate()
        while going:
            request = nbd.decode_request(await self._reader.readexactly(nbd.REQUEST.size))
            going = await self._take(request)

    # --- negotiation -------------------------------------------------------------------------------------------------

    async def _negotiate(self) -> bool:
        self._writer.write(nbd.GREETING)
        (flags,) = struct.unpack(">I", await self._reader.readexactly(4))
        while True:
            option, length = nbd.decode_option(await self._reader.readexactly(nbd.OPTION_HEAD.size))
            data = await self._reader.readexactly(length)
            if option == Option.EXPORT_NAME:
                return await self._export_name(data, bool(flags & nbd.CLIENT_NO_ZEROES))
            if option == Option.ABORT:
                self._reply(option, OptionReply.ACK)
                return False
            if option == Option.INFO and nbd.decode_go(data).upper() in self._engine.image.volumes:
                self._describe(option, nbd.decode_go(data).upper())
            elif option in (Option.GO, Option.INFO):
                if self._go(option, nbd.decode_go(data)) and option == Option.GO:
                    return True
            elif option == Option.LIST:
                self._list(option)
            else:
                self._reply(option, OptionReply.ERR_UNSUP)
            await self._writer.drain()

    def _reply(self, option: int, kind: OptionReply, data: bytes = b"") -> None:
        self._writer.write(nbd.encode_option_reply(option, kind, data))

    def _list(self, option: int) -> None:
        for volume in sorted(self._engine.image.volumes):
            name = volume.encode()
            self._reply(option, OptionReply.SERVER, struct.pack(">I", len(name)) + name)
        self._reply(option, OptionReply.ACK)

    def _open(self, name: str) -> tuple[Export, int] | str:
        """Return the export and its size, or why it may not be opened."""
        export = nbd.parse_export(name)
        if export is None:
            return f"{name!r} is not an export: connect as <host>.<key>/<volume>"
        try:
            size = self._engine.machine.volume(export.volume).size_bytes
            self._engine.machine.check_key(export.host, export.key)
            self._engine.machine.check_read(export.volume)
        except HostRefused as refused:
            return refused.reason
        return export, size

    def _describe(self, option: int, volume: str) -> None:
        """Tell size and flags; a bare volume name as LIST gives it can be looked at but not opened."""
        size = self._engine.image.volumes[volume].size_bytes
        self._reply(option, OptionReply.INFO, nbd.export_info(size))
        self._reply(option, OptionReply.INFO, nbd.block_info())
        self._reply(option, OptionReply.ACK)

    def _go(self, option: int, name: str) -> bool:
        opened = self._open(name)
        if isinstance(opened, str):
            known = nbd.parse_export(name) is not None
            self._reply(option, OptionReply.ERR_POLICY if known else OptionReply.ERR_UNKNOWN, opened.encode())
            return False
        export, _ = opened
        self._describe(option, export.volume)
        if option == Option.GO:
            self.export = export
        return True

    async def _export_name(self, data: bytes, no_zeroes: bool) -> bool:
        opened = self._open(data.decode("utf-8", "replace"))
        if isinstance(opened, str):
            return False
        self.export, size = opened
        self._writer.write(struct.pack(">QH", size, nbd.TRANSMISSION_FLAGS) + (b"" if no_zeroes else bytes(124)))
        await self._writer.drain()
        return True

    # --- requests ----------------------------------------------------------------------------------------------------

    async def _take(self, request: nbd.Request) -> bool:
        if request.command == Command.DISC:
            await asyncio.gather(*self._tasks)
            return False
        if request.command == Command.WRITE and request.length > nbd.REQUEST_LIMIT_BYTES:
            raise nbd.ProtocolError(f"a write of {request.length} bytes")
        data = await self._reader.readexactly(request.length) if request.command == Command.WRITE else None
        cost = request.length if request.command in (Command.READ, Command.WRITE) else 0
        while self._bytes + cost > IN_FLIGHT_BYTES and self._tasks:
            self._less.clear()
            await self._less.wait()
        await self._slots.acquire()
        self._bytes += cost
        task = asyncio.create_task(self._answer(request, data))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(done, cost))
        await self._writer.drain()
        return True

    def _done(self, task: asyncio.Task[None], cost: int) -> None:
        self._tasks.discard(task)
        self._slots.release()
        self._bytes -= cost
        self._less.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("request failed", export=str(self.export), error=repr(error))
            self._writer.transport.abort()

    async def _answer(self, request: nbd.Request, data: bytes | None) -> None:
        error, payload = Errno.NONE, b""
        try:
            error, payload = await self._execute(request, data)
        except HostRefused as refused:
            _LOG.info("host refused", export=str(self.export), reason=refused.reason)
            error = Errno.EPERM
        except OSError as failure:
            _LOG.warning("disk error", export=str(self.export), error=str(failure))
            error = Errno.ENOSPC if failure.errno == Errno.ENOSPC else Errno.EIO
        if not self._writer.transport.is_closing():
            self._writer.write(nbd.encode_reply(request.handle, error) + payload)

    async def _execute(self, request: nbd.Request, data: bytes | None) -> tuple[Errno, bytes]:
        assert self.export is not None
        size = self._engine.machine.volume(self.export.volume).size_bytes
        wrong = nbd.check_request(request, size)
        if wrong:
            return wrong, b""
        if request.command == Command.READ:
            return Errno.NONE, self._hostio.read(self.export, request.offset, request.length)
        if request.command == Command.FLUSH:
            await self._hostio.flush(self.export)
        elif request.command == Command.TRIM:
            await self._hostio.trim(self.export, request.offset, request.length)
        else:
            await self._hostio.write(self.export, request.offset, data, request.length, request.fua)
        return Errno.NONE, b""
