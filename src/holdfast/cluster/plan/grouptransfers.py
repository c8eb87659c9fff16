"""Requests that move a group: online, offline, switch, takeover.

None of them names a new owner without evidence: a group that has an owner first goes offline there, and the hand-over
(``plan.groups``) gives it on. With ``propagate`` the groups that stand in the way of the order are brought along first:
children before a parent that goes online, parents before a child that goes offline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Evidence, EvidenceKind, Intent, Life, Request, Wanted
from holdfast.cluster.plan.dependencies import ground, in_the_way, is_up, leaning
from holdfast.cluster.plan.evidence import data_current
from holdfast.cluster.plan.local import faulted_critically
from holdfast.cluster.plan.outcome import Outcome, accept, finish, no_target, option, refuse, wait
from holdfast.cluster.plan.outcome import change as made
from holdfast.cluster.plan.placement import place
from holdfast.cluster.plan.view import Change, View


def online(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Bring a group online where it was asked for, or on the best system. ``force``: also where it faulted."""
    running, site = view.running_on(group), request.options.get("site", "")
    if intent.wanted is Wanted.ONLINE and view.alive(intent.owner) and intent.owner in running:
        if request.system in ("", intent.owner) and group.in_site(intent.owner, site):
            again = replace(intent, overrides={}, loose=(), nopre=option(request, "nopre"), serial=intent.serial + 1)
            again = _forgiven(again, intent.owner, request)
            return accept(view, request, again, "online", f"{group.name} is to be online on {intent.owner}")
        return refuse(
            request, "not-offline", f"{group.name} is not offline on {intent.owner}",
            f"holdfast group switch {group.name} --to {request.system}",
        )  # fmt: skip
    if option(request, "propagate"):
        first = _children_first(view, group, request)
        if first is not None:
            return first
    force = option(request, "force")
    placement = place(view, group, near=intent.owner, only=request.system, forgive=force, site=site)
    if not placement.target:
        return no_target(request, placement.rejected, request.system)
    return _send(view, group, intent, request, placement.target, "asked for by a person")


def _children_first(view: View, group: Group, request: Request) -> Outcome | None:
    """Start the groups that ``group`` requires, the lowest first; None when all of them are up."""
    for child, system in _lowest_down(view, group, request.system):
        wish = view.intent(child)
        fact = view.fact(child.name, wish.owner)
        culprit = "" if fact is None else faulted_critically(child, fact.resources)
        if culprit:
            text = f"group {child.name}, which {group.name} requires, faulted on {wish.owner} ({culprit})"
            return refuse(request, "child-faulted", text, f"holdfast group clear {child.name}")
        if wish.following or (wish.owner and wish.wanted is Wanted.ONLINE and view.alive(wish.owner)):
            return wait(request)
        sent = online(view, child, wish, replace(request, group=child.name, system=system, options={}))
        if not sent.changes:
            reason = "" if sent.request is None else sent.request.reason
            text = f"group {child.name}, which {group.name} requires, cannot come online: {reason}"
            return refuse(request, "child-offline", text, f"holdfast group state {child.name}")
        return wait(request, sent.changes)
    return None


def _lowest_down(view: View, group: Group, system: str) -> Iterator[tuple[Group, str]]:
    """Yield the required groups that are down, with where ``group`` needs them, those they require before them."""
    for link in group.group_links:
        if link.category != "online":
            continue
        child = view.configuration.groups[link.child]
        local = system or next(iter(group.priorities), "")
        near = system if link.location == "local" else ""
        if any(is_up(view, child, name) for name in ([near] if near else child.priorities)):
            continue
        part = child.on(near or local) if child.parallel else child
        yield from _lowest_down(view, part, near)
        yield part, part.at or near


