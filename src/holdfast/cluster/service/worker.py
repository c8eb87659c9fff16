"""One resource on this system: monitors it, carries out orders, cleans, restarts, gives up.

A worker does one thing at a time, in its own task, so that a slow resource delays no other. What it knows is its
:class:`ResourceFact`; what it decides with is pure (``plan.faults``). Between monitors it sleeps until its interval is
over, an order comes, or something it watches happens: a process ends, the mount table changes.

Clean before anything else: while clean fails, nothing else is done to the resource, and clean is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from holdfast.cluster.model.configuration import Resource
from holdfast.cluster.model.facts import CleanReason, Phase, ResourceFact, ResourceState, Wanted
from holdfast.cluster.plan.faults import Counters, Sequel, Verdict, after_clean, judge
from holdfast.cluster.ports import Agent, AgentContext, CommandResult, MonitorResult
from holdfast.cluster.service.launcher import readable
from holdfast.kernel.errors import HoldfastError

_POLL_S = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
_CLEAN_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_OFFLINE_PATIENCE_S = 5.0
_FAILURES = (HoldfastError, OSError, ValueError)
"""What an entry point may raise when it cannot do its work; anything else is a fault of the program."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker needs of its engine."""

    context: Callable[[], AgentContext]
    changed: Callable[[], None]
    broke: Callable[[], None]
    """Said when the resource went down by itself: what it stands on should be looked at now."""
    hands_off: Callable[[], bool]
    quiet: Callable[[], bool]
    may_start: Callable[[], bool]
    threads: asyncio.Semaphore
    log: Callable[[str, str], None]


