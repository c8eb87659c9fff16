"""The wide-area connector: what a cluster tells the others, and what it makes of their silence.

It runs in every system daemon and works in the one that coordinates. Each connector calls every remote cluster once a
second over mutual TLS and gives its summary against theirs; both ends call, so that a line that is cut one way is seen
by the end that cannot be heard. What it makes of a remote cluster is recorded under ``cluster/remotes/`` when it
changes, and that is all the planner knows of the outside. A request for another cluster (``-clus``) goes the same way:
it is put there as the person's own and answered by that cluster's coordinator.

Frames are those of the served store. A caller must prove to be ``cluster:NAME`` of a remote cluster of main.cf. Time is
this process's monotonic clock only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import Request, RequestState
from holdfast.cluster.model.widearea import Conn, RemoteCluster, Summary, judge
from holdfast.cluster.service.client import ClusterClient
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.records import COORDINATOR, DECLARED, REMOTES, REQUESTS, State, decode, encode
from holdfast.cluster.service.summary import summary_of
from holdfast.cluster.service.widebeat import WideBeat, kinds_for, together
from holdfast.kernel.errors import HoldfastError, Refusal, Refused, Unavailable
from holdfast.runtime.identity import proven_name
from holdfast.store import wire
from holdfast.store.port import Compare, Delete, Put, Store, Write

PORT = 14155
"""Where connectors listen unless the address says otherwise; VCS's own number."""
_EVERY_S, _CALL_LIMIT_S, _RELAY_LIMIT_S = 1.0, 5.0, 10.0
_OPEN = (RequestState.PENDING,)


@dataclass(frozen=True)
class WideArea:
    """Where a connector listens (``HOST:PORT``), and how it proves who it is: contexts as server and as client, and the
    name that TLS checks of the cluster it calls."""

    listen: str
    server: ssl.SSLContext
    client: ssl.SSLContext
    label: Callable[[str], str]


@dataclass(frozen=True)
class Office:
    """What the daemon lends: store, state, configuration, the epoch in which it coordinates (0: it does not)."""

    store: Store
    state: Callable[[], State]
    configuration: Callable[[], Configuration]
    epoch: Callable[[], int]
    clock: Clock
    log: Callable[[str, str], None]


