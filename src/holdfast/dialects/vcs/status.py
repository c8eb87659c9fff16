"""``hastatus``: the summary, and without ``-summary`` the table that goes on as things change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from holdfast.cluster.model.facts import Phase, ResourceFact
from holdfast.cluster.model.widearea import RemoteCluster
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.records import State
from holdfast.cluster.service.report import GroupReport, group_report, living_fact, system_report
from holdfast.dialects.vcs import layout
from holdfast.dialects.vcs.session import Form, Session, Words

Line = tuple[str, str, str, str]
"""Group, resource, system, message."""


def summary(session: Session, _words: Words) -> list[str]:
    """``hastatus -summary``."""
    configuration = session.configuration
    systems = []
    for name, values in configuration.systems.items():
        report = system_report(session.state, name)
        frozen = str(values.get("Frozen") or "0") != "0" or report.frozen
        systems.append((name, report.state, "1" if frozen else "0"))
    reports = [group_report(session.state, group) for group in configuration.groups.values()]
    rows = [
        (one.name, name, "Y" if one.probed[name] else "N", "Y" if one.autodisabled.get(name) else "N", "|".join(flags))
        for one in reports
        for name, flags in one.systems.items()
    ]
    lines = [*layout.system_rows(systems), *layout.group_rows(rows)]
    for title, letter, flag in layout.FLAG_SECTIONS:
        lines += layout.resource_rows(title, letter, _having(reports, flag))
    for title, letter, phases in layout.PHASE_SECTIONS:
        lines += layout.resource_rows(title, letter, _busy(session, reports, phases))
    frozen_groups = _frozen_groups(session, reports)
    lines += layout.named_rows(layout.FROZEN_TITLE, layout.FROZEN_LETTER, frozen_groups)
    return lines + _wide_area(session)


def _wide_area(session: Session) -> list[str]:
    """The sections on remote clusters: heartbeats, clusters, their systems, the groups shared with them."""
    found = [session.state.remotes.get(name, RemoteCluster(name)) for name in session.configuration.remote_clusters]
    told = [(one.name, one.summary) for one in found if one.summary is not None]
    beats = [(kind, one.name, word) for one in found for kind, word in one.heartbeats.items()]
    systems = [(f"{name}:{system}", state) for name, said in told for system, state in said.systems.items()]
    groups = [
        (group, f"{name}:{system}", flags)
        for name, said in told
        for group, one in said.groups.items()
        for system, flags in one.systems.items()
    ]
    rows: tuple[Sequence[Sequence[str]], ...] = (beats, [(one.name, one.state.value) for one in found], systems, groups)
    return [line for place, part in enumerate(rows) for line in layout.remote_rows(place, part)]


def _having(reports: Sequence[GroupReport], flag: str) -> list[Line]:
    return [
        (report.name, one.type, one.name, system)
        for report in reports
        for one in report.resources
        for system, flags in one.systems.items()
        if flag in flags and (flag != "STATE UNKNOWN" or report.systems[system] != ("UNKNOWN",))
    ]


def _busy(session: Session, reports: Sequence[GroupReport], phases: Sequence[str]) -> list[Line]:
    found = []
    for report in reports:
        for system in report.systems:
            fact = living_fact(session.state, report.name, system)
            for one in report.resources:
                phase = (fact.resources.get(one.name, ResourceFact()) if fact else ResourceFact()).phase
                if phase is not Phase.IDLE and phase.value in phases:
                    found.append((report.name, one.type, one.name, system))
    return found


def _frozen_groups(session: Session, reports: Sequence[GroupReport]) -> list[tuple[str, str]]:
    found = []
    for report in reports:
        if session.configuration.groups[report.name].flag("Frozen"):
            found.append((report.name, "persistently"))
        elif report.frozen:
            found.append((report.name, "temporarily"))
    return found


def stream(session: Session, _words: Words) -> None:
    """``hastatus``: print how everything stands, then each change, until somebody interrupts."""
    write = sys.stdout.write
    write("\n".join(layout.STREAM_HEADING) + "\n")
    known: dict[tuple[str, str, str], str] = {}
    session.wire.follow(_printer(known, write))


def _printer(known: dict[tuple[str, str, str], str], write: Callable[[str], object]) -> Callable[[State], None]:
    def look(state: State) -> None:
        for group, resource, system, message in _lines(state):
            if known.get((group, resource, system)) != message:
                known[group, resource, system] = message
                write(layout.stream_row(group, resource, system, message) + "\n")
        sys.stdout.flush()

    return look


def _lines(state: State) -> list[Line]:
    if state.config is None:
        return []
    configuration = configuration_of(state)
    lines = [("", "", name, system_report(state, name).state) for name in configuration.systems]
    for group in configuration.groups.values():
        report = group_report(state, group)
        lines += [(group.name, "", system, "|".join(flags)) for system, flags in report.systems.items()]
        lines += [
            (group.name, one.name, system, "|".join(flags))
            for one in report.resources
            for system, flags in one.systems.items()
        ]
    return lines


FORMS: dict[str, Form] = {"summary": summary, "sum": summary, "": stream}
"""Forms of ``hastatus``; without any it streams."""
