"""The system daemon: heartbeat, eyes on the store, local engine, and a seat among those who may coordinate.

It renews its sign of life and tells the guard when each confirmed renewal was started. It follows the store and hands
intents to the engine, publishes what the engine sees, and takes its turn as coordinator. Without the store it starts
nothing; the guard decides when everything must go. A new incarnation without a lease takes down what it finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import GroupFact, Heartbeat, Intent, Request
from holdfast.cluster.model.protocol import PROTOCOL
from holdfast.cluster.model.timing import HEARTBEAT_INTERVAL_S, LEASE_TTL_S, MARGIN_S
from holdfast.cluster.plan.deadline import Deadline
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.privileges import denial
from holdfast.cluster.plan.view import Decision, View
from holdfast.cluster.ports import Agent, BlockDevices, Chronicle, Commands, Fence, Post, Power, Standings
from holdfast.cluster.service.coordinator import LOOK_AGAIN_S, Coordinator, Seat
from holdfast.cluster.service.departing import Departing, Stoppable
from holdfast.cluster.service.door import Door, Hall
from holdfast.cluster.service.engine import Engine, Engines, relevant
from holdfast.cluster.service.errands import Errands
from holdfast.cluster.service.gathering import Gathering
from holdfast.cluster.service.information import Informant
from holdfast.cluster.service.machine import Machine, ThisMachine
from holdfast.cluster.service.membership import Membership
from holdfast.cluster.service.meters import Meters
from holdfast.cluster.service.networks import Networks
from holdfast.cluster.service.ownkeys import OwnKeys
from holdfast.cluster.service.publisher import Publisher
from holdfast.cluster.service.pulse import Pulse
from holdfast.cluster.service.records import (
    FACTS,
    FOR_PEOPLE,
    REQUESTS,
    ROOT,
    SYSTEMS,
    ConfigRecord,
    State,
)
from holdfast.cluster.service.report import said_of
from holdfast.cluster.service.turns import Turns
from holdfast.cluster.service.wac import Connector, Office, WideArea
from holdfast.kernel.errors import HoldfastError, Refusal, Unavailable
from holdfast.store.port import Entry, Store

_PAST_DUE_S = 0.002
_LOOK_UP_S = 3.0
"""Who does not coordinate is woken when somebody counts as dead; so often it looks all the same."""
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Settings:
    """What a system daemon is started with."""

    name: str
    run_directory: Path
    heartbeat_interval_s: float = HEARTBEAT_INTERVAL_S
    lease_ttl_s: float = LEASE_TTL_S
    margin_s: float = MARGIN_S
    whole_system: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    """As whom it runs."""
    triggers: Path | None = None
    version: str = ""


@dataclass(frozen=True)
class Parts:
    """What a composition root plugs in."""

    store: Store
    agents: Mapping[str, Agent]
    devices: BlockDevices | None = None
    fences: Mapping[str, Fence] = field(default_factory=dict)
    standings: Standings | None = None
    meters: Meters | None = None
    planner: Callable[[View], Decision] = decide
    chronicle: Chronicle | None = None
    door: Door | None = None
    keeps_decisions: bool = False
    wide_area: WideArea | None = None
    """Where this system's connector listens, if the cluster shares groups with others."""
    networks: Networks | None = None
    """What this system's networks are watched by, if there are two."""
    power: Callable[[Callable[[str, str], None]], Power] | None = None
    """Makes what ends lost systems from outside; it is given the daemon's log."""
    post: Post | None = None
    """By which the systems tell one another their signs of life; without it each writes its own."""


class Home(Commands, Protocol):
    """A group's workload as the daemon sees it."""

    gone: bool
    """It was killed, and every service of the group with it."""


class Guardian(Stoppable, Protocol):
    """The guard as the daemon sees it. See ``launcher.GuardLink``."""

    def renewed(self, start: float, ttl_s: float) -> None:
        """Report a confirmed renewal that was started at ``start`` on the clock of deadlines."""

    async def frozen(self, groups: Sequence[str]) -> None:
        """Say which groups are to be spared; return once the guard has taken note."""

    async def workload(self, group: str, whole_system: bool) -> Home:
        """Return the workload of ``group``, made if there is none."""


