"""The coordinator's planner: one picture in, one decision out, the same for the same picture.

Requests of people come first; a group that a request has just changed is looked at again in the next picture. Every
group otherwise gets at most one change, so that each commit is small and each step is seen by all. What is decided for
one group counts at once for the next: two groups of one decision never take the same room on a system.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.cluster.model.facts import Note, Request, RequestState
from holdfast.cluster.plan.groups import decide_group
from holdfast.cluster.plan.requests import Outcome, answer, progress
from holdfast.cluster.plan.view import Ask, Change, Decision, View

_DEAD_ENDS = frozenset(
    ("no-evidence", "data-not-current", "no-target", "no-failover", "not-admitted", "waiting-for-group")
)
"""Notes that say: nothing will happen before somebody does something."""


def decide(view: View) -> Decision:
    """Return what to commit, and what to ask before deciding the rest."""
    changes: list[Change] = []
    notes: list[Note] = []
    outcomes: list[Request] = []
    asks: list[Ask] = []
    touched: set[str] = set()
    intents = dict(view.intents)
    view = replace(view, intents=intents)
    for request in view.requests:
        if request.state is RequestState.ACCEPTED:
            finished = progress(view, request)
            if finished is not None:
                outcomes.append(finished)
            continue
        if request.group in touched:
            continue
        outcome: Outcome = answer(view, request)
        if outcome.asks:
            asks.extend(outcome.asks)
            continue
        if outcome.change is not None:
            changes.append(outcome.change)
            touched.add(outcome.change.intent.group)
            intents[outcome.change.intent.group] = outcome.change.intent
        if outcome.request is not None:
            outcomes.append(outcome.request)
    for group in view.configuration.groups.values():
        if group.name in touched or group.flag("Parallel"):
            continue
        part = decide_group(view, group)
        outcomes.extend(_stuck(view, part, {one.id for one in outcomes}))
        changes.extend(part.changes)
        intents.update((change.intent.group, change.intent) for change in part.changes)
        touched.update(change.intent.group for change in part.changes)
        asks.extend(part.asks)
        notes.extend(part.notes if part.notes or part.asks else (Note(group.name),))
    return Decision(tuple(changes), tuple(notes), tuple(outcomes), tuple(asks))


def _stuck(view: View, part: Decision, answered: set[str]) -> list[Request]:
    """Tell those who wait for a group that it cannot be moved now; the planner itself keeps trying."""
    return [
        replace(request, state=RequestState.REFUSED, code=note.code, reason=note.text, remedy=note.remedy)
        for note in part.notes
        if note.code in _DEAD_ENDS
        for request in view.requests
        if request.state is RequestState.ACCEPTED and request.group == note.group and request.id not in answered
        and request.operation in ("group.online", "group.switch", "group.takeover")
    ]  # fmt: skip
