"""What would happen, and why, before it happens: the production planner played to its end on an imagined cluster.

What only the outside can answer (does the fence confirm, is the data current) is assumed, and every assumption is
named. The result is a list of steps in their order and the state in which each group ends; nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from holdfast.cluster.model.facts import Departure, Evidence, EvidenceKind, Note, RequestState, Standing, Wanted
from holdfast.cluster.plan.imagined import Imagined
from holdfast.cluster.plan.local import Order
from holdfast.cluster.plan.status import group_flags
from holdfast.cluster.plan.view import Answer, Ask, AskKind, Decision, View
from holdfast.kernel.errors import Refusal

_ROUNDS = 400


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the outside is taken to answer: the fence confirms (or refuses), the data of the other side is current."""

    fence_confirms: bool = True
    data_current: bool = True


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What happens first: systems that are lost, resources that fault on a system, systems that leave."""

    lost: tuple[str, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()
    leaving: Mapping[str, Departure] = field(default_factory=dict)
    assumed: Assumed = Assumed()
    silent_s: float = 0.0
    """For how long a lost system will have been silent when it is called dead."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that would happen. ``kind`` is an event's (``placed``, ``kept-down``), ``online`` or ``offline`` of a
    resource, ``waits`` for what hinders a group, ``assumed`` for what the outside answers, ``done`` or ``refused`` for
    what was asked. ``rejected`` says why each other system is passed over."""

    kind: str
    text: str
    group: str = ""
    system: str = ""
    resource: str = ""
    evidence: str = ""
    rejected: Mapping[str, str] = field(default_factory=dict)
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """Where a group was and where it ends; its flags per system; what it still waits for. ``interrupted``: it, or a
    part of it, went down on the way."""

    group: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    interrupted: bool
    systems: Mapping[str, tuple[str, ...]]
    note: Note


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would happen. ``settled`` is False when the cluster would not come to rest."""

    steps: tuple[Step, ...]
    endings: tuple[Ending, ...]
    settled: bool


def forecast(view: View, first: WhatIf) -> Forecast:
    """Play ``view`` to its end: each of its requests in turn, then what else ``first`` says, each to its end."""
    world = Imagined(replace(view, requests=()))
    before = {name: tuple(world.anything_on(name)) for name in view.configuration.groups}
    steps: list[Step] = []
    settled = True
    for request in view.requests:
        world.requests.append(request)
        settled &= _play(world, first.assumed, steps)
    steps += _happen(world, first)
    settled &= _play(world, first.assumed, steps)
    down = {step.group for step in steps if step.kind == Wanted.OFFLINE.value}
    down |= {name for name, where in before.items() if set(where) & set(first.lost)}
    return Forecast(tuple(steps), tuple(_endings(world, before, down)), settled)


def _play(world: Imagined, assumed: Assumed, steps: list[Step]) -> bool:
    """Play until nothing changes any more; False when that does not come."""
    for _ in range(_ROUNDS):
        rest, notes = world.rest(), dict(world.notes)
        decision = world.decide()
        steps += _told(decision, notes)
        steps += _answered(world, decision, assumed)
        for system in world.configuration.systems:
            steps += [_order(group, system, order) for group, order in world.step(system)]
        if rest == world.rest():
            return True
    return False


def _happen(world: Imagined, first: WhatIf) -> Iterator[Step]:
    for system in first.lost:
        world.lose(system, first.silent_s)
        yield Step("lost", f"{system} is lost with everything that runs there", system=system)
    for resource, system in first.faults:
        group = world.configuration.group_of(resource)
        assert group is not None
        world.fault(resource, system)
        text = f"{resource} faults on {system}, and its restarts in place did not help"
        yield Step("fault", text, group.name, system, resource)
    for system, how in first.leaving.items():
        world.leaving[system] = how
        yield Step("leaves", f"{system} is stopped{_HOW[how]}", system=system)


_HOW = {
    Departure.HANDS_OVER: "; other systems may take its groups over",
    Departure.WAITS: "; its groups wait for it",
    Departure.PARKED: " by force; its groups run on without anybody to look after them",
}


def _told(decision: Decision, before: Mapping[str, Note]) -> Iterator[Step]:
    for change in decision.changes:
        intent = change.intent
        proof = "" if intent.evidence is None else f"{intent.evidence.kind.value}: {intent.evidence.text}"
        evidence = proof if intent.wanted is Wanted.ONLINE else ""
        yield Step(
            change.kind, change.text, intent.group, intent.following or intent.owner, "", evidence, change.rejected
        )
    for mark in decision.freezes:
        yield Step("freeze" if mark.frozen else "unfreeze", f"{mark.system} takes no group", system=mark.system)
    for note in decision.notes:
        if note.code and note.code != before.get(note.group, Note(note.group)).code:
            group = note.group.partition("@")[0]
            yield Step("waits", note.text, group, rejected=note.rejected, remedy=note.remedy)
    for request in decision.outcomes:
        what = " ".join(filter(None, (request.operation, request.resource or request.group, request.system)))
        if request.state is RequestState.REFUSED:
            yield Step("refused", f"{what}: {request.reason}", request.group, request.system, remedy=request.remedy)
        elif request.state is RequestState.DONE:
            yield Step("done", what + (f": {request.output}" if request.output else ""), request.group)


def _answered(world: Imagined, decision: Decision, assumed: Assumed) -> Iterator[Step]:
    """Answer what the planner asks of the outside, as assumed."""
    for ask in decision.asks:
        if ask not in world.answers:
            answer, text = _assumption(ask, assumed)
            world.answers[ask] = answer
            yield Step("assumed", text, ask.group, ask.system)


def _assumption(ask: Ask, assumed: Assumed) -> tuple[Answer, str]:
    if ask.kind is AskKind.ADMIT:
        return None, f"the fence gives {ask.system} access to the data of {ask.group}"
    if ask.kind is AskKind.STANDING:
        told = "is current" if assumed.data_current else "is not known to be current"
        text = f"the data of {ask.group} on {ask.system}'s side {told}"
        return Standing(True if assumed.data_current else None, f"assumed: {text}"), text
    power = ask.kind is AskKind.POWER
    what = f"{ask.system} is off" if power else f"{ask.system} has no access to the data of {ask.group}"
    who = "its device" if power else "the fence"
    if assumed.fence_confirms:
        text = f"{who} confirms that {what}"
        return Evidence(EvidenceKind.FENCED, f"assumed: {text}", ask.system, ask.incarnation), text
    text = f"{who} does not confirm that {what}"
    return Refusal("fence-refused", f"assumed: {text}"), text


def _order(group: str, system: str, order: Order) -> Step:
    verb = "comes online" if order.wanted is Wanted.ONLINE else "goes offline"
    text = f"{order.resource} {verb} on {system}: {order.reason}"
    return Step(order.wanted.value, text, group, system, order.resource)


def _endings(world: Imagined, before: Mapping[str, tuple[str, ...]], down: set[str]) -> Iterator[Ending]:
    view = world.picture()
    for name, group in world.configuration.groups.items():
        flags = {
            system: group_flags(group, view.fact(name, system), view.intent(group.on(system)), system)
            for system in group.priorities
        }
        units = [unit.unit for unit in group.units.values()] or [name]
        found = [world.notes[unit] for unit in units if unit in world.notes and world.notes[unit].code]
        after = tuple(world.anything_on(name))
        interrupted = bool(before[name]) and name in down
        yield Ending(name, before[name], after, interrupted, flags, found[0] if found else Note(name))
