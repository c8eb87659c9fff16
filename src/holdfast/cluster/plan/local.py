"""What a system should do next for one group: the pure heart of the local engine.

Level-triggered: from the intent, the links and what the resources are now, it says which entry points may start at
this moment. Children come up before parents and go down after them; whatever the graph leaves independent runs side by
side. It is asked again after every change, so nothing has to be remembered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from holdfast.cluster.model.configuration import AtLeast, Group
from holdfast.cluster.model.facts import Intent, Phase, ResourceFact, ResourceState, Wanted


class Mandate(Enum):
    """What a system may do for a group."""

    RUN = "run"
    STOP = "stop"
    WISHES_ONLY = "wishes only"
    HANDS_OFF = "hands off"


@dataclass(frozen=True, slots=True)
class Order:
    """Bring one resource online or take it offline, and why."""

    resource: str
    wanted: Wanted
    reason: str


@dataclass(frozen=True, slots=True)
class Charge:
    """A mandate and its reason."""

    mandate: Mandate
    reason: str
    system: str = ""


def charge(intent: Intent | None, system: str, incarnation: str, swept: bool, enabled: bool = True) -> Charge:
    """Return what ``system`` may do. ``swept`` is False for a new incarnation that has no lease yet: what an earlier
    one left behind must go before anything else. Where the group is not ``enabled`` nothing starts."""
    mandate, reason = _mandate(intent, system, incarnation, swept)
    if mandate is Mandate.RUN and not enabled:
        mandate, reason = Mandate.HANDS_OFF, "the group is disabled here"
    return Charge(mandate, reason, system)


def _mandate(intent: Intent | None, system: str, incarnation: str, swept: bool) -> tuple[Mandate, str]:
    if intent is not None and intent.frozen:
        return Mandate.HANDS_OFF, "the group is frozen"
    if not swept:
        return Mandate.STOP, "the lease lapsed: nothing of an earlier incarnation may stay"
    if intent is None or not intent.owner:
        return Mandate.HANDS_OFF, "nothing was decided for the group yet"
    if intent.owner != system:
        return Mandate.STOP, f"the group belongs to {intent.owner}"
    if intent.in_maintenance:
        return Mandate.WISHES_ONLY, "the group is in maintenance"
    if intent.incarnation != incarnation:
        return Mandate.STOP, "the intent names an earlier incarnation of this system"
    if intent.wanted is Wanted.OFFLINE:
        return Mandate.STOP, intent.reason or "the group is wanted offline"
    if intent.evidence is None:
        return Mandate.STOP, "the intent carries no evidence that the earlier owner is harmless"
    return Mandate.RUN, intent.reason or "the group is wanted online"


def faulted_critically(group: Group, facts: Mapping[str, ResourceFact]) -> str:
    """Return the name of a faulted resource that is Critical or is needed by one that is; empty when none is."""
    for name, fact in facts.items():
        resource = group.resources.get(name)
        if resource is None or not fact.faulted:
            continue
        if resource.critical or any(group.resources[above].critical for above in group.above(name)):
            return name
        for link in group.at_least:
            needing = {link.parent, *group.above(link.parent)}
            short = name in link.children and _sound(link, facts) < link.minimum
            if short and any(group.resources[above].critical for above in needing):
                return name
    return ""


def _sound(link: AtLeast, facts: Mapping[str, ResourceFact]) -> int:
    """How many children of an ``atleast`` link are not faulted."""
    return sum(not facts.get(child, ResourceFact()).faulted for child in link.children)


def _too_few_up(group: Group, name: str, facts: Mapping[str, ResourceFact]) -> str:
    """Return why fewer children of ``name`` are online than an ``atleast`` link asks for; empty when enough are."""
    for link in group.at_least:
        up = sum(_up(group, child, facts) for child in link.children)
        if link.parent == name and up < link.minimum:
            return f"{up} of the at least {link.minimum} that it needs of {', '.join(link.children)} are online"
    return ""


def leaned_on(group: Group, others: Iterable[tuple[Group, Charge, Mapping[str, ResourceFact]]]) -> str:
    """Return the group of ``others`` on this system that must be offline before ``group`` goes down; empty if none.

    That is a parent linked ``online local`` that is itself going down, or linked hard, and has something online or
    under way. One that is left alone (frozen, in maintenance) holds nothing up, nor does one of which nobody can say.
    """
    for other, given, facts in others:
        link = next((each for each in other.group_links if each.child == group.name), None)
        if link is None or (link.category, link.location) != ("online", "local"):
            continue
        goes = given.mandate is Mandate.STOP or (link.rigidity == "hard" and given.mandate is Mandate.RUN)
        if goes and any(_still_up(fact) for fact in facts.values()):
            return other.name
    return ""


def _still_up(fact: ResourceFact) -> bool:
    return not fact.keeps and (fact.state is ResourceState.ONLINE or fact.phase is not Phase.IDLE)


def orders(
    group: Group,
    facts: Mapping[str, ResourceFact],
    given: Charge,
    wishes: Mapping[str, Wanted],
    held: str = "",
    loose: Collection[str] = (),
) -> tuple[Order, ...]:
    """Return the entry points that may start now. Nothing goes online before every resource was probed.

    ``held`` names a group that must be offline before this one goes down (:func:`leaned_on`); ``loose`` are resources
    that may go offline although what needs them is online.
    """
    if given.mandate is Mandate.HANDS_OFF:
        return ()
    found: list[Order] = []
    probed = all(facts.get(name, ResourceFact()).probed for name in group.resources)
    for name, resource in group.resources.items():
        fact = facts.get(name, ResourceFact())
        if fact.phase is not Phase.IDLE or resource.persistent or not resource.number("Enabled", given.system):
            continue
        if fact.admin_wait is not None:
            continue
        wanted, reason = _wanted(group, name, facts, given, wishes)
        if wanted is Wanted.ONLINE and probed and _may_start(group, name, facts):
            found.append(Order(name, Wanted.ONLINE, reason))
        elif (
            wanted is Wanted.OFFLINE
            and not held
            and not resource.keeps
            and _may_stop(group, name, facts, name in loose)
        ):
            found.append(Order(name, Wanted.OFFLINE, reason))
    return tuple(found)


def hopeless(group: Group, facts: Mapping[str, ResourceFact], given: Charge) -> Mapping[str, str]:
    """Return the resources whose start has lost its ground, with the reason: what they need is online no longer.

    To wait for such a start until its OnlineTimeout would only delay the recovery of what is really broken.
    """
    if given.mandate is Mandate.HANDS_OFF:
        return {}
    found: dict[str, str] = {}
    for name in group.resources:
        if facts.get(name, ResourceFact()).phase is Phase.STARTING:
            lost = [child for child in group.children(name) if not _up(group, child, facts)]
            few = _too_few_up(group, name, facts)
            if lost or few:
                found[name] = f"{lost[0]}, which it needs, is online no longer" if lost else few
    return found


def _wanted(
    group: Group, name: str, facts: Mapping[str, ResourceFact], given: Charge, wishes: Mapping[str, Wanted]
) -> tuple[Wanted | None, str]:
    if given.mandate is Mandate.STOP:
        return Wanted.OFFLINE, given.reason
    if given.mandate is Mandate.WISHES_ONLY:
        return wishes.get(name), "asked for by a person"
    ground = _lost_ground(group, name, facts) if propagates(group) else ""
    if ground:
        return Wanted.OFFLINE, ground
    if name in wishes:
        return wishes[name], "asked for by a person"
    if not group.resources[name].number("AutoStart", given.system) or facts.get(name, ResourceFact()).intentional:
        return None, ""
    return Wanted.ONLINE, given.reason


def stopped_on_purpose(group: Group, facts: Mapping[str, ResourceFact]) -> str:
    """Return a Critical resource that somebody stopped on purpose from outside; empty when there is none."""
    found = (name for name, fact in facts.items() if fact.intentional and name in group.resources)
    return next((name for name in found if group.resources[name].critical), "")


def propagates(group: Group) -> bool:
    """Whether a fault takes what depends on it down (FaultPropagation)."""
    return group.flag("FaultPropagation")


def _lost_ground(group: Group, name: str, facts: Mapping[str, ResourceFact]) -> str:
    """Return why a resource cannot stay online: a fault or a stop on purpose of what it depends on; else empty."""
    culprit = faulted_critically(group, facts)
    if culprit:
        return f"{culprit} faulted and the group depends on it"
    for other, fact in facts.items():
        if (fact.faulted or fact.intentional) and name in group.above(other):
            return f"it needs {other}, which {'faulted' if fact.faulted else 'was stopped on purpose'}"
    for link in group.at_least:
        if name in (link.parent, *group.above(link.parent)) and _sound(link, facts) < link.minimum:
            return f"{link.parent} needs at least {link.minimum} of {', '.join(link.children)}"
    return ""


def _may_start(group: Group, name: str, facts: Mapping[str, ResourceFact]) -> bool:
    fact = facts.get(name, ResourceFact())
    if fact.faulted or fact.state is not ResourceState.OFFLINE:
        return False
    return all(_up(group, child, facts) for child in group.children(name)) and not _too_few_up(group, name, facts)


def _up(group: Group, name: str, facts: Mapping[str, ResourceFact]) -> bool:
    fact = facts.get(name, ResourceFact())
    return fact.state is ResourceState.ONLINE and fact.phase is Phase.IDLE and not fact.broken


def _may_stop(group: Group, name: str, facts: Mapping[str, ResourceFact], loose: bool = False) -> bool:
    if facts.get(name, ResourceFact()).state is not ResourceState.ONLINE:
        return False
    if loose:
        return True
    for link in group.at_least:
        others = sum(_up(group, child, facts) for child in link.children if child != name)
        leans = name in link.children and others < link.minimum
        if leans and not facts.get(link.parent, ResourceFact()).settled_offline:
            return False
    parents = (facts.get(parent, ResourceFact()) for parent in group.parents(name))
    return all(parent.settled_offline for parent in parents)
