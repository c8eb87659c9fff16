"""What people call the state of a group or resource, derived from facts: the words of VCS, in one place."""

from __future__ import annotations

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import GroupFact, Intent, Phase, ResourceFact, ResourceState, Wanted
from holdfast.cluster.plan.local import faulted_critically


def counted(group: Group) -> tuple[str, ...]:
    """The resources that decide whether the group is online: enabled, started automatically, not persistent."""
    return tuple(
        name
        for name, resource in group.resources.items()
        if resource.number("Enabled") and resource.number("AutoStart") and not resource.persistent
    )


def online(group: Group, fact: GroupFact | None) -> bool:
    """Whether every resource that counts is online and nothing is under way."""
    if fact is None:
        return False
    found = [fact.resources.get(name, ResourceFact()) for name in counted(group)]
    return bool(found) and all(each.state is ResourceState.ONLINE and each.phase is Phase.IDLE for each in found)


def group_flags(group: Group, fact: GroupFact | None, intent: Intent | None, system: str) -> tuple[str, ...]:
    """Return the group's state on ``system`` as flags, for example ``("OFFLINE", "FAULTED")``."""
    if fact is None:
        return ("UNKNOWN",)
    found = {name: fact.resources.get(name, ResourceFact()) for name in group.resources}
    up = [name for name, each in found.items() if each.state is ResourceState.ONLINE]
    wanted = [name for name in counted(group) if name in found]
    here = intent is not None and intent.owner == system
    busy = any(each.phase is not Phase.IDLE for each in found.values())
    flags: list[str] = []
    if online(group, fact):
        flags.append("ONLINE")
    elif not [name for name in up if not group.resources[name].keeps]:
        flags.append("OFFLINE")
    else:
        flags.append("PARTIAL")
    culprit = faulted_critically(group, found)
    if culprit or any(each.faulted for each in found.values()):
        flags.append("FAULTED")
    if "ONLINE" not in flags and wanted and here and intent is not None and not culprit and not intent.in_maintenance:
        flags += ["STARTING"] if intent.wanted is Wanted.ONLINE else ["STOPPING"] if up or busy else []
    elif "ONLINE" not in flags and busy:
        flags.append("STOPPING" if up else "STARTING")
    return tuple(flags)


def resource_flags(fact: ResourceFact | None) -> tuple[str, ...]:
    """Return a resource's state as flags, for example ``("ONLINE", "RESTARTING")``."""
    if fact is None or not fact.probed:
        return ("OFFLINE", "STATE UNKNOWN")
    flags = [fact.state.value if fact.state is not ResourceState.UNKNOWN else "OFFLINE"]
    if fact.state is ResourceState.UNKNOWN or fact.unclear:
        flags.append("STATE UNKNOWN")
    if fact.faulted:
        flags = ["FAULTED"] if fact.state is ResourceState.OFFLINE else [*flags, "FAULTED"]
    told = (
        (fact.timed_out, "MONITOR TIMEDOUT"),
        (fact.clean_failing, "UNABLE TO OFFLINE"),
        (fact.admin_wait is not None, "ADMIN_WAIT"),
        (fact.phase in (Phase.STARTING, Phase.CLEANING) and fact.restarts > 0, "RESTARTING"),
    )
    return (*flags, *(word for holds, word in told if holds))


_ISTATES = {
    Phase.IDLE: "not waiting",
    Phase.STARTING: "waiting to go online",
    Phase.STOPPING: "waiting to go offline",
    Phase.CLEANING: "waiting to go offline",
}


def intent_state(fact: ResourceFact | None, wanted: Wanted | None = None) -> str:
    """Return what VCS calls IState. ``wanted`` is the group's goal where the resource is: one that is to come online
    and has no order yet waits for what it needs."""
    if fact is None:
        return "not waiting"
    if fact.clean_failing:
        return "waiting to go offline (clean failed)"
    idle_below = fact.phase is Phase.IDLE and fact.state is ResourceState.OFFLINE and not fact.faulted
    if wanted is Wanted.ONLINE and idle_below and fact.admin_wait is None and not fact.intentional:
        return "waiting for children online"
    return _ISTATES[fact.phase]


def autodisabled(group: Group, system: str, intent: Intent, fact: GroupFact | None, judged: str) -> str:
    """Return why VCS would call the group AutoDisabled on ``system``; empty when it may run there.

    ``judged`` is what the coordinator makes of the system: alive, dead, left or uncertain. A person's word ends it
    (``holdfast fence confirm``, ``hagrp -autoenable``) where it stands for missing evidence.
    """
    if judged == "uncertain":
        return f"nothing was heard of {system} yet"
    if judged == "dead" and intent.owner == system and intent.wanted is Wanted.ONLINE:
        return f"{system} is silent, and nothing proves yet that it does not run the group"
    if judged == "alive" and group.flag("Enabled", system) and (fact is None or not fact.probed):
        return f"the group is not probed on {system} yet"
    return ""
