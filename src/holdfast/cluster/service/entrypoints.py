"""The entry points of one resource's agent, each within its time limit, and the events that a monitor leaves behind.

The worker decides what to do; here it is done, and what came of it is returned as a value: a monitor's result, or what
went wrong. Nothing here knows what the resource should be. A monitor may hand over pidfds: they are watched until the
next monitor, and the end of a process wakes the worker at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

from holdfast.cluster.model.configuration import Resource
from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.plan.faults import patience_s
from holdfast.cluster.ports import Agent, AgentContext, CommandResult, MonitorResult
from holdfast.cluster.service.launcher import readable
from holdfast.kernel.errors import HoldfastError

_POLL_S = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
FAILURES = (HoldfastError, OSError, ValueError)
"""What an entry point may raise when it cannot do its work; anything else is a fault of the program."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with online or offline, and the reason that clean is given."""

    reason: CleanReason
    text: str


class EntryPoints:
    """Runs the agent of ``resource`` on ``system``. ``event`` is called when something that is watched happens."""

    def __init__(
        self,
        resource: Resource,
        agent: Agent,
        system: str,
        context: Callable[[], AgentContext],
        log: Callable[[str, str], None],
        event: Callable[[], None],
    ) -> None:
        self._resource, self._agent, self._system = resource, agent, system
        self._context, self._log, self._event = context, log, event
        self.watches_mounts = self.watches_addresses = False
        self._watchers: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()

    def limit(self, name: str) -> int:
        """Return a number among the resource's attributes as it holds on this system."""
        return self._resource.number(name, self._system)

    async def open(self) -> None:
        """Run open; its failure is only logged."""
        try:
            async with asyncio.timeout(self.limit("OpenTimeout")):
                await self._agent.open(self._context())
        except (TimeoutError, *FAILURES) as error:
            self._log("warning", f"open of {self._resource.name} failed: {error}")

    async def monitor(self) -> MonitorResult | None:
        """Monitor and watch what it names; None when it ran out of time."""
        try:
            async with asyncio.timeout(self.limit("MonitorTimeout")):
                result = await self._agent.monitor(self._context())
        except TimeoutError:
            self._log("warning", f"monitor of {self._resource.name} ran out of time")
            return None
        except FAILURES as error:
            return MonitorResult(ResourceState.UNKNOWN, detail=str(error))
        self.drop_watchers()
        self.watches_mounts, self.watches_addresses = result.watch_mounts, result.watch_addresses
        self._watchers = [asyncio.ensure_future(self._await_end(descriptor)) for descriptor in result.pidfds]
        return result

    async def _await_end(self, pidfd: int) -> None:
        try:
            await readable(pidfd)
            self._ended.set()
            self._event()
        finally:
            os.close(pidfd)

    def drop_watchers(self) -> None:
        """Watch nothing any more."""
        for watcher in self._watchers:
            watcher.cancel()
        self._watchers = []

    async def online(self) -> Failure | None:
        """Run online, then monitor until the resource is online; return what went wrong."""
        text = await self._reach("Online", self._agent.online(self._context()), ResourceState.ONLINE)
        if text is None:
            return Failure(CleanReason.ONLINE_HUNG, "online ran out of time")
        return Failure(CleanReason.ONLINE_INEFFECTIVE, text) if text else None

    async def offline(self) -> Failure | None:
        """Run offline, then monitor until the resource is offline; return what went wrong."""
        text = await self._reach("Offline", self._agent.offline(self._context()), ResourceState.OFFLINE)
        if text is None:
            return Failure(CleanReason.OFFLINE_HUNG, "offline ran out of time")
        return Failure(CleanReason.OFFLINE_INEFFECTIVE, text) if text else None

    async def _reach(self, word: str, work: Coroutine[None, None, float], wanted: ResourceState) -> str | None:
        """Return an empty text when ``wanted`` is reached, what is wrong, or None when the entry point hung."""
        try:
            async with asyncio.timeout(self.limit(f"{word}Timeout")):
                pause_s = await work
        except TimeoutError:
            return None
        except FAILURES as error:
            return str(error)
        await asyncio.sleep(pause_s)
        return await self._until(wanted, patience_s(self._resource, f"{word}WaitLimit", self._system))

    async def _until(self, wanted: ResourceState, limit_s: float) -> str:
        """Monitor in growing steps, and when a process that was found ends, until the state is ``wanted``; return what
        is wrong, or an empty text."""
        loop = asyncio.get_running_loop()
        end, step = loop.time() + limit_s, 0
        while True:
            result = await self.monitor()
            if result is not None and result.state is wanted and not result.broken:
                return ""
            if loop.time() >= end:
                detail = "monitor ran out of time" if result is None else result.detail
                return detail or f"it is {'unknown' if result is None else result.state.value} after the entry point"
            self._ended.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S[min(step, len(_POLL_S) - 1)]):
                    await self._ended.wait()
            step += 1

    async def clean(self, reason: CleanReason) -> bool:
        """Run clean once; True when a monitor then says offline.

        What is only watched may be back by then: nothing touched it, so that is no failure, and it is monitored again.
        """
        self._log("info", f"clean {self._resource.name} ({reason.name.lower().replace('_', ' ')})")
        try:
            async with asyncio.timeout(self.limit("CleanTimeout")):
                if not await self._agent.clean(self._context(), reason):
                    return False
        except (TimeoutError, *FAILURES) as error:
            self._log("warning", f"clean of {self._resource.name} failed: {error}")
            return False
        result = await self.monitor()
        if result is not None and self._resource.keeps and result.state is ResourceState.ONLINE:
            self._event()
            return True
        return result is not None and result.state is ResourceState.OFFLINE

    async def info(self) -> Mapping[str, str]:
        """Run info. Raises ``TimeoutError`` after InfoTimeout, or what the agent raises."""
        async with asyncio.timeout(self.limit("InfoTimeout")):
            return await self._agent.info(self._context())

    async def act(self, name: str, arguments: Sequence[str]) -> CommandResult:
        """Carry out an action; a timeout is a result too."""
        try:
            async with asyncio.timeout(self.limit("ActionTimeout")):
                return await self._agent.action(self._context(), name, arguments)
        except TimeoutError:
            return CommandResult(1, stderr=f"action {name} ran out of time", timed_out=True)
