"""Requests about one resource: online, offline with what is above it, offline with what is below it.

A person's wishes stand in ``Intent.overrides`` until the group gets a new goal; the local engine carries them out in
the order of the graph. ``Intent.loose`` names resources that go offline although what needs them is online.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Intent, Phase, Request, ResourceFact, ResourceState, Wanted
from holdfast.cluster.plan.outcome import Outcome, accept, done, option, refuse, refused
from holdfast.cluster.plan.view import View


def progress(intent: Intent, request: Request, fact: ResourceFact) -> Request | None:
    """Return an accepted request about a resource as finished, or None while it is under way."""
    up = request.operation == "resource.online"
    settled = fact.phase is Phase.IDLE and not fact.clean_failing
    if settled and fact.state is (ResourceState.ONLINE if up else ResourceState.OFFLINE):
        return done(request)
    if fact.faulted:
        return refused(request, "faulted", f"{request.resource} faulted: {fact.detail}")
    if intent.overrides.get(request.resource) is not (Wanted.ONLINE if up else Wanted.OFFLINE):
        return refused(request, "overtaken", f"what was decided later counts: {intent.reason or 'nothing is wanted'}")
    return None


def online(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Bring a resource online where its group is; what it needs must be online."""
    trouble, found = _check(view, group, intent, request)
    if trouble is not None:
        return trouble
    down = [name for name in group.children(request.resource) if not _is(found, name, ResourceState.ONLINE)]
    if down:
        return refuse(request, "child-offline", f"{request.resource} needs {down[0]}, which is not online", "")
    if intent.wanted is Wanted.OFFLINE and not intent.in_maintenance:
        return refuse(request, "group-offline", f"{group.name} is wanted offline", f"group online {group.name}")
    return _wish(view, intent, request, [request.resource], Wanted.ONLINE)


def offline(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Take a resource offline. ``parentprop``: what needs it goes first; ``ignoreparent``: that stays online."""
    trouble, found = _check(view, group, intent, request)
    if trouble is not None:
        return trouble
    up = [name for name in group.above(request.resource) if _is(found, name, ResourceState.ONLINE)]
    if option(request, "parentprop"):
        return _wish(view, intent, request, [*up, request.resource], Wanted.OFFLINE)
    if option(request, "ignoreparent"):
        return _wish(view, intent, request, [request.resource], Wanted.OFFLINE, loose=[request.resource])
    parents = [name for name in group.parents(request.resource) if name in up]
    if parents:
        remedy = f"holdfast resource offline {request.resource} --parentprop"
        return refuse(request, "parent-online", f"{parents[0]} needs {request.resource} and is online", remedy)
    return _wish(view, intent, request, [request.resource], Wanted.OFFLINE)


def offline_below(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Take a resource and then what it needs offline, save what something else that is online needs."""
    trouble, found = _check(view, group, intent, request)
    if trouble is not None:
        return trouble
    parents = [name for name in group.parents(request.resource) if _is(found, name, ResourceState.ONLINE)]
    if parents and not option(request, "ignoreparent"):
        return refuse(request, "parent-online", f"{parents[0]} needs {request.resource} and is online", "")
    goes = [request.resource]
    for name in goes:
        for child in group.children(name):
            others = [one for one in group.parents(child) if one not in goes and _is(found, one, ResourceState.ONLINE)]
            if child not in goes and not others and not group.resources[child].keeps:
                goes.append(child)
    return _wish(view, intent, request, goes, Wanted.OFFLINE, loose=[request.resource] if parents else [])


def _check(
    view: View, group: Group, intent: Intent, request: Request
) -> tuple[Outcome | None, Mapping[str, ResourceFact]]:
    """Return why nothing can be done for the resource, and what is known of the group where it runs."""
    system = request.system or intent.owner
    if request.resource not in group.resources:
        return refuse(request, "no-resource", f"{group.name} has no resource {request.resource!r}", ""), {}
    if not intent.owner:
        remedy = f"holdfast group online {group.name}"
        return refuse(request, "no-owner", f"{group.name} has no owner yet", remedy), {}
    if system != intent.owner or not view.alive(system):
        return refuse(request, "not-here", f"{group.name} belongs to {intent.owner}", "name that system"), {}
    fact = view.fact(group.name, system)
    return None, {} if fact is None else fact.resources


def _wish(
    view: View, intent: Intent, request: Request, names: Iterable[str], wanted: Wanted, loose: Iterable[str] = ()
) -> Outcome:
    wishes = {**intent.overrides, **dict.fromkeys(names, wanted)}
    kept = [name for name in intent.loose if wishes.get(name) is Wanted.OFFLINE]
    free = tuple(dict.fromkeys([*kept, *loose]))
    changed = replace(intent, overrides=wishes, loose=free, serial=intent.serial + 1)
    text = f"{request.resource} is wanted {wanted.value} on {intent.owner}"
    return accept(view, replace(request, system=intent.owner), changed, "resource", text)


def _is(found: Mapping[str, ResourceFact], name: str, state: ResourceState) -> bool:
    fact = found.get(name)
    return fact is not None and fact.state is state
