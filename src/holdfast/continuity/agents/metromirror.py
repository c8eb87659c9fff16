"""The MetroMirror agent of seed document 002, entry point for entry point.

*online* makes the volumes writable if they are not (failoverpprc, then failbackpprc when the old source can be reached)
and creates the lock file; *monitor* looks at the lock file and at nothing else; *offline* removes it and touches no
array, because taking the resource offline is no intention to give up the volumes; *open* removes what a crash left;
*clean* faults the resource only if no command was interrupted half-way; the action *failback* merges changed tracks
into the old source. In a parallel group the systems take turns (``VCSResLock``), so that the array sees one takeover;
VolIds names the volumes, LSSList (an extension) whole subsystems. The agent speaks dscli through the workload, exactly
as it would to a DS8000.

A target that is in step by its own display is believed only if the other box, where it answers, does not say that it
has gone on without it. Whether this system may have the volumes at all was settled before, by evidence and by the
pair's record in the store; an array that is asked for a takeover which the record forbids refuses it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from holdfast.cluster.model.facts import CleanReason
from holdfast.cluster.ports import AgentContext, CommandResult
from holdfast.continuity.agents.dscli import CHANGE_NEEDS_S, CopyServices
from holdfast.continuity.agents.lockfile import LockFileAgent, lock, unlock
from holdfast.continuity.plan.metromirror import Need, OtherSide, PairRow, decide_online, safe_to_fault, with_other_box
from holdfast.kernel.errors import HoldfastError, Unavailable
from holdfast.replication.drivers.dscli_process import NotStarted

WAIT_STEP_S = 0.5
ARRAY_PATIENCE_S = 10.0
"""How long an array that does not answer is waited for. One that starts again is back before that; to fault at once
would take the group off every system of the site, for a fault that none of them has."""
OTHER_PATIENCE_S = 2.0
"""How long a source waits for the other box's word before it goes online: the cluster's evidence has settled already
who may be source, and a dead site must not hold up a start on this one."""
USUAL_TIMEOUT_S = 300
"""OnlineTimeout of a type that does not say. No takeover starts when too little of it is left (``CHANGE_NEEDS_S``): a
command cut off half-way is worse than a fault."""

Answer = TypeVar("Answer")


class MetroMirror(LockFileAgent):
    """Brings mirrored volumes of a DS8000, or of the software array, to the system that needs them."""

    async def online(self, context: AgentContext) -> float:
        """Make every volume writable, then create the lock file. Raises when that is not safe."""
        deadline = asyncio.get_running_loop().time() + (context.number("OnlineTimeout") or USUAL_TIMEOUT_S)
        async with context.turn():
            await self._online_in_turn(context, CopyServices(context, deadline), deadline)
        lock(context)
        return 0.0

    async def _online_in_turn(self, context: AgentContext, copies: CopyServices, deadline: float) -> None:
        patience = min(deadline - CHANGE_NEEDS_S, asyncio.get_running_loop().time() + ARRAY_PATIENCE_S)
        volumes = await _answered(copies.volumes, patience)
        asking = asyncio.create_task(copies.other_sides(volumes))  # meanwhile: it costs a takeover no time
        try:
            await self._bring_online(context, copies, volumes, deadline - CHANGE_NEEDS_S, asking)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _bring_online(
        self,
        context: AgentContext,
        copies: CopyServices,
        volumes: Sequence[str],
        last_start: float,
        asking: asyncio.Task[dict[str, OtherSide] | None],
    ) -> None:
        loop, split = asyncio.get_running_loop(), bool(context.number("SplitTakeover"))
        first = True
        while True:
            patience = min(last_start, loop.time() + ARRAY_PATIENCE_S)
            rows = await _answered(lambda: copies.pairs(volumes), patience)
            decision = decide_online(volumes, rows, split)
            if decision.need is Need.FAILOVER:
                timely = first and copies.paired_alike(volumes)
                others = await (asking if timely else copies.other_sides(volumes))
                decision = with_other_box(decision, rows, others, split)
            if decision.need is Need.NOTHING and first:
                await asyncio.wait((asking,), timeout=OTHER_PATIENCE_S)
                others = asking.result() if asking.done() and copies.paired_alike(volumes) else None
                decision = with_other_box(decision, rows, others, split)
            if decision.need is Need.NOTHING:
                return
            if decision.need is Need.FAULT or loop.time() > last_start:
                late = "" if decision.need is Need.FAULT else "too little of OnlineTimeout is left for a takeover: "
                raise HoldfastError(f"not safe to bring online: {late}{'; '.join(decision.reasons)}")
            if decision.need is Need.FAILOVER:
                await self._fail_over(context, copies, decision.failover, volumes)
                return
            first = False
            await asyncio.sleep(WAIT_STEP_S)

    async def offline(self, context: AgentContext) -> float:
        """Remove the lock file; the array is left alone."""
        unlock(context)
        return 0.0

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Remove the lock file, unless an interrupted command may have left the volumes between two states."""
        if _journal(context).exists():
            copies = CopyServices(context)
            volumes = await copies.volumes()
            if not safe_to_fault(volumes, await copies.pairs(volumes)):
                return False
            _journal(context).unlink(missing_ok=True)
        unlock(context)
        return True

    async def action(self, context: AgentContext, name: str, arguments: Sequence[str]) -> CommandResult:
        """Action ``failback``: copy the tracks that changed here, and there meanwhile, to the old source."""
        if name != "failback":
            return await super().action(context, name, arguments)
        copies = CopyServices(context)
        try:
            async with context.turn():
                volumes = await copies.volumes()
                await copies.failback(volumes)
        except HoldfastError as error:
            return CommandResult(1, stderr=str(error))
        return CommandResult(0, f"failed back: {' '.join(volumes)}\n")

    async def info(self, context: AgentContext) -> Mapping[str, str]:
        """Return each volume's state at the local array."""
        copies = CopyServices(context)
        rows: Sequence[PairRow] = await copies.pairs(await copies.volumes())
        return {row.volume: f"{row.state} ({row.reason})" for row in rows}

    async def _fail_over(
        self, context: AgentContext, copies: CopyServices, needed: Sequence[str], volumes: Sequence[str]
    ) -> None:
        journal = _journal(context)
        journal.write_text(" ".join(needed))
        try:
            await copies.failover(needed)
        except NotStarted:
            journal.unlink(missing_ok=True)
            raise
        except HoldfastError as error:
            raise HoldfastError(f"failoverpprc: {error.message}", error.remedy) from error
        with contextlib.suppress(HoldfastError):  # an old source that cannot be reached does not hinder the takeover
            await copies.failback(volumes)
        journal.unlink(missing_ok=True)


async def _answered(ask: Callable[[], Awaitable[Answer]], until: float) -> Answer:
    """Ask the array until it answers or ``until`` (on the loop's clock) is past."""
    while True:
        try:
            return await ask()
        except Unavailable:
            if asyncio.get_running_loop().time() > until:
                raise
        await asyncio.sleep(WAIT_STEP_S)


def _journal(context: AgentContext) -> Path:
    return context.run_directory / f"{context.resource}.journal"
