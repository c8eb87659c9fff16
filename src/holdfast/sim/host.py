"""A simulated host: its clocks and files, its services, its guard, and the production daemon under that guard.

A host is up or down; up, it may stand still as a whole for a while. Down means that everything that ran is gone; what
the daemon kept in its run directory is gone too, as on a temporary file system, unless only the guard died.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.view import Decision, View
from holdfast.cluster.ports import Agent, Fence, Standings
from holdfast.cluster.service.daemon import Parts, Settings, SystemDaemon
from holdfast.cluster.service.machine import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.sim.guard import SimGuard, SimLink
from holdfast.sim.loop import Process, SimLoop, inside
from holdfast.sim.network import Network, RemotePost, RemoteStore
from holdfast.sim.services import Services
from holdfast.sim.timeline import Timeline

_EPOCH_S = 1_800_000_000.0


class HostClock:
    """A host's own clocks: each counts a little fast or slow, and the one for people can jump."""

    def __init__(self, loop: SimLoop, chance: random.Random) -> None:
        self._loop, self._chance = loop, chance
        self._rate, self._offset = 1.0 + chance.uniform(-0.002, 0.002), chance.uniform(1.0, 9999.0)
        self.jumped_s = 0.0
        self.clock = Clock(self.seconds, self.seconds, self._wall_ns, self._token)

    def seconds(self) -> float:
        """Seconds since some boot."""
        return self._offset + self._loop.now * self._rate

    def until(self, at: float) -> float:
        """Return the time on the loop at which this clock shows ``at``."""
        return (at - self._offset) / self._rate

    def _wall_ns(self) -> int:
        return int((_EPOCH_S + self._loop.now * self._rate + self.jumped_s) * 1e9)

    def _token(self) -> str:
        return f"{self._chance.getrandbits(48):012x}"


class Plant:
    """What all hosts of a run share."""

    def __init__(self, loop: SimLoop, chance: random.Random, network: Network, timeline: Timeline) -> None:
        self.loop, self.chance, self.network, self.timeline = loop, chance, network, timeline
        self.settings: Callable[[str], Settings]
        self.agents: Callable[[Host], Mapping[str, Agent]]
        self.fences: Callable[[Host], Mapping[str, Fence]] = lambda _host: {}
        self.planner: Callable[[View], Decision] = decide
        self.standings: Callable[[Host], Standings | None] = lambda _host: None
        self.killed: Callable[[Host, frozenset[str]], None] = lambda _host, _spared: None
        """Called when a guard is about to kill all but the groups that it was told to spare."""
        self.fell: Callable[[Host, BaseException], None] = lambda _host, _failure: None
        """Called when a daemon ended by what no daemon should end by."""
        self.stirred: Callable[[Host], None] = lambda _host: None
        """Called when what runs on a host has changed, or the host goes on."""


class Host:
    """One system. ``paused``: it stands still as a whole."""

    def __init__(self, name: str, plant: Plant) -> None:
        self.name, self.plant = name, plant
        self.loop, self.chance = plant.loop, plant.chance
        self.hands = HostClock(plant.loop, plant.chance)
        self.up, self.paused = False, False
        self.services: Services
        self.guard: SimGuard | None = None
        self._files: dict[str, str] = {}
        self._mounts_changed: Callable[[], None] = lambda: None
        self.leave: Callable[[], None] | None = None
        self._processes: list[Process] = []

    @property
    def clock(self) -> Clock:
        """Its clocks, as processes on it read them."""
        return self.hands.clock

    def note(self, what: str) -> None:
        """Add a line about this host to the timeline."""
        self.plant.timeline.note(self.name, what)

    # --- its life

    def boot(self) -> None:
        """Power it on, or start the guard again after its death."""
        self.up = True
        self.guard = SimGuard(self)
        self.note(f"boots as incarnation {self.guard.incarnation}")
        self.guard.start_daemon()

    def lose_power(self, files: bool = True) -> None:
        """Everything that runs ends; with ``files`` the run directory is lost as well."""
        guard, self.guard, self.up = self.guard, None, False
        if guard is not None:
            guard.process.kill()
            self._processes.append(guard.process)
            if guard.daemon is not None:
                guard.daemon.kill()
            guard.kill_all(frozenset(), "the host is down" if files else "the guard is dead")
        if files:
            self._files.clear()

    def pause(self) -> None:
        """Stand still: guard, daemon and services."""
        self.paused = True

    def go_on(self) -> None:
        """Go on. The guard comes first; then everything that waited."""
        if self.guard is not None:
            self.guard.enforce()
        self.paused = False
        if self.guard is not None:
            for process in self.guard.processes():
                if not process.paused:
                    self.loop.resume(process)
        self.plant.stirred(self)

    def wake(self, process: Process) -> None:
        """Let a stopped daemon go on, if it is still there."""
        if process.alive and process.paused:
            process.paused = False
            if not self.paused:
                self.loop.resume(process)

    @property
    def daemon(self) -> Process | None:
        """The process of the daemon, if it runs."""
        return None if self.guard is None else self.guard.daemon

    def events(self) -> None:
        """The mount table changed: those who watch it look at once."""
        if self.daemon is not None:
            self.loop.call_soon(self._mounts_changed, context=inside(self.daemon))

    def run_daemon(self, guard: SimGuard, incarnation: str) -> Process:
        """Start the production daemon as a process of this host."""
        process = Process(f"daemon of {self.name}", lambda: self.paused)
        self._processes.append(process)
        inside(process).run(self._begin, guard, incarnation, process)
        return process

    def _begin(self, guard: SimGuard, incarnation: str, process: Process) -> None:
        plant = self.plant
        store = RemoteStore(plant.network, self.name)
        parts = Parts(
            store, plant.agents(self), None, plant.fences(self), plant.standings(self), planner=plant.planner,
            post=RemotePost(plant.network, self.name, self.clock.token),
        )  # fmt: skip
        daemon = SystemDaemon(plant.settings(self.name), parts, SimLink(guard, self), incarnation, self)
        task = self.loop.create_task(daemon.run(), name="daemon")
        task.add_done_callback(lambda done: self._ended(done, process), context=inside(guard.process))

    def _ended(self, task: asyncio.Task[None], process: Process) -> None:
        failure = None if task.cancelled() else task.exception()
        self.note(f"the daemon ended: {failure!r}")
        if failure is not None and not isinstance(failure, HoldfastError):
            self.plant.fell(self, failure)
        process.kill()

    # --- Machine of the daemon

    def recall(self, name: str) -> str | None:
        """See ``Machine``."""
        return self._files.get(name)

    def keep(self, name: str, text: str) -> None:
        """See ``Machine``."""
        self._files[name] = text

    def watches(self, mounts: Callable[[], None], addresses: Callable[[], None]) -> Sequence[Awaitable[None]]:
        """See ``Machine``: only mounts change here."""
        self._mounts_changed = mounts
        return ()

    def on_stop(self, leave: Callable[[], None]) -> None:
        """The guard calls ``leave`` when the system is to be stopped."""
        self.leave = leave

    def write(self, line: str) -> None:
        """Add a line of the daemon's log to the timeline, without its time: the timeline has the true one."""
        self.note(line.partition(" ")[2])


RUN_DIRECTORY = Path("/nonexistent/holdfast")
