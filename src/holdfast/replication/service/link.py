"""The outgoing mirror link to one peer: dial, prove identities, send, match replies, notice silence.

A link is up or down, nothing between. It goes down when the stream ends, when nothing was heard for
``SILENCE_S`` although pings were sent, or when a write was not confirmed within ``WRITE_LIMIT_S``; every request under
way then fails with ``LinkLost`` and ``on_down`` runs before any of them is told. What is in flight is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path

import structlog

from holdfast.kernel.errors import Refusal, Refused
from holdfast.replication.service import frames
from holdfast.replication.service.frames import LinkLost
from holdfast.replication.service.sent import Sent
from holdfast.runtime.identity import client_context, host_label

PING_EVERY_S = 0.2
SILENCE_S = 0.9
WRITE_LIMIT_S = 2.0
REQUEST_LIMIT_S = 15.0
REDIAL_S = 0.3
DIAL_LIMIT_S = 2.0
WINDOW_BYTES = 8 * 1024 * 1024
_TOGETHER_BYTES = 32 * 1024
_READ_BYTES = 256 * 1024

_LOG = structlog.get_logger("holdfast.replication.link")

Sendable = frames.Write | frames.Flush | frames.Begin | frames.Status | frames.Event


class OutLink:
    """One peer, dialled for as long as :meth:`run` runs."""

    def __init__(self, image: str, peer: str, address: str, identity: Path) -> None:
        self.image, self.peer, self.address = image, peer, address
        self.up = False
        self.on_up: Callable[[], None] = lambda: None
        self.on_down: Callable[[], None] = lambda: None
        self._context: ssl.SSLContext = client_context(identity)
        self._writer: asyncio.StreamWriter | None = None
        self._seq = 0
        self._waiting: dict[int, Sent] = {}
        self._flying = 0
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._heard = 0.0
        self._splitter = frames.Splitter()
        self._outgoing: list[bytes] = []
        self._flushing: asyncio.Handle | None = None

    # --- sending -----------------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """True when another write may be sent now."""
        return self._flying < WINDOW_BYTES

    async def room(self) -> None:
        """Wait until another write may be sent, or the link is down."""
        while self.up and not self.has_room:
            self._roomy.clear()
            await self._roomy.wait()

    def next_seq(self) -> int:
        """Return the number of the next request."""
        self._seq += 1
        return self._seq

    def send(self, request: Sendable, data: bytes | memoryview = b"") -> Sent:
        """Send at once, with the ``data`` of a write; it is used up when this returns. Raises :class:`LinkLost` when
        the link is down."""
        if not self.up or self._writer is None:
            raise LinkLost(f"no link to {self.peer}")
        loop = asyncio.get_running_loop()
        limit = WRITE_LIMIT_S if isinstance(request, frames.Write) else REQUEST_LIMIT_S
        sent = self._waiting[request.seq] = Sent(loop.time() + limit, len(data) + 256)
        self._flying += sent.cost_bytes
        if not isinstance(request, frames.Write) or not data:
            self._put(frames.pack(request))
        elif len(data) <= _TOGETHER_BYTES:
            self._put(frames.pack_head(request, len(data)), bytes(data))
        else:
            self._outgoing.append(frames.pack_head(request, len(data)))
            self._flush()
            self._writer.write(data)
        return sent

    def say(self, frame: frames.Ahead) -> None:
        """Send what needs no answer, in order with the rest; nothing happens when the link is down."""
        if self.up:
            self._put(frames.pack(frame))

    def _put(self, *parts: bytes) -> None:
        self._outgoing += parts
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Send what was put together since the event loop's last turn."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._writer is not None and self._outgoing:
            self._writer.write(b"".join(self._outgoing))
        self._outgoing.clear()

    async def request(self, request: frames.Flush | frames.Begin | frames.Status | frames.Event) -> frames.Reply:
        """Send and wait. Raises :class:`LinkLost`, or ``Refused`` with the peer's refusal."""
        reply = await self.send(request)
        if reply.code:
            raise Refused(Refusal(reply.code, f"{self.peer}: {reply.reason}", reply.remedy))
        return reply

    # --- the connection ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        while True:
            try:
                async with asyncio.timeout(DIAL_LIMIT_S):
                    reader, writer = await self._dial()
            except (OSError, TimeoutError, LinkLost):
                await asyncio.sleep(REDIAL_S)
                continue
            try:
                await self._serve(reader, writer)
            finally:
                self._down()
                writer.transport.abort()
            await asyncio.sleep(REDIAL_S)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._splitter = frames.Splitter()
        host, _, port = self.address.rpartition(":")
        name = host_label(f"array:{self.peer}")
        reader, writer = await asyncio.open_connection(
            host, int(port), ssl=self._context, server_hostname=name, limit=frames.FRAME_LIMIT_BYTES
        )
        try:
            writer.write(frames.pack(frames.Hello(self.image)))
            writer.write(frames.pack(frames.Ping(0)))
            await self._frames(reader)
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, self.up, self._heard = writer, True, asyncio.get_running_loop().time()
        _LOG.info("mirror link up", peer=self.peer)
        self.on_up()
        receiver = asyncio.create_task(self._receive(reader))
        beat = asyncio.create_task(self._beat())
        try:
            await asyncio.wait({receiver, beat}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (receiver, beat):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, LinkLost):
                    await task

    async def _frames(self, reader: asyncio.StreamReader) -> list[frames.Answer]:
        """Return the answers that have come, waiting for more bytes once. Raises :class:`LinkLost` at the end."""
        try:
            data = await reader.read(_READ_BYTES)
        except OSError as error:
            raise LinkLost(f"the mirror link broke: {error}") from error
        if not data:
            raise LinkLost("the mirror link was closed")
        splitter = self._splitter
        splitter.room()[: len(data)] = data
        splitter.came(len(data))
        answers = [frames.unpack(frames.ANSWERS, body) for body, _ in splitter.frames()]
        splitter.done()
        return answers

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        while True:
            answers = await self._frames(reader)
            self._heard = loop.time()
            for answer in answers:
                if isinstance(answer, frames.Reply):
                    self._answered(answer.seq, answer)
                elif isinstance(answer, frames.Written):
                    for seq in answer.seqs:
                        self._answered(seq, frames.TAKEN)

    def _answered(self, seq: int, answer: frames.Reply) -> None:
        sent = self._waiting.pop(seq, None)
        if sent is None:
            raise LinkLost(f"an answer to {seq}, which was not asked")
        self._flying -= sent.cost_bytes
        self._roomy.set()
        sent.settle(answer)

    async def _beat(self) -> None:
        """Send pings; return when the peer is silent or a request is overdue. An own stall is not held against it."""
        loop = asyncio.get_running_loop()
        number = 0
        while True:
            assert self._writer is not None
            number += 1
            self._writer.write(frames.pack(frames.Ping(number)))
            asleep = loop.time()
            await asyncio.sleep(PING_EVERY_S)
            now = loop.time()
            if now - asleep > 2 * PING_EVERY_S:
                self._heard = max(self._heard, now - PING_EVERY_S)
                continue
            overdue = any(sent.deadline < now for sent in self._waiting.values())
            if now - self._heard > SILENCE_S or overdue:
                _LOG.warning("mirror peer is silent", peer=self.peer)
                return

    def _down(self) -> None:
        if not self.up:
            return
        self.up, self._writer, self._flying = False, None, 0
        self._outgoing.clear()
        _LOG.warning("mirror link down", peer=self.peer)
        waiting, self._waiting = self._waiting, {}
        self.on_down()
        self._roomy.set()
        for sent in waiting.values():
            sent.settle(None)
