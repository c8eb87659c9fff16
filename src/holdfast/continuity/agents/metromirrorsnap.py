"""MetroMirrorSnap: a point-in-time copy of mirror targets, for a fire drill at the other site while production runs.

An extension; seed document 002 has nothing of the kind. *online* makes flash copies of the local volumes, which are
targets of Metro Mirror pairs, and creates a lock file; resources above it mount the copies and run the application's
own check; *offline* withdraws the copies. Production is not touched: the pairs go on, and the copies are of the array
that nobody writes to. By default online is refused where a pair is not in step: a drill on stale data proves little.

Withdrawing is done again at every clean and before every online, so that a drill that died leaves no copy behind that
the next one would trip over.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.cluster.model.attributes import Value
from holdfast.cluster.model.facts import CleanReason
from holdfast.cluster.ports import AgentContext
from holdfast.continuity.agents.dscli import CopyServices
from holdfast.continuity.agents.lockfile import LockFileAgent, lock, unlock
from holdfast.kernel.errors import HoldfastError, InputError

IN_STEP = "Target Full Duplex"


class MetroMirrorSnap(LockFileAgent):
    """Attributes of MetroMirror's for reaching the array, SnapIds (mirrored volume → volume for its copy),
    RequireInStep (default 1)."""

    async def online(self, context: AgentContext) -> float:
        """Make the copies. Raises where a volume is no mirror target, or one that is behind."""
        snaps, copies = _snaps(context), CopyServices(context)
        states = {row.volume: row.state for row in await copies.pairs(tuple(snaps))}
        for volume in snaps:
            state = states.get(volume, "")
            if not state.startswith("Target") and context.number("RequireInStep"):
                text = f"{volume} is {state or 'in no pair'} here, not a target: production may run on this side"
                raise HoldfastError(f"{context.resource}: {text}", "rehearse at the other site")
            if state != IN_STEP and context.number("RequireInStep"):
                remedy = "resume the pair, or set RequireInStep = 0 to rehearse on what there is"
                raise HoldfastError(f"{context.resource}: {volume} is {state}", remedy)
        await self._withdraw(copies, snaps)
        await copies.flash(_pairs(snaps))
        lock(context)
        return 0.0

    async def offline(self, context: AgentContext) -> float:
        """Withdraw the copies."""
        await self._withdraw(CopyServices(context), _snaps(context))
        unlock(context)
        return 0.0

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Withdraw the copies, also half-made ones."""
        await self.offline(context)
        return True

    async def info(self, context: AgentContext) -> Mapping[str, str]:
        """Return the state of each copy."""
        found = await CopyServices(context).flashes(_pairs(_snaps(context)))
        return {pair: "present" for pair in found}

    async def _withdraw(self, copies: CopyServices, snaps: Mapping[str, str]) -> None:
        there = await copies.flashes(_pairs(snaps))
        if there:
            await copies.withdraw(there)
            left = await copies.flashes(there)
            if left:
                raise HoldfastError(f"the copies {' '.join(left)} are not gone")


def _snaps(context: AgentContext) -> dict[str, str]:
    value: Value = context.attributes.get("SnapIds", {})
    if not isinstance(value, Mapping) or not value or not all(value.values()):
        raise InputError(
            f"{context.resource} does not say which volume takes which copy",
            remedy="set SnapIds = { 1260 = 1360, 1261 = 1361 }",
        )
    return {volume: str(target) for volume, target in value.items()}


def _pairs(snaps: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{volume}:{target}" for volume, target in snaps.items())