class Worker:
    """Looks after one resource. ``fact`` is what it knows; only its own task changes it."""

    def __init__(self, resource: Resource, agent: Agent, system: str, around: Surroundings) -> None:
        self.resource, self.fact = resource, ResourceFact(keeps=resource.keeps)
        self.watches_mounts = self.watches_addresses = False
        self._agent, self._system, self._around = agent, system, around
        self._counters, self._event = Counters(), asyncio.Event()
        self._order: Wanted | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._stable = 0.0
        self._start: asyncio.Task[str] | None = None
        self._abandoned = ""

    @property
    def busy(self) -> bool:
        """An order waits or is carried out."""
        return self.fact.phase is not Phase.IDLE

    def order(self, wanted: Wanted) -> None:
        """Ask for the resource to be brought online or taken offline; the worker must not be busy."""
        assert not self.busy
        self._order, self._abandoned = wanted, ""
        self._set(phase=Phase.STARTING if wanted is Wanted.ONLINE else Phase.STOPPING)
        self._event.set()

    def abandon(self, reason: str) -> None:
        """End a start that is under way: ``reason`` says what it waits for in vain. Clean follows, but no fault."""
        if not self._abandoned:
            self._abandoned = reason
            if self._start is not None:
                self._start.cancel()

    def probe(self) -> None:
        """Ask for a monitor now."""
        self._event.set()

    def restore(self, fact: ResourceFact) -> None:
        """Go on from what an earlier daemon of this incarnation knew. What it was stopping may be down: no fault."""
        state = ResourceState.UNKNOWN if fact.phase is Phase.STOPPING else fact.state
        self.fact = replace(
            fact, state=state, phase=Phase.IDLE, probed=False, clean_failing=False, keeps=self.resource.keeps
        )
        self._counters = Counters(restarts=fact.restarts)

    def clear(self) -> None:
        """Forget the fault."""
        if self.fact.faulted:
            self._counters = Counters()
            self._set(faulted=False, detail="", restarts=0)
        self.probe()

    async def run(self, fresh: bool) -> None:
        """Look after the resource until cancelled. ``fresh``: a new incarnation, so the agent's open runs first."""
        if fresh:
            await self._entry("open", self._agent.open(self._around.context()), "OpenTimeout")
        try:
            while True:
                order, self._order = self._order, None
                if order is None:
                    await self._watch()
                elif order is Wanted.ONLINE:
                    await self._go_online()
                else:
                    await self._go_offline()
                self._around.changed()
                if self._order is None:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._event.wait(), self._interval_s())
                self._event.clear()
        finally:
            self._drop_watchers()

    async def act(self, name: str, arguments: Sequence[str]) -> CommandResult:
        """Carry out an action; a timeout is a result too."""
        try:
            async with asyncio.timeout(self._limit("ActionTimeout")):
                return await self._agent.action(self._around.context(), name, arguments)
        except TimeoutError:
            return CommandResult(1, stderr=f"action {name} ran out of time", timed_out=True)

    def _interval_s(self) -> float:
        if not self.fact.probed:
            return 1.0
        online = self.fact.state is ResourceState.ONLINE
        return float(max(1, self._limit("MonitorInterval" if online else "OfflineMonitorInterval")))

    def _limit(self, name: str) -> int:
        return self.resource.number(name, self._system)

    async def _watch(self) -> None:
        before = self.fact.state
        result = await self._monitor()
        seen = None if result is None else result.state
        if result is not None and result.broken and not self._around.quiet():
            before, seen = ResourceState.ONLINE, ResourceState.OFFLINE
        elif self._around.quiet() or (not self.fact.probed and before is not ResourceState.ONLINE):
            self._settle(result)
            return
        finding = judge(self.resource, before, seen, self._counters)
        self._counters = finding.counters
        self._calm_down(seen)
        if finding.verdict is Verdict.CLEAN:
            detail = "" if result is None else result.detail
            self._around.log("warning", f"{self.resource.name} went offline unexpectedly {detail}".strip())
            self._around.broke()
            await self._clean(finding.reason, detail or "went offline unexpectedly")
        elif finding.verdict is Verdict.FINE or before is not ResourceState.ONLINE:
            self._settle(result)

    def _settle(self, result: MonitorResult | None) -> None:
        if result is None:
            self._set(detail="monitor timed out")
            return
        faulted = self.fact.faulted and result.state is not ResourceState.ONLINE
        detail = self.fact.detail if faulted else result.detail
        probed = self.fact.probed or result.state is not ResourceState.UNKNOWN
        self._set(state=result.state, faulted=faulted, detail=detail, probed=probed)

    def _calm_down(self, seen: ResourceState | None) -> None:
        now = asyncio.get_running_loop().time()
        if seen is not ResourceState.ONLINE:
            self._stable = now
        elif self._counters.restarts and now - self._stable > self._limit("ConfInterval"):
            self._counters = Counters()
            self._set(restarts=0)

    async def _monitor(self) -> MonitorResult | None:
        try:
            async with asyncio.timeout(self._limit("MonitorTimeout")):
                result = await self._agent.monitor(self._around.context())
        except TimeoutError:
            self._around.log("warning", f"monitor of {self.resource.name} ran out of time")
            return None
        except _FAILURES as error:
            return MonitorResult(ResourceState.UNKNOWN, detail=str(error))
        self._drop_watchers()
        self.watches_mounts, self.watches_addresses = result.watch_mounts, result.watch_addresses
        self._watchers = [asyncio.ensure_future(self._await_end(descriptor)) for descriptor in result.pidfds]
        return result

    async def _await_end(self, pidfd: int) -> None:
        try:
            await readable(pidfd)
            self._event.set()
        finally:
            os.close(pidfd)

    def _drop_watchers(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        self._watchers = []

    async def _go_online(self) -> None:
        async with self._around.threads:
            if self._abandoned or not self._around.may_start():
                self._set(phase=Phase.IDLE)
                return
            self._around.log("info", f"online {self.resource.name}")
            reason, trouble = await self._started()
        if trouble:
            self._around.log("warning", f"{self.resource.name} did not come online: {trouble}")
            await self._clean(reason, trouble, abandoned=bool(self._abandoned))
            return
        self._stable = asyncio.get_running_loop().time()
        self._counters = Counters(restarts=self._counters.restarts)
        self._set(state=ResourceState.ONLINE, phase=Phase.IDLE, faulted=False, detail="")

    async def _started(self) -> tuple[CleanReason, str]:
        """Run online in a task of its own, so that it can be abandoned; return what went wrong, or an empty text."""
        self._start = asyncio.ensure_future(self._bring_online())
        try:
            return CleanReason.ONLINE_INEFFECTIVE, await self._start
        except TimeoutError:
            return CleanReason.ONLINE_HUNG, "online ran out of time"
        except _FAILURES as error:
            return CleanReason.ONLINE_INEFFECTIVE, str(error)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if not self._abandoned or (current is not None and current.cancelling()):
                raise
            return CleanReason.ONLINE_INEFFECTIVE, self._abandoned
        finally:
            self._start.cancel()
            self._start = None

    async def _bring_online(self) -> str:
        limit_s = self._limit("OnlineTimeout")
        async with asyncio.timeout(limit_s):
            pause_s = await self._agent.online(self._around.context())
            await asyncio.sleep(pause_s)
            return await self._until(ResourceState.ONLINE, float(limit_s)) or ""

    async def _go_offline(self) -> None:
        async with self._around.threads:
            self._around.log("info", f"offline {self.resource.name}")
            try:
                async with asyncio.timeout(self._limit("OfflineTimeout")):
                    pause_s = await self._agent.offline(self._around.context())
                    await asyncio.sleep(pause_s)
                    trouble = await self._until(ResourceState.OFFLINE, _OFFLINE_PATIENCE_S)
                reason = CleanReason.OFFLINE_INEFFECTIVE
            except TimeoutError:
                trouble, reason = "offline ran out of time", CleanReason.OFFLINE_HUNG
            except _FAILURES as error:
                trouble, reason = str(error), CleanReason.OFFLINE_INEFFECTIVE
        if trouble:
            self._around.log("warning", f"{self.resource.name} did not go offline: {trouble}")
            await self._clean(reason, trouble)
            return
        self._counters = Counters()
        self._set(state=ResourceState.OFFLINE, phase=Phase.IDLE, restarts=0, detail="")

    async def _until(self, wanted: ResourceState, limit_s: float) -> str | None:
        """Monitor in growing steps until the state is ``wanted``; return what is wrong, or None."""
        loop = asyncio.get_running_loop()
        end, step = loop.time() + limit_s, 0
        while True:
            result = await self._monitor()
            if result is not None and result.state is wanted and not result.broken:
                return None
            if loop.time() >= end:
                detail = "monitor ran out of time" if result is None else result.detail
                return detail or f"it is {'unknown' if result is None else result.state.value} after the entry point"
            await asyncio.sleep(_POLL_S[min(step, len(_POLL_S) - 1)])
            step += 1

    async def _clean(self, reason: CleanReason, detail: str, abandoned: bool = False) -> None:
        self._set(phase=Phase.CLEANING, detail=detail)
        attempt = 0
        while not await self._clean_once(reason):
            self._set(clean_failing=True, detail=f"{detail}; clean failed {attempt + 1} times")
            await asyncio.sleep(_CLEAN_PAUSES_S[min(attempt, len(_CLEAN_PAUSES_S) - 1)])
            attempt += 1
            if self._around.hands_off():
                self._set(phase=Phase.IDLE)
                return
        sequel, self._counters = after_clean(self.resource, reason, self._counters, abandoned)
        faulted = sequel is Sequel.FAULT
        self._around.log("warning" if faulted else "info", f"{self.resource.name} cleaned: {sequel.value}")
        self._set(
            state=ResourceState.OFFLINE, phase=Phase.IDLE, clean_failing=False, faulted=faulted, detail=detail,
            probed=True, restarts=self._counters.restarts,
        )  # fmt: skip

    async def _clean_once(self, reason: CleanReason) -> bool:
        self._around.log("info", f"clean {self.resource.name} ({reason.name.lower().replace('_', ' ')})")
        try:
            async with asyncio.timeout(self._limit("CleanTimeout")):
                if not await self._agent.clean(self._around.context(), reason):
                    return False
        except (TimeoutError, *_FAILURES) as error:
            self._around.log("warning", f"clean of {self.resource.name} failed: {error}")
            return False
        result = await self._monitor()
        return result is not None and result.state is ResourceState.OFFLINE

    async def _entry(self, name: str, work: object, limit: str) -> None:
        assert asyncio.iscoroutine(work)
        try:
            async with asyncio.timeout(self._limit(limit)):
                await work
        except (TimeoutError, *_FAILURES) as error:
            self._around.log("warning", f"{name} of {self.resource.name} failed: {error}")

    def _set(self, **changes: object) -> None:
        before = self.fact
        self.fact = replace(self.fact, **changes)  # type: ignore[arg-type]
        if self.fact != before:
            self._around.changed()
