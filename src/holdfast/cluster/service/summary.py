"""What this cluster tells its peers: systems, and every group that they share, as the reports here show them."""

from __future__ import annotations

from holdfast.cluster.model.configuration import Configuration, Group
from holdfast.cluster.model.widearea import Authority, GroupSummary, Summary
from holdfast.cluster.plan.status import online
from holdfast.cluster.plan.widearea import members
from holdfast.cluster.service.records import State
from holdfast.cluster.service.report import group_report, living_fact, system_report


def summary_of(state: State, configuration: Configuration) -> Summary:
    """Return the summary of this cluster; EXITING once every system is leaving it."""
    systems = {name: system_report(state, name).state for name in configuration.systems}
    stays = any(word in ("RUNNING", "INITING") for word in systems.values())
    groups = {
        group.name: _group(state, group)
        for group in configuration.groups.values()
        if members(configuration, group) and not group.parallel
    }
    return Summary(configuration.name, "RUNNING" if stays else "EXITING", systems, groups)


def held(state: State, group: Group) -> Authority:
    """Return the recorded authority over a group, or the one that its configuration begins with."""
    return state.authorities.get(group.name) or Authority(group.name, group.flag("Authority"))


def _group(state: State, group: Group) -> GroupSummary:
    report = group_report(state, group)
    fact = living_fact(state, group.name, report.owner)
    systems = {name: "|".join(flags) for name, flags in report.systems.items()}
    up = report.wanted == "online" and fact is not None and online(group, fact)
    frozen = report.frozen or group.flag("Frozen")
    return GroupSummary(held(state, group), systems, report.owner, up, frozen, report.note.code, report.note.text)
