"""What people ask for: each request becomes a change of an intent, a refusal with its reason, or a question first.

One function per operation, listed in ``_ANSWERS``. A request that takes time is *accepted* and followed by
:func:`progress` until the facts say that it is done, or that it will not be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import (
    Evidence,
    EvidenceKind,
    Intent,
    Life,
    Phase,
    Request,
    RequestState,
    ResourceFact,
    ResourceState,
    Wanted,
)
from holdfast.cluster.plan.dependencies import ground, in_the_way, leaning
from holdfast.cluster.plan.evidence import data_current
from holdfast.cluster.plan.local import faulted_critically
from holdfast.cluster.plan.placement import place
from holdfast.cluster.plan.status import counted, online
from holdfast.cluster.plan.view import Ask, Change, View

MAINTENANCE_DEFAULT_S = 600.0
MAINTENANCE_LIMIT_S = 86400.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A change to commit, the request as it is to be recorded, or questions."""

    change: Change | None = None
    request: Request | None = None
    asks: tuple[Ask, ...] = ()


def answer(view: View, request: Request) -> Outcome:
    """Answer a pending request."""
    handler = _ANSWERS.get(request.operation)
    if handler is None:
        return Outcome()
    group = view.configuration.groups.get(request.group)
    if group is None:
        return _refuse(request, "no-group", f"there is no group {request.group!r}", "holdfast group list")
    if request.system and request.system not in group.priorities:
        return _refuse(
            request, "no-system", f"{request.system} is not in the SystemList of {group.name}", "holdfast system list"
        )
    intent = view.intents.get(group.name, Intent(group.name))
    if request.operation in _NEED_SYSTEMS and _unsure(view, group, request, intent):
        return Outcome()
    if intent.frozen and request.operation not in ("group.freeze", "group.unfreeze"):
        return _refuse(request, "frozen", f"group {group.name} is frozen", f"holdfast group unfreeze {group.name}")
    return handler(view, group, intent, request)


def _unsure(view: View, group: Group, request: Request, intent: Intent) -> bool:
    """Whether a new coordinator has yet to hear of a system that matters; that passes within a time to live."""
    names = [request.system, intent.owner] if request.system else [*group.priorities]
    return any(name and view.system(name).life is Life.UNCERTAIN for name in names)


def progress(view: View, request: Request) -> Request | None:
    """Return an accepted request as finished, or None while it is under way."""
    group = view.configuration.groups.get(request.group)
    intent = view.intents.get(request.group)
    if group is None or intent is None:
        return replace(request, state=RequestState.REFUSED, code="no-group", reason="the group is gone")
    fact = view.fact(group.name, intent.owner)
    if intent.serial < request.serial or fact is None or fact.serial < intent.serial:
        return None
    if request.operation in ("resource.online", "resource.offline"):
        return _resource_progress(group, request, fact.resources.get(request.resource, ResourceFact()))
    if request.operation == "group.offline":
        if intent.wanted is Wanted.ONLINE:
            return replace(request, state=RequestState.REFUSED, code="overtaken", reason="a later request started it")
        return _done(request) if fact.offline else None
    if intent.following or intent.wanted is Wanted.OFFLINE:
        return None
    culprit = faulted_critically(group, fact.resources)
    if online(group, fact):
        if not request.system or intent.owner == request.system:
            return _done(request)
        reason = f"the group is online on {intent.owner} instead: {intent.reason}"
        return replace(request, state=RequestState.REFUSED, code="elsewhere", reason=reason)
    if culprit and intent.owner == request.system:
        detail = fact.resources[culprit].detail
        reason = f"{culprit} did not come online on {intent.owner}{': ' + detail if detail else ''}"
        return replace(request, state=RequestState.REFUSED, code="faulted", reason=reason, remedy="see group state")
    return None


def _resource_progress(group: Group, request: Request, fact: ResourceFact) -> Request | None:
    wanted = ResourceState.ONLINE if request.operation == "resource.online" else ResourceState.OFFLINE
    if fact.faulted:
        reason = f"{request.resource} faulted: {fact.detail}"
        return replace(request, state=RequestState.REFUSED, code="faulted", reason=reason)
    settled = fact.state is wanted and fact.phase is Phase.IDLE and not fact.clean_failing
    return _done(request) if settled and group.resources.get(request.resource) is not None else None


