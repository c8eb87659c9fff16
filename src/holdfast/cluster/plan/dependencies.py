"""What service groups require of one another: where a group may be, when it must go, what it takes along.

A *parent* requires a *child* (``requires group CHILD online|offline local|global|remote soft|firm|hard``):

================  ====================================  =====================================================
link              the parent may be online              when the child is lost where the parent needs it
================  ====================================  =====================================================
online local      only where the child is online        soft: stays, and follows when the child is up elsewhere;
                                                        firm and hard: goes offline, and comes up where the child is
online global     only while the child is somewhere     soft: stays; firm: goes offline until it is up again
online remote     only while the child is elsewhere     soft: stays; firm: goes offline until it is up again
offline local     only where the child is not           leaves the system that the child comes to
================  ====================================  =====================================================

With *hard* a parent's fault takes its child along. All of it is level-triggered: each function looks at what is now,
so nothing has to be remembered but ``kept_down``, the child that a parent was taken down for.
Of a parallel group each part counts where it is; which links it may have is checked when main.cf is read.
Source: ``cluster.md`` section 9.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from holdfast.cluster.model.configuration import Group, GroupLink
from holdfast.cluster.model.facts import Intent, Life, Wanted
from holdfast.cluster.plan.local import faulted_critically
from holdfast.cluster.plan.status import online
from holdfast.cluster.plan.view import View


@dataclass(frozen=True, slots=True)
class Displaced:
    """A running parent cannot stay, because of ``child``; or with ``follows`` it can, but rather goes where that is."""

    child: str
    reason: str
    follows: bool = False


def objection(view: View, group: Group, system: str) -> str:
    """Return why the links of ``group`` forbid it to come online on ``system``; empty when they allow it."""
    for link in group.group_links:
        child = view.configuration.groups[link.child]
        if link.category == "offline":
            if _charged(view, child, system):
                return f"group {child.name} is there, and {group.name} must not be where it is"
        elif link.location == "local" and not (system in child.priorities and is_up(view, child, system)):
            return f"group {child.name}, which {group.name} requires, is not online there"
        elif link.location == "global" and not any(is_up(view, child, name) for name in _places(view, child)):
            return f"group {child.name}, which {group.name} requires, is online nowhere"
        elif link.location == "remote" and not any(
            name != system and is_up(view, child, name) for name in _places(view, child)
        ):
            return f"group {child.name}, which {group.name} requires on another system, is online on none"
    return ""


def _places(view: View, group: Group) -> Iterable[str]:
    """The systems where a group can be up: any of a parallel one, otherwise only its owner."""
    return group.priorities if group.parallel else (view.intent(group).owner,)


def ground(view: View, group: Group) -> dict[str, str]:
    """Return where the groups that ``group`` requires are now, to be kept with its intent."""
    children = [view.configuration.groups[link.child] for link in group.group_links]
    return {child.name: view.intent(child).owner for child in children if not child.parallel}


def displaced(view: View, group: Group, intent: Intent) -> Displaced | None:
    """Return why a group that is wanted online on its owner cannot stay there, or None."""
    for link in group.group_links:
        child = view.configuration.groups[link.child]
        found = _displaced_by(view, group, intent, child, link)
        if found is not None:
            return found
    return None


def _displaced_by(view: View, group: Group, intent: Intent, child: Group, link: GroupLink) -> Displaced | None:
    here, where = intent.owner, view.intent(child).owner
    if link.category == "offline":
        return Displaced(child.name, f"group {child.name} comes to {here}") if _charged(view, child, here) else None
    if link.location == "local":
        lost = _lost(view, child, here)
        if not lost or link.rigidity != "soft":
            return Displaced(child.name, lost) if lost else None
        up = any(name != here and is_up(view, child, name) for name in group.priorities)
        return Displaced(child.name, f"it follows group {child.name}", follows=True) if up else None
    if child.parallel:
        others = [name for name in child.priorities if link.location == "global" or name != here]
        gone = link.rigidity != "soft" and all(_lost(view, child, name) for name in others)
        return Displaced(child.name, f"no part of group {child.name} that it may stand on is online") if gone else None
    if link.location == "remote" and where == here and _charged(view, child, here):
        return Displaced(child.name, f"group {child.name} is on {here}, and must be on another system")
    if link.rigidity == "soft":
        return None
    if (intent.ground.get(child.name) or where) != where:
        return Displaced(child.name, f"group {child.name} moved to {where}")
    lost = _lost(view, child, where)
    return Displaced(child.name, lost) if lost else None


def dragging(view: View, group: Group, intent: Intent) -> Group | None:
    """Return a parent linked hard whose fault takes ``group`` along: it is down, and may fail over. Else None."""
    for parent, link in view.configuration.required_by.get(group.name, ()):
        theirs = view.intent(parent)
        fact = view.fact(parent.name, intent.owner)
        if link.rigidity != "hard" or link.category != "online" or theirs.owner != intent.owner or fact is None:
            continue
        down = fact.offline and fact.serial >= theirs.serial and theirs.wanted is Wanted.ONLINE
        if down and faulted_critically(parent, fact.resources) and parent.flag("AutoFailOver") and not theirs.frozen:
            return parent
    return None


def in_the_way(view: View, group: Group, target: str) -> Iterator[Group]:
    """Yield the groups that must not be where ``group`` is and are on ``target``, or not yet offline there."""
    for parent, link in view.configuration.required_by.get(group.name, ()):
        there = parent.on(target)
        if link.category == "offline" and (_charged(view, there, target) or target in view.running_on(there)):
            yield there


def leaning(view: View, group: Group) -> Group | None:
    """Return a parent that is wanted online and forbids to take ``group`` down (linked firm or hard), or None."""
    for parent, link in view.configuration.required_by.get(group.name, ()):
        if link.category != "online" or link.rigidity == "soft":
            continue
        for unit in parent.units.values() or (parent,):
            theirs = view.intent(unit)
            up = theirs.owner and theirs.wanted is Wanted.ONLINE and view.system(theirs.owner).life is not Life.DEAD
            if up and not _spared(view, group, link, theirs.owner):
                return unit
    return None


def _spared(view: View, group: Group, link: GroupLink, where: str) -> bool:
    """Whether a parent on ``where`` can do without this part of a parallel child."""
    if not group.at:
        return False
    if link.location == "local":
        return where != group.at
    whole = view.configuration.groups[group.name]
    others = [name for name in whole.priorities if name != group.at and (link.location == "global" or name != where)]
    return any(not _lost(view, whole, name) for name in others)


def is_up(view: View, group: Group, system: str) -> bool:
    """Whether ``group`` is meant to be online on ``system`` and is, as a whole, by a fresh sign of life."""
    return view.alive(system) and not _lost(view, group, system) and online(group, view.fact(group.name, system))


def _lost(view: View, child: Group, system: str) -> str:
    """Return why ``child`` does not, or will not, hold on ``system``. A frozen group and one in maintenance hold, and
    so does one on a system of which nothing is known yet: that an observer has just begun proves no loss."""
    intent = view.intent(child.on(system))
    if intent.owner != system or not system:
        return f"group {child.name} is not on {system}" if system else f"group {child.name} is online nowhere"
    if intent.frozen or intent.in_maintenance or child.flag("Frozen"):
        return ""
    if intent.wanted is not Wanted.ONLINE:
        return f"group {child.name} is wanted offline on {system}"
    seen = view.system(system)
    if seen.life is Life.DEAD or (seen.life is Life.ALIVE and seen.incarnation != intent.incarnation):
        return f"group {child.name} was lost with {system}"
    fact = view.fact(child.name, system)
    culprit = "" if fact is None else faulted_critically(child, fact.resources)
    return f"group {child.name} faulted on {system} ({culprit})" if culprit else ""


def _charged(view: View, group: Group, system: str) -> bool:
    intent = view.intent(group.on(system))
    return intent.following == system or (intent.owner == system and intent.wanted is Wanted.ONLINE)
