"""Requests that leave a group where it is: freeze, clear, clearadminwait, flush, autoenable, maintenance."""

from __future__ import annotations

from dataclasses import replace

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import (
    SPARED,
    Confirmation,
    Intent,
    Life,
    Request,
    ResourceFact,
    ResourceState,
    Wanted,
)
from holdfast.cluster.plan.outcome import Outcome, done, finish, option, refuse
from holdfast.cluster.plan.status import counted
from holdfast.cluster.plan.view import View

MAINTENANCE_DEFAULT_S = 600.0
MAINTENANCE_LIMIT_S = 86400.0


def freeze(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Freeze or unfreeze a group until further notice."""
    frozen = request.operation == "group.freeze"
    if intent.frozen == frozen:
        return Outcome(request=done(request))
    spared = SPARED if frozen or group.flag("Frozen") else intent.serial + 1
    changed = replace(intent, frozen=frozen, serial=intent.serial + 1, spared=spared)
    return finish(view, request, changed, request.operation.partition(".")[2], f"{group.unit}")


def clear(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Forget the faults of a group or of one resource."""
    what = request.resource or "every fault"
    return _clear(view, group, intent, request, "", f"{what} of {group.name} cleared")


def clear_admin_wait(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """End the wait for an administrator (ManageFaults NONE). ``fault``: the resources that wait become faulted."""
    waiting = [
        name
        for system in ([request.system] if request.system else group.priorities)
        if (fact := view.fact(group.name, system)) is not None
        for name, each in fact.resources.items()
        if each.admin_wait is not None
    ]
    if not waiting:
        return refuse(request, "not-waiting", f"no resource of {group.name} waits for an administrator", "")
    mark = "!fault" if option(request, "fault") else "!wait"
    word = "counts as faulted" if option(request, "fault") else "is looked at again"
    return _clear(view, group, intent, request, mark, f"{', '.join(waiting)} of {group.name} {word}")


def _clear(view: View, group: Group, intent: Intent, request: Request, mark: str, text: str) -> Outcome:
    systems = [request.system] if request.system else list(group.priorities)
    clears = dict(intent.clears)
    for name in systems:
        key = f"{name}:{request.resource or '*'}{mark}"
        clears[key] = clears.get(key, 0) + 1
    changed = replace(intent, clears=clears, serial=intent.serial + 1)
    return finish(view, request, changed, "clear", f"{text} on {', '.join(systems)}")


def flush(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Give up what the group waits for: what is becomes the goal. Entry points that run are left to end by themselves.

    ``force``: also when its system is silent; the group is then wanted offline.
    """
    fact = view.fact(group.name, intent.owner)
    if request.system and intent.owner and request.system != intent.owner:
        return refuse(request, "not-here", f"{group.name} is on {intent.owner}, not on {request.system}", "")
    if intent.owner and (fact is None or not view.alive(intent.owner)) and not option(request, "force"):
        text = f"{intent.owner} is not alive: what {group.name} is there is not known"
        return refuse(request, "not-alive", text, f"holdfast group flush {group.name} --force")
    found = {} if fact is None or not view.alive(intent.owner) else fact.resources
    up = [name for name, each in found.items() if each.state is ResourceState.ONLINE and not each.keeps]
    stays = bool(up) and intent.evidence is not None and intent.incarnation == view.system(intent.owner).incarnation
    wishes = {name: Wanted.OFFLINE for name in counted(group) if name not in up} if stays else {}
    wanted = Wanted.ONLINE if stays else Wanted.OFFLINE
    reason = f"flushed by {request.by or 'a person'}"
    changed = replace(
        intent, wanted=wanted, following="", kept_down="", overrides=wishes, loose=(), reason=reason,
        accept_data_loss=False, serial=intent.serial + 1,
    )  # fmt: skip
    left = f"{', '.join(up)} stays online" if stays else "it is wanted offline"
    return finish(view, request, changed, "flush", f"{group.unit} waits for nothing any more: {left}")


def autoenable(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Record a person's word that a silent system does not run a group, so that another may take it."""
    if not request.system:
        return refuse(request, "no-system", "the silent system is not named", "holdfast system list")
    system = view.system(request.system)
    if system.life is Life.ALIVE:
        return refuse(request, "alive", f"{request.system} is alive: it wrote its heartbeat just now", "stop it first")
    incarnation = intent.incarnation if intent.owner == request.system else system.incarnation
    reason = request.options.get("reason", "") or "its groups are to be enabled again"
    word = Confirmation(request.system, incarnation, request.by, reason)
    return Outcome(request=done(request), words=(word,))


def maintenance(view: View, group: Group, intent: Intent, request: Request) -> Outcome:
    """Enter or leave maintenance, which ends by itself at its deadline."""
    if request.options.get("mode") == "on":
        for_s = min(float(request.options.get("for_s", MAINTENANCE_DEFAULT_S)), MAINTENANCE_LIMIT_S)
        changed = replace(intent, maintenance_until=view.now + for_s, serial=intent.serial + 1)
        return finish(view, request, changed, "maintenance-on", f"{group.unit} in maintenance for {for_s:.0f} s")
    if not intent.in_maintenance:
        return Outcome(request=done(request))
    offending = _offending(view, group, intent)
    if offending and not option(request, "force"):
        return refuse(
            request, "facts-differ", f"facts do not match the intent: {', '.join(offending)}",
            f"bring them to what is wanted, or: holdfast group maintenance {group.name} off --force",
        )  # fmt: skip
    changed = replace(intent, maintenance_until=0.0, overrides={}, loose=(), serial=intent.serial + 1)
    return finish(view, request, changed, "maintenance-off", f"{group.unit} left maintenance")


def _offending(view: View, group: Group, intent: Intent) -> list[str]:
    fact = view.fact(group.name, intent.owner)
    goal = ResourceState.ONLINE if intent.wanted is Wanted.ONLINE else ResourceState.OFFLINE
    found = {} if fact is None else fact.resources
    return [
        f"{name} is {found.get(name, ResourceFact()).state.value}"
        for name in counted(group)
        if found.get(name, ResourceFact()).state is not goal
    ]
