"""The coordinator's planner: one picture in, one decision out, the same for the same picture.

Requests of people come first; a group that a request has just changed is looked at again in the next picture. Every
group otherwise gets at most one change, so that each commit is small and each step is seen by all. What is decided for
one group counts at once for the next: two groups of one decision never take the same room on a system. Of a parallel
group each system's part is decided by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from holdfast.cluster.model.facts import Freeze, Note, Request, RequestState
from holdfast.cluster.plan.groups import decide_group
from holdfast.cluster.plan.outcome import Outcome
from holdfast.cluster.plan.privileges import denial
from holdfast.cluster.plan.requests import answer, progress
from holdfast.cluster.plan.roster import Roster
from holdfast.cluster.plan.view import Ask, Decision, View

_DEAD_ENDS = frozenset(
    (
        "no-evidence",
        "data-not-current",
        "no-target",
        "no-failover",
        "not-admitted",
        "waiting-for-group",
        "barred",
        "admin-wait",
    )
)
"""Notes that say: nothing will happen before somebody does something."""


def decide(view: View) -> Decision:
    """Return what to commit, and what to ask before deciding the rest."""
    roster = Roster(view.intents)
    view = replace(view, intents=roster)
    said = _answers(view, roster)
    view = _marked(view, said.freezes)
    changes, outcomes, asks = list(said.changes), list(said.outcomes), list(said.asks)
    notes: list[Note] = []
    authorities = list(said.authorities)
    touched = {change.intent.unit for change in changes} | {one.group for one in authorities}
    answered = {one.id for one in outcomes}
    for unit in view.configuration.units:
        if unit.unit in touched:
            continue
        part = decide_group(view, unit)
        stuck = _stuck(view, part, answered)
        outcomes.extend(stuck)
        answered.update(one.id for one in stuck)
        for change in part.changes:
            changes.append(change)
            roster.put(change.intent)
            touched.add(change.intent.unit)
        asks.extend(part.asks)
        authorities.extend(part.authorities)
        notes.extend(part.notes if part.notes or part.asks else (Note(unit.unit),))
    return Decision(
        tuple(changes),
        tuple(notes),
        tuple(outcomes),
        tuple(asks),
        said.freezes,
        said.words,
        tuple(authorities),
        said.declarations,
        said.loads,
    )


def _answers(view: View, roster: Roster) -> Decision:
    """Answer what people ask, one request after another; a group that one has changed is left for the next picture."""
    outcomes: list[Request] = []
    asks: list[Ask] = []
    given: list[Outcome] = []
    touched: set[str] = set()
    for request in view.requests:
        if request.options.get("at") not in (None, "", view.configuration.name):
            continue  # another cluster answers it
        if request.state is RequestState.ACCEPTED and request.serial:
            finished = progress(view, request)
            if finished is not None:
                outcomes.append(finished)
            continue
        if request.group in touched or (touched and not request.group):
            continue
        denied = denial(view.configuration, request.by, request.operation, request.group, view.trusted)
        if denied is not None:
            told = replace(request, state=RequestState.REFUSED, code=denied.code, reason=denied.reason)
            outcomes.append(replace(told, remedy=denied.remedy))
            continue
        outcome = answer(view, request)
        if outcome.asks:
            asks.extend(outcome.asks)
            continue
        if any(change.intent.group in touched for change in outcome.changes):
            continue
        for change in outcome.changes:
            touched.add(change.intent.group)
            roster.put(change.intent)
        touched.update(one.group for one in outcome.authorities)
        given.append(outcome)
        view = _marked(view, outcome.freezes)
        if outcome.request is not None and outcome.request != request:
            outcomes.append(outcome.request)
    return Decision(
        changes=tuple(change for one in given for change in one.changes),
        outcomes=tuple(outcomes),
        asks=tuple(asks),
        freezes=tuple(mark for one in given for mark in one.freezes),
        words=tuple(word for one in given for word in one.words),
        authorities=tuple(claim for one in given for claim in one.authorities),
        declarations=tuple(said for one in given for said in one.declarations),
        loads=tuple(load for one in given for load in one.loads),
    )


def _marked(view: View, freezes: Iterable[Freeze]) -> View:
    """Return the view with systems frozen, or not any more, as was decided a moment ago in the same picture."""
    marks = {mark.system: replace(view.system(mark.system), frozen=mark.frozen) for mark in freezes}
    return replace(view, systems={**view.systems, **marks}) if marks else view


def _stuck(view: View, part: Decision, answered: set[str]) -> list[Request]:
    """Tell those who wait for a group that it cannot be moved now; the planner itself keeps trying."""
    return [
        replace(request, state=RequestState.REFUSED, code=note.code, reason=note.text, remedy=note.remedy)
        for note in part.notes
        if note.code in _DEAD_ENDS
        for request in view.requests
        if request.state is RequestState.ACCEPTED and request.id not in answered and _about(request, note.group)
        and request.operation in ("group.online", "group.switch", "group.takeover")
    ]  # fmt: skip


def _about(request: Request, unit: str) -> bool:
    group, _, system = unit.partition("@")
    return request.group == group and request.serial > 0 and (not system or request.system in ("", system))
