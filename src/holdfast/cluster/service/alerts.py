"""Alerts: what waits for a person. They are read from what the coordinator wrote down, never kept apart from it, so
that one is there exactly as long as its cause.

A person who has seen to an alert takes note of it (``haalert -delete``), with a reason. It is not shown again for as
long as nothing about it changes; that the cause is still there every report of its group goes on to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import Acknowledgement
from holdfast.cluster.model.widearea import RemoteState
from holdfast.cluster.service.records import NOTES, REMOTES, State

KINDS = {
    "cluster-down": "CFAULT", "split-brain": "SPLITBRAIN", "no-target": "NOFAILA", "no-failover": "NOFAILA",
    "no-evidence": "NOFAILA", "data-not-current": "NOFAILA", "not-admitted": "NOFAILA", "admin-wait": "ADMINWAIT",
    "violation": "VIOLATION", "barred": "BARRED",
}  # fmt: skip
"""Code of a note → kind of alert. CFAULT (a remote cluster is lost) and NOFAILA (a group has no system to go to) are
VCS's words; the others are [K]."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that waits for a person. ``revision`` is that of what it was read from."""

    id: str
    kind: str
    about: str
    text: str
    remedy: str
    revision: int
    acknowledged: Acknowledgement | None = None


def alerts(state: State, configuration: Configuration) -> list[Alert]:
    """Return every alert; one that a person has taken note of says so."""
    return [*_of_groups(state), *_of_clusters(state, configuration)]


def _of_groups(state: State) -> Iterator[Alert]:
    for unit, note in sorted(state.notes.items()):
        kind = KINDS.get(note.code)
        if kind is not None:
            yield _alert(state, kind, unit, note.text, note.remedy, NOTES + unit)


def _of_clusters(state: State, configuration: Configuration) -> Iterator[Alert]:
    told = {note.code for note in state.notes.values()}
    for name in configuration.remote_clusters:
        found = state.remotes.get(name)
        lost = found is not None and found.state is RemoteState.FAULTED
        if lost and name not in state.declared and "cluster-down" not in told:
            remedy = f"holdfast cluster declare {name} disaster|outage|disconnect|replica"
            yield _alert(state, "CFAULT", name, f"cluster {name} is lost: no heartbeat answers", remedy, REMOTES + name)


def _alert(state: State, kind: str, about: str, text: str, remedy: str, key: str) -> Alert:
    named, revision = f"{kind}_{about}", state.revisions.get(key, 0)
    word = state.acknowledged.get(named)
    return Alert(
        named, kind, about, text, remedy, revision, word if word is not None and word.revision == revision else None
    )
