"""Carries out the plan of a flash resync around a service, and brings the service back whatever fails.

Requests go to the cluster through its store, the copy command to whatever makes the copies: an array through dscli, or
a file system of this system (``replication.ports.FlashCopies``). The procedure is journaled
(``runtime.procedure``). Three nets lie below: if a step fails, maintenance is left by force, which makes the engine
bring the group back to its intent; if this process dies, the engine does the same when the maintenance deadline passes;
and whoever resyncs or settles next finds the journal and settles it: forward, with a recovery point, if the
array says that the copies were made, else back. The recovery point is recorded with its consistency, in the same
transaction that ends the journal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Intent, Request, ResourceState
from holdfast.cluster.service.client import ClusterClient, configuration_of
from holdfast.cluster.service.report import group_report
from holdfast.continuity.plan.resync import ARRAY, ResyncFacts, ResyncRequest, consistency, plan_resync
from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.kernel.plan import Plan, Step
from holdfast.replication.ports import FlashCopies, FlashRelation, Pair
from holdfast.runtime import procedure
from holdfast.store.port import Put, Store

NAME = "resync"
POINTS = "continuity/recovery-points/"
THAW_DEADLINE_S = 60.0
STEP_TIMEOUT_S = 40.0
COPY_PATIENCE_S = 30.0
"""How long the record of a recovery point waits for the copy in the background; the service is back by then."""
_SETTLED: dict[tuple[str, ...], str] = {("ONLINE",): "ONLINE", ("OFFLINE",): "OFFLINE"}


Ways = Callable[[str], Awaitable[FlashCopies]]
"""Kind of copies (``array``, ``btrfs``, ``reflink``) → what makes them for the group."""


class Resync:
    """One resync of a group's flash copies. ``by`` says who asked for it."""

    def __init__(self, client: ClusterClient, store: Store, ways: Ways, group: str, by: str) -> None:
        self._client, self._store, self._ways, self._group, self._by = client, store, ways, group, by
        self._verified: bool | None = None

    async def run(self, request: ResyncRequest, verify: bool) -> dict[str, Any]:
        """Resync and return the recovery point; what an earlier resync left is settled before.

        Raises ``Refused`` with the first reason when nothing was done; ``HoldfastError`` when a step failed on the way
        and the service was brought back.
        """
        await self.settle()
        facts = await self._facts(request)
        plan = plan_resync(request, facts)
        if plan.refusals:
            raise Refused(plan.refusals[0])
        async with procedure.begun(self._store, self._entry(plan, request, facts)) as journal:
            began = time.monotonic()
            try:
                await journal.perform(plan, lambda step: self._act(step, journal, request, verify))
            except BaseException as error:
                await self._unwind(journal, error)
                raise
            point = await self._point(journal.entry, time.monotonic() - began)
            await journal.end([_put(point)])
            return point

    async def _unwind(self, journal: procedure.Journal, error: BaseException) -> None:
        """Bring the service back after a step failed, record the copies if they were made, and say so.

        Who lost the procedure to somebody else touches nothing: the maintenance in force is that one's.
        """
        if isinstance(error, Refused) and error.refusal.code == procedure.LOST:
            raise HoldfastError(f"the resync was taken over: {error}", "holdfast snapshot list") from error
        try:
            found = await self._conclude(journal)
        except HoldfastError as second:
            error.add_note(f"and it could not be settled: {second}; say: holdfast snapshot settle {self._group}")
            return
        if isinstance(error, Refused):
            made = "; the copies were made and are recorded" if found["point"] else ""
            told = f"the resync failed on the way: {error}{made}"
            raise HoldfastError(told, "the service was brought back") from error

    async def settle(self) -> dict[str, Any] | None:
        """Settle what a dead resync left, forward or back; return what was found, None when nothing was left.

        The result says ``outcome`` ("completed" or "undone") and, when completed, carries the recovery point.
        """
        async with procedure.orphaned(self._store, NAME, self._group) as journal:
            if journal is None:
                return None
            found = {"group": self._group, "by": journal.entry.by, "progress": journal.entry.progress}
            return found | await self._conclude(journal)

    async def _conclude(self, journal: procedure.Journal) -> dict[str, Any]:
        """End an unfinished resync: leave its own maintenance, record the recovery point if the copies were made."""
        await self._bring_back(journal.entry)
        if not await self._made(journal.entry):
            await journal.end()
            return {"outcome": "undone", "point": None}
        point = await self._point(journal.entry, None)
        await journal.end([_put(point)])
        return {"outcome": "completed", "point": point}

    async def _made(self, entry: procedure.Entry) -> bool:
        """Whether the array has made all the copies: its word counts, for the process may have died before its answer.

        A pair that is gone, or whose point in time is still the old one, was not made.
        """
        if "at" not in entry.notes:
            return False
        before = msgspec.json.decode(entry.notes["synced_before"], type=dict[str, str])
        now = await self._synced(entry)
        pairs = entry.notes["pairs"].split()
        return all(pair in before and pair in now and now[pair] != before[pair] for pair in pairs)

    async def _synced(self, entry: procedure.Entry) -> dict[str, str]:
        found = await self._relations(_kind(entry), _pairs(entry))
        return {":".join(pair): row.at for pair, row in found.items()}

    async def _relations(self, kind: str, pairs: Sequence[Pair]) -> dict[Pair, FlashRelation]:
        copies = await self._ways(kind)
        return await asyncio.to_thread(copies.relations, pairs)

    def _entry(self, plan: Plan, request: ResyncRequest, facts: ResyncFacts) -> procedure.Entry:
        notes = {
            "pairs": " ".join(":".join(pair) for pair in request.pairs),
            "kind": request.kind,
            "online_on": " ".join(facts.online_on),
            "consistency": consistency(facts, request.kind).value,
        }
        return procedure.Entry(NAME, self._group, self._by, time.time(), tuple(step.id for step in plan.steps), notes)

    async def _facts(self, request: ResyncRequest) -> ResyncFacts:
        state = await self._client.state()
        group = configuration_of(state).groups.get(self._group)
        if group is None:
            raise Refused(Refusal("no-group", f"there is no group {self._group!r}", "holdfast group list"))
        report = group_report(state, group)
        flags = report.systems.get(report.owner, ("OFFLINE",))
        online_on = tuple(name for name, found in report.systems.items() if found == ("ONLINE",))
        copies = await self._ways(request.kind)
        rows = await asyncio.to_thread(copies.relations, request.pairs)
        return ResyncFacts(
            group=self._group,
            state=_SETTLED.get(flags, "|".join(flags)),
            online_on=online_on,
            maintenance=state.intents.get(self._group, Intent(self._group)).in_maintenance,
            resources=_above_volumes(group),
            relations=tuple(rows.values()),
            targets_in_use=await asyncio.to_thread(copies.users, [target for _, target in request.pairs]),
            together=copies.abilities.together,
            since_last_s=await self._since_last(),
        )

    async def _act(self, step: Step, journal: procedure.Journal, request: ResyncRequest, verify: bool) -> None:
        match step.action:
            case "maintenance-on":
                await self._ask("group.maintenance", mode="on", for_s=str(THAW_DEADLINE_S))
                await journal.note(maintenance_until=repr((await self._intent()).maintenance_until))
            case "maintenance-off":
                await self._ask("group.maintenance", mode="off")
            case "resync":
                before = msgspec.json.encode(await self._synced(journal.entry)).decode()
                await journal.note(at=repr(time.time()), synced_before=before)
                await self._insist_quiet(journal.entry)
                copies = await self._ways(request.kind)
                await asyncio.to_thread(self._copy, copies, request, verify)
            case action:
                await self._resource(action, step)

    async def _resource(self, action: str, step: Step) -> None:
        request = Request("", f"resource.{action}", self._group, step.args["resource"], step.args["system"])
        await self._client.ask(request, STEP_TIMEOUT_S)

    async def _ask(self, operation: str, **options: str) -> None:
        await self._client.ask(Request("", operation, self._group, options=options), STEP_TIMEOUT_S)

    def _copy(self, copies: FlashCopies, request: ResyncRequest, verify: bool) -> None:
        copies.resync(request.pairs, quiet=True)
        if verify:
            digests = copies.digests([name for pair in request.pairs for name in pair])
            self._verified = all(digests[source] == digests[target] for source, target in request.pairs)

    async def _intent(self) -> Intent:
        return (await self._client.state()).intents.get(self._group, Intent(self._group))

    async def _insist_quiet(self, entry: procedure.Entry) -> None:
        """Raise unless what was released for the copy still is: the maintenance may have passed its deadline since."""
        if not entry.notes["online_on"]:
            return
        state = await self._client.state()
        intent = state.intents.get(self._group, Intent(self._group))
        fact = state.facts.get((self._group, entry.notes["online_on"].split()[0]))
        released = [step.removeprefix("offline-") for step in entry.done if step.startswith("offline-")]
        up = [name for name in released if fact is None or fact.resources[name].state is not ResourceState.OFFLINE]
        if repr(intent.maintenance_until) != entry.notes["maintenance_until"] or up:
            why = f"{up[0]} is online again" if up else "the maintenance of this resync is over"
            raise HoldfastError(f"the copies would not be what they promise: {why}", "try again")

    async def _bring_back(self, entry: procedure.Entry) -> None:
        """Leave the maintenance that this resync began, and no other."""
        intent = await self._intent()
        if intent.in_maintenance and repr(intent.maintenance_until) == entry.notes.get("maintenance_until"):
            await self._ask("group.maintenance", mode="off", force="1")

    async def _point(self, entry: procedure.Entry, away_s: float | None) -> dict[str, Any]:
        rows = await self._copied(entry)
        return {
            "group": self._group,
            "at": float(entry.notes["at"]),
            "kind": _kind(entry),
            "pairs": entry.notes["pairs"].split(),
            "consistency": entry.notes["consistency"],
            "verified": self._verified,
            "away_seconds": None if away_s is None else round(away_s, 2),
            "tracks_total": sum(row.tracks_total for row in rows),
            "tracks_copied": sum(row.tracks_copied for row in rows),
        }

    async def _copied(self, entry: procedure.Entry) -> list[FlashRelation]:
        """Return the copies once the background copy is over, or as they are after COPY_PATIENCE_S."""
        end = time.monotonic() + COPY_PATIENCE_S
        while True:
            rows = list((await self._relations(_kind(entry), _pairs(entry))).values())
            if not any(row.tracks_left for row in rows) or time.monotonic() >= end:
                return rows
            await asyncio.sleep(0.2)

    async def _since_last(self) -> float | None:
        points = await recovery_points(self._store, self._group)
        return time.time() - float(points[-1]["at"]) if points else None


async def recovery_points(store: Store, group: str) -> list[dict[str, Any]]:
    """Return a group's recovery points, oldest first."""
    entries = (await store.read(f"{POINTS}{group}/")).entries
    return [msgspec.json.decode(entries[key].value) for key in sorted(entries)]


def _put(point: Mapping[str, Any]) -> Put:
    return Put(f"{POINTS}{point['group']}/{time.time_ns():020d}", msgspec.json.encode(point))


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


def _kind(entry: procedure.Entry) -> str:
    return entry.notes.get("kind", ARRAY)


def _pairs(entry: procedure.Entry) -> list[Pair]:
    found = []
    for name in entry.notes["pairs"].split():
        source, _, target = name.partition(":")
        found.append((source, target))
    return found
