"""What people ask for: each request becomes changes of intents, a refusal with its reason, or a question first.

One function per operation, in three modules (groups, resources, systems), listed in ``_ANSWERS``. Of a parallel group
each system's part is asked by itself, and the request is done when all of them are. A request that takes time is
*accepted* and followed by :func:`progress` until the facts say that it is done, or that it will not be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Intent, Life, Request, RequestState, ResourceFact, Wanted
from holdfast.cluster.plan import clusterrequests, grouprequests, grouptransfers, resourcerequests, systemrequests
from holdfast.cluster.plan.local import faulted_critically
from holdfast.cluster.plan.outcome import Outcome, done, refuse, refused
from holdfast.cluster.plan.status import online
from holdfast.cluster.plan.view import View


def answer(view: View, request: Request) -> Outcome:
    """Answer a request that is pending, or waits for other groups."""
    if request.operation in _OF_SYSTEMS:
        return _OF_SYSTEMS[request.operation](view, request)
    handler = _ANSWERS.get(request.operation)
    if handler is None:
        return Outcome()
    group = view.configuration.groups.get(request.group)
    if group is None:
        return refuse(request, "no-group", f"there is no group {request.group!r}", "holdfast group list")
    if request.options.get("cluster") == view.configuration.name:
        request = replace(request, options={**request.options, "cluster": ""})
    away = bool(request.options.get("cluster"))
    if request.system and request.system not in group.priorities and not away:
        text = f"{request.system} is not in the SystemList of {group.name}"
        return refuse(request, "no-system", text, "holdfast system list")
    site = request.options.get("site", "")
    if site and site not in map(str, group.zones.values()):
        text = f"no system of {group.name} is in site {site!r}"
        return refuse(request, "no-site", text, f"SystemZones of {group.name} numbers the sites")
    if group.parallel:
        return _answer_parts(view, group, request, handler)
    return _answer_unit(view, group, request, handler)


_Handler = Callable[[View, Group, Intent, Request], Outcome]


def _answer_unit(view: View, unit: Group, request: Request, handler: _Handler) -> Outcome:
    intent = view.intent(unit)
    if request.operation in _NEED_SYSTEMS and _unsure(view, unit, request, intent):
        return Outcome()
    if request.operation not in _ALSO_FROZEN and (intent.frozen or unit.flag("Frozen")):
        remedy = f"holdfast group unfreeze {unit.name}" if intent.frozen else "set Frozen = 0 in the configuration"
        return refuse(request, "frozen", f"group {unit.name} is frozen", remedy)
    barred = clusterrequests.objection(view, unit, request)
    if barred is not None:
        return barred
    if request.options.get("cluster") and request.operation == "group.switch":
        return clusterrequests.switch(view, unit, intent, request)
    return handler(view, unit, intent, request)


def _answer_parts(view: View, group: Group, request: Request, handler: _Handler) -> Outcome:
    if request.operation in _FAILOVER_ONLY:
        text = f"group {group.name} is parallel: it runs on each system by itself"
        return refuse(request, "parallel", text, f"holdfast group online {group.name} --system SYSTEM")
    found = [
        _answer_unit(view, unit, replace(request, system=unit.at), handler) for unit in _parts(view, group, request)
    ]
    changes = tuple(change for one in found for change in one.changes)
    asks = tuple(ask for one in found for ask in one.asks)
    ends = [one.request for one in found if one.request is not None]
    if asks or (found and not ends):
        return Outcome((), None, asks)
    bad = [end for end in ends if end.state is RequestState.REFUSED]
    if not ends or len(bad) == len(ends):
        first = bad[0] if bad else refused(request, "no-target", f"no system of {group.name} is alive")
        return Outcome(request=replace(first, system=request.system))
    under_way = any(end.state is RequestState.ACCEPTED for end in ends)
    state = RequestState.ACCEPTED if under_way else RequestState.DONE
    serial = max((change.intent.serial for change in changes), default=1) if under_way else 0
    output = "\n".join(f"{end.system}: {end.reason}" for end in bad)
    return Outcome(changes, replace(request, state=state, serial=serial, output=output))


def _parts(view: View, group: Group, request: Request) -> list[Group]:
    """The parts that a request is about: that on the named system, else those on systems that are not lost."""
    if request.system:
        return [group.on(request.system)]
    everywhere, site = request.operation in _ALSO_FROZEN, request.options.get("site", "")
    living = [unit for unit in group.units.values() if everywhere or view.system(unit.at).life is not Life.DEAD]
    return [unit for unit in living if group.in_site(unit.at, site)]


def _unsure(view: View, group: Group, request: Request, intent: Intent) -> bool:
    """Whether a new coordinator has yet to hear of a system that matters; that passes within a time to live."""
    if request.options.get("cluster"):
        return bool(intent.owner) and view.system(intent.owner).life is Life.UNCERTAIN
    names = [request.system, intent.owner] if request.system else [*group.priorities]
    return any(name and view.system(name).life is Life.UNCERTAIN for name in names)


def progress(view: View, request: Request) -> Request | None:
    """Return an accepted request as finished, or None while it is under way."""
    if request.operation in _OF_SYSTEMS:
        return systemrequests.progress(view, request)
    group = view.configuration.groups.get(request.group)
    if group is None:
        return refused(request, "no-group", "the group is gone")
    if request.options.get("cluster"):
        return clusterrequests.progress(view, request)
    if not group.parallel:
        intent = view.intent(group)
        return None if intent.serial < request.serial else _progress_unit(view, group, request)
    reached = [_progress_unit(view, unit, replace(request, system=unit.at)) for unit in _parts(view, group, request)]
    bad = [one for one in reached if one is not None and one.state is RequestState.REFUSED]
    if bad:
        return replace(bad[0], system=request.system)
    return done(request) if all(reached) else None


def _progress_unit(view: View, group: Group, request: Request) -> Request | None:
    intent = view.intent(group)
    fact = view.fact(group.name, intent.owner)
    if group.at and not intent.owner:
        return done(request)
    if fact is None or fact.serial < intent.serial:
        return None
    if request.operation.startswith("resource."):
        found = fact.resources.get(request.resource, ResourceFact())
        return resourcerequests.progress(intent, request, found)
    if request.operation == "group.offline":
        if intent.wanted is Wanted.ONLINE:
            return refused(request, "overtaken", "a later request started it")
        return done(request) if fact.offline else None
    if intent.frozen:
        return refused(request, "frozen", f"group {group.unit} was frozen meanwhile")
    if intent.following or intent.kept_down:
        return None
    if intent.wanted is Wanted.OFFLINE:
        return refused(request, "overtaken", f"the group is wanted offline: {intent.reason or 'by a later request'}")
    culprit = faulted_critically(group, fact.resources)
    if online(group, fact):
        if not request.system or intent.owner == request.system:
            return done(request)
        return refused(request, "elsewhere", f"the group is online on {intent.owner} instead: {intent.reason}")
    if culprit and intent.owner == request.system:
        detail = fact.resources[culprit].detail
        reason = f"{culprit} did not come online on {intent.owner}{': ' + detail if detail else ''}"
        return refused(request, "faulted", reason, "see group state")
    return None


_NEED_SYSTEMS = frozenset(
    ("group.online", "group.switch", "group.takeover", "resource.online", "resource.offline", "resource.offprop")
)
_ALSO_FROZEN = frozenset(("group.freeze", "group.unfreeze"))
_FAILOVER_ONLY = frozenset(("group.switch", "group.takeover"))

_ANSWERS: dict[str, _Handler] = {
    "group.online": grouptransfers.online,
    "group.offline": grouptransfers.offline,
    "group.switch": grouptransfers.switch,
    "group.takeover": grouptransfers.takeover,
    "group.freeze": grouprequests.freeze,
    "group.unfreeze": grouprequests.freeze,
    "group.clear": grouprequests.clear,
    "group.clearadminwait": grouprequests.clear_admin_wait,
    "group.flush": grouprequests.flush,
    "group.autoenable": grouprequests.autoenable,
    "group.maintenance": grouprequests.maintenance,
    "group.authority": clusterrequests.take_authority,
    "resource.online": resourcerequests.online,
    "resource.offline": resourcerequests.offline,
    "resource.offprop": resourcerequests.offline_below,
    "resource.clear": grouprequests.clear,
}

_OF_SYSTEMS: dict[str, Callable[[View, Request], Outcome]] = {
    "system.freeze": systemrequests.freeze,
    "system.unfreeze": systemrequests.unfreeze,
    "system.load": systemrequests.load,
    "cluster.declare": clusterrequests.declare,
}
