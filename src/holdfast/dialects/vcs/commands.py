"""The VCS commands by name: ``hastatus``, ``hasys``, ``haclus``, ``haconf`` here, the larger ones beside."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.cluster.model.attributes import SYSTEM_ATTRIBUTES
from holdfast.cluster.service.report import GroupReport, group_report, system_report
from holdfast.dialects.vcs import groups, hacf, layout, resources
from holdfast.dialects.vcs.groups import show
from holdfast.dialects.vcs.session import Form, Session, UsageError, VcsWire, Words, run_form


def _summary(session: Session, _words: Words) -> list[str]:
    configuration = session.configuration
    systems = []
    for name, values in configuration.systems.items():
        frozen = str(values.get("Frozen") or "0")
        systems.append((name, system_report(session.state, name).state, frozen))
    reports = [group_report(session.state, group) for group in configuration.groups.values()]
    rows = [
        (one.name, name, "Y" if one.probed[name] else "N", "N", "|".join(flags))
        for one in reports
        for name, flags in one.systems.items()
    ]
    lines = [*layout.system_rows(systems), *layout.group_rows(rows)]
    for title, letter, flag in (
        ("RESOURCES NOT PROBED", layout.NOT_PROBED_LETTER, "STATE UNKNOWN"),
        ("RESOURCES FAILED", layout.FAILED_LETTER, "FAULTED"),
    ):
        lines += layout.resource_rows(title, letter, _having(reports, flag))
    return lines


def _having(reports: Sequence[GroupReport], flag: str) -> list[tuple[str, str, str, str]]:
    return [
        (report.name, one.type, one.name, system)
        for report in reports
        for one in report.resources
        for system, flags in one.systems.items()
        if flag in flags and (flag != "STATE UNKNOWN" or report.systems[system] != ("UNKNOWN",))
    ]


def _system_states(session: Session, words: Words) -> list[str]:
    names = [session.system(words.first())] if words.first() else list(session.configuration.systems)
    if words.first():
        return [system_report(session.state, names[0]).state]
    rows = [layout.three(name, "SysState", system_report(session.state, name).state) for name in names]
    return [layout.SYSTEM_HEADING, *rows]


def _system_display(session: Session, words: Words) -> list[str]:
    names = [session.system(words.first())] if words.first() else list(session.configuration.systems)
    lines = [layout.SYSTEM_HEADING]
    for name in names:
        values = session.configuration.systems[name]
        for attribute, definition in SYSTEM_ATTRIBUTES.items():
            found = values.get(attribute)
            lines.append(layout.three(name, attribute, show(definition.default if found is None else found)))
        lines.append(layout.three(name, "SysState", system_report(session.state, name).state))
    return lines


def _system_list(session: Session, _words: Words) -> list[str]:
    return list(session.configuration.systems)


def _cluster_facts(session: Session) -> dict[str, str]:
    running = [name for name in session.configuration.systems if system_report(session.state, name).state == "RUNNING"]
    return {
        "ClusterName": session.configuration.name,
        "ClusState": "RUNNING" if running else "EXITED",
        "ReadOnly": "1",
        "EngineVersion": "Holdfast",
    }


def _cluster_display(session: Session, _words: Words) -> list[str]:
    return [layout.CLUSTER_HEADING, *(layout.two(name, value) for name, value in _cluster_facts(session).items())]


def _cluster_value(session: Session, words: Words) -> list[str]:
    facts = _cluster_facts(session)
    if words.first() not in facts:
        raise UsageError(f"known attributes are {' '.join(facts)}")
    return [facts[words.first()]]


def _cluster_state(session: Session, _words: Words) -> list[str]:
    return [_cluster_facts(session)["ClusState"]]


def _accepted(_session: Session, _words: Words) -> None:
    """The configuration is never half-open here: each change is committed whole, so there is nothing to do."""


FORMS: dict[str, dict[str, Form]] = {
    "hastatus": {"summary": _summary, "sum": _summary},
    "hagrp": groups.FORMS,
    "hares": resources.FORMS,
    "hasys": {"state": _system_states, "display": _system_display, "list": _system_list},
    "haclus": {"display": _cluster_display, "value": _cluster_value, "state": _cluster_state},
    "haconf": {"makerw": _accepted, "dump": _accepted},
    "hacf": hacf.FORMS,
}
"""Command → its forms."""


def run(name: str, arguments: Sequence[str], wire: VcsWire) -> int:
    """Run one VCS command; return its exit code."""
    return run_form(name, FORMS[name], wire, arguments)
