"""The receiving end of a mirror link: apply the peer's writes to targets, in order, and answer its questions.

A write is applied only while this array is target of that very pair, checked at the moment of applying: after a
failover here the old source's next write is refused, and the old source learns that it has lost its role.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.array.activity import REGION_BYTES
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import Pair, Phase, Role
from holdfast.replication.service import frames
from holdfast.replication.service.frames import LinkLost
from holdfast.replication.service.mirror import Mirror
from holdfast.replication.service.peercommands import PAUSED, PeerCommands, pair_with
from holdfast.runtime.identity import proven_name

_LOG = structlog.get_logger("holdfast.replication.mirrorserver")
IDLE_LIMIT_S = 10.0


class MirrorServer:
    """Serves the links that peers dial."""

    def __init__(self, mirror: Mirror, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]) -> None:
        self.mirror, self.spawn = mirror, spawn
        self._dialled: dict[str, _Session] = {}

    def session(self) -> _Session:
        """Return the protocol of a new connection."""
        return _Session(self)

    def dialled(self, peer: str, session: _Session) -> None:
        """A peer has dialled; nothing that it sent on an earlier connection may be applied from now on."""
        earlier = self._dialled.get(peer)
        if earlier is not None:
            earlier.cut()
        self._dialled[peer] = session


class _Session(asyncio.BufferedProtocol):
    def __init__(self, server: MirrorServer) -> None:
        self._server, self._mirror, self._engine = server, server.mirror, server.mirror.engine
        self._transport: asyncio.Transport | None = None
        self._peer = self._proven = ""
        self._queues: dict[str, deque[tuple[frames.Write, bytes]]] = {}
        self._splitter = frames.Splitter()
        self._out: list[bytes] = []
        self._written: list[int] = []
        self._image, self._sizes = server.mirror.engine.image, dict[tuple[str, str], int]()
        self._collecting = False
        self._heard = 0.0
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of whom the certificate names."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._proven = proven_name(transport)
        self._heard = asyncio.get_running_loop().time()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch no more."""
        if self._watch is not None:
            self._watch.cancel()

    def _look(self) -> None:
        """Cut a peer off that says nothing, not even that it is there."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._heard > IDLE_LIMIT_S:
            self.cut()
        else:
            self._watch = loop.call_later(IDLE_LIMIT_S / 4, self._look)

    def cut(self) -> None:
        """End the connection; what has not been applied never will be."""
        for queue in self._queues.values():
            queue.clear()
        if self._transport is not None:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._splitter.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come: act on every whole frame, and answer all of them together."""
        self._heard = asyncio.get_running_loop().time()
        self._splitter.came(nbytes)
        self._collecting = True
        try:
            found = self._splitter.frames()
            self._warm(found)
            for one in found:
                if isinstance(one, tuple):
                    self._write(*one)
                else:
                    self._take(frames.unpack(frames.REQUESTS, one))
            self._splitter.done()
        except LinkLost:
            self.cut()
        finally:
            self._collecting = False
            self._send_out()

    def _warm(self, found: list[memoryview | tuple[frames.Write, memoryview]]) -> None:
        """Let the writes that came together share one write of the activity log."""
        places: dict[str, list[tuple[int, int]]] = {}
        for one in found:
            if isinstance(one, tuple):
                places.setdefault(one[0].volume, []).append((one[0].offset, 1))
        for volume, writes in places.items():
            self._engine.warm(volume, writes)

    def _send_out(self) -> None:
        if self._written:
            self._out.append(frames.pack(frames.Written(self._written)))
            self._written = []
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _take(self, request: frames.Request) -> None:
        """Act on one frame that is no write. Everything but a flush is done before this returns."""
        if isinstance(request, frames.Ping):
            self._answer(frames.Pong(request.number))
        elif isinstance(request, frames.Hello):
            if self._proven != f"array:{request.image}" or request.image not in self._mirror.links:
                raise LinkLost(f"{self._proven or 'nobody'} is not the configured peer {request.image}")
            self._peer = request.image
            self._server.dialled(self._peer, self)
        elif not self._peer:
            raise LinkLost("a frame before hello")
        elif isinstance(request, frames.Ahead):
            if self._pair(request.volume, request.source) is not None:
                self._engine.warm(request.volume, [(track * TRACK_BYTES, 1) for track in request.tracks])
        elif isinstance(request, frames.Flush):
            self._server.spawn(self._flush(request.seq, request.volumes))
        else:
            self._answer(PeerCommands(self._mirror, self._peer).answer(request))

    def _answer(self, answer: frames.Answer) -> None:
        self._out.append(frames.pack(answer))
        if not self._collecting:
            self._send_out()

    # --- writes ------------------------------------------------------------------------------------------------------

    def _write(self, request: frames.Write, data: memoryview) -> None:
        """Apply a write before this returns, unless the log is full."""
        if not self._peer:
            raise LinkLost("a write before hello")
        queue = self._queues.get(request.volume)
        if queue is not None:
            queue.append((request, bytes(data)))
        elif request.volume not in self._engine.image.volumes or self._has_room(request):
            self._apply(request, data)
        else:
            self._queues[request.volume] = deque([(request, bytes(data))])
            self._server.spawn(self._drain(request.volume))

    def _has_room(self, request: frames.Write) -> bool:
        return self._engine.has_room(request.volume, request.offset // REGION_BYTES)

    async def _drain(self, volume: str) -> None:
        queue = self._queues[volume]
        try:
            while queue:
                if not self._has_room(queue[0][0]):
                    await flush_local(self._mirror, volume)
                    self._engine.make_room(volume)
                self._apply(*queue.popleft())
        finally:
            del self._queues[volume]

    def _apply(self, request: frames.Write, data: bytes | memoryview) -> None:
        length = request.zeros or len(data)
        size = self._taken(request)
        if not size:
            return
        if (request.offset + length - 1) // REGION_BYTES != request.offset // REGION_BYTES:
            raise LinkLost("a write that crosses a region")
        if request.offset + length > size:
            raise LinkLost("a write beyond the volume")
        try:
            found = None if request.zeros else data
            self._engine.write(request.volume, request.offset, found, length, mirrored=True)
        except OSError as error:
            _LOG.error("mirrored write failed", volume=request.volume, error=str(error))
            self._answer(frames.Reply(request.seq, "disk", f"volume {request.volume}: {error}"))
            return
        self._written.append(request.seq)
        if not self._collecting:
            self._send_out()

    def _taken(self, request: frames.Write) -> int:
        """Return the size of the volume if it takes this write; otherwise refuse and return 0. What was found holds as
        long as no command changes the array."""
        if self._image is not self._engine.image:
            self._image, self._sizes = self._engine.image, {}
        size = self._sizes.get((request.volume, request.source), 0)
        if not size:
            refusal = self._refusal(request, self._pair(request.volume, request.source))
            if refusal:
                self._answer(frames.Reply(request.seq, refusal, f"volume {request.volume} takes no writes of yours"))
                return 0
            size = self._sizes[request.volume, request.source] = self._image.volumes[request.volume].size_bytes
        return size

    def _refusal(self, request: frames.Write, pair: Pair | None) -> str:
        """Return the code that tells a source why its write is not taken; empty when it is."""
        if pair is None:
            return "not-target" if request.volume in self._engine.image.pairs else "simplex"
        if pair.standing.role is not Role.TARGET:
            return "not-target"
        return PAUSED if pair.standing.phase is Phase.SUSPENDED else ""

    async def _flush(self, seq: int, volumes: list[str]) -> None:
        for volume in volumes:
            if volume in self._engine.image.volumes:
                await flush_local(self._mirror, volume)
        self._answer(frames.Reply(seq))

    def _pair(self, volume: str, source: str) -> Pair | None:
        return pair_with(self._engine.image, volume, Endpoint(self._peer, source))


async def flush_local(mirror: Mirror, volume: str) -> None:
    """Make this array's copy of a volume durable; its regions without writes since are clean."""
    log = mirror.engine.machine.logs[volume]
    epoch = log.flush_begins()
    await asyncio.to_thread(mirror.engine.sync, volume)
    mirror.engine.media.sync_bits()
    log.flush_ended(epoch)
