"""The state as front ends show it: one frozen report per group, resource and system, and rows of history.

Native command and dialects print the same reports, so that they never disagree.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Event, Evidence, GroupFact, Intent, Note
from holdfast.cluster.plan.status import group_flags, resource_flags
from holdfast.cluster.service.records import State

_SYSTEM_STATES = {"alive": "RUNNING", "dead": "FAULTED", "left": "EXITED", "uncertain": "INITING"}


@dataclass(frozen=True, slots=True)
class ResourceReport:
    """A resource on each system: flags such as ``("ONLINE",)``, and what else is to be said."""

    name: str
    type: str
    group: str
    systems: Mapping[str, tuple[str, ...]]
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupReport:
    """A group: where it is, why, on which evidence, what is waited for."""

    name: str
    owner: str
    wanted: str
    reason: str
    frozen: bool
    maintenance: bool
    evidence: Evidence | None
    following: str
    note: Note
    probed: Mapping[str, bool]
    systems: Mapping[str, tuple[str, ...]]
    resources: tuple[ResourceReport, ...]


@dataclass(frozen=True, slots=True)
class SystemReport:
    """A system as the coordinator sees it, and the groups that are its own."""

    name: str
    state: str
    incarnation: str
    coordinator: bool
    owns: tuple[str, ...]


def living_fact(state: State, group: str, system: str) -> GroupFact | None:
    """Return what ``system`` says of ``group``, if its present incarnation said it and it is not known to be dead."""
    fact, beat = state.facts.get((group, system)), state.heartbeats.get(system)
    if fact is None or beat is None or beat.incarnation != fact.incarnation:
        return None
    return None if state.judged.get(system) in ("dead", "left") else fact


def group_report(state: State, group: Group) -> GroupReport:
    """Return the report of one group."""
    intent = state.intents.get(group.name, Intent(group.name))
    facts = {name: living_fact(state, group.name, name) for name in group.priorities}
    return GroupReport(
        name=group.name,
        owner=intent.owner,
        wanted=intent.wanted.value,
        reason=intent.reason,
        frozen=intent.frozen,
        maintenance=intent.in_maintenance,
        evidence=intent.evidence,
        following=intent.following,
        note=state.notes.get(group.name, Note(group.name)),
        probed={name: fact is not None and fact.probed for name, fact in facts.items()},
        systems={name: group_flags(group, fact, intent, name) for name, fact in facts.items()},
        resources=tuple(resource_report(state, group, name) for name in group.resources),
    )


def resource_report(state: State, group: Group, name: str) -> ResourceReport:
    """Return the report of one resource."""
    found = {system: living_fact(state, group.name, system) for system in group.priorities}
    facts = {system: None if fact is None else fact.resources.get(name) for system, fact in found.items()}
    return ResourceReport(
        name=name,
        type=group.resources[name].type.name,
        group=group.name,
        systems={system: resource_flags(fact) for system, fact in facts.items()},
        details={system: fact.detail for system, fact in facts.items() if fact is not None and fact.detail},
    )


def system_report(state: State, name: str) -> SystemReport:
    """Return the report of one system."""
    beat = state.heartbeats.get(name)
    word = _SYSTEM_STATES.get(state.judged.get(name, ""), "UNKNOWN")
    if word == "RUNNING" and beat is not None and beat.state != "RUNNING":
        word = beat.state
    leads = state.coordinator is not None and beat is not None and state.coordinator.session == beat.session
    owns = tuple(group for group, intent in sorted(state.intents.items()) if intent.owner == name)
    return SystemReport(name, word, "" if beat is None else beat.incarnation, leads, owns)


def event_rows(events: Sequence[Event]) -> list[tuple[str, ...]]:
    """Return events as rows of text."""
    return [
        (
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(event.at)),
            event.kind,
            event.group,
            event.system,
            event.by,
            event.text,
        )
        for event in events
    ]