@dataclass
class _Line:
    """The way to one remote cluster: what was heard, when, and who listens for its heartbeats."""

    name: str
    heard_at: float = 0.0
    up: bool = False
    met: bool = False
    summary: Summary | None = None
    beats: dict[str, WideBeat] = field(default_factory=dict)
    stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of an address whose port may be missing. Raises ``ValueError``."""
    host, colon, port = text.rpartition(":")
    return (host, int(port)) if colon and port.isdigit() else (text, PORT)


class Connector:
    """Call :meth:`run`; it works while its daemon coordinates and rests otherwise."""

    def __init__(self, place: WideArea, office: Office) -> None:
        self._place, self._office = place, office
        self._lines: dict[str, _Line] = {}
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._relays: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Work in every epoch in which the daemon coordinates."""
        while True:
            epoch = self._office.epoch()
            if epoch and self._office.configuration().remote_clusters:
                try:
                    await self._work(epoch)
                finally:
                    await self._rest()
            await asyncio.sleep(_EVERY_S)

    async def _work(self, epoch: int) -> None:
        server = await self._listen()
        try:
            while self._office.epoch() == epoch:
                server = server or await self._listen()
                self._mind_lines()
                self._mind_requests()
                await self._record(epoch)
                await asyncio.sleep(_EVERY_S / 4)
        finally:
            if server is not None:
                server.close()

    async def _listen(self) -> asyncio.Server | None:
        host, port = split_address(self._place.listen)
        with contextlib.suppress(OSError):  # the address may still be at the coordinator before; it is tried again
            return await asyncio.start_server(self._accept, host, port, ssl=self._place.server)
        return None

    async def _rest(self) -> None:
        tasks = [*self._calls.values(), *self._relays.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._calls.clear()
        self._relays.clear()
        for line in self._lines.values():
            _hang_up(line)
        self._lines.clear()

    def _mind_lines(self) -> None:
        """Keep one caller for each remote cluster and one task for each of its heartbeats."""
        configuration = self._office.configuration()
        for name in configuration.remote_clusters:
            line = self._lines.setdefault(name, _Line(name, self._office.clock.monotonic()))
            self._keep(f"call {name}", lambda line=line: self._call(line))  # type: ignore[misc]
            for kind in kinds_for(configuration, name):
                if kind not in line.beats:
                    address = split_address(self._addresses(name)[0])[0]
                    line.beats[kind] = WideBeat(kind, configuration.heartbeats[kind], name, address)
                self._keep(f"heartbeat {kind} {name}", line.beats[kind].run)

    def _keep(self, name: str, duty: Callable[[], Any]) -> None:
        task = self._calls.get(name)
        if task is not None and task.done():
            task.result()
        if task is None or task.done():
            self._calls[name] = asyncio.create_task(duty(), name=name)

    def _addresses(self, name: str) -> list[str]:
        found = self._office.configuration().remote_clusters[name].get("ClusterAddress")
        return str(found or name).replace(",", " ").split()

    # --- calling

    async def _call(self, line: _Line) -> None:
        while True:
            try:
                async with asyncio.timeout(_CALL_LIMIT_S):
                    mine = encode(summary_of(self._office.state(), self._office.configuration()))
                    line.summary = decode(await self._exchange(line, "exchange", [mine]), Summary)
                line.heard_at, line.up, line.met = self._office.clock.monotonic(), True, True
            except (Unavailable, OSError, TimeoutError, msgspec.ValidationError) as error:
                if line.up:
                    self._office.log("warning", f"cluster {line.name} is not reached: {error or 'no answer in time'}")
                line.up = False
            await asyncio.sleep(_EVERY_S)

    async def _exchange(self, line: _Line, operation: str, arguments: list[Any]) -> bytes:
        """Ask one thing of a remote connector. Raises ``Unavailable`` and the errors of sockets."""
        async with line.lock:
            try:
                if line.stream is None:
                    line.stream = await self._dial(line.name)
                reader, writer = line.stream
                await wire.send(writer, wire.Request(1, operation, arguments))
                answer = msgspec.convert(await wire.receive(reader), wire.Answer)
            except BaseException:
                _hang_up(line)
                raise
        if answer.unavailable:
            raise Unavailable(answer.unavailable)
        return bytes(answer.result)

    async def _dial(self, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        problem: OSError = OSError(f"cluster {name} has no address")
        for address in self._addresses(name):
            host, port = split_address(address)
            try:
                return await asyncio.open_connection(
                    host, port, ssl=self._place.client, server_hostname=self._place.label(f"cluster:{name}")
                )
            except OSError as error:
                problem = error
        raise problem

    # --- answering

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            caller = _proven(writer)
            while caller in self._office.configuration().remote_clusters and self._office.epoch():
                request = msgspec.convert(await wire.receive(reader), wire.Request)
                await wire.send(writer, await self._answer(caller, request))
        except (Unavailable, OSError, msgspec.ValidationError):
            return
        finally:
            writer.close()

    async def _answer(self, caller: str, request: wire.Request) -> wire.Answer:
        if request.operation == "exchange":
            return wire.Answer(request.id, encode(summary_of(self._office.state(), self._office.configuration())))
        if request.operation == "ask":
            return wire.Answer(request.id, encode(await self._put(caller, decode(request.arguments[0], Request))))
        return wire.Answer(request.id, None, f"a connector does not know {request.operation!r}")

    async def _put(self, caller: str, asked: Request) -> Request:
        """Put a relayed request as the person's own; the coordinator here decides who may ask for what."""
        client = ClusterClient(self._office.store, asked.by, self._office.clock)
        options = {name: text for name, text in asked.options.items() if name != "at"}
        options["reason"] = " ".join(filter(None, (options.get("reason", ""), f"(from cluster {caller})")))
        try:
            return await client.ask(replace(asked, options=options, state=RequestState.PENDING))
        except Refused as refused:
            return _refused(asked, refused.refusal)
        except HoldfastError as error:
            return _refused(asked, Refusal("no-answer", error.message, error.remedy))

    # --- relaying

    def _mind_requests(self) -> None:
        own = self._office.configuration().name
        self._relays = {name: task for name, task in self._relays.items() if not task.done()}
        for request in list(self._office.state().requests.values()):
            there = request.options.get("at", "")
            if there and there != own and request.state in _OPEN and request.id not in self._relays:
                self._relays[request.id] = asyncio.create_task(self._relay(request, there))

    async def _relay(self, request: Request, there: str) -> None:
        line = _Line(there)  # of its own: a slow answer must not hold up the signs of life
        try:
            if there not in self._office.configuration().remote_clusters:
                raise Unavailable(f"{there!r} is not a remote cluster")
            async with asyncio.timeout(_RELAY_LIMIT_S + _CALL_LIMIT_S):
                done = decode(await self._exchange(line, "ask", [encode(request)]), Request)
            if done.state is RequestState.ACCEPTED:
                done = replace(done, state=RequestState.DONE, output=f"accepted by cluster {there}")
        except (Unavailable, OSError, TimeoutError) as error:
            text = f"cluster {there} cannot be asked: {error or 'no answer in time'}"
            done = _refused(request, Refusal("cluster-unreachable", text, "see: holdfast cluster remotes"))
        finally:
            _hang_up(line)
        key = REQUESTS + request.id
        compare = Compare(key, self._office.state().revisions.get(key, 0))
        told = replace(done, id=request.id, options=request.options, serial=0)
        await self._office.store.transact([compare], [Put(key, encode(told))])

    # --- what is made of it

    async def _record(self, epoch: int) -> None:
        """Write what has changed, under this coordinator's key; forget what is no remote cluster any more."""
        state, writes = self._office.state(), list[Write]()
        for name, line in self._lines.items():
            now = self._judged(line, epoch)
            if now != state.remotes.get(name):
                writes.append(Put(REMOTES + name, encode(now)))
                self._tell(state.remotes.get(name), now)
            if line.up and name in state.declared:
                writes.append(Delete(DECLARED + name))
        writes += [Delete(REMOTES + name) for name in state.remotes if name not in self._lines]
        if writes and COORDINATOR in state.revisions:
            await self._office.store.transact([Compare(COORDINATOR, state.revisions[COORDINATOR])], writes)

    def _tell(self, before: RemoteCluster | None, now: RemoteCluster) -> None:
        if before is None or before.state is not now.state:
            self._office.log("info", f"cluster {now.name} is {now.state.value}")

    def _judged(self, line: _Line, epoch: int) -> RemoteCluster:
        known = self._office.state().remotes.get(line.name)
        summary = line.summary or (None if known is None else known.summary)
        silent_s = self._office.clock.monotonic() - line.heard_at
        conn = _conn(line, silent_s > self._socket_timeout_s(line.name))
        beats = {kind: "LOST" if beat.alive is False else "ALIVE" for kind, beat in line.beats.items()}
        word = "" if summary is None else summary.state
        state = judge(conn, together(list(line.beats.values())), word)
        return RemoteCluster(line.name, state, epoch, line.met, beats, summary)

    def _socket_timeout_s(self, name: str) -> float:
        values = self._office.configuration().remote_clusters.get(name)
        found = None if values is None else values.get("SocketTimeout")
        return float(str(found or 180))


def _conn(line: _Line, long_silent: bool) -> Conn:
    if line.up:
        return Conn.UP
    if long_silent:
        return Conn.LOST if line.met or line.beats else Conn.NEVER
    return Conn.BROKEN if line.met else Conn.NEVER


def _refused(request: Request, refusal: Refusal) -> Request:
    return replace(request, state=RequestState.REFUSED, code=refusal.code, reason=refusal.reason, remedy=refusal.remedy)


def _proven(writer: asyncio.StreamWriter) -> str:
    """Return the cluster whose certificate the caller has shown, or an empty text."""
    name = proven_name(writer.transport)
    return name.removeprefix("cluster:") if name.startswith("cluster:") else ""


def _hang_up(line: _Line) -> None:
    if line.stream is not None:
        line.stream[1].close()
        line.stream = None
