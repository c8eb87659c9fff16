"""Requests about a system: freeze it until further notice, with or without sending its groups away, and unfreeze it.

A frozen system gets no group. Evacuation freezes first, so that nothing comes back, and then moves what can be moved;
a group that can run nowhere else stays, and the answer names it.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Freeze, Request, RequestState, Wanted
from holdfast.cluster.plan import grouptransfers
from holdfast.cluster.plan.outcome import Outcome, done, option, refuse
from holdfast.cluster.plan.roster import Roster
from holdfast.cluster.plan.view import Change, View


def freeze(view: View, request: Request) -> Outcome:
    """Freeze a system. ``evacuate``: its groups are switched away."""
    if request.system not in view.configuration.systems:
        return refuse(request, "no-system", f"there is no system {request.system!r}", "holdfast system list")
    mark = Freeze(request.system, True, request.by, request.options.get("reason", ""))
    if not option(request, "evacuate"):
        return Outcome(request=done(request), freezes=(mark,))
    changes: list[Change] = []
    stays: list[str] = []
    roster = Roster(view.intents)
    view = replace(view, intents=roster)
    for group in view.configuration.units:
        intent = view.intent(group)
        if (
            intent.owner != request.system
            or intent.wanted is not Wanted.ONLINE
            or _follows(view, group, request.system)
        ):
            continue
        name = replace(request, operation="group.switch", group=group.name, system="", options={"force": "1"})
        frozen = intent.frozen or group.flag("Frozen") or group.at
        sent = Outcome() if frozen else grouptransfers.switch(view, group, intent, name)
        if sent.asks:
            return Outcome(asks=sent.asks)
        changes += sent.changes
        for change in sent.changes:
            roster.put(change.intent)
        if not sent.changes:
            why = "frozen, or parallel" if sent.request is None else sent.request.reason
            stays.append(f"{group.name} stays on {request.system}: {why}")
    named = replace(request, state=RequestState.ACCEPTED, serial=1, output="\n".join(stays))
    return Outcome(tuple(changes), named, freezes=(mark,))


def _follows(view: View, group: Group, system: str) -> bool:
    """Whether the group goes where a group that it requires goes from ``system``, by their link."""
    children = [view.configuration.groups[link.child] for link in group.group_links if link.category == "online"]
    return any(not child.parallel and view.intent(child).owner == system for child in children)


def unfreeze(view: View, request: Request) -> Outcome:
    """Let a system take groups again."""
    if request.system not in view.configuration.systems:
        return refuse(request, "no-system", f"there is no system {request.system!r}", "holdfast system list")
    values = view.configuration.systems[request.system]
    if str(values.get("Frozen", request.system) or "0") != "0":
        return refuse(request, "frozen", f"{request.system} is frozen by its configuration", "set Frozen = 0 there")
    return Outcome(request=done(request), freezes=(Freeze(request.system, False, request.by),))


def progress(view: View, request: Request) -> Request | None:
    """An evacuation is done when no group is on its way off the system any more."""
    leaving = [intent for intent in view.intents.values() if intent.owner == request.system and intent.following]
    return None if leaving else done(request)
