"""Carries out the plan of a flash resync around a service, and brings the service back whatever fails.

Requests go to the cluster through its store, the copy command to the array through dscli. Two nets lie below: if a step
fails, maintenance is left by force, which makes the engine bring the group back to its intent; if this process dies,
the engine does the same when the maintenance deadline passes. The recovery point is recorded with its consistency.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Intent, Request
from holdfast.cluster.service.client import ClusterClient, configuration_of
from holdfast.cluster.service.report import group_report
from holdfast.continuity.plan.resync import FlashRow, ResyncFacts, ResyncRequest, consistency, plan_resync
from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.kernel.plan import Plan, Step
from holdfast.replication.drivers.ds8000 import Ds8000
from holdfast.replication.drivers.ds8000 import Request as CopyRequest
from holdfast.store.port import Put, Store

POINTS = "continuity/recovery-points/"
THAW_DEADLINE_S = 60.0
STEP_TIMEOUT_S = 40.0
_SETTLED: dict[tuple[str, ...], str] = {("ONLINE",): "ONLINE", ("OFFLINE",): "OFFLINE"}


@dataclass(frozen=True, slots=True)
class CopyTools:
    """The array as the procedure uses it: dscli, and its own counters, digests and users of volumes."""

    dscli: Ds8000
    counters: Callable[[], Mapping[str, Mapping[str, int]]]
    digests: Callable[[Sequence[str]], Mapping[str, str]]
    users: Callable[[], Mapping[str, str]]


class Resync:
    """One resync of a group's flash copies."""

    def __init__(self, client: ClusterClient, store: Store, tools: CopyTools, group: str) -> None:
        self._client, self._store, self._tools, self._group = client, store, tools, group
        self._verified: bool | None = None

    async def run(self, request: ResyncRequest, verify: bool) -> dict[str, Any]:
        """Resync and return the recovery point.

        Raises ``Refused`` with the first reason when nothing was done; ``HoldfastError`` when a step failed on the way
        and the service was brought back.
        """
        facts = await self._facts(request)
        plan = plan_resync(request, facts)
        if plan.refusals:
            raise Refused(plan.refusals[0])
        began = time.monotonic()
        try:
            await self._carry_out(plan, request, verify)
        except Refused as refused:
            await self._bring_back(facts)
            raise HoldfastError(f"the resync failed on the way: {refused}", "the service was brought back") from refused
        except BaseException:
            await self._bring_back(facts)
            raise
        return await self._record(request, facts, time.monotonic() - began)

    async def _facts(self, request: ResyncRequest) -> ResyncFacts:
        state = await self._client.state()
        group = configuration_of(state).groups.get(self._group)
        if group is None:
            raise Refused(Refusal("no-group", f"there is no group {self._group!r}", "holdfast group list"))
        report = group_report(state, group)
        flags = report.systems.get(report.owner, ("OFFLINE",))
        online_on = tuple(name for name, found in report.systems.items() if found == ("ONLINE",))
        rows = await asyncio.to_thread(self._tools.dscli.flashes, [":".join(pair) for pair in request.pairs])
        return ResyncFacts(
            group=self._group,
            state=_SETTLED.get(flags, "|".join(flags)),
            online_on=online_on,
            maintenance=state.intents.get(self._group, Intent(self._group)).in_maintenance,
            resources=_above_volumes(group),
            relations=tuple(_flash_row(row) for row in rows.values()),
            targets_in_use=await asyncio.to_thread(self._tools.users),
            since_last_s=await self._since_last(),
        )

    async def _carry_out(self, plan: Plan, request: ResyncRequest, verify: bool) -> None:
        for step in plan.steps:
            match step.action:
                case "maintenance-on":
                    await self._ask("group.maintenance", mode="on", for_s=str(THAW_DEADLINE_S))
                case "maintenance-off":
                    await self._ask("group.maintenance", mode="off")
                case "resync":
                    await asyncio.to_thread(self._copy, request, verify)
                case action:
                    await self._resource(action, step)

    async def _resource(self, action: str, step: Step) -> None:
        request = Request("", f"resource.{action}", self._group, step.args["resource"], step.args["system"])
        await self._client.ask(request, STEP_TIMEOUT_S)

    async def _ask(self, operation: str, **options: str) -> None:
        await self._client.ask(Request("", operation, self._group, options=options), STEP_TIMEOUT_S)

    def _copy(self, request: ResyncRequest, verify: bool) -> None:
        pairs = tuple(":".join(pair) for pair in request.pairs)
        dscli = self._tools.dscli
        dscli.change(CopyRequest("resyncflash", dscli.dev, pairs, options=("-persist", "-record", "-cp")))
        if verify:
            digests = self._tools.digests([volume for pair in request.pairs for volume in pair])
            self._verified = all(digests[source] == digests[target] for source, target in request.pairs)

    async def _bring_back(self, facts: ResyncFacts) -> None:
        if facts.online_on:
            await self._ask("group.maintenance", mode="off", force="1")

    async def _record(self, request: ResyncRequest, facts: ResyncFacts, seconds: float) -> dict[str, Any]:
        counters = await asyncio.to_thread(self._tools.counters)
        rows = [counters[":".join(pair)] for pair in request.pairs]
        point: dict[str, Any] = {
            "group": self._group,
            "at": time.time(),
            "pairs": [":".join(pair) for pair in request.pairs],
            "consistency": consistency(facts).value,
            "verified": self._verified,
            "away_seconds": round(seconds, 2),
            "tracks_total": sum(row["tracks_total"] for row in rows),
            "tracks_copied": sum(row["tracks_to_copy"] for row in rows),
        }
        key = f"{POINTS}{self._group}/{time.time_ns():020d}"
        await self._store.transact([], [Put(key, msgspec.json.encode(point))])
        return point

    async def _since_last(self) -> float | None:
        entries = (await self._store.read(f"{POINTS}{self._group}/")).entries
        if not entries:
            return None
        return time.time() - float(msgspec.json.decode(entries[max(entries)].value)["at"])


def _above_volumes(group: Group) -> tuple[tuple[str, str], ...]:
    """Return the group's resources that need another one, topmost first, with their types."""
    order: list[str] = []
    waiting = set(group.resources)
    while waiting:
        free = sorted(name for name in waiting if not any(parent in waiting for parent in group.parents(name)))
        if not free:
            raise HoldfastError(f"the resources of {group.name} form a circle")
        order += free
        waiting -= set(free)
    return tuple((name, group.resources[name].type.name) for name in order)


def _flash_row(row: Mapping[str, str]) -> FlashRow:
    source, _, target = row["ID"].rpartition("/")[2].partition(":")
    return FlashRow(source, target, row["Recording"] == "Enabled", row["Persistent"] == "Enabled")
