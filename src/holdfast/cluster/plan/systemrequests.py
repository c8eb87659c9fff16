"""Requests about a system: freeze it, with or without sending its groups away, unfreeze it, say what its load is.

A frozen system gets no group. Evacuation freezes first, so that nothing comes back, and then moves what can be moved;
a group that can run nowhere else stays, and the answer names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from holdfast.cluster.model.attributes import SYSTEM_ATTRIBUTES, amounts
from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Freeze, Request, RequestState, SystemLoad, Wanted
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


def load(view: View, request: Request) -> Outcome:
    """Take a person's or a program's word for a system's load: ``amounts`` is a number, or names and numbers; empty
    takes the word back. FailOverPolicy Load and the load warning go by it (``hasys -load``)."""
    values = view.configuration.systems.get(request.system)
    if values is None:
        return refuse(request, "no-system", f"there is no system {request.system!r}", "holdfast system list")
    said = _amounts(request.options.get("amounts", "").split())
    if said is None:
        return refuse(
            request, "bad-load", "a load is a number, or names and numbers", "for example 30, or CPU 3 Mem 20"
        )
    set_here = values.get("Capacity", request.system)
    known = amounts(SYSTEM_ATTRIBUTES["Capacity"].default if set_here is None else set_here)
    strange = [name for name in said if name not in known]
    if strange:
        named = " ".join(filter(None, known)) or "a single number"
        text = f"{request.system} has a Capacity of {named}, not of {strange[0] or 'a single number'}"
        return refuse(request, "bad-load", text, f"hasys -display {request.system} -attribute Capacity")
    return Outcome(request=done(request), loads=(SystemLoad(request.system, said, request.by),))


def _amounts(words: Sequence[str]) -> dict[str, int] | None:
    """Return what words say: nothing, one number, or names each with a number; None when they say none of these."""
    if len(words) == 1:
        words = ["", *words]
    if len(words) % 2 or not all(number.isdecimal() for number in words[1::2]):
        return None
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}


def progress(view: View, request: Request) -> Request | None:
    """An evacuation is done when no group is on its way off the system any more."""
    leaving = [intent for intent in view.intents.values() if intent.owner == request.system and intent.following]
    return None if leaving else done(request)
