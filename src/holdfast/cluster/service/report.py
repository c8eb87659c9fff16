"""The state as front ends show it: one frozen report per group, resource and system, and rows of history.

Native command and dialects print the same reports, so that they never disagree.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.cluster.model.configuration import Configuration, Group
from holdfast.cluster.model.facts import (
    Event,
    Evidence,
    GroupFact,
    Heartbeat,
    Info,
    Intent,
    Note,
    ResourceState,
    Wanted,
)
from holdfast.cluster.plan.status import autodisabled, group_flags, resource_flags
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
    owners: tuple[str, ...] = ()
    """Of a parallel group every system that it belongs to; else the owner."""
    autodisabled: Mapping[str, str] = field(default_factory=dict)
    """Per system why nothing may start there although nobody said so; empty where it may."""


@dataclass(frozen=True, slots=True)
class SystemReport:
    """A system as the coordinator sees it, and the groups that are its own."""

    name: str
    state: str
    incarnation: str
    coordinator: bool
    owns: tuple[str, ...]
    frozen: bool = False
    """A person froze it until further notice (TFrozen)."""
    version: str = ""
    """Of the software that runs there."""
    protocol: int = 0
    """Of the records that it writes and reads."""
    networks: Mapping[str, bool] = field(default_factory=dict)
    """Which of the networks that it watches work."""
    jeopardy: str = ""
    """Why its silence would prove little; empty where it is not in jeopardy."""


def living_fact(state: State, group: str, system: str) -> GroupFact | None:
    """Return what ``system`` says of ``group``, if its present incarnation said it and it is not known to be dead."""
    fact, beat = state.facts.get((group, system)), state.heartbeats.get(system)
    if fact is None or beat is None or beat.incarnation != fact.incarnation:
        return None
    intent = state.intents.get(group)
    if intent is not None and intent.outlived(fact):
        return None
    return None if state.judged.get(system) in ("dead", "left") else fact


def said_of(state: State, configuration: Configuration, resource: str, system: str) -> ResourceState | None:
    """Return what ``system`` last said of a resource; None when it said nothing, or is not known to live."""
    group = configuration.group_of(resource)
    fact = None if group is None else living_fact(state, group.name, system)
    found = None if fact is None or state.judged.get(system) != "alive" else fact.resources.get(resource)
    return found.state if found is not None and found.probed else None


def group_report(state: State, group: Group) -> GroupReport:
    """Return the report of one group."""
    facts = {name: living_fact(state, group.name, name) for name in group.priorities}
    intents = {name: state.intent_on(group, name) or Intent(group.name) for name in group.priorities}
    leading = _leading(state, group, intents)
    return GroupReport(
        name=group.name,
        owner=leading.owner,
        wanted=leading.wanted.value,
        reason=leading.reason,
        frozen=leading.frozen,
        maintenance=leading.in_maintenance,
        evidence=leading.evidence,
        following=leading.following,
        note=_note(state, group),
        probed={name: fact is not None and fact.probed for name, fact in facts.items()},
        systems={name: group_flags(group, fact, intents[name], name) for name, fact in facts.items()},
        resources=tuple(resource_report(state, group, name) for name in group.resources),
        owners=tuple(name for name, intent in intents.items() if intent.owner == name),
        autodisabled={
            name: autodisabled(group, name, intents[name], facts[name], state.judged.get(name, "uncertain"))
            for name in group.priorities
        },
    )


def _leading(state: State, group: Group, intents: Mapping[str, Intent]) -> Intent:
    """The intent that stands for the group: its own, or of a parallel group the first part that is wanted online."""
    if not group.parallel:
        return state.intents.get(group.name, Intent(group.name))
    owned = [intent for intent in intents.values() if intent.owner]
    wanted = [intent for intent in owned if intent.wanted is Wanted.ONLINE]
    return next(iter(wanted + owned), Intent(group.name))


def _note(state: State, group: Group) -> Note:
    """What is to be said of the group now; of a parallel group that of the first part of which there is something."""
    found = [state.notes.get(name) for name in ([unit.unit for unit in group.units.values()] or [group.name])]
    return next((note for note in found if note is not None and note.code), None) or Note(group.name)


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
    owns = tuple(intent.group for _, intent in sorted(state.intents.items()) if intent.owner == name)
    beat = beat or Heartbeat(name, "", "", 0)
    return SystemReport(
        name, word, beat.incarnation, leads, owns, name in state.frozen, beat.version, beat.protocol, beat.networks,
        state.jeopardy.get(name, ""),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class InfoReport:
    """What the agent of a resource told on a system, and what that is worth: ``Valid``, ``Invalid`` (it could not
    tell) or ``Stale`` (nothing yet, too long ago, or the system is not there any more)."""

    resource: str
    system: str
    worth: str
    at: float
    values: Mapping[str, str]
    trouble: str


def info_report(state: State, group: Group, name: str, now: float) -> list[InfoReport]:
    """Return what the agent of a resource told, of each system that the group may run on; ``now`` is wall-clock."""
    found = []
    for system in group.priorities:
        info = state.infos.get((name, system), Info(name, system, 0.0))
        resource = group.resources[name]
        every_s, limit_s = resource.number("InfoInterval", system), resource.number("InfoTimeout", system)
        old = not info.at or bool(every_s and now - info.at > 2 * every_s + limit_s)
        gone = state.judged.get(system) != "alive"
        worth = "Stale" if old or gone else "Invalid" if info.trouble else "Valid"
        found.append(InfoReport(name, system, worth, info.at, info.values, info.trouble))
    return found


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
