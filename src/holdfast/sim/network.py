"""The network between hosts and the store, and the store behind it: latency, cuts, silence, changes of its leader.

Each host has two one-way roads, to the store and back. On a cut road a packet is lost, or waits in the kernel until the
road is open again and then arrives, be its sender long dead. So a call may fail with or without effect, as the store
port says. The history itself is :class:`~holdfast.store.drivers.memory.Memory`, linear and never wrong.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from holdfast.kernel.errors import HoldfastError, Unavailable
from holdfast.sim.loop import PROCESS, Process, SimLoop, inside
from holdfast.store.drivers.memory import Memory
from holdfast.store.port import Change, Committed, Compare, Conflict, Snapshot, Write

CALL_LIMIT_S = 4.0
"""After this long without an answer a call is ``Unavailable``."""
STREAM_LIMIT_S = 5.0
"""A watch that cannot be delivered for this long breaks."""
_LATENCY_S = (0.0005, 0.008)
_LATE_S = (0.2, 20.0)
_HELD_S = 40.0
_HISTORY = 400

Result = TypeVar("Result")


class Road:
    """One direction between a host and the store. A lossy one delivers some packets very late."""

    __slots__ = ("held", "lossy_until", "open")

    def __init__(self) -> None:
        self.open, self.lossy_until = True, 0.0
        self.held: list[tuple[float, Callable[[], None]]] = []


class Network:
    """The store and the roads to it."""

    def __init__(self, loop: SimLoop, chance: random.Random, hosts: Sequence[str]) -> None:
        self.loop, self._chance = loop, chance
        self.there, self.back = {name: Road() for name in hosts}, {name: Road() for name in hosts}
        self.memory = Memory(loop.time, self._news, _HISTORY)
        self.committed: Callable[[Sequence[Change]], None] = lambda _changes: None
        self.slow_until = 0.0
        self.listeners: dict[str, tuple[str, Process, Callable[[bytes], None]]] = {}
        """Where datagrams can be sent to: who listens there, and in which process."""
        self.lost_share = chance.choice((0.0, 0.05, 0.5, 1.0))
        """How many of them are lost, also where nothing is broken: some sites let none through."""
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._outside = inside(Process("network"))
        self._tidy()

    def call(self, host: str, work: Callable[[], Result], answer: asyncio.Future[Result]) -> None:
        """Carry a call to the store and its answer back, as far as roads and store allow."""
        self._travel(self.there[host], lambda: self._arrive(host, work, answer))

    def _travel(self, road: Road, arrive: Callable[[], None]) -> None:
        if road.open:
            late = self.loop.now < road.lossy_until and self._chance.random() < 0.3
            delay_s = self._chance.uniform(*(_LATE_S if late else _LATENCY_S))
            self.loop.call_later(delay_s, self._deliver, road, arrive, context=self._outside)
        elif self._chance.random() < 0.5:
            road.held.append((self.loop.now, arrive))

    def _deliver(self, road: Road, arrive: Callable[[], None]) -> None:
        if road.open:
            arrive()
        elif self._chance.random() < 0.5:
            road.held.append((self.loop.now, arrive))

    def _arrive(self, host: str, work: Callable[[], Result], answer: asyncio.Future[Result]) -> None:
        if self.loop.now < self.slow_until:
            delay_s = self.slow_until - self.loop.now + self._chance.uniform(0.0, 0.2)
            self.loop.call_later(delay_s, self._arrive, host, work, answer, context=self._outside)
            return
        try:
            done, failure = work(), None
        except HoldfastError as error:
            done, failure = None, error
        self._travel(self.back[host], lambda: _settle(answer, done, failure))

    def _news(self) -> None:
        for _, changes in self.memory.after(self.memory.revision - 1, ""):
            self.committed(changes)
        waiting, self._waiting = self._waiting, []
        for host, future in waiting:
            self._travel_news(host, future)

    def _travel_news(self, host: str, future: asyncio.Future[None]) -> None:
        """A stream is ordered: what a cut road keeps arrives when it opens, unless the stream has broken by then."""
        delay_s = self._chance.uniform(*_LATENCY_S)
        self.loop.call_later(delay_s, self._deliver_news, host, future, context=self._outside)

    def _deliver_news(self, host: str, future: asyncio.Future[None]) -> None:
        road = self.back[host]
        if road.open:
            _settle(future, None, None)
        else:
            road.held.append((self.loop.now, lambda: _settle(future, None, None)))

    def send(self, host: str, address: str, message: bytes) -> None:
        """Carry a datagram: lost on a cut road, late or twice on a lossy one."""
        found = self.listeners.get(address)
        if found is None or self._chance.random() < self.lost_share:
            return
        there, process, receive = found
        for road in (self.there[host], self.back[there]):
            if not road.open:
                return
        lossy = self.loop.now < max(self.there[host].lossy_until, self.back[there].lossy_until)
        for _ in range(2 if lossy and self._chance.random() < 0.2 else 1):
            late = lossy and self._chance.random() < 0.3
            delay_s = self._chance.uniform(*(_LATE_S if late else _LATENCY_S))
            self.loop.call_later(delay_s, receive, message, context=inside(process))

    def next_news(self, host: str) -> asyncio.Future[None]:
        """Return a future that is done when ``host`` hears of a later commit."""
        future: asyncio.Future[None] = self.loop.create_future()
        self._waiting.append((host, future))
        return future

    def cut(self, road: Road) -> None:
        """Close a road. A stream over it breaks after a while."""
        road.open = False

    def heal(self, road: Road) -> None:
        """Open a road; what was held on it arrives."""
        if road.open:
            return
        road.open = True
        held, road.held = road.held, []
        for since, arrive in held:
            if self.loop.now - since < _HELD_S:
                delay_s = self._chance.uniform(0.0, 0.3)
                self.loop.call_later(delay_s, self._deliver, road, arrive, context=self._outside)

    def change_leader(self, pause_s: float) -> None:
        """The store answers nobody for ``pause_s``; then every lease begins anew."""
        self.slow_until = max(self.slow_until, self.loop.now + pause_s)
        self.loop.call_later(pause_s, self.memory.restart_leases, context=self._outside)

    def _tidy(self) -> None:
        if self.loop.now >= self.slow_until:
            self.memory.purge()
        self.loop.call_later(1.0, self._tidy, context=self._outside)


def _settle(future: asyncio.Future[Any], result: object, failure: HoldfastError | None) -> None:
    if future.done():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)


class RemoteStore:
    """The store port of one process on ``host``."""

    def __init__(self, network: Network, host: str) -> None:
        self._network, self._host = network, host

    async def read(self, prefix: str) -> Snapshot:
        """See the port."""
        return await self._ask(lambda: self._network.memory.read(prefix))

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Committed | Conflict:
        """See the port."""
        return await self._ask(lambda: self._network.memory.transact(compares, writes))

    async def grant(self, ttl_s: float) -> int:
        """See the port."""
        return await self._ask(lambda: self._network.memory.grant(ttl_s))

    async def renew(self, lease: int) -> bool:
        """See the port."""
        return await self._ask(lambda: self._network.memory.renew(lease))

    async def revoke(self, lease: int) -> None:
        """See the port."""
        await self._ask(lambda: self._network.memory.revoke(lease))

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """See the port. A stream that cannot be delivered breaks after :data:`STREAM_LIMIT_S`."""
        network, seen = self._network, after_revision
        await self._ask(lambda: None)
        process = PROCESS.get()
        while True:
            for revision, changes in network.memory.after(seen, prefix):
                seen = revision
                if changes:
                    yield changes
            if process is not None:
                process.seen.append((seen, network.loop.now))
            if network.memory.revision <= seen:
                await self._news()

    async def close(self) -> None:
        """Nothing is held."""

    async def _news(self) -> None:
        """Wait for a later commit; after a while without one, look whether the roads are still open."""
        news = self._network.next_news(self._host)
        limit = self._network.loop.call_later(STREAM_LIMIT_S, _settle, news, None, None)
        try:
            await news
        finally:
            limit.cancel()
        waited = self._network.loop.now >= limit.when()
        if waited and not (self._network.back[self._host].open and self._network.there[self._host].open):
            raise Unavailable("the stream of changes broke")

    async def _ask(self, work: Callable[[], Result]) -> Result:
        """Wait on the answer itself, so that after a pause nothing comes between it and what is made of it."""
        answer: asyncio.Future[Result] = self._network.loop.create_future()
        late = Unavailable("the store does not answer")
        limit = self._network.loop.call_later(CALL_LIMIT_S, _settle, answer, None, late)
        self._network.call(self._host, work, answer)
        try:
            return await answer
        finally:
            limit.cancel()


class RemotePost:
    """The datagrams of one process on ``host``; ``token`` makes an address that nobody else has."""

    def __init__(self, network: Network, host: str, token: Callable[[], str]) -> None:
        self._network, self._host, self._address = network, host, f"{host}:{token()}"

    async def open(self, receive: Callable[[bytes], None]) -> str:
        """See the port."""
        process = PROCESS.get()
        assert process is not None
        self._network.listeners[self._address] = (self._host, process, receive)
        return self._address

    def send(self, address: str, message: bytes) -> None:
        """See the port."""
        self._network.send(self._host, address, message)

    def close(self) -> None:
        """See the port."""
        self._network.listeners.pop(self._address, None)
