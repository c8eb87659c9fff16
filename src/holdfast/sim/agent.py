"""The agent of every simulated resource: the agent port over services that are slow, fail, hang and lie by chance.

A lie is told only of a service that the store says should run here: what a monitor says of a service that is being
stopped is the one thing that a cluster has to believe, so an agent that lies then proves nothing about the cluster.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, MonitorResult
from holdfast.kernel.errors import HoldfastError, Unavailable
from holdfast.sim.home import SimHome
from holdfast.sim.services import Level, Service, Trouble

if TYPE_CHECKING:
    from holdfast.sim.host import Host

_FOR_EVER_S = 10_000.0
_SLOW_S = (8.0, 40.0)

Began = Callable[["Host", str, str, str], None]
"""Called when an entry point begins to act: host, group, resource, name of the entry point."""


class SimAgent(AgentBase):
    """Entry points of one host's services. ``meant`` says whether the store wants a group to run on a host now."""

    def __init__(self, host: Host, began: Began, meant: Callable[[str, str], bool]) -> None:
        self._host, self._began, self._meant = host, began, meant
        self._chance: random.Random = host.chance

    async def online(self, context: AgentContext) -> float:
        """Bring the service up: promptly, late, half, or not at all."""
        service, home = self._service(context), self._home(context)
        self._began(self._host, context.group, context.resource, "online")
        seconds = self._chance.uniform(0.05, 1.0)
        if self._has(service, Trouble.SLOW_ONLINE):
            seconds = self._chance.uniform(*_SLOW_S)
        if self._has(service, Trouble.FAILING_ONLINE):
            raise HoldfastError("it does not start")
        half = self._has(service, Trouble.HALF_ONLINE)
        level = Level.HALF if half else Level.UP
        await home.command(seconds, self._put(context, level, "started"), self._half(context))
        if half:
            raise HoldfastError("it started half")
        return 0.0

    async def offline(self, context: AgentContext) -> float:
        """Take the service down, unless that hangs or does nothing."""
        service, home = self._service(context), self._home(context)
        self._began(self._host, context.group, context.resource, "offline")
        if self._has(service, Trouble.HUNG_OFFLINE):
            await asyncio.sleep(_FOR_EVER_S)
        if not self._has(service, Trouble.FAILING_OFFLINE):
            seconds = self._chance.uniform(0.02, 0.8)
            await home.command(seconds, self._put(context, Level.DOWN, "stopped"), lambda: None)
        return 0.0

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Take the service down by force, unless that fails."""
        service, home = self._service(context), self._home(context)
        self._began(self._host, context.group, context.resource, "clean")
        if self._has(service, Trouble.FAILING_CLEAN):
            await asyncio.sleep(self._chance.uniform(0.05, 1.0))
            return False
        seconds = self._chance.uniform(0.02, 0.5)
        await home.command(seconds, self._put(context, Level.DOWN, "cleaned"), lambda: None)
        return True

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Say what the service is, or hang, or lie. Half of them are watched and looked at when they go down."""
        service = self._service(context)
        await asyncio.sleep(self._chance.uniform(0.01, 0.1))
        if self._has(service, Trouble.HUNG_MONITOR):
            await asyncio.sleep(_FOR_EVER_S)
        watched = service.watched
        if self._has(service, Trouble.LYING_MONITOR) and self._meant(context.group, context.system):
            lie = ResourceState.OFFLINE if service.level is Level.UP else ResourceState.ONLINE
            return MonitorResult(lie, watch_mounts=watched)
        if service.level is Level.HALF:
            return MonitorResult(ResourceState.ONLINE, detail="half up", watch_mounts=watched, broken=True)
        state = ResourceState.ONLINE if service.level is Level.UP else ResourceState.OFFLINE
        return MonitorResult(state, watch_mounts=watched)

    def _service(self, context: AgentContext) -> Service:
        return self._host.services.table[context.group, context.resource]

    def _home(self, context: AgentContext) -> SimHome:
        guard = self._host.guard
        if guard is None or context.group not in guard.homes:
            raise Unavailable("the workload is gone")
        return guard.homes[context.group]

    def _has(self, service: Service, trouble: Trouble) -> bool:
        return service.troubles.get(trouble, -1.0) > self._host.loop.now

    def _put(self, context: AgentContext, level: Level, why: str) -> Callable[[], None]:
        return lambda: self._host.services.put(context.group, context.resource, level, why)

    def _half(self, context: AgentContext) -> Callable[[], None]:
        """A start that is cut short may have come half way."""

        def leave() -> None:
            if self._service(context).level is Level.DOWN and self._chance.random() < 0.5:
                self._put(context, Level.HALF, "its start was cut short")()

        return leave
