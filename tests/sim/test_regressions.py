"""What the simulation found once, told again as short stories: each with one cluster, one mishap and its promise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import (
    CoordinatorRecord,
    Evidence,
    EvidenceKind,
    GroupFact,
    Heartbeat,
    Intent,
    Life,
    Request,
    ResourceFact,
    ResourceState,
    Wanted,
)
from holdfast.cluster.service.coordinator import Coordinator, Seat
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.membership import Membership
from holdfast.cluster.service.records import COORDINATOR, FACTS, GROUPS, ROOT, SYSTEMS, State, encode
from holdfast.kernel.errors import Refusal
from holdfast.sim.run import Run, undisturbed
from holdfast.sim.services import Level, Trouble
from holdfast.sim.shape import TYPES, Timing
from holdfast.store.drivers.memory import MemoryStore
from holdfast.store.port import Put, Snapshot

MAIN_CF = (
    TYPES
    + """
cluster story ( )
system hosta ( )
system hostb ( )
system hostc ( )
group ga (
    SystemList = { hosta = 0, hostb = 1 }
    AutoStartList = { hosta }
    )
    Thing ga0 ( )
    Thing ga1 ( )
    ga1 requires ga0
"""
)
TIMING = Timing(1.0, 4.0, 0.6)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with undisturbed():
        yield


class Story:
    """A cluster that has come up: ``ga`` runs on hosta."""

    def __init__(self, seed: int = 1) -> None:
        self.run = Run(seed, 0.0, text=MAIN_CF)
        self.run.timing = TIMING
        self.run.begin()
        self.hosts, self.loop = self.run.hosts, self.run.loop
        assert self.hosts["hosta"].services.running("ga") == ["ga0", "ga1"]

    def wait(self, seconds: float) -> None:
        """Let time pass; every promise must hold."""
        self.loop.run_until(self.loop.now + seconds)
        assert not self.run.report.violation, "\n".join(self.run.timeline.last(40))

    def ask(self, operation: str, system: str = "") -> None:
        """A person asks for something about the group."""
        self.run.in_desk(self.run.people.ask(Request("", operation, "ga", system=system), 0.0))

    def trouble(self, kind: Trouble, seconds: float, system: str = "hosta") -> None:
        """The service ``ga0`` suffers for a while."""
        self.hosts[system].services.table["ga", "ga0"].troubles[kind] = self.loop.now + seconds

    def fault(self, system: str = "hosta") -> None:
        """The service ``ga0`` dies."""
        self.hosts[system].services.put("ga", "ga0", Level.DOWN, "it died", lost=True)


class HeldUp(MemoryStore):
    """A store whose answers lie unread for ten seconds, as when their reader is stopped."""

    now = 0.0

    async def read(self, prefix: str) -> Snapshot:
        snapshot = await super().read(prefix)
        self.now += 10.0
        return snapshot


class Revoking:
    """A fence that remembers whom it cut off."""

    def __init__(self) -> None:
        self.cut_off: list[str] = []

    async def fence(self, system: str, incarnation: str, group: str) -> Evidence | Refusal:
        self.cut_off.append(system)
        return Evidence(EvidenceKind.FENCED, "revoked", system, incarnation)

    async def admit(self, system: str, incarnation: str, group: str) -> Refusal | None:
        return None


async def held_up_while_it_asked(fence: Revoking, leads: bool) -> Life:
    """``hosta`` decides about ``hostb``, which lives; between question and answer of its store ten seconds pass."""
    store, mirror = HeldUp(), State()
    eyes = Membership(TIMING.lease_ttl_s, TIMING.margin_s, 0.0)
    seat = Seat("hosta", "s", store, {"*": fence}, clock=Clock(monotonic=lambda: store.now))
    coordinator = Coordinator(seat, eyes, lambda: mirror)
    for sequence in (1, 2):
        await store.transact([], [Put(SYSTEMS + "hostb", encode(Heartbeat("hostb", "1-b", "b", sequence)))])
        eyes.observe(Heartbeat("hostb", "1-b", "b", sequence), store.now)
    if leads:
        await store.transact([], [Put(GROUPS + "ga", encode(Intent("ga", "hostb", "1-b", Wanted.ONLINE)))])
        await store.transact([], [Put(COORDINATOR, encode(CoordinatorRecord("hosta", "s", 1)))])
        down = ResourceFact(ResourceState.OFFLINE, probed=True)
        fact = GroupFact("ga", "hosta", "1-a", resources={"ga0": down, "ga1": down})
        await store.transact([], [Put(FACTS + "hosta/ga", encode(fact))])
        mirror = State.of(await store.read(ROOT))
        for sequence in (1, 2):
            eyes.observe(Heartbeat("hosta", "1-a", "s", sequence), store.now)
        await store.transact([], [Put(SYSTEMS + "hostb", encode(Heartbeat("hostb", "1-b", "b", 3)))])
        mirror.revision += 1
    await coordinator.round(build({"main.cf": MAIN_CF}))
    await asyncio.sleep(0)
    return coordinator.views["hostb"].life


@pytest.mark.parametrize("leads", [False, True])
def test_a_coordinator_that_was_held_up_calls_nobody_dead_and_fences_nobody(leads: bool) -> None:
    fence = Revoking()
    assert asyncio.run(held_up_while_it_asked(fence, leads)) is Life.ALIVE
    assert fence.cut_off == []


def test_a_start_that_a_dead_daemon_left_running_does_not_succeed_behind_the_next_ones_back() -> None:
    story = Story()
    story.ask("group.offline")
    story.wait(5.0)
    story.trouble(Trouble.SLOW_ONLINE, 4.0)
    story.ask("group.online", "hosta")
    story.wait(2.0)
    daemon = story.hosts["hosta"].daemon
    assert daemon is not None
    daemon.kill()
    story.wait(3.0)
    story.ask("group.switch", "hostb")
    story.wait(60.0)
    assert story.run.checker.active("ga") == ["hostb"]


def test_a_daemon_restarted_without_the_store_does_not_run_in_circles() -> None:
    story = Story()
    story.trouble(Trouble.SLOW_ONLINE, 30.0)
    story.fault()
    daemon = story.hosts["hosta"].daemon
    assert daemon is not None
    story.hosts["hosta"].events()
    story.wait(1.0)
    daemon.kill()
    story.run.network.change_leader(3.0)
    story.wait(20.0)


def test_a_daemon_without_the_store_does_not_wake_ever_more_often() -> None:
    story = Story()
    for road in (story.run.network.there["hosta"], story.run.network.back["hosta"]):
        story.run.network.cut(road)
    story.wait(20.0)
    for name in ("hostb", "hostc"):
        story.hosts[name].lose_power()
    counts = []
    for _ in range(2):
        before = story.loop.handled
        story.wait(20.0)
        counts.append(story.loop.handled - before)
        story.wait(60.0)
    assert counts[1] < 1.5 * counts[0]


@pytest.mark.parametrize("trouble", [Trouble.SLOW_ONLINE, Trouble.FAILING_CLEAN])
def test_a_group_that_is_frozen_in_the_middle_of_a_start_is_left_alone_and_goes_on_later(trouble: Trouble) -> None:
    story = Story()
    story.ask("group.offline")
    story.wait(5.0)
    for kind in (Trouble.SLOW_ONLINE, trouble):
        story.trouble(kind, 50.0)
    story.ask("group.online", "hosta")
    story.wait(3.0 if trouble is Trouble.SLOW_ONLINE else 18.0)
    story.ask("group.freeze")
    story.wait(60.0)
    story.ask("group.unfreeze")
    story.wait(40.0)
    assert story.run.checker.active("ga")


def test_an_order_that_waited_for_a_monitor_is_dropped_when_the_group_was_frozen_meanwhile() -> None:
    story = Story()
    for name in ("ga0", "ga1"):
        story.hosts["hosta"].services.table["ga", name].troubles[Trouble.HUNG_MONITOR] = story.loop.now + 20.0
    story.wait(7.0)
    story.ask("group.offline")
    story.wait(0.5)
    story.ask("group.freeze")
    story.wait(30.0)
    assert story.run.checker.active("ga") == ["hosta"]