def switch(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Move a group that is online to the system named, or to the best one. ``force``: although a group that requires it
    is online, which then follows by its link."""
    if request.system and request.system == intent.owner and intent.wanted is Wanted.ONLINE:
        return refuse(request, "same-system", f"{group.name} is on {intent.owner} already", "name another system")
    if intent.wanted is not Wanted.ONLINE:
        return refuse(request, "offline", f"{group.name} is not online", f"holdfast group online {group.name}")
    above = leaning(view, group)
    if above is not None and not option(request, "force"):
        return _leant_on(request, group, above)
    site, leaving = request.options.get("site", ""), frozenset({intent.owner})
    placement = place(view, group, near=intent.owner, avoid=leaving, only=request.system, site=site)
    if not placement.target:
        return no_target(request, placement.rejected, request.system)
    target = placement.target
    if not group.same_zone(intent.owner, target):
        proof = data_current(view, group, replace(intent, accept_data_loss=False), target)
        if proof.asks:
            return Outcome(asks=proof.asks)
        if proof.refusal is not None:
            return refuse(request, proof.refusal.code, proof.refusal.reason, proof.refusal.remedy)
    return _send(view, group, intent, request, target, f"switch to {target} asked for by a person")


def _send(view: View, group: Group, intent: Intent, request: Request, target: str, reason: str) -> Outcome:
    named = replace(request, system=target)
    wish = replace(intent, reason=reason, kept_down="", nopre=option(request, "nopre"), cause="", loose=())
    wish = _forgiven(replace(wish, serial=intent.serial + 1), target, request)
    if intent.owner:
        changed = replace(wish, wanted=Wanted.OFFLINE, following=target)
        return accept(view, named, changed, "switch", f"{group.name} leaves {intent.owner} for {target}: {reason}")
    running = [name for name in view.running_on(group) if name != target]
    uncertain = [name for name in group.priorities if view.system(name).life is Life.UNCERTAIN]
    if running or uncertain:
        where = (running or uncertain)[0]
        return refuse(request, "not-offline", f"the group is not known to be offline on {where}", "try again")
    for other in in_the_way(view, group, target):
        told = f"group {other.name} is on {target}, and must not be where {group.name} is"
        return refuse(request, "group-in-the-way", told, f"holdfast group offline {other.name}, or switch it away")
    evidence = Evidence(EvidenceKind.FIRST_START, "probed offline, and no earlier owner is recorded")
    incarnation = view.system(target).incarnation
    changed = replace(
        wish, owner=target, incarnation=incarnation, evidence=evidence, ground=ground(view, group), wanted=Wanted.ONLINE
    )
    return accept(view, named, changed, "online", f"{group.name} goes to {target}: {reason}")


def _forgiven(intent: Intent, system: str, request: Request) -> Intent:
    """With ``force`` the faults on the system where the group is to start are cleared first."""
    if not option(request, "force") or request.operation != "group.online":
        return intent
    key = f"{system}:*"
    return replace(intent, clears={**intent.clears, key: intent.clears.get(key, 0) + 1})


def offline(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Take a group offline. ``force``: although a group that requires it is online, which then goes offline too."""
    if intent.owner and request.system and request.system != intent.owner:
        return refuse(request, "not-here", f"{group.name} is on {intent.owner}, not on {request.system}", "")
    site = request.options.get("site", "")
    if intent.owner and not group.in_site(intent.owner, site):
        return refuse(request, "not-here", f"{group.name} is on {intent.owner}, which is not in site {site}", "")
    fact = view.fact(group.name, intent.owner)
    if option(request, "ifprobed") and (fact is None or not fact.probed):
        text = f"{group.name} is not probed on {intent.owner or 'any system'}"
        return refuse(request, "not-probed", text, f"holdfast group state {group.name}")
    above = leaning(view, group)
    if above is not None and option(request, "propagate"):
        return wait(request, tuple(_parents_first(view, above, request)))
    if above is not None and not option(request, "force"):
        return _leant_on(request, group, above)
    if option(request, "propagate") and not _parents_down(view, group):
        return wait(request)
    if not intent.owner or not view.alive(intent.owner):
        stopped = replace(intent, wanted=Wanted.OFFLINE, following="", kept_down="", serial=intent.serial + 1)
        return finish(view, request, stopped, "offline", f"{group.name} is wanted offline")
    changed = replace(
        intent, wanted=Wanted.OFFLINE, following="", kept_down="", serial=intent.serial + 1, overrides={}, loose=(),
        maintenance_until=0.0, reason="asked for by a person",
    )  # fmt: skip
    return accept(view, request, changed, "offline", f"{group.name} goes offline on {intent.owner}")


def _parents_first(view: View, parent: Group, request: Request) -> Iterator[Change]:
    """Take down the highest group that leans on ``parent``, or ``parent`` itself."""
    above = leaning(view, parent)
    if above is not None:
        yield from _parents_first(view, above, request)
        return
    intent = view.intent(parent)
    down = replace(intent, wanted=Wanted.OFFLINE, following="", kept_down="", overrides={}, loose=())
    down = replace(down, serial=intent.serial + 1, reason="taken offline with a group that it requires")
    yield made(view, request, down, "offline", f"{parent.name} goes offline on {intent.owner} before {request.group}")


def _parents_down(view: View, group: Group) -> bool:
    for parent, link in view.configuration.required_by.get(group.name, ()):
        for unit in parent.units.values() or (parent,):
            intent = view.intent(unit)
            fact = view.fact(unit.name, intent.owner)
            going = fact is not None and (fact.serial < intent.serial or not fact.offline)
            if link.category == "online" and intent.wanted is Wanted.OFFLINE and going:
                return False
    return True


def _leant_on(request: Request, group: Group, parent: Group) -> Outcome:
    return refuse(
        request, "parent-group-online", f"group {parent.name} requires {group.name} and is online",
        f"holdfast group offline {parent.name}",
    )  # fmt: skip


def takeover(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Let a system take a group from a dead owner by a person's decision."""
    if view.alive(intent.owner):
        text = f"holdfast group switch {group.name} --to SYSTEM"
        return refuse(request, "owner-alive", f"{intent.owner} is alive", text)
    placement = place(view, group, near=intent.owner, only=request.system)
    if not placement.target:
        return no_target(request, placement.rejected, request.system)
    changed = replace(
        intent, following=placement.target, accept_data_loss=option(request, "accept_data_loss"),
        reason=f"{request.by or 'a person'}: {request.options.get('reason', '')}", serial=intent.serial + 1,
    )  # fmt: skip
    named = replace(request, system=placement.target)
    return accept(view, named, changed, "takeover", f"takeover of {group.name} by {placement.target} asked for")
