"""One run of one seed: a cluster of chance shape, what befalls it, whether all promises were kept.

First everything goes wrong that can, then nothing any more; from there every group must come to rest in bounded time.
"""

from __future__ import annotations

import gc
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from holdfast.cluster.config.builder import build
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.view import Decision, View
from holdfast.cluster.service.daemon import Settings
from holdfast.cluster.service.machine import Clock
from holdfast.sim.agent import SimAgent
from holdfast.sim.checks import Checker
from holdfast.sim.faults import Stage, strike
from holdfast.sim.host import RUN_DIRECTORY, Host, HostClock, Plant
from holdfast.sim.loop import Process, SimLoop, inside
from holdfast.sim.network import Network, RemoteStore
from holdfast.sim.people import DESK, People
from holdfast.sim.rest import unrest
from holdfast.sim.services import Level, Services
from holdfast.sim.shape import TIMINGS, main_cf, systems
from holdfast.sim.timeline import Timeline

FAULTY_S = 140.0
"""How long things go wrong."""
CALM_S = 12.0
"""How long after the start the first fault comes."""
REST_LIMIT_S = 240.0
"""How long after the last fault every group must be at rest."""
_REST_FOR_S = 8.0
_LOOK_EVERY_S = 1.0


@dataclass(slots=True)
class Report:
    """What became of a seed. ``violation`` is empty when every promise was kept."""

    seed: int
    simulated_s: float = 0.0
    violation: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    decisions: int = 0
    handled: int = 0
    rested_s: float = 0.0
    digest: int = 0
    lines: list[str] = field(default_factory=list)


