"""The store that another process serves: the port over one TLS connection, made when needed and remade when lost.

Every call has a deadline. What cannot be answered in time is ``Unavailable``, and the caller must treat the outcome as
unknown, as with any store. A watch ends with ``Unavailable`` when its connection does; its user reads and watches anew.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any

from holdfast.kernel.errors import Unavailable
from holdfast.store import wire
from holdfast.store.port import Change, Committed, Compare, Conflict, Snapshot, Write

CALL_TIMEOUT_S = 2.0
WATCH_QUEUE_COMMITS = 4096


class ServedStore:
    """A :class:`~holdfast.store.port.Store` at ``host:port``. ``peer`` is the TLS name that the server must prove."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext, peer: str, call_timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self._host, self._port, self._context, self._peer = host, port, context, peer
        self._timeout_s = call_timeout_s
        self._numbers = itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._pump: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Queue[wire.Answer]] = {}
        self._connecting = asyncio.Lock()

    async def read(self, prefix: str) -> Snapshot:
        """Return every key under ``prefix`` at one revision."""
        return wire.unpack_snapshot(await self._call("read", prefix))

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Committed | Conflict:
        """Apply ``writes`` if every compare holds. After ``Unavailable`` the outcome is unknown."""
        rows = [[compare.key, compare.revision] for compare in compares]
        return wire.unpack_outcome(await self._call("transact", rows, wire.pack_writes(list(writes))))

    async def grant(self, ttl_s: float) -> int:
        """Open a lease."""
        return int(await self._call("grant", ttl_s))

    async def renew(self, lease: int) -> bool:
        """Renew a lease that has not lapsed."""
        return bool(await self._call("renew", lease))

    async def revoke(self, lease: int) -> None:
        """End a lease and delete its keys."""
        await self._call("revoke", lease)

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """Yield later commits under ``prefix`` in order."""
        number, queue = await self._submit("watch", prefix, after_revision)
        try:
            while True:
                yield wire.unpack_changes(_result(await queue.get()))
        finally:
            self._waiting.pop(number, None)
            if self._writer is not None and not self._writer.is_closing():
                self._writer.write(wire.frame(wire.Request(number, "cancel", [])))

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._pump = None

    async def _call(self, operation: str, *arguments: Any) -> Any:
        number = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                number, queue = await self._submit(operation, *arguments)
                return _result(await queue.get())
        except TimeoutError as error:
            raise Unavailable(
                f"the store at {self._host}:{self._port} did not answer in {self._timeout_s} s"
            ) from error
        finally:
            self._waiting.pop(number, None)

    async def _submit(self, operation: str, *arguments: Any) -> tuple[int, asyncio.Queue[wire.Answer]]:
        writer = await self._connected()
        number = next(self._numbers)
        queue: asyncio.Queue[wire.Answer] = asyncio.Queue(WATCH_QUEUE_COMMITS)
        self._waiting[number] = queue
        try:
            await wire.send(writer, wire.Request(number, operation, list(arguments)))
        except OSError as error:
            self._waiting.pop(number, None)
            raise Unavailable(f"the store at {self._host}:{self._port}: {error}") from error
        return number, queue

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer
            try:
                async with asyncio.timeout(self._timeout_s):
                    reader, writer = await asyncio.open_connection(
                        self._host, self._port, ssl=self._context, server_hostname=self._peer
                    )
            except (OSError, TimeoutError) as error:
                raise Unavailable(
                    f"the store at {self._host}:{self._port} cannot be reached: {error or 'no answer'}",
                    "see that it runs and that the network reaches it",
                ) from error
            self._writer = writer
            self._pump = asyncio.create_task(self._receive(reader, writer))
            return writer

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = "the store connection was closed"
        try:
            while True:
                answer = wire.Answer(*await wire.receive(reader))
                queue = self._waiting.get(answer.id)
                if queue is None:
                    continue
                if queue.full():
                    raise Unavailable("a watcher fell behind", "read again, then watch")
                queue.put_nowait(answer)
        except Unavailable as error:
            ended = error.message
        finally:
            writer.close()
            for queue in self._waiting.values():
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(wire.Answer(0, None, ended))


def _result(answer: wire.Answer) -> Any:
    if answer.unavailable:
        raise Unavailable(answer.unavailable)
    return answer.result
