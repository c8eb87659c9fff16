"""A model of the guard: it has the production deadline rule, and no pause or death of the daemon touches it.

A host that stands still takes its guard and its services with it. When it goes on, the guard looks at the clock before
any service does anything, as its scheduling class provides on a real host. Killing takes it a moment, well inside the
margin that observers wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.cluster.plan.deadline import Deadline, next_incarnation
from holdfast.kernel.errors import Unavailable
from holdfast.sim.home import SimHome
from holdfast.sim.loop import Process, inside

if TYPE_CHECKING:
    from holdfast.sim.host import Host

LAG_S = 0.15
"""How late the guard may notice the deadline on a busy host."""
_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_STABLE_S = 10.0
_REPLY_LIMIT_S = 5.0


class SimGuard:
    """The guard of ``host``. Made anew at each boot and after its own death."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.process = Process(f"guard of {host.name}", lambda: host.paused)
        self._context = inside(self.process)
        self.deadline, self.frozen = Deadline(), frozenset[str]()
        self.homes: dict[str, SimHome] = {}
        self.incarnation = self._next_incarnation("")
        self.daemon: Process | None = None
        self._failures, self._started, self.ending = 0, 0.0, False

    def _next_incarnation(self, last: str) -> str:
        clock = self._host.clock
        return next_incarnation(last, clock.wall_ns() // 1_000_000, clock.token()[:8])

    def processes(self) -> list[Process]:
        """Return every process that runs on the host, the guard first."""
        spaces = [home.space for home in self.homes.values()]
        return [self.process, *spaces, *([self.daemon] if self.daemon is not None else [])]

    def start_daemon(self) -> None:
        """Start the system daemon under this guard."""
        self._started = self._host.loop.now
        self.daemon = self._host.run_daemon(self, self.incarnation)
        self.daemon.died = self._daemon_died

    def _daemon_died(self) -> None:
        self.daemon = None
        self._failures = 0 if self._host.loop.now - self._started > _STABLE_S else self._failures + 1
        pause_s = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)] + self._host.chance.uniform(0.05, 0.5)
        self._host.loop.call_later(pause_s, self._restart, context=self._context)

    def _restart(self) -> None:
        if self.daemon is None and not self.ending:
            self.start_daemon()

    def park(self) -> None:
        """Let everything run on unguarded, and the daemon end for good."""
        self.ending = True
        self.deadline = Deadline()

    def stop(self) -> None:
        """Tell the daemon to leave, and replace it no more."""
        self.ending = True
        if self.daemon is not None and self._host.leave is not None:
            self._host.loop.call_soon(self._host.leave, context=inside(self.daemon))

    def post(self, message: object, *arguments: object) -> None:
        """Hand the guard a message of its daemon; it takes it up when it runs."""
        assert callable(message)
        self._host.loop.call_soon(message, *arguments, context=self._context)

    def renewed(self, start: float, ttl_s: float) -> None:
        """Take in a renewal."""
        armed = bool(self.deadline.at)
        if self.deadline.renewed(start, ttl_s) and not armed:
            self._arm()

    def _arm(self) -> None:
        late_s = self._host.chance.uniform(0.0, LAG_S)
        self._host.loop.call_at(self._host.hands.until(self.deadline.at) + late_s, self._look, context=self._context)

    def _look(self) -> None:
        if self.deadline.passed(self._host.hands.seconds()):
            self.enforce()
        elif self.deadline.at:
            self._arm()

    def enforce(self) -> None:
        """Look at the clock; past the deadline kill the daemon and everything that is not spared."""
        if not self.deadline.passed(self._host.hands.seconds()):
            return
        self._host.note(f"the guard kills everything at the lease deadline (spared: {sorted(self.frozen)})")
        self.deadline.lapse()
        self._host.plant.killed(self._host, self.frozen)
        self.kill_all(self.frozen, "killed by the guard")
        self.incarnation = self._next_incarnation(self.incarnation)
        if self.daemon is not None:
            self.daemon.kill()

    def kill_all(self, spared: frozenset[str], why: str) -> None:
        """Kill every workload that is not spared, and its services."""
        for group in [name for name in self.homes if name not in spared]:
            self.homes.pop(group).end()
        self._host.services.kill(spared, why)

    def home(self, group: str) -> SimHome:
        """Return the workload of ``group``, made if there is none."""
        if group not in self.homes:
            self.homes[group] = SimHome(self._host.loop, Process(f"workload {group}", lambda: self._host.paused))
        self.homes[group].settle()
        return self.homes[group]


class SimLink:
    """The daemon's end of the socket to its guard (``Guardian`` of the daemon)."""

    def __init__(self, guard: SimGuard, host: Host) -> None:
        self._guard, self._host = guard, host

    def renewed(self, start: float, ttl_s: float) -> None:
        """Report a renewal."""
        self._guard.post(self._guard.renewed, start, ttl_s)

    async def frozen(self, groups: Sequence[str]) -> None:
        """Say which groups to spare; return once the guard knows."""

        def note() -> SimHome | None:
            self._guard.frozen = frozenset(groups)
            return None

        await self._ask(note)

    async def park(self) -> None:
        """Say that this daemon ends and everything is to run on; return once the guard knows."""

        def note() -> SimHome | None:
            self._guard.park()
            return None

        await self._ask(note)

    def stop(self) -> None:
        """Say that this system is to be stopped."""
        self._guard.post(self._guard.stop)

    async def workload(self, group: str, whole_system: bool) -> SimHome:
        """Return the workload of ``group``."""
        home = await self._ask(lambda: self._guard.home(group))
        assert home is not None
        return home

    async def _ask(self, work: object) -> SimHome | None:
        assert callable(work)
        answer: asyncio.Future[SimHome | None] = self._host.loop.create_future()

        def reply() -> None:
            done = work()
            if not answer.done():
                answer.set_result(done)

        self._guard.post(reply)
        try:
            async with asyncio.timeout(_REPLY_LIMIT_S):
                return await answer
        except TimeoutError as error:
            raise Unavailable("the guard does not answer") from error
