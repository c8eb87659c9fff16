"""The steps of a flash resync around a service, or the reason why it will not be done.

The order is that of seed document 001 (maintenance on, unmount, copy, mount, maintenance off), with the application
stopped before the file systems are released. The copy is one command for all volumes, so that they share one point in
time. Whatever was taken down is brought up again by the procedure, and if the procedure dies, by the engine, because
maintenance carries a deadline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from holdfast.kernel.errors import Refusal
from holdfast.kernel.plan import Plan, Step


class Consistency(StrEnum):
    """What a recovery point promises, from the weakest to the strongest."""

    CRASH = "crash-consistent"
    UNMOUNTED = "application stopped, file systems unmounted"
    STOPPED = "application stopped, raw volumes"
    OFFLINE = "service offline"


@dataclass(frozen=True, slots=True)
class FlashRow:
    """One flash copy relation as ``lsflash -l`` shows it."""

    source: str
    target: str
    recording: bool
    persistent: bool


@dataclass(frozen=True, slots=True)
class ResyncFacts:
    """What is known when the plan is made.

    ``resources`` are those above the mirrored volumes, the topmost first, each with its type; ``online_on`` names the
    systems where the group is online; ``since_last_s`` is None when the flash copies were never resynced.
    """

    group: str
    state: str
    online_on: tuple[str, ...]
    maintenance: bool
    resources: tuple[tuple[str, str], ...]
    relations: tuple[FlashRow, ...]
    targets_in_use: Mapping[str, str]
    since_last_s: float | None = None


@dataclass(frozen=True, slots=True)
class ResyncRequest:
    """What is asked for: the pairs (source, target), and the least seconds between two resyncs."""

    pairs: tuple[tuple[str, str], ...]
    min_delay_s: float = 0.0
    force: bool = False


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
    released = [(name, kind) for name, kind in facts.resources if kind in ("Application", "Mount")]
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
    return Plan(tuple(steps), (f"{facts.group} is online on {system}; {consistency(facts).value}",))


def consistency(facts: ResyncFacts) -> Consistency:
    """Return what the copy will promise, by what is taken down before it."""
    if not facts.online_on:
        return Consistency.OFFLINE
    kinds = {kind for _, kind in facts.resources}
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
            refusals.append(
                Refusal("pair-missing", f"there is no flash copy {name}", f"mkflash -persist -record {name}")
            )
        elif not (row.recording and row.persistent):
            refusals.append(
                Refusal("not-recording", f"flash copy {name} does not record changes", "rmflash, then mkflash -record")
            )
        user = facts.targets_in_use.get(pair[1])
        if user:
            refusals.append(Refusal("target-in-use", f"volume {pair[1]} is in use by {user}", "release it first"))
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
