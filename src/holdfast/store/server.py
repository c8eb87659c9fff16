"""Serves a store to other processes and machines over mutual TLS: the witness at a third site.

One process owns the SQLite file, so that a user that is paused in the middle of a call holds nobody else up, and so
that cutting a user's network cuts it from the store. Calls of one connection run side by side, at most
:data:`CALLS_IN_FLIGHT` of them.
"""

from __future__ import annotations

import asyncio
import functools
import ssl

import msgspec

from holdfast.kernel.errors import HoldfastError, Unavailable
from holdfast.store import wire
from holdfast.store.port import Compare, Store

CALLS_IN_FLIGHT = 64


class StoreServer:
    """Answers the port's calls on a TLS socket from ``store``."""

    def __init__(self, store: Store, context: ssl.SSLContext) -> None:
        self._store, self._context = store, context
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port that was taken. Raises ``HoldfastError`` when that address cannot be had."""
        try:
            self._server = await asyncio.start_server(self._accept, host, port, ssl=self._context)
        except OSError as error:
            text = f"cannot listen on {host}:{port}: {error.strerror}"
            raise HoldfastError(text, "is the address this host's, and free?") from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await _Connection(self._store, reader, writer).run()
        finally:
            self._connections.discard(task)
            writer.close()


class _Connection:
    """One user's connection: reads requests, runs each as a task, ends them all when the connection ends."""

    def __init__(self, store: Store, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._store, self._reader, self._writer = store, reader, writer
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(CALLS_IN_FLIGHT)

    async def run(self) -> None:
        try:
            while True:
                request = msgspec.convert(await wire.receive(self._reader), wire.Request)
                if request.operation == "cancel":
                    if request.id in self._calls:
                        self._calls[request.id].cancel()
                    continue
                await self._places.acquire()
                task = asyncio.create_task(self._run_call(request))
                self._calls[request.id] = task
                task.add_done_callback(functools.partial(self._finished, request.id))
        except (Unavailable, msgspec.ValidationError):
            return
        finally:
            for task in list(self._calls.values()):
                task.cancel()
            await asyncio.gather(*self._calls.values(), return_exceptions=True)

    def _finished(self, number: int, _task: asyncio.Task[None]) -> None:
        self._calls.pop(number, None)
        self._places.release()

    async def _run_call(self, request: wire.Request) -> None:
        try:
            if request.operation == "watch":
                async for changes in self._store.watch(*request.arguments):
                    await wire.send(self._writer, wire.Answer(request.id, wire.pack_changes(changes)))
            else:
                await wire.send(self._writer, wire.Answer(request.id, await self._answer(request)))
        except Unavailable as error:
            await self._send_quietly(wire.Answer(request.id, None, error.message))
        except OSError:
            self._writer.close()

    async def _send_quietly(self, answer: wire.Answer) -> None:
        try:
            await wire.send(self._writer, answer)
        except OSError:
            self._writer.close()

    async def _answer(self, request: wire.Request) -> object:
        store, arguments = self._store, request.arguments
        match request.operation:
            case "read":
                return wire.pack_snapshot(await store.read(arguments[0]))
            case "transact":
                compares = [Compare(key, revision) for key, revision in arguments[0]]
                return wire.pack_outcome(await store.transact(compares, wire.unpack_writes(arguments[1])))
            case "grant":
                return await store.grant(arguments[0])
            case "renew":
                return await store.renew(arguments[0])
            case "revoke":
                await store.revoke(arguments[0])
                return True
            case other:
                raise Unavailable(f"the store does not know {other!r}", "use one release on both sides")
