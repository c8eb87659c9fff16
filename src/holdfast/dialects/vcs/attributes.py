"""What ``-display``, ``-value``, ``-list`` and ``-wait`` see: every object as rows of attribute, system and value.

One function per kind of object makes its rows, the settings of the configuration first, then what the systems report;
the queries are the same for all kinds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from holdfast.cluster.model.attributes import (
    CLUSTER_ATTRIBUTES,
    GROUP_ATTRIBUTES,
    RESOURCE_ATTRIBUTES,
    SYSTEM_ATTRIBUTES,
    TYPE_ATTRIBUTES,
    AttributeDef,
    Value,
)
from holdfast.cluster.model.configuration import Group, Values
from holdfast.cluster.plan.status import intent_state
from holdfast.cluster.service.report import group_report, info_report, living_fact, resource_report, system_report
from holdfast.dialects.vcs.session import Session
from holdfast.kernel.errors import Refusal, Refused

GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute of one object; ``system`` is :data:`GLOBAL` where the value is the same everywhere."""

    attribute: str
    system: str
    value: str

    @property
    def words(self) -> tuple[str, ...]:
        """The value, and the parts of one that is made of flags or keys."""
        return (self.value, *(part for part in self.value.replace("|", " ").split() if part != self.value))


def show(value: Value) -> str:
    """Return a value as VCS prints it: words side by side, associations as key and value."""
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, tuple):
        return " ".join(value)
    return " ".join(f"{key} {text}" for key, text in value.items())


def _settings(values: Values, known: Mapping[str, AttributeDef], systems: list[str]) -> Iterator[Row]:
    for name, definition in known.items():
        if name in values.local:
            for system in systems:
                found = values.get(name, system)
                yield Row(name, system, show(definition.default if found is None else found))
        else:
            found = values.get(name)
            yield Row(name, GLOBAL, show(definition.default if found is None else found))


def group_rows(session: Session, name: str) -> list[Row]:
    """Return the rows of a group."""
    group = session.group(name)
    report, systems = group_report(session.state, group), list(group.priorities)
    rows = list(_settings(group.values, GROUP_ATTRIBUTES, systems))
    numbers = {system: str(number) for system, number in group.priorities.items()}
    rows = [Row(one.attribute, GLOBAL, show(numbers)) if one.attribute == "SystemList" else one for one in rows]
    rows.append(Row("TFrozen", GLOBAL, "1" if report.frozen else "0"))
    for system, flags in report.systems.items():
        rows.append(Row("AutoDisabled", system, "1" if report.autodisabled.get(system) else "0"))
        rows.append(Row("Probed", system, "1" if report.probed[system] else "0"))
        rows.append(Row("State", system, f"|{'|'.join(flags)}|"))
    return rows


def resource_rows(session: Session, name: str) -> list[Row]:
    """Return the rows of a resource."""
    group = session.group_of(name)
    resource, systems = group.resources[name], list(group.priorities)
    rows = [Row("Group", GLOBAL, group.name), Row("Type", GLOBAL, resource.type.name)]
    rows += _settings(resource.values, {one: RESOURCE_ATTRIBUTES[one] for one in _ALWAYS}, systems)
    rows += _resource_states(session, group, name)
    rows += _told(session, group, name)
    overridden = {
        one: TYPE_ATTRIBUTES[one]
        for one in (*resource.values.common, *resource.values.local)
        if one in TYPE_ATTRIBUTES and one not in resource.type.attributes
    }
    known = {one: found for one, found in resource.type.attributes.items() if one != "ArgList"}
    return rows + list(_settings(resource.values, {**known, **overridden}, systems))


_ALWAYS = ("AutoStart", "Critical", "Enabled")


def _resource_states(session: Session, group: Group, name: str) -> Iterator[Row]:
    for system, flags in resource_report(session.state, group, name).systems.items():
        fact = living_fact(session.state, group.name, system)
        known = fact.resources.get(name) if fact else None
        intent = session.state.intent_on(group, system)
        goal = intent.wanted if intent is not None and intent.owner == system else None
        yield Row("IState", system, intent_state(known, goal))
        yield Row("State", system, "|".join(flags))


def _told(session: Session, group: Group, name: str) -> Iterator[Row]:
    """ResourceInfo: what the agent's info entry point told last, with what that is worth and when it was."""
    for one in info_report(session.state, group, name, time.time()):
        at = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(one.at)) if one.at else ""
        said = one.trouble or " ".join(f"{key} {value}" for key, value in one.values.items())
        yield Row("ResourceInfo", one.system, " ".join(filter(None, ("State", one.worth, "Msg", said, "TS", at))))


def overridden(session: Session, name: str) -> frozenset[str]:
    """Return the attributes that a resource has a value of its own for."""
    values = session.group_of(name).resources[name].values
    return frozenset((*values.common, *values.local))


def system_rows(session: Session, name: str) -> list[Row]:
    """Return the rows of a system."""
    values = session.configuration.systems[session.named_system(name)]
    rows = list(_settings(values, SYSTEM_ATTRIBUTES, [name]))
    report = system_report(session.state, name)
    told = session.state.loads.get(name)
    if told is not None:
        amounts = " ".join(f"{key} {number}".strip() for key, number in told.amounts.items())
        rows.append(Row("DynamicLoad", GLOBAL, amounts))
    seen = [Row("TFrozen", GLOBAL, "1" if report.frozen else "0"), Row("SysState", GLOBAL, report.state)]
    if report.networks:
        links = " ".join(f"{name} {'UP' if works else 'DOWN'}" for name, works in report.networks.items())
        seen += [Row("LinkHbStatus", GLOBAL, links), Row("InJeopardy", GLOBAL, "1" if report.jeopardy else "0")]
    return [Row(one.attribute, GLOBAL, one.value) for one in rows] + seen


def cluster_rows(session: Session, _name: str = "") -> list[Row]:
    """Return the rows of the cluster."""
    configuration = session.configuration
    running = [name for name in configuration.systems if system_report(session.state, name).state == "RUNNING"]
    facts = {
        "ClusterName": configuration.name,
        "ClusState": "RUNNING" if running else "EXITED",
        "ReadOnly": "0" if session.state.writable else "1",
        "EngineVersion": "Holdfast",
    }
    rows = [Row(name, GLOBAL, value) for name, value in facts.items()]
    return rows + [
        one for one in _settings(configuration.cluster, CLUSTER_ATTRIBUTES, []) if one.attribute != "UserNames"
    ]


def type_rows(session: Session, name: str) -> list[Row]:
    """Return the rows of a type: its static attributes, those that every type has included."""
    kind = session.configuration.types.get(name)
    if kind is None:
        raise Refused(Refusal("no-type", f"there is no type {name!r}", "hatype -list"))
    known = {**TYPE_ATTRIBUTES, **{one.name: one for one in kind.attributes.values() if one.static}}
    rows = [Row(one, GLOBAL, show(found.default)) for one, found in sorted(known.items())]
    return [*rows, Row("SourceFile", GLOBAL, kind.source)]
