"""Signs of life by datagram: written in one commit with the gatherer's, believed only when the store shows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from holdfast.cluster.model.facts import CoordinatorRecord, Heartbeat
from holdfast.cluster.service.datagrams import Datagrams
from holdfast.cluster.service.gathering import Gathering
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.membership import Membership
from holdfast.cluster.service.ownkeys import OwnKeys
from holdfast.cluster.service.pulse import Pulse
from holdfast.cluster.service.records import COORDINATOR, SYSTEMS, State, encode
from holdfast.store.drivers.memory import MemoryStore
from holdfast.store.port import Compare, Entry, Put

INTERVAL_S, TTL_S = 0.2, 5.0
LIMIT_S = 30.0


class System:
    """As much of a system's daemon as gives and sees signs of life. ``renewals`` are when the confirmed ones began."""

    def __init__(self, name: str, store: MemoryStore) -> None:
        self.name, self.session, self.store, self.clock = name, f"session of {name}", store, Clock()
        self.state, self.membership = State(), Membership(TTL_S, 0.3, 0.0)
        self.post, self.own = Datagrams((), "127.0.0.1:0"), OwnKeys(store)
        self.renewals: list[float] = []
        self.word = "RUNNING"
        self.gathering = Gathering(
            name, self.session, self.post, lambda: self.state, self.membership, self.clock, INTERVAL_S
        )
        self.pulse = Pulse(
            name, self.session, INTERVAL_S, TTL_S, store, self.own, self.clock, self.sign, self.renewals.append,
            self.gathering,
        )  # fmt: skip
        self.seen: list[tuple[int, str, int]] = []

    def sign(self, sequence: int) -> Heartbeat:
        return Heartbeat(self.name, "incarnation", self.session, sequence, self.word)

    async def watch(self) -> None:
        async for changes in self.store.watch("cluster/", 0):
            for change in changes:
                assert change.value is not None
                self.state.put(change.key, Entry(change.value, change.revision))
                if change.key.startswith(SYSTEMS):
                    beat = self.state.heartbeats[change.key.removeprefix(SYSTEMS)]
                    self.seen.append((change.revision, beat.system, beat.sequence))
                    self.membership.observe(beat, self.clock.monotonic())
                    if beat.system == self.name:
                        self.pulse.observe(beat, change.revision)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """Yield the task that gives the signs; cancel it and that one goes on watching."""
        await self.gathering.open()
        tasks = [asyncio.create_task(self.watch()), asyncio.create_task(self.pulse.run())]
        try:
            yield tasks[1]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.gathering.close()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not check():
            await asyncio.sleep(0.01)


def together(system: System, *names: str) -> bool:
    """Whether signs of all of ``names`` have come in one commit."""
    commits: dict[int, set[str]] = {}
    for revision, name, _ in system.seen:
        commits.setdefault(revision, set()).add(name)
    return any(found >= set(names) for found in commits.values())


async def coordinates(store: MemoryStore, system: System) -> None:
    await store.transact([], [Put(COORDINATOR, encode(CoordinatorRecord(system.name, system.session, 1)))])


def last(system: System, name: str) -> int:
    return max((sequence for _, found, sequence in system.seen if found == name), default=0)


def test_signs_that_are_told_come_in_the_gatherers_commit_and_count_as_renewals() -> None:
    async def run() -> None:
        store = MemoryStore()
        a, b, c = (System(name, store) for name in "abc")
        await coordinates(store, a)
        async with a.running(), b.running(), c.running():
            await until(lambda: together(c, "a", "b", "c"))
            known = len(b.renewals)
            await until(lambda: len(b.renewals) > known + 2)

    asyncio.run(run())


def test_a_system_whose_gatherer_is_silent_writes_its_signs_itself() -> None:
    async def run() -> None:
        store = MemoryStore()
        a, b = System("a", store), System("b", store)
        await coordinates(store, a)
        async with a.running() as signs, b.running():
            await until(lambda: together(b, "a", "b"))
            signs.cancel()
            reached, renewed = last(b, "b"), len(b.renewals)
            await until(lambda: last(b, "b") > reached + 2 and len(b.renewals) > renewed + 2)
            assert b.renewals == sorted(b.renewals)

    asyncio.run(run())


def test_a_firewall_that_eats_datagrams_costs_no_renewal() -> None:
    async def run() -> None:
        store = MemoryStore()
        a, b = System("a", store), System("b", store)
        b.post.send = lambda address, message: None  # type: ignore[method-assign]
        await coordinates(store, a)
        async with a.running(), b.running():
            await until(lambda: b.state.gatherer is not None)
            renewed = len(b.renewals)
            await until(lambda: len(b.renewals) > renewed + 5)
            assert not together(b, "a", "b")

    asyncio.run(run())


def test_nothing_but_a_later_sign_of_the_session_that_the_store_shows_is_written() -> None:
    async def run() -> None:
        store = MemoryStore()
        a, b = System("a", store), System("b", store)
        await coordinates(store, a)
        async with a.running() as signs, b.running() as others:
            await until(lambda: together(b, "a", "b") and len(a.renewals) > 2)
            for task in (signs, others):
                task.cancel()
            shown = a.state.heartbeats["b"]
            good = replace(shown, sequence=shown.sequence + 9)
            for bad in (
                shown, replace(good, session="an earlier one"), replace(good, incarnation="another"),
                replace(good, state="EXITED"), replace(good, state="LEAVING"), replace(good, system="x"),
            ):  # fmt: skip
                received, offered = a.gathering, _letter(b, bad)
                received._receive(offered)
                assert received.take() == [], bad
            a.gathering._receive(_letter(b, good)[:-1] + b" ")  # not what was proven
            assert a.gathering.take() == []
            a.gathering._receive(_letter(b, good))
            [(compare, put)] = a.gathering.take()
            assert compare == Compare(SYSTEMS + "b", a.state.revisions[SYSTEMS + "b"])
            assert put.value == encode(good)

    asyncio.run(run())


def _letter(sender: System, beat: Heartbeat) -> bytes:
    """What ``sender`` would send if it told this."""
    from holdfast.cluster.service import gathering

    assert sender.state.gatherer is not None
    text = encode(gathering._Told(beat, 1))
    return gathering._proof(sender.state.gatherer.key, text) + text


def test_a_write_for_another_that_is_late_is_left_out_and_ones_own_goes_through() -> None:
    async def run() -> None:
        store = MemoryStore()
        mine = OwnKeys(store)
        await store.transact([], [Put("cluster/systems/b", b"newer")])
        assert await mine.put(
            [Put("cluster/systems/a", b"own")], [(Compare("cluster/systems/b", 0), Put("cluster/systems/b", b"late"))]
        )
        found = (await store.read("cluster/")).entries
        assert {key: entry.value for key, entry in found.items()} == {
            "cluster/systems/a": b"own", "cluster/systems/b": b"newer",
        }  # fmt: skip

    asyncio.run(run())