class Run:
    """Builds the world of ``seed``. ``faulty_s`` is how long things go wrong; ``text`` is a main.cf that chance did not
    write."""

    def __init__(self, seed: int, faulty_s: float, echo: Callable[[str], None] | None = None, text: str = "") -> None:
        self.chance = random.Random(seed)
        self.loop = SimLoop()
        self.timeline = Timeline(self.loop.time, echo)
        self.report, self._faulty_s = Report(seed), faulty_s
        self._text = text or main_cf(self.chance, systems(self.chance))
        self.configuration = build({"main.cf": self._text})
        names = tuple(self.configuration.systems)
        self.timing = self.chance.choice(TIMINGS)
        self.network = Network(self.loop, self.chance, (*names, DESK))
        self.plant = Plant(self.loop, self.chance, self.network, self.timeline)
        self.hosts = {name: Host(name, self.plant) for name in names}
        self.checker = Checker(self.loop, self.configuration, self.hosts, self.fail, self._plan)
        self.loop.circling = lambda who: self.fail("sound", f"{who} runs in circles and never waits")
        self._wire()
        self._faults_until = CALM_S + faulty_s
        self._people_process = Process(DESK)
        self._desk = inside(self._people_process)
        clock: Clock = HostClock(self.loop, self.chance).clock
        store = RemoteStore(self.network, DESK)
        self.people = People(store, clock, self.configuration, self.hosts, self.chance, self.timeline)
        self.people.pull_cable = self._pull_cable

    def _wire(self) -> None:
        plant, checker = self.plant, self.checker
        plant.settings = lambda name: Settings(
            name, RUN_DIRECTORY, self.timing.heartbeat_interval_s, self.timing.lease_ttl_s, self.timing.margin_s
        )
        plant.planner, plant.stirred, plant.killed = checker.plan, checker.stirred, checker.killed
        plant.agents = lambda host: dict.fromkeys(("Thing", "Wire"), SimAgent(host, checker.began, self._meant))
        plant.fell = checker.fell
        self.network.committed = checker.committed
        for host in self.hosts.values():
            host.services = Services(self.configuration, host.name, self._changed(host))
            for service in host.services.table.values():
                service.watched = self.chance.random() < 0.5

    def _plan(self, view: View) -> Decision:
        return decide(view)

    def _changed(self, host: Host) -> Callable[[str, str, str], None]:
        def changed(_group: str, _name: str, what: str) -> None:
            host.note(what)
            self.checker.stirred(host)

        return changed

    def _meant(self, group: str, system: str) -> bool:
        intent = self.checker.intents.get(group)
        guard = self.hosts[system].guard
        ours = intent is not None and guard is not None and intent.incarnation == guard.incarnation
        return ours and intent is not None and intent.owner == system and intent.wanted.value == "online"

    def fail(self, promise: str, what: str) -> None:
        """A promise is broken: keep the first, end the run."""
        if not self.report.violation:
            self.report.violation = f"{promise}: {what}"
            self.timeline.note("CHECKER", self.report.violation)
            self.loop.halt = True

    # --- the story

    def tell(self) -> Report:
        """Run it to the end and return what became of it."""
        self.timeline.note("world", f"seed {self.report.seed}, {', '.join(self.hosts)}, {self.timing}")
        try:
            self.begin()
            self._trouble()
            self._peace()
        finally:
            self.close()
        return self.report

    def begin(self) -> None:
        """Load the configuration, boot the hosts, and let them start what is to run."""
        self.in_desk(self.people.load(self._text))
        for host in self.hosts.values():
            self.loop.call_later(self.chance.uniform(0.0, 3.0), host.boot)
        self.loop.run_until(CALM_S)

    def in_desk(self, work: Coroutine[Any, Any, None]) -> None:
        """Let a person begin something."""
        self._desk.run(self.loop.create_task, work)

    def _trouble(self) -> None:
        stage = Stage(self.loop, self.chance, self.network, self.hosts, self._later)
        self.in_desk(self.people.meddle(every_s=16.0))
        mean_s = self.chance.choice((3.0, 6.0, 10.0))
        while not self.loop.halt and self.loop.now < self._faults_until:
            self.loop.run_until(min(self.loop.now + self.chance.expovariate(1 / mean_s), self._faults_until))
            if self.loop.halt or self.loop.now >= self._faults_until:
                break
            name, what = strike(stage)
            if what:
                self.report.faults[name] += 1
                self.timeline.note("FAULT", what)

    def _pull_cable(self, name: str, seconds: float) -> None:
        self.timeline.note("FAULT", f"{name} is cut both ways for {seconds:.0f} s")
        self.report.faults["partition"] += 1
        for road in (self.network.there[name], self.network.back[name]):
            self.network.cut(road)
            self.loop.call_later(seconds, self.network.heal, road, context=inside(Process("cable")))

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        self.loop.call_later(seconds, lambda: work() if self.loop.now < self._faults_until else None)

    def _peace(self) -> None:
        if self.loop.halt:
            return
        self.timeline.note("world", "from here on nothing goes wrong any more")
        self._people_process.kill()
        self._people_process = Process(DESK)
        self._desk = inside(self._people_process)
        self._heal()
        self.in_desk(self.people.set_right())
        began, rested = self.loop.now, 0.0
        while not self.loop.halt:
            self.loop.run_until(self.loop.now + _LOOK_EVERY_S)
            amiss = unrest(self.configuration, self.checker.intents, self.hosts)
            rested = 0.0 if amiss else rested + _LOOK_EVERY_S
            if rested >= _REST_FOR_S:
                self.report.rested_s = self.loop.now - began - rested
                return
            if self.loop.now - began > REST_LIMIT_S:
                self.fail("rest", f"{REST_LIMIT_S:.0f} s after the last fault: {'; '.join(amiss)}")

    def _heal(self) -> None:
        for road in (*self.network.there.values(), *self.network.back.values()):
            self.network.heal(road)
            road.lossy_until = 0.0
        stay_down = self.chance.choice(sorted(self.hosts)) if self.chance.random() < 0.3 else ""
        for host in self.hosts.values():
            for (group, name), service in host.services.table.items():
                for kind, until in service.troubles.items():  # when a lie was told last is still of interest
                    service.troubles[kind] = min(until, self.loop.now)
                if service.resource.persistent:
                    host.services.put(group, name, Level.UP, "it is back for good")
            if host.paused:
                host.go_on()
            if host.daemon is not None:
                host.daemon.fatal_in = host.daemon.stop_in = 0
                host.wake(host.daemon)
            if not host.up and host.name != stay_down:
                host.boot()

    def close(self) -> None:
        """End the story."""
        report, loop = self.report, self.loop
        report.simulated_s, report.handled, report.digest = loop.now, loop.handled, self.timeline.digest
        report.asked, report.decisions = self.people.asked, self.checker.decisions
        if report.violation:
            report.lines = self.timeline.last(400)
        loop.close()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Throw away what stories leave unfinished only after they were told, and in silence: no late tidying up of a dead
    process may get into a story."""
    heard, sys.unraisablehook = sys.unraisablehook, lambda _about: None
    enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            yield
            gc.collect()
    finally:
        sys.unraisablehook = heard
        if enabled:
            gc.enable()


def run(seed: int, faulty_s: float = FAULTY_S, echo: Callable[[str], None] | None = None) -> Report:
    """Tell the story of ``seed``; ``echo`` gets each line of the timeline."""
    with undisturbed():
        return Run(seed, faulty_s, echo).tell()