def _online(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    running = view.running_on(group)
    if intent.wanted is Wanted.ONLINE and view.alive(intent.owner) and intent.owner in running:
        if request.system in ("", intent.owner):
            again = replace(intent, overrides={}, serial=intent.serial + 1)
            return _accept(view, request, again, "online", f"{group.name} is to be online on {intent.owner}")
        return _refuse(
            request, "not-offline", f"{group.name} is not offline on {intent.owner}",
            f"holdfast group switch {group.name} --to {request.system}",
        )  # fmt: skip
    placement = place(view, group, near=intent.owner, only=request.system)
    if not placement.target:
        return _no_target(request, placement.rejected, request.system)
    return _send(view, group, intent, request, placement.target, "asked for by a person")


def _switch(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    if request.system and request.system == intent.owner and intent.wanted is Wanted.ONLINE:
        return _refuse(request, "same-system", f"{group.name} is on {intent.owner} already", "name another system")
    if intent.wanted is not Wanted.ONLINE:
        return _refuse(request, "offline", f"{group.name} is not online", f"holdfast group online {group.name}")
    above = leaning(view, group)
    if above is not None:
        return _leant_on(request, group, above)
    placement = place(view, group, near=intent.owner, avoid=frozenset({intent.owner}), only=request.system)
    if not placement.target:
        return _no_target(request, placement.rejected, request.system)
    target = placement.target
    if not group.same_zone(intent.owner, target):
        proof = data_current(view, group, replace(intent, accept_data_loss=False), target)
        if proof.asks:
            return Outcome(asks=proof.asks)
        if proof.refusal is not None:
            return _refuse(request, proof.refusal.code, proof.refusal.reason, proof.refusal.remedy)
    return _send(view, group, intent, request, target, f"switch to {target} asked for by a person")


def _send(view: View, group: Group, intent: Intent, request: Request, target: str, reason: str) -> Outcome:
    named = replace(request, system=target)
    if not intent.owner:
        evidence = Evidence(EvidenceKind.FIRST_START, "probed offline, and no earlier owner is recorded")
        running = [name for name in view.running_on(group) if name != target]
        uncertain = [name for name in group.priorities if view.system(name).life is Life.UNCERTAIN]
        if running or uncertain:
            where = (running or uncertain)[0]
            return _refuse(request, "not-offline", f"the group is not known to be offline on {where}", "try again")
        for other in in_the_way(view, group, target):
            told = f"group {other.name} is on {target}, and must not be where {group.name} is"
            return _refuse(request, "group-in-the-way", told, f"holdfast group offline {other.name}, or switch it away")
        first = replace(intent, owner=target, incarnation=view.system(target).incarnation, evidence=evidence)
        first = replace(first, ground=ground(view, group), kept_down="")
        changed = replace(first, wanted=Wanted.ONLINE, serial=intent.serial + 1, reason=reason)
        return _accept(view, named, changed, "online", f"{group.name} goes to {target}: {reason}")
    changed = replace(
        intent, wanted=Wanted.OFFLINE, following=target, serial=intent.serial + 1, reason=reason, kept_down=""
    )
    return _accept(view, named, changed, "switch", f"{group.name} leaves {intent.owner} for {target}: {reason}")


def _offline(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    if intent.owner and request.system and request.system != intent.owner:
        return _refuse(request, "not-here", f"{group.name} is on {intent.owner}, not on {request.system}", "")
    above = leaning(view, group)
    if above is not None:
        return _leant_on(request, group, above)
    if not intent.owner or not view.alive(intent.owner):
        stopped = replace(intent, wanted=Wanted.OFFLINE, following="", kept_down="", serial=intent.serial + 1)
        return _finish(view, request, stopped, "offline", f"{group.name} is wanted offline")
    changed = replace(
        intent, wanted=Wanted.OFFLINE, following="", kept_down="", serial=intent.serial + 1, overrides={},
        maintenance_until=0.0, reason="asked for by a person",
    )  # fmt: skip
    return _accept(view, request, changed, "offline", f"{group.name} goes offline on {intent.owner}")


def _leant_on(request: Request, group: Group, parent: Group) -> Outcome:
    return _refuse(
        request, "parent-group-online", f"group {parent.name} requires {group.name} and is online",
        f"holdfast group offline {parent.name}",
    )  # fmt: skip


def _freeze(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    frozen = request.operation == "group.freeze"
    if intent.frozen == frozen:
        return Outcome(request=_done(request))
    changed = replace(intent, frozen=frozen, serial=intent.serial + 1)
    return _finish(view, request, changed, request.operation.partition(".")[2], f"{group.name}")


def _clear(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    systems = [request.system] if request.system else list(group.priorities)
    clears = dict(intent.clears)
    for name in systems:
        key = f"{name}:{request.resource or '*'}"
        clears[key] = clears.get(key, 0) + 1
    changed = replace(intent, clears=clears, serial=intent.serial + 1)
    what = request.resource or "every fault"
    return _finish(view, request, changed, "clear", f"{what} of {group.name} cleared on {', '.join(systems)}")


def _maintenance(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    if request.options.get("mode") == "on":
        for_s = min(float(request.options.get("for_s", MAINTENANCE_DEFAULT_S)), MAINTENANCE_LIMIT_S)
        changed = replace(intent, maintenance_until=view.now + for_s, serial=intent.serial + 1)
        return _finish(view, request, changed, "maintenance-on", f"{group.name} in maintenance for {for_s:.0f} s")
    if not intent.in_maintenance:
        return Outcome(request=_done(request))
    offending = _offending(view, group, intent)
    if offending and request.options.get("force") != "1":
        return _refuse(
            request, "facts-differ", f"facts do not match the intent: {', '.join(offending)}",
            f"bring them to what is wanted, or: holdfast group maintenance {group.name} off --force",
        )  # fmt: skip
    changed = replace(intent, maintenance_until=0.0, overrides={}, serial=intent.serial + 1)
    return _finish(view, request, changed, "maintenance-off", f"{group.name} left maintenance")


def _offending(view: View, group: Group, intent: Intent) -> list[str]:
    fact = view.fact(group.name, intent.owner)
    goal = ResourceState.ONLINE if intent.wanted is Wanted.ONLINE else ResourceState.OFFLINE
    found = {} if fact is None else fact.resources
    return [
        f"{name} is {found.get(name, ResourceFact()).state.value}"
        for name in counted(group)
        if found.get(name, ResourceFact()).state is not goal
    ]


def _takeover(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    if view.alive(intent.owner):
        return _refuse(
            request, "owner-alive", f"{intent.owner} is alive", f"holdfast group switch {group.name} --to SYSTEM"
        )
    placement = place(view, group, near=intent.owner, only=request.system)
    if not placement.target:
        return _no_target(request, placement.rejected, request.system)
    changed = replace(
        intent, following=placement.target, accept_data_loss=request.options.get("accept_data_loss") == "1",
        reason=f"{request.by or 'a person'}: {request.options.get('reason', '')}", serial=intent.serial + 1,
    )  # fmt: skip
    named = replace(request, system=placement.target)
    return _accept(view, named, changed, "takeover", f"takeover of {group.name} by {placement.target} asked for")


def _resource(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    wanted = Wanted.ONLINE if request.operation == "resource.online" else Wanted.OFFLINE
    system = request.system or intent.owner
    if request.resource not in group.resources:
        return _refuse(request, "no-resource", f"{group.name} has no resource {request.resource!r}", "")
    if not intent.owner:
        return _refuse(request, "no-owner", f"{group.name} has no owner yet", f"holdfast group online {group.name}")
    if system != intent.owner or not view.alive(system):
        return _refuse(request, "not-here", f"{group.name} belongs to {intent.owner}", "name that system")
    fact = view.fact(group.name, system)
    found = {} if fact is None else fact.resources
    if wanted is Wanted.ONLINE:
        down = [name for name in group.children(request.resource) if not _is(found, name, ResourceState.ONLINE)]
        if down:
            return _refuse(request, "child-offline", f"{request.resource} needs {down[0]}, which is not online", "")
    else:
        up = [name for name in group.parents(request.resource) if _is(found, name, ResourceState.ONLINE)]
        if up:
            return _refuse(request, "parent-online", f"{up[0]} needs {request.resource} and is online", "")
    changed = replace(
        intent, overrides={**intent.overrides, request.resource: wanted}, serial=intent.serial + 1,
    )  # fmt: skip
    if wanted is Wanted.ONLINE and intent.wanted is Wanted.OFFLINE and not intent.in_maintenance:
        return _refuse(request, "group-offline", f"{group.name} is wanted offline", f"group online {group.name}")
    text = f"{request.resource} is wanted {wanted.value} on {system}"
    return _accept(view, replace(request, system=system), changed, "resource", text)


def _is(found: object, name: str, state: ResourceState) -> bool:
    assert isinstance(found, dict)
    fact = found.get(name)
    return isinstance(fact, ResourceFact) and fact.state is state


def _no_target(request: Request, rejected: object, system: str) -> Outcome:
    assert isinstance(rejected, dict)
    reason = rejected.get(system) if system else "; ".join(f"{name}: {why}" for name, why in rejected.items())
    return _refuse(request, "no-target", f"{system or 'no system'} cannot run it: {reason}", "see group state")


def _accept(view: View, request: Request, intent: Intent, kind: str, text: str) -> Outcome:
    accepted = replace(request, state=RequestState.ACCEPTED, serial=intent.serial)
    return Outcome(Change(replace(intent, epoch=view.epoch), kind, text, request.by), accepted)


def _finish(view: View, request: Request, intent: Intent, kind: str, text: str) -> Outcome:
    return Outcome(Change(replace(intent, epoch=view.epoch), kind, text, request.by), _done(request))


def _done(request: Request) -> Request:
    return replace(request, state=RequestState.DONE)


def _refuse(request: Request, code: str, reason: str, remedy: str) -> Outcome:
    refused = replace(request, state=RequestState.REFUSED, code=code, reason=reason, remedy=remedy)
    return Outcome(request=refused)


_NEED_SYSTEMS = frozenset(("group.online", "group.switch", "group.takeover", "resource.online", "resource.offline"))

_ANSWERS: dict[str, Callable[[View, Group, Intent, Request], Outcome]] = {
    "group.online": _online,
    "group.offline": _offline,
    "group.switch": _switch,
    "group.freeze": _freeze,
    "group.unfreeze": _freeze,
    "group.clear": _clear,
    "group.maintenance": _maintenance,
    "group.takeover": _takeover,
    "resource.online": _resource,
    "resource.offline": _resource,
    "resource.clear": _clear,
}