class SystemDaemon:
    """One system of the cluster. Run it under a guard; ``machine`` is where it runs."""

    def __init__(
        self, settings: Settings, parts: Parts, link: Guardian, incarnation: str, machine: Machine | None = None
    ) -> None:
        self._machine = machine or ThisMachine(settings.run_directory)
        self._clock = self._machine.clock
        self._settings, self._parts, self._link, self._incarnation = settings, parts, link, incarnation
        self._session = self._clock.token()
        self._state, self._configuration, self._config_files = State(), Configuration(), ""
        self._config_record: ConfigRecord | None = None
        self._deadline = Deadline()
        environment = {**settings.environment, "HOLDFAST_SYSTEM": settings.name, "HOLDFAST_INCARNATION": incarnation}
        given = Engines(
            settings.name, incarnation, parts.agents, settings.run_directory, parts.devices, environment,
            settings.triggers, lambda resource, system: said_of(self._state, self._configuration, resource, system),
            Turns(parts.store, settings.name).hold,
        )  # fmt: skip
        self._engine = Engine(given, self.log, self._known_incarnation(), self._leased)
        self._workloads: dict[str, Home] = {}
        self._frozen: frozenset[str] = frozenset()
        self._guard_told = False
        self._own = OwnKeys(parts.store)
        self._informant = Informant(settings.name, self._engine, self._own, self._clock)
        self._errands = Errands(
            settings.name, self._engine, parts.store, self._denial, lambda how: self._departing.stop(how),
            self._informant,
        )  # fmt: skip
        self._membership = Membership(settings.lease_ttl_s, settings.margin_s, self._clock.monotonic())
        seat = Seat(
            settings.name, self._session, parts.store, parts.fences, parts.standings, self.log, self._clock,
            parts.planner,
            user=settings.user,
            fire=self._engine.triggers.fire,
            keeps_decisions=parts.keeps_decisions,
            power=parts.power(self.log) if parts.power is not None else None,
        )  # fmt: skip
        self._coordinator = Coordinator(seat, self._membership, lambda: self._state)
        self._publisher = Publisher(
            settings.name, self._engine, self._own, self._clock, settings.lease_ttl_s, parts.chronicle
        )
        interval_s = settings.heartbeat_interval_s
        self._gathering = None if parts.post is None else Gathering(
            settings.name, self._session, parts.post, lambda: self._state, self._membership, self._clock, interval_s
        )  # fmt: skip
        self._pulse = Pulse(
            settings.name, self._session, interval_s, settings.lease_ttl_s, parts.store, self._own, self._clock,
            self._sign, self._renewed, self._gathering,
        )  # fmt: skip
        self._departing = Departing(
            self._engine, self._publisher, self._clock, link, self.log, self._pulse.write, lambda: self._frozen
        )

    def log(self, level: str, text: str) -> None:
        """Write one line to the log."""
        now = self._clock.wall()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        self._machine.write(f"{stamp} {level} {self._settings.name}: {text}")
        if self._parts.chronicle is not None:
            self._parts.chronicle.said(now, level, text)

    async def run(self) -> None:
        """Run until told to stop; then take the groups offline, say goodbye and return."""
        self._machine.on_stop(self._departing.leave.set)
        self.log("info", f"incarnation {self._incarnation}, session {self._session}")
        await self._restore_configuration()
        if self._gathering is not None:
            await self._gathering.open()
        duties = [
            persist("heartbeat", self._pulse.run, self.log), persist("store", self._follow, self.log),
            persist("coordinator", self._coordinate, self.log), persist("engine", self._work, self.log),
            persist("facts", self._publisher.run, self.log),
            self._departing.run(), self._engine.triggers.run(), self._informant.run(), *self._doors(),
            *self._machine.watches(
                lambda: self._engine.probe(mounts=True), lambda: self._engine.probe(addresses=True)
            ),
        ]  # fmt: skip
        tasks = [asyncio.ensure_future(duty) for duty in duties]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for name in list(self._engine.groups):
                await self._engine.drop(name)
            if self._gathering is not None:
                self._gathering.close()

    def _doors(self) -> list[Awaitable[None]]:
        door = self._parts.door
        hall = Hall(self._leased, self._parts.store, self.log)
        doors: list[Awaitable[None]] = [] if door is None else [door.keep(hall)]
        if self._parts.networks is not None:
            doors.append(self._parts.networks.run())
        if self._parts.wide_area is not None:
            office = Office(
                self._parts.store, lambda: self._state, lambda: self._configuration, self._epoch, self._clock, self.log
            )
            doors.append(persist("connector", Connector(self._parts.wide_area, office).run, self.log))
        return doors

    def _epoch(self) -> int:
        """The epoch in which this daemon coordinates, or 0."""
        leader = self._state.coordinator
        return leader.epoch if leader is not None and leader.session == self._session and self._leased() else 0

    # --- the sign of life

    def _leased(self) -> bool:
        return self._deadline.holds(self._clock.deadline())

    def _renewed(self, start: float) -> None:
        """A sign of life that was begun at ``start`` is confirmed."""
        lacking, ttl_s = not self._leased(), self._settings.lease_ttl_s
        if not self._deadline.renewed(start, ttl_s):
            return
        self._link.renewed(start, ttl_s)
        self._sweep_done()
        if lacking:
            self._engine.wake.set()  # starts waited for it
            self._coordinator.wake.set()

    def _sign(self, sequence: int) -> Heartbeat:
        """What this system says of itself now."""
        state, mode, networks = self._departing.state, self._departing.mode, self._parts.networks
        return Heartbeat(
            self._settings.name, self._incarnation, self._session, sequence, state, mode, self._measured(), PROTOCOL,
            self._settings.version, dict(networks.working) if networks is not None else {},
        )  # fmt: skip

    def _measured(self) -> Mapping[str, float]:
        """What is free on this system, if it is measured here and the cluster wants to know."""
        meters, values = self._parts.meters, self._configuration.cluster
        if meters is None or str(values.get("Statistics") or "Enabled") == "Disabled":
            return {}
        every_s = float(values.get("CounterInterval") or 5)  # type: ignore[arg-type]
        return meters.free(self._clock.monotonic(), every_s)

    def _sweep_done(self) -> None:
        if not self._engine.swept:
            self._engine.swept = True
            self._engine.wake.set()
            self._machine.keep("incarnation", self._incarnation)

    def _known_incarnation(self) -> bool:
        return self._machine.recall("incarnation") == self._incarnation

    # --- the store's view

    async def _follow(self) -> None:
        store = self._parts.store
        self._membership.restart(self._clock.monotonic())
        async with asyncio.timeout(self._settings.lease_ttl_s):
            self._state = State.of(await store.read(ROOT))
        for name in self._state.heartbeats:
            self._observe(SYSTEMS + name)
        await self._digest()
        self._coordinator.wake.set()
        async for changes in store.watch(ROOT, self._state.revision):
            for change in changes:
                if change.value is None:
                    self._state.drop(change.key, change.revision)
                    self._coordinator.wake.set()
                else:
                    self._state.put(change.key, Entry(change.value, change.revision))
                    self._observe(change.key)
            if any(not change.key.startswith(FOR_PEOPLE) for change in changes):
                await self._digest()
                self._coordinator.wake.set()

    def _observe(self, key: str) -> None:
        """Count a heartbeat when it is seen. Seen late it only makes this observer wait longer, never act sooner."""
        if not key.startswith(SYSTEMS):
            return
        beat = self._state.heartbeats[key.removeprefix(SYSTEMS)]
        if self._membership.observe(beat, self._clock.monotonic()):
            self._coordinator.wake.set()
        if beat.system == self._settings.name:
            self._pulse.observe(beat, self._state.revisions[key])

    async def _digest(self) -> None:
        await self._take_configuration()
        here = ("", self._settings.name)
        frozen = {intent.group for intent in self._state.intents.values() if intent.frozen and intent.at in here}
        frozen |= {name for name, group in self._configuration.groups.items() if group.flag("Frozen")}
        if frozenset(frozen) != self._frozen or not self._guard_told:
            await self._link.frozen(sorted(frozen))
            self._frozen, self._guard_told = frozenset(frozen), True
            self._machine.keep("frozen", "\n".join(sorted(frozen)))
        for name, group in self._engine.groups.items():
            intent = self._state.intent_on(group.group, self._settings.name)
            guarded = name not in self._frozen and not self._engine.parked
            if intent != group.intent or guarded != group.guarded:
                group.guarded = guarded
                group.take(intent)
                self._engine.changed(name)
        for request in list(self._state.requests.values()):
            self._errands.take(request, self._state.revisions.get(REQUESTS + request.id, 0))

    async def _take_configuration(self) -> None:
        record = self._state.config
        if record is None or record is self._config_record:
            return
        text = json.dumps(dict(record.files), sort_keys=True)
        if text != self._config_files:
            await self._configure(build(record.files))
        self._config_files, self._config_record = text, record
        self._machine.keep("config.json", text)

    async def _restore_configuration(self) -> None:
        """Begin with the configuration that was valid last: what an earlier incarnation left must go even if the store
        cannot be reached. Groups that were frozen then stay untouched until the store says otherwise. A daemon that was
        only restarted waits for the store instead: without the intent it could not tell a fault from a stop."""
        if self._engine.swept:
            return
        frozen = self._machine.recall("frozen")
        if frozen is not None:
            self._frozen = frozenset(frozen.split())
            parts = [Intent(name, frozen=True, at=at) for name in self._frozen for at in ("", self._settings.name)]
            self._state.intents = {intent.unit: intent for intent in parts}
        text = self._machine.recall("config.json")
        if text is not None:
            with contextlib.suppress(ValueError, KeyError, HoldfastError):
                await self._configure(build(json.loads(text)))

    async def _configure(self, configuration: Configuration) -> None:
        wanted = {group.name: group for group in relevant(configuration, self._settings.name)}
        for name, engine in list(self._engine.groups.items()):
            if wanted.get(name) != engine.group:
                await self._engine.drop(name)
        for name, group in wanted.items():
            if name in self._engine.groups:
                continue
            if name not in self._workloads:
                self._workloads[name] = await self._link.workload(name, self._settings.whole_system)
            last = self._state.facts.get((name, self._settings.name))
            if last is None and self._engine.swept:
                last = await self._own_fact(name)
            engine = self._engine.adopt(group, self._workloads[name], last)
            engine.guarded = self._guard_told and name not in self._frozen
            engine.take(self._state.intent_on(group, self._settings.name))
            self._engine.changed(name)
        self._configuration = configuration

    async def _own_fact(self, name: str) -> GroupFact | None:
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(self._settings.lease_ttl_s):
                state = State.of(await self._parts.store.read(f"{FACTS}{self._settings.name}/{name}"))
                return state.facts.get((name, self._settings.name))
        return None

    def _denial(self, request: Request) -> Refusal | None:
        trusted = tuple(filter(None, [self._settings.user]))
        return denial(self._configuration, request.by, request.operation, request.group, trusted)

    # --- the engine

    async def _work(self) -> None:
        while True:
            await self._engine.wake.wait()
            self._engine.wake.clear()
            self._engine.check_tasks()
            self._check_workloads()
            self._engine.act()
            await self._publisher.step()

    def _check_workloads(self) -> None:
        """A workload that was killed takes its services with it: start afresh, and the guard makes a new one."""
        gone = [name for name, workload in self._workloads.items() if workload.gone]
        if gone:
            raise HoldfastError(f"the workload of {gone[0]} is gone", "its resources are monitored and restarted")

    # --- coordination

    async def _coordinate(self) -> None:
        while True:
            if self._leased() and self._configuration.groups and self._departing.state == "RUNNING":
                async with asyncio.timeout(self._settings.lease_ttl_s * 2):
                    await self._coordinator.round(self._configuration)
            due_s = self._membership.due(self._configuration.systems, self._clock.monotonic())
            look_s = LOOK_AGAIN_S if self._epoch() else _LOOK_UP_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(look_s, due_s + _PAST_DUE_S)):
                    await self._coordinator.wake.wait()
            self._coordinator.wake.clear()


async def persist(name: str, duty: Callable[[], Awaitable[None]], log: Callable[[str, str], None]) -> None:
    """Run a duty again whenever the store was out of reach; anything else ends the daemon."""
    attempt, loop = 0, asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await duty()
        except (Unavailable, TimeoutError) as error:
            attempt = 0 if loop.time() - started > 5 else attempt + 1
            if attempt < 3:
                log("warning", f"{name}: {error or 'no answer in time'}")
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
