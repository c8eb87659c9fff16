"""Where a group may run: target choice with zones and policies; every rejected system carries its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Life
from holdfast.cluster.plan.dependencies import objection
from holdfast.cluster.plan.load import available, rank, shortage
from holdfast.cluster.plan.local import faulted_critically
from holdfast.cluster.plan.view import View


@dataclass(frozen=True, slots=True)
class Placement:
    """Candidates, best first, and why each other system was passed over."""

    candidates: tuple[str, ...] = ()
    rejected: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The best candidate; empty when there is none."""
        return self.candidates[0] if self.candidates else ""


def place(
    view: View,
    group: Group,
    near: str = "",
    avoid: frozenset[str] = frozenset(),
    only: str = "",
    forgive: bool = False,
    site: str = "",
) -> Placement:
    """Rank the systems of ``group``: first those in the zone of ``near``, then by FailOverPolicy, then as listed.

    ``avoid`` are systems that the group is leaving; ``only`` restricts the choice to one system, ``site`` to those of
    one zone; ``forgive`` overlooks faults.
    """
    rejected: dict[str, str] = {}
    candidates: list[str] = []
    for name in group.priorities:
        if only and name != only:
            reason = f"only {only} was asked for"
        elif not group.in_site(name, site):
            reason = f"only site {site} was asked for"
        else:
            reason = _objection(view, group, name, avoid, forgive)
        if reason:
            rejected[name] = reason
        else:
            candidates.append(name)
    order = list(group.priorities)
    candidates.sort(
        key=lambda name: (
            bool(near) and not group.same_zone(near, name),
            rank(view, group, name),
            order.index(name),
        )
    )
    return Placement(tuple(candidates), rejected)


def first_choice(view: View, group: Group, placement: Placement) -> str:
    """Return where the group starts by itself: of the candidates in AutoStartList the best by AutoStartPolicy."""
    listed = [name for name in group.autostart_list if name in placement.candidates]
    match str(group.get("AutoStartPolicy")):
        case "Load":
            listed.sort(key=lambda name: -available(view, name, group.unit))
        case "Priority":
            listed.sort(key=lambda name: group.priorities[name])
    return listed[0] if listed else ""


def _objection(view: View, group: Group, name: str, avoid: frozenset[str], forgive: bool) -> str:
    system = view.system(name)
    if name in avoid:
        return "the group is leaving it"
    if system.life is Life.DEAD:
        return f"it is dead: nothing was heard of it for {system.silent_s:.1f} s"
    if system.life is Life.UNCERTAIN:
        return "nothing was heard of it yet"
    if system.frozen:
        return "it is frozen"
    if not group.flag("Enabled", name):
        return "the group is disabled there"
    fact = view.fact(group.name, name)
    if fact is None or not fact.probed:
        return "the group is not probed there yet"
    culprit = faulted_critically(group, fact.resources)
    if culprit and not forgive:
        return f"{culprit} is faulted there"
    failing = [each for each, found in fact.resources.items() if found.clean_failing]
    if failing:
        return f"{failing[0]} cannot be cleaned there"
    waiting = [each for each, found in fact.resources.items() if found.admin_wait is not None]
    if waiting:
        return f"{waiting[0]} waits for an administrator there"
    return shortage(view, group, name) or objection(view, group, name)
