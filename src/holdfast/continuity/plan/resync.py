"""The steps of a flash resync around a service, or the reason why it will not be done.

The order is that of seed document 001 (maintenance on, unmount, copy, mount, maintenance off), with the application
stopped before the file systems are released. The copy is one command for all volumes, so that they share one point in
time. Whatever was taken down is brought up again by the procedure, and if the procedure dies, by the engine, because
maintenance carries a deadline. Copies that a file system makes need it mounted: there only the application stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from holdfast.kernel.errors import Refusal
from holdfast.kernel.plan import Plan, Step
from holdfast.replication.ports import FlashRelation


class Consistency(StrEnum):
    """What a recovery point promises, from the weakest to the strongest."""

    CRASH = "crash-consistent"
    UNMOUNTED = "application stopped, file systems unmounted"
    STOPPED = "application stopped, raw volumes"
    SYNCED = "application stopped, file system synchronised"
    OFFLINE = "service offline"


ARRAY = "array"
"""The kind of copies that an array makes; any other is a file system's."""


@dataclass(frozen=True, slots=True)
class ResyncFacts:
    """What is known when the plan is made.

    ``resources`` are those above the mirrored volumes, the topmost first, each with its type; ``online_on`` names the
    systems where the group is online; ``since_last_s`` is None when the flash copies were never resynced; ``together``
    says whether sources that are written can get one point in time.
    """

    group: str
    state: str
    online_on: tuple[str, ...]
    maintenance: bool
    resources: tuple[tuple[str, str], ...]
    relations: tuple[FlashRelation, ...]
    targets_in_use: Mapping[str, str]
    since_last_s: float | None = None
    together: bool = True


@dataclass(frozen=True, slots=True)
class ResyncRequest:
    """What is asked for: the pairs (source, target) and what makes them, and the least seconds between two resyncs."""

    pairs: tuple[tuple[str, str], ...]
    min_delay_s: float = 0.0
    force: bool = False
    kind: str = ARRAY


def plan_resync(request: ResyncRequest, facts: ResyncFacts) -> Plan:
    """Return the steps, or a plan with refusals and no steps."""
    refusals = tuple(_refusals(request, facts))
    if refusals:
        return Plan(refusals=refusals)
    if not facts.online_on:
        return Plan((_copy_step(request, ()),), ("the service is offline: nothing needs to be quiesced",))
    system = facts.online_on[0]
    steps = [Step("maintenance-on", "maintenance-on", {"group": facts.group}, reason="faults are expected now")]
    last = "maintenance-on"
    stopped = ("Application", "Mount") if request.kind == ARRAY else ("Application",)
    released = [(name, kind) for name, kind in facts.resources if kind in stopped]
    for name, kind in released:
        steps.append(_resource_step("offline", name, system, last, f"{kind} must let go of the volumes"))
        last = steps[-1].id
    steps.append(_copy_step(request, (last,)))
    last = "resync"
    for name, kind in reversed(released):
        steps.append(_resource_step("online", name, system, last, f"{kind} goes on"))
        last = steps[-1].id
    steps.append(
        Step("maintenance-off", "maintenance-off", {"group": facts.group}, (last,), "the service is whole again")
    )
    return Plan(tuple(steps), (f"{facts.group} is online on {system}; {consistency(facts, request.kind).value}",))


def consistency(facts: ResyncFacts, kind: str = ARRAY) -> Consistency:
    """Return what the copy will promise, by what is taken down before it."""
    if not facts.online_on:
        return Consistency.OFFLINE
    kinds = {kind for _, kind in facts.resources}
    if kind != ARRAY:
        return Consistency.SYNCED if "Application" in kinds else Consistency.CRASH
    if "Application" not in kinds:
        return Consistency.CRASH if "Mount" not in kinds else Consistency.UNMOUNTED
    return Consistency.UNMOUNTED if "Mount" in kinds else Consistency.STOPPED


def _refusals(request: ResyncRequest, facts: ResyncFacts) -> Sequence[Refusal]:
    refusals = []
    if facts.maintenance:
        refusals.append(
            Refusal("in-maintenance", f"{facts.group} is in maintenance already", "wait, or leave maintenance first")
        )
    if len(facts.online_on) > 1 or facts.state not in ("ONLINE", "OFFLINE"):
        refusals.append(
            Refusal(
                "group-unsettled", f"{facts.group} is {facts.state}", "bring the group fully online or offline first"
            )
        )
    rows = {(row.source, row.target): row for row in facts.relations}
    for pair in request.pairs:
        name = ":".join(pair)
        row = rows.get(pair)
        if row is None:
            made = "holdfast snapshot make " + f"{request.kind}:{'='.join(pair)}"
            remedy = f"mkflash -persist -record {name}" if request.kind == ARRAY else made
            refusals.append(Refusal("pair-missing", f"there is no flash copy {name}", remedy))
        elif not (row.recording and row.persistent):
            refusals.append(
                Refusal("not-recording", f"flash copy {name} does not record changes", "rmflash, then mkflash -record")
            )
        user = facts.targets_in_use.get(pair[1])
        if user:
            refusals.append(Refusal("target-in-use", f"volume {pair[1]} is in use by {user}", "release it first"))
    written = facts.online_on and not any(kind == "Application" for _, kind in facts.resources)
    if written and not facts.together and len(request.pairs) > 1:
        reason = f"{facts.group} has no application to stop, and {request.kind} copies of several get no one moment"
        refusals.append(Refusal("not-together", reason, "keep the data in one, or take the group offline first"))
    too_soon = facts.since_last_s is not None and facts.since_last_s < request.min_delay_s
    if too_soon and not request.force:
        refusals.append(
            Refusal("too-soon", f"the last resync was {facts.since_last_s:.0f} s ago", "wait, or say --force")
        )
    return refusals


def _resource_step(action: str, name: str, system: str, after: str, reason: str) -> Step:
    return Step(f"{action}-{name}", action, {"resource": name, "system": system}, (after,), reason)


def _copy_step(request: ResyncRequest, after: tuple[str, ...]) -> Step:
    pairs = " ".join(":".join(pair) for pair in request.pairs)
    return Step("resync", "resync", {"pairs": pairs}, after, "all volumes at one point in time")
