"""One resource on this system: monitors it, carries out orders, cleans, restarts, gives up.

A worker does one thing at a time, in its own task, so that a slow resource delays no other. What it knows is its
:class:`ResourceFact`; what it decides with is pure (``plan.faults``); what it does is done by ``entrypoints``. Between
monitors it sleeps until its interval is over, an order comes, or something it watches happens: a process ends, the
mount table changes.

Clean before anything else: while clean fails, nothing else is done to the resource, and clean is tried again. Where the
group manages no faults (ManageFaults NONE), or clean is given up (CleanRetryLimit), an administrator is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from holdfast.cluster.model.configuration import Resource
from holdfast.cluster.model.facts import CleanReason, Phase, ResourceFact, ResourceState, Wanted
from holdfast.cluster.plan.faults import Counters, Sequel, Verdict, after_clean, judge
from holdfast.cluster.ports import Agent, AgentContext, CommandResult, MonitorResult
from holdfast.cluster.service.entrypoints import EntryPoints, Failure

ECHO_S = 0.5
"""After what was watched has happened, and changed nothing yet, the resource is looked at once more: a process that
has ended still answers ``kill -0`` until its parent takes note."""
_CLEAN_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)


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
    manages_faults: Callable[[], bool] = lambda: True


class Worker:
    """Looks after one resource. ``fact`` is what it knows; only its own task changes it, save for what is cleared."""

    def __init__(self, resource: Resource, agent: Agent, system: str, around: Surroundings) -> None:
        self.resource, self.fact = resource, ResourceFact(keeps=resource.keeps)
        self._system, self._around = system, around
        self._counters, self._event = Counters(), asyncio.Event()
        self._do = EntryPoints(resource, agent, system, around.context, around.log, self._event.set)
        self._order: Wanted | None = None
        self._start: asyncio.Task[Failure | None] | None = None
        self._abandoned = ""

    @property
    def busy(self) -> bool:
        """An order waits or is carried out."""
        return self.fact.phase is not Phase.IDLE

    @property
    def watches_mounts(self) -> bool:
        """Its state depends on the mount table."""
        return self._do.watches_mounts

    @property
    def watches_addresses(self) -> bool:
        """Its state depends on the addresses of this system."""
        return self._do.watches_addresses

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
        self._counters = Counters(restarts=fact.restarts, troubled_at=self._now())

    def clear(self) -> None:
        """Forget the fault."""
        if self.fact.faulted:
            self._counters = Counters()
            self._set(faulted=False, detail="", restarts=0)
        self.probe()

    def clear_admin_wait(self, fault: bool) -> None:
        """End the wait for an administrator: the resource is looked at again, or counts as faulted."""
        if self.fact.admin_wait is not None:
            self._counters = Counters()
            self._set(admin_wait=None, faulted=fault or self.fact.faulted)
        self.probe()

    def forget_purpose(self) -> None:
        """The group is wanted offline: that somebody stopped the resource on purpose has been heard."""
        self._set(intentional=False)

    async def run(self, fresh: bool) -> None:
        """Look after the resource until cancelled. ``fresh``: a new incarnation, so the agent's open runs first."""
        if not self._do.limit("Enabled"):
            self._set(state=ResourceState.OFFLINE, phase=Phase.IDLE, probed=True, detail="disabled")
            await asyncio.Event().wait()
        if fresh:
            await self._do.open()
        woken = False
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
                    pause_s = self._interval_s()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(min(pause_s, ECHO_S) if woken and order is None else pause_s):
                            await self._event.wait()
                woken = self._event.is_set()
                self._event.clear()
        finally:
            self._do.drop_watchers()

    @property
    def info_interval_s(self) -> float:
        """How often people are told about the resource; 0 for never."""
        return float(self._do.limit("InfoInterval"))

    async def act(self, name: str, arguments: Sequence[str]) -> CommandResult:
        """Carry out an action; a timeout is a result too."""
        return await self._do.act(name, arguments)

    async def info(self) -> Mapping[str, str]:
        """Run info. Raises ``TimeoutError``, or what the agent raises."""
        return await self._do.info()

    def _interval_s(self) -> float:
        if not self.fact.probed:
            return 1.0
        offline = self.fact.state is ResourceState.OFFLINE
        return float(max(1, self._do.limit("OfflineMonitorInterval" if offline else "MonitorInterval")))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # --- watching

    async def _watch(self) -> None:
        before = self.fact.state
        result = await self._do.monitor()
        seen = None if result is None else result.state
        if result is not None and result.broken and not self._around.quiet():
            before, seen = ResourceState.ONLINE, ResourceState.OFFLINE
        elif self._waits_or_rests(before) or self._stopped_on_purpose(before, result):
            self._settle(result)
            return
        finding = judge(self.resource, before, seen, self._counters, self._now(), self._system)
        calm = bool(self._counters.restarts) and not finding.counters.restarts
        self._counters = finding.counters
        if calm:
            self._set(restarts=0)
        if finding.verdict is Verdict.CLEAN:
            detail = "" if result is None else result.detail
            self._around.log("warning", f"{self.resource.name} went offline unexpectedly {detail}".strip())
            self._around.broke()
            await self._clean(finding.reason, detail or "went offline unexpectedly")
        elif finding.verdict is Verdict.FINE or before is not ResourceState.ONLINE:
            self._settle(result)
        elif result is None:
            self._set(timed_out=True)
        elif seen is ResourceState.UNKNOWN:
            self._set(unclear=True, timed_out=False, detail=result.detail)

    def _waits_or_rests(self, before: ResourceState) -> bool:
        """Whether a finding is only taken note of: nothing is to be mended, or an administrator is waited for."""
        unknown = not self.fact.probed and before is not ResourceState.ONLINE
        return self._around.quiet() or unknown or self.fact.admin_wait is not None

    def _stopped_on_purpose(self, before: ResourceState, result: MonitorResult | None) -> bool:
        meant = result is not None and result.intentional and bool(self._do.limit("IntentionalOffline"))
        if meant and before is ResourceState.ONLINE:
            self._around.log("info", f"{self.resource.name} was stopped on purpose")
            self._set(intentional=True)
        return meant

    def _settle(self, result: MonitorResult | None) -> None:
        if result is None:
            self._set(timed_out=True, detail="monitor timed out")
            return
        online = result.state is ResourceState.ONLINE
        faulted = self.fact.faulted and not online
        detail = self.fact.detail if faulted or self.fact.admin_wait is not None else result.detail
        self._set(
            state=result.state, faulted=faulted, detail=detail, timed_out=False,
            probed=self.fact.probed or result.state is not ResourceState.UNKNOWN,
            intentional=self.fact.intentional and not online, broken=result.broken, unclear=False,
        )  # fmt: skip

    # --- orders

    async def _go_online(self) -> None:
        async with self._around.threads:
            if self._abandoned or not self._around.may_start():
                self._set(phase=Phase.IDLE)
                return
            self._around.log("info", f"online {self.resource.name}")
            trouble = await self._started()
        if trouble is not None:
            self._around.log("warning", f"{self.resource.name} did not come online: {trouble.text}")
            await self._clean(trouble.reason, trouble.text, abandoned=bool(self._abandoned))
            return
        self._counters = replace(self._counters, tolerated=0, retries=0, troubled_at=self._now())
        self._set(
            state=ResourceState.ONLINE, phase=Phase.IDLE, faulted=False, detail="", intentional=False, timed_out=False,
            broken=False, unclear=False,
        )  # fmt: skip

    async def _started(self) -> Failure | None:
        """Run online in a task of its own, so that it can be abandoned; return what went wrong."""
        self._start = asyncio.ensure_future(self._do.online())
        try:
            return await self._start
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if not self._abandoned or (current is not None and current.cancelling()):
                raise
            return Failure(CleanReason.ONLINE_INEFFECTIVE, self._abandoned)
        finally:
            self._start.cancel()
            self._start = None

    async def _go_offline(self) -> None:
        async with self._around.threads:
            if self._around.hands_off():  # frozen while the order waited for a monitor to end
                self._set(phase=Phase.IDLE)
                return
            self._around.log("info", f"offline {self.resource.name}")
            trouble = await self._do.offline()
        if trouble is not None:
            self._around.log("warning", f"{self.resource.name} did not go offline: {trouble.text}")
            await self._clean(trouble.reason, trouble.text)
            return
        self._counters = Counters()
        self._set(
            state=ResourceState.OFFLINE, phase=Phase.IDLE, restarts=0, detail="", timed_out=False, broken=False,
            unclear=False,
        )  # fmt: skip

    # --- clean

    async def _clean(self, reason: CleanReason, detail: str, abandoned: bool = False) -> None:
        if self._around.hands_off():
            self._leave_alone(detail)
            return
        if not self._around.manages_faults():
            await self._wait_for_admin(reason, detail)
            return
        self._set(phase=Phase.CLEANING, detail=detail)
        attempt, limit = 0, self._do.limit("CleanRetryLimit")
        while not await self._do.clean(reason):
            attempt += 1
            self._set(clean_failing=True, detail=f"{detail}; clean failed {attempt} times")
            if limit and attempt >= limit:
                await self._wait_for_admin(reason, f"{detail}; clean failed {attempt} times and is given up")
                return
            await asyncio.sleep(_CLEAN_PAUSES_S[min(attempt - 1, len(_CLEAN_PAUSES_S) - 1)])
            if self._around.hands_off():
                self._leave_alone(detail)
                return
        self._after_clean(reason, detail, abandoned)

    def _leave_alone(self, detail: str) -> None:
        """The group was frozen meanwhile: nothing more is done, and what is there now the next monitor says."""
        self._set(phase=Phase.IDLE, state=ResourceState.UNKNOWN, clean_failing=False, unclear=False, detail=detail)
        self._event.set()

    def _after_clean(self, reason: CleanReason, detail: str, abandoned: bool) -> None:
        sequel, self._counters = after_clean(self.resource, reason, self._counters, abandoned, self._system)
        faulted = sequel is Sequel.FAULT
        self._around.log("warning" if faulted else "info", f"{self.resource.name} cleaned: {sequel.value}")
        self._set(
            state=ResourceState.OFFLINE, phase=Phase.IDLE, clean_failing=False, faulted=faulted, detail=detail,
            probed=True, restarts=self._counters.restarts, timed_out=False, broken=False, unclear=False,
        )  # fmt: skip

    async def _wait_for_admin(self, reason: CleanReason, detail: str) -> None:
        self._around.log("warning", f"{self.resource.name} waits for an administrator: {detail}")
        result = await self._do.monitor()
        state = ResourceState.UNKNOWN if result is None else result.state
        self._counters = Counters()
        self._set(admin_wait=reason, phase=Phase.IDLE, clean_failing=False, state=state, detail=detail, probed=True)

    def _set(self, **changes: object) -> None:
        before = self.fact
        self.fact = replace(self.fact, **changes)  # type: ignore[arg-type]
        if self.fact != before:
            self._around.changed()
