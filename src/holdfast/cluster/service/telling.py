"""What a commit tells besides the intents: each new fact as its key, an event of history and a line of the log.

The coordinator puts these parts into one transaction with what it decided; nothing is told that is known already.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.cluster.model.facts import Event, Note
from holdfast.cluster.plan.view import Decision
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.records import (
    AUTHORITY,
    DECLARED,
    FROZEN,
    JEOPARDY,
    JUDGED,
    LOADS,
    NOTES,
    State,
    encode,
    event_key,
)
from holdfast.store.port import Delete, Put, Write

Told = tuple[list[Write], list[str]]
"""Writes, and lines for the log."""


class Teller:
    """Makes the parts; ``stamp`` (wall-clock nanoseconds) orders their events."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def freezes(self, state: State, decision: Decision, stamp: int) -> Told:
        """Return the systems that are frozen or not any more."""
        writes: list[Write] = []
        for place, mark in enumerate(decision.freezes):
            if mark.frozen == (mark.system in state.frozen):
                continue
            writes.append(Put(FROZEN + mark.system, encode(mark)) if mark.frozen else Delete(FROZEN + mark.system))
            kind = "freeze" if mark.frozen else "unfreeze"
            event = Event(self._clock.wall(), kind, mark.system, "", mark.system, mark.by, mark.reason, state.revision)
            writes.append(Put(event_key(stamp, 400 + place), encode(event)))
        return writes, []

    def loads(self, state: State, decision: Decision, stamp: int) -> Told:
        """Return what the load of systems is said to be; history does not tell of it: programs say it often."""
        writes: list[Write] = [
            Put(LOADS + said.system, encode(said)) if said.amounts else Delete(LOADS + said.system)
            for said in decision.loads
            if said.amounts or said.system in state.loads
        ]
        return writes, []

    def wide_area(self, state: State, decision: Decision, stamp: int) -> Told:
        """Return what was declared of remote clusters, and who may run which global group."""
        writes: list[Write] = [Put(DECLARED + said.cluster, encode(said)) for said in decision.declarations]
        lines: list[str] = []
        for place, one in enumerate(decision.authorities):
            text = f"authority over {one.group}: {'held here' if one.held else 'not here'}"
            text += f", counter {one.counter}" + (f", for cluster {one.to}" if one.to else "")
            event = Event(
                self._clock.wall(), "authority", text, one.group, by=one.by, reason=one.reason,
                revision=state.revision,
            )  # fmt: skip
            writes += [Put(AUTHORITY + one.group, encode(one)), Put(event_key(stamp, 600 + place), encode(event))]
            lines.append(text)
        return writes, lines

    def notes(self, state: State, decision: Decision, stamp: int) -> Told:
        """Return the notes that say something new."""
        writes: list[Write] = []
        lines: list[str] = []
        for place, note in enumerate(decision.notes):
            before = state.notes.get(note.group, Note(note.group))
            if _steady(note) == _steady(before):
                continue
            writes.append(Put(NOTES + note.group, encode(note)))
            group = note.group.partition("@")[0]
            if note.code and note.code != before.code:
                text = note.text + "".join(f"; not {name}: {why}" for name, why in note.rejected.items())
                event = Event(self._clock.wall(), note.code, text, group, reason=note.remedy, revision=state.revision)
                writes.append(Put(event_key(stamp, 500 + place), encode(event)))
                lines.append(f"{note.group}: {text}")
        return writes, lines

    def judgement(self, state: State, judged: dict[str, str], stamp: int) -> Told:
        """Return a new judgement of the systems."""
        writes: list[Write] = [Put(JUDGED, encode(judged))]
        lines: list[str] = []
        for place, (name, life) in enumerate(judged.items()):
            if state.judged.get(name) != life:
                text = f"{name} is {life}"
                event = Event(self._clock.wall(), "system", text, system=name, revision=state.revision)
                writes.append(Put(event_key(stamp, 800 + place), encode(event)))
                lines.append(text)
        return writes, lines

    def jeopardies(self, state: State, jeopardy: dict[str, str], stamp: int) -> Told:
        """Return which systems are in jeopardy now."""
        writes: list[Write] = [Put(JEOPARDY, encode(jeopardy))]
        lines: list[str] = []
        for place, name in enumerate(sorted({*jeopardy, *state.jeopardy})):
            if jeopardy.get(name) != state.jeopardy.get(name):
                why = jeopardy.get(name, "")
                text = f"{name} is in jeopardy: {why}" if why else f"{name} is not in jeopardy any more"
                event = Event(self._clock.wall(), "jeopardy", text, system=name, revision=state.revision)
                writes.append(Put(event_key(stamp, 900 + place), encode(event)))
                lines.append(text)
        return writes, lines


def _steady(note: Note) -> Note:
    """A note without what changes by the second, so that waiting does not write history."""
    if note.code == "maintenance":
        return replace(note, text="")
    rejected = {name: why.partition(" for ")[0] for name, why in note.rejected.items()}
    return replace(note, text=note.text.partition(" s ")[0], rejected=rejected)
