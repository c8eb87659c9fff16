"""Which triggers an event fires, and with which arguments: pure, from what was and what is.

A trigger is a site's own program, run when something has happened. What happens to a group's resources fires on the
system where it happens; what happens to systems, and a group that nobody can take, fires where the coordinator is. The
arguments keep the order of VCS, so that programs written for it can be used (``cluster.md`` section 5.3; [K] where the
table says so).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import GroupFact, Intent, Note, ResourceFact, ResourceState, Wanted
from holdfast.cluster.plan.status import online, resource_flags


class Enabled(Enum):
    """When a trigger of a group runs."""

    ALWAYS = "whenever its program is there"
    LISTED = "only where the group's TriggersEnabled names it"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger: when it runs, and what its arguments are."""

    enabled: Enabled
    arguments: tuple[str, ...]


TRIGGERS: Mapping[str, Trigger] = {
    "preonline": Trigger(Enabled.LISTED, ("0", "system", "group", "FAULT or MANUAL", "faulted system")),
    "postonline": Trigger(Enabled.ALWAYS, ("0", "system", "group")),
    "postoffline": Trigger(Enabled.ALWAYS, ("0", "system", "group")),
    "resfault": Trigger(Enabled.ALWAYS, ("0", "system", "resource", "state before")),
    "resnotoff": Trigger(Enabled.ALWAYS, ("0", "system", "resource")),
    "resrestart": Trigger(Enabled.LISTED, ("0", "system", "resource")),
    "resstatechange": Trigger(Enabled.LISTED, ("0", "system", "resource", "state before", "state")),
    "resadminwait": Trigger(Enabled.ALWAYS, ("system", "resource", "clean reason 0 to 5")),
    "violation": Trigger(Enabled.ALWAYS, ("system", "group")),
    "nofailover": Trigger(Enabled.ALWAYS, ("system", "group")),
    "sysoffline": Trigger(Enabled.ALWAYS, ("system", "state")),
    "sysup": Trigger(Enabled.ALWAYS, ("system", "state")),
    "sysjoin": Trigger(Enabled.ALWAYS, ("system", "state")),
    "injeopardy": Trigger(Enabled.ALWAYS, ("system", "state")),
    "loadwarning": Trigger(Enabled.ALWAYS, ("system", "available capacity")),
}
"""Of preonline and nofailover the arguments are [S], of the others [K]. PreOnline = 1 enables preonline too."""

_STUCK = frozenset(("no-target", "no-failover", "no-evidence", "data-not-current"))
_STATES = {"dead": "FAULTED", "left": "EXITED", "alive": "RUNNING"}


@dataclass(frozen=True, slots=True)
class Firing:
    """Run the programs of the trigger ``name`` with ``arguments``."""

    name: str
    arguments: tuple[str, ...]


def is_enabled(group: Group, name: str, system: str) -> bool:
    """Whether a group's trigger is to run on ``system``."""
    if TRIGGERS[name].enabled is Enabled.ALWAYS or (name == "preonline" and group.flag("PreOnline", system)):
        return True
    listed = group.get("TriggersEnabled", system)
    names = listed.split() if isinstance(listed, str) else () if isinstance(listed, int) else tuple(listed)
    return name.upper() in {each.upper() for each in names}


def preonline(group: Group, intent: Intent, system: str) -> Firing | None:
    """Return the trigger that must agree before anything of the group starts on ``system``; None when none has to."""
    if intent.nopre or not is_enabled(group, "preonline", system):
        return None
    why = ("FAULT", intent.cause) if intent.cause else ("MANUAL",)
    return Firing("preonline", ("0", system, group.name, *why))


def of_group(group: Group, before: GroupFact | None, after: GroupFact, intent: Intent | None) -> Iterator[Firing]:
    """Yield what a group's change on a system fires. A first look, or one before all is probed, fires nothing."""
    if before is None or not before.probed or before.incarnation != after.incarnation:
        return
    for name, fact in after.resources.items():
        for firing in _of_resource(after.system, name, before.resources.get(name, ResourceFact()), fact):
            if is_enabled(group, firing.name, after.system):
                yield firing
    was, now = _up(group, before), _up(group, after)
    if online(group, after) and not online(group, before):
        yield Firing("postonline", ("0", after.system, group.name))
    if was and not now:
        yield Firing("postoffline", ("0", after.system, group.name))
    if now and not was and not group.parallel and intent is not None and intent.owner not in ("", after.system):
        yield Firing("violation", (after.system, group.name))


def _up(group: Group, fact: GroupFact) -> bool:
    """Whether anything of the group is online that can go offline."""
    return any(
        each.state is ResourceState.ONLINE
        for name, each in fact.resources.items()
        if name in group.resources and not group.resources[name].keeps
    )


def _of_resource(system: str, name: str, before: ResourceFact, after: ResourceFact) -> Iterator[Firing]:
    was, now = resource_flags(before)[0], resource_flags(after)[0]
    if after.faulted and not before.faulted:
        yield Firing("resfault", ("0", system, name, was))
    if after.clean_failing and not before.clean_failing:
        yield Firing("resnotoff", ("0", system, name))
    if after.restarts > before.restarts:
        yield Firing("resrestart", ("0", system, name))
    if after.admin_wait is not None and before.admin_wait is None:
        yield Firing("resadminwait", (system, name, str(after.admin_wait.value)))
    if now != was:
        yield Firing("resstatechange", ("0", system, name, was, now))


def of_systems(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Firing]:
    """Yield what a new judgement of the systems fires: ``alive``, ``dead``, ``left`` or ``uncertain`` by system."""
    first = "alive" not in before.values()
    for name, life in after.items():
        if life == before.get(name):
            continue
        if life in ("dead", "left") and before.get(name) == "alive":
            yield Firing("sysoffline", (name, _STATES[life]))
        elif life == "alive":
            yield Firing("sysup" if first else "sysjoin", (name, _STATES[life]))


def of_jeopardy(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Firing]:
    """Yield what systems fire that have just one network left."""
    return (Firing("injeopardy", (name, _STATES["alive"])) for name in after if name not in before)


def of_notes(notes: Iterable[Note], before: Mapping[str, Note], intents: Mapping[str, Intent]) -> Iterator[Firing]:
    """Yield what the coordinator's new notes fire: that a fault or a loss has left a group with no system."""
    for note in notes:
        intent, last = intents.get(note.group), before.get(note.group)
        if note.code not in _STUCK or (last is not None and last.code in _STUCK):
            continue
        if intent is not None and intent.owner and intent.wanted is Wanted.ONLINE:
            yield Firing("nofailover", (intent.owner, intent.group))
