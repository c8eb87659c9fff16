"""The outgoing mirror link to one peer: dial, prove identities, send, match replies, notice silence.

A link is up or down, nothing between. It goes down when the stream ends, when nothing was heard for
``SILENCE_S`` although pings were sent, or when a write was not confirmed within ``WRITE_LIMIT_S``; every request under
way then fails with ``LinkLost`` and ``on_down`` runs before any of them is told. What is in flight is bounded.
"""

from __future__ import annotations

import asyncio
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
_SLICE_BYTES = 32 * 1024
"""A long write goes out in such pieces, so that the peer takes the first while the next are encrypted."""
_RECORD_BYTES = 16 * 1024
"""As much as a record of TLS holds is sent without waiting for more: the peer works while the next is put together."""

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
        self._channel: _Channel | None = None
        self._seq = 0
        self._waiting: dict[int, Sent] = {}
        self._flying = 0
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._outgoing: list[bytes] = []
        self._gathered = 0
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
        if not self.up or self._channel is None:
            raise LinkLost(f"no link to {self.peer}")
        loop = asyncio.get_running_loop()
        limit = WRITE_LIMIT_S if isinstance(request, frames.Write) else REQUEST_LIMIT_S
        sent = self._waiting[request.seq] = Sent(loop.time() + limit, len(data) + 256)
        self._flying += sent.cost_bytes
        if not isinstance(request, frames.Write):
            self._put(frames.pack(request))
        elif len(data) <= _TOGETHER_BYTES:
            self._put(frames.pack_write(request, len(data)), bytes(data))
        else:
            self._outgoing.append(frames.pack_write(request, len(data)))
            self._flush()
            for start in range(0, len(data), _SLICE_BYTES):
                self._channel.write(data[start : start + _SLICE_BYTES])
        return sent

    def say(self, frame: frames.Ahead) -> None:
        """Send what needs no answer, in order with the rest; nothing happens when the link is down."""
        if self.up:
            self._put(frames.pack(frame))

    def _put(self, *parts: bytes) -> None:
        self._outgoing += parts
        self._gathered += len(parts[-1])
        if self._gathered >= _RECORD_BYTES:
            self._flush()
        elif self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Send what was put together since the event loop's last turn."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._channel is not None and self._outgoing:
            self._channel.write(b"".join(self._outgoing))
        self._outgoing.clear()
        self._gathered = 0

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
            channel = _Channel(self._take)
            try:
                async with asyncio.timeout(DIAL_LIMIT_S):
                    await self._dial(channel)
                await self._serve(channel)
            except (OSError, TimeoutError, LinkLost) as error:
                _LOG.debug("no mirror link", peer=self.peer, error=str(error))
            finally:
                self._down()
                channel.cut()
            await asyncio.sleep(REDIAL_S)

    async def _dial(self, channel: _Channel) -> None:
        """Connect, say who this is, and wait until the peer says something. Raises :class:`LinkLost`."""
        host, _, port = self.address.rpartition(":")
        name = host_label(f"array:{self.peer}")
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: channel, host, int(port), ssl=self._context, server_hostname=name)
        channel.write(frames.pack(frames.Hello(self.image)) + frames.pack(frames.Ping(0)))
        await channel.greeted.wait()
        if channel.over.is_set():
            raise LinkLost(f"{self.peer} hung up")

    async def _serve(self, channel: _Channel) -> None:
        self._channel, self.up = channel, True
        _LOG.info("mirror link up", peer=self.peer)
        self.on_up()
        over = asyncio.create_task(channel.over.wait())
        beat = asyncio.create_task(self._beat(channel))
        try:
            await asyncio.wait({over, beat}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (over, beat):
                task.cancel()

    def _take(self, answer: frames.Answer) -> None:
        if isinstance(answer, frames.Written):
            for seq in answer.seqs:
                self._answered(seq, frames.TAKEN)
        elif isinstance(answer, frames.Reply):
            self._answered(answer.seq, answer)

    def _answered(self, seq: int, answer: frames.Reply) -> None:
        sent = self._waiting.pop(seq, None)
        if sent is None:
            raise LinkLost(f"an answer to {seq}, which was not asked")
        self._flying -= sent.cost_bytes
        self._roomy.set()
        sent.settle(answer)

    async def _beat(self, channel: _Channel) -> None:
        """Send pings; return when the peer is silent or a request is overdue. An own stall is not held against it."""
        loop = asyncio.get_running_loop()
        number, heard_at = 0, loop.time()
        while True:
            number += 1
            channel.heard = False
            channel.write(frames.pack(frames.Ping(number)))
            asleep = loop.time()
            await asyncio.sleep(PING_EVERY_S)
            now = loop.time()
            if channel.heard:
                heard_at = now
            if now - asleep > 2 * PING_EVERY_S:
                heard_at = max(heard_at, now - PING_EVERY_S)
                continue
            overdue = any(sent.deadline < now for sent in self._waiting.values())
            if now - heard_at > SILENCE_S or overdue:
                _LOG.warning("mirror peer is silent", peer=self.peer)
                return

    def _down(self) -> None:
        if not self.up:
            return
        self.up, self._channel, self._flying = False, None, 0
        self._outgoing.clear()
        _LOG.warning("mirror link down", peer=self.peer)
        waiting, self._waiting = self._waiting, {}
        self.on_down()
        self._roomy.set()
        for sent in waiting.values():
            sent.settle(None)


class _Channel(asyncio.BufferedProtocol):
    """One connection to the peer: cuts what comes into answers and hands them on."""

    def __init__(self, take: Callable[[frames.Answer], None]) -> None:
        self._take, self._splitter = take, frames.Splitter()
        self._transport: asyncio.Transport | None = None
        self.heard = False
        self.greeted, self.over = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS stands."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, whoever ended it."""
        self.over.set()
        self.greeted.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._splitter.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        self.heard = True
        try:
            self._splitter.came(nbytes)
            for body in self._splitter.frames():
                if isinstance(body, tuple):
                    raise LinkLost("a write where answers come")
                self._take(frames.unpack(frames.ANSWERS, body))
            self._splitter.done()
        except LinkLost as error:
            _LOG.warning("mirror link ended", reason=str(error))
            self.cut()
        self.greeted.set()

    def write(self, data: bytes | memoryview) -> None:
        """Send; ``data`` is used up when this returns."""
        if self._transport is not None:
            self._transport.write(data)

    def cut(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()
