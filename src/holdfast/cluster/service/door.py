"""The door: a socket of this machine at which commands are answered by the daemon that runs anyway.

A command of its own process would spend most of its time on starting up and on opening the store; the daemon has all
that at hand. Who knocks is known from the kernel (the user of the other end), never from what
is said. One line of JSON comes in, one goes out: ``{"command", "arguments", "reason", "store", "config"}`` →
``{"code", "out", "err"}``, or ``{"elsewhere": true}`` for whatever is not answered here. Whoever hears that, or finds
nobody, does the work itself as if there were no door: the door makes things quicker and decides nothing.

It answers only while the daemon's lease holds, so that nobody is told of a cluster that the daemon has lost sight of.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.cluster.model.facts import Request
from holdfast.cluster.service.client import ClusterClient
from holdfast.cluster.service.records import ROOT, State
from holdfast.kernel.errors import Unavailable
from holdfast.store.port import Store

LINE_LIMIT_BYTES = 64 * 1024
_KNOCK_LIMIT_S = 5.0
_AT_ONCE = 16
_PEER = struct.Struct("3i")


@dataclass(frozen=True)
class Hall:
    """What the daemon lends to whoever answers at its door: whether its lease holds, the store, and its log."""

    leased: Callable[[], bool]
    store: Store
    log: Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Knock:
    """One command at the door: who runs it (process user), the command and its arguments, what its environment says."""

    uid: int
    command: str
    arguments: tuple[str, ...]
    reason: str = ""
    became: str = ""
    store: str = ""
    config: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What the command prints, and its exit code."""

    code: int
    out: str = ""
    err: str = ""


@dataclass(frozen=True)
class Desk:
    """What one command works with, in a thread of its own: a state nobody changes any more, and the way to ask."""

    state: State
    loop: asyncio.AbstractEventLoop
    store: Store
    by: str

    def ask(self, request: Request, wait_s: float) -> Request:
        """Put a request and wait as :meth:`ClusterClient.ask` does; raises what that raises."""
        asked = ClusterClient(self.store, self.by).ask(request, wait_s)
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result()


Clerk = Callable[[Knock, Callable[[str], Desk]], Said | None]
"""Answers a command: given who knocks and what makes a desk for a named person. None: elsewhere."""


class Door:
    """Listens at ``path`` and hands each command to ``clerk`` in a thread."""

    def __init__(self, path: Path, clerk: Clerk) -> None:
        self._path, self._clerk = path, clerk
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def keep(self, hall: Hall) -> None:
        """Answer until cancelled; the socket is removed in the end."""
        self._path.unlink(missing_ok=True)
        try:
            server = await asyncio.start_unix_server(
                lambda reader, writer: self._receive(hall, reader, writer), self._path, limit=LINE_LIMIT_BYTES
            )
        except OSError as error:
            hall.log("warning", f"{self._path}: {error.strerror}; commands open the store themselves")
            await asyncio.Event().wait()
            return
        self._path.chmod(0o666)
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _receive(self, hall: Hall, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_KNOCK_LIMIT_S):
                line = await reader.readline()
            said = await self._answer(hall, _knock(line, writer.get_extra_info("socket")))
            told = {"elsewhere": True} if said is None else {"code": said.code, "out": said.out, "err": said.err}
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()
        except Unavailable:
            writer.write(json.dumps({"elsewhere": True}).encode() + b"\n")
        except (OSError, ValueError, TimeoutError):
            hall.log("info", "a command at the door was not understood or has gone")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, hall: Hall, knock: Knock) -> Said | None:
        if not hall.leased() or self._places.locked():
            return None
        async with self._places:
            # Read afresh, not taken from the watch: whoever types two commands sees in the second what the first did.
            state, loop = State.of(await hall.store.read(ROOT)), asyncio.get_running_loop()
            return await asyncio.to_thread(self._clerk, knock, lambda by: Desk(state, loop, hall.store, by))


def _knock(line: bytes, peer: Any) -> Knock:
    """Return what was asked. Raises ``ValueError`` for anything that is not of that form."""
    assert isinstance(peer, socket.socket) or hasattr(peer, "getsockopt")
    _, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    said = json.loads(line)
    if not isinstance(said, dict) or not isinstance(said.get("arguments"), list):
        raise ValueError("not a command")
    texts = {name: str(said.get(name) or "") for name in ("command", "reason", "became", "store", "config")}
    return Knock(uid=uid, arguments=tuple(map(str, said["arguments"])), **texts)
