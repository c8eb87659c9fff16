"""How a system leaves: told from outside it takes its groups offline first; stopped by force it leaves them running.

Whichever it is, the store knows it before the guard lets go: what bars others from taking over, or allows it to them,
stands in the last heartbeat, which lasts where those who start later must know it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.cluster.model.facts import Departure
from holdfast.cluster.service.engine import Engine
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.publisher import Publisher
from holdfast.kernel.errors import Unavailable

LEAVE_LIMIT_S = 45.0
_LOOK_S = 0.05


class Stoppable(Protocol):
    """The guard, as one who leaves sees it."""

    async def park(self) -> None:
        """Say that this daemon ends, is not to be replaced, and that everything is to be left running."""

    def stop(self) -> None:
        """Say that this system is to be stopped: the guard tells this daemon to leave, and ends after it."""


@dataclass
class Departing:
    """Waits until it is time to leave, and leaves. ``renew`` writes a heartbeat, ``frozen`` are the groups to spare."""

    engine: Engine
    publisher: Publisher
    clock: Clock
    link: Stoppable
    log: Callable[[str, str], None]
    renew: Callable[[], Awaitable[None]]
    frozen: Callable[[], Collection[str]]
    how: Departure = Departure.HANDS_OVER
    state: str = "RUNNING"
    """What the heartbeat says of this system."""
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def mode(self) -> str:
        """What the heartbeat says of how this system left; a heartbeat with such a word outlasts its lease."""
        return self.how.value if self.state == "EXITED" else ""

    def stop(self, how: Departure) -> None:
        """Leave as a person asked for."""
        self.how = how
        if how is Departure.PARKED:
            self.leave.set()
        else:
            self.link.stop()

    async def run(self) -> None:
        """Return once the system has left."""
        await self.leave.wait()
        await (self._park() if self.how is Departure.PARKED else self._go())

    async def _park(self) -> None:
        self.log("warning", "stopped by force: groups run on without guard")
        self.engine.parked, self.state = True, "EXITED"
        for group in self.engine.groups.values():
            group.guarded = False
        self.engine.dirty.update(self.engine.groups)
        while self.engine.dirty:
            await self.publisher.publish()
            await asyncio.sleep(_LOOK_S)
        await self.renew()
        await self.link.park()

    async def _go(self) -> None:
        self.log("info", "leaving: taking groups offline")
        self.state, self.engine.leaving = "LEAVING", True
        end = self.clock.monotonic() + LEAVE_LIMIT_S
        self.engine.wake.set()
        while self.clock.monotonic() < end:
            groups = [group for name, group in self.engine.groups.items() if name not in self.frozen()]
            if all(group.fact().offline for group in groups):
                break
            await asyncio.sleep(_LOOK_S)
            self.engine.wake.set()
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(self.publisher.limit_s):
                self.engine.dirty.update(self.engine.groups)
                await self.publisher.publish()
                self.state = "EXITED"
                await self.renew()
