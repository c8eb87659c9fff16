"""What runs where, as numbers: the load that groups put on systems, and what a system has left for one more.

What a system is charged with stands in the :class:`Roster`: two groups decided in one picture after another never
count on the same room twice.

``Prerequisites`` against ``Limits`` says whether a system is eligible at all, whatever the policy; ``FailOverPolicy``
ranks those that are (``cluster.md`` section 5.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from holdfast.cluster.model.attributes import SYSTEM_ATTRIBUTES, Value, amounts
from holdfast.cluster.model.configuration import Group
from holdfast.cluster.plan.roster import Roster
from holdfast.cluster.plan.view import View

Rank = tuple[float, ...]


def charged(view: View, system: str, besides: str = "") -> tuple[Group, ...]:
    """Return the groups that run on ``system`` or are on their way there, without the unit ``besides``."""
    roster = view.intents if isinstance(view.intents, Roster) else Roster(view.intents)
    groups = view.configuration.groups
    units = [unit.partition("@")[0] for unit in roster.charged(system) if unit != besides]
    return tuple(groups[name] for name in units if name in groups)


def shortage(view: View, group: Group, system: str) -> str:
    """Return why ``system`` cannot meet the group's Prerequisites; empty when it can."""
    needed = amounts(group.get("Prerequisites"))
    if not needed:
        return ""
    limits = amounts(_of_system(view, system, "Limits"))
    used = _sum(amounts(other.get("Prerequisites")) for other in charged(view, system, group.unit))
    for name, number in needed.items():
        left = limits.get(name, 0) - used.get(name, 0)
        if number > left:
            return f"it lacks {name}: {number} needed, {left} of {limits.get(name, 0)} left"
    return ""


def rank(view: View, group: Group, system: str) -> Rank:
    """Return how well ``system`` suits by the group's FailOverPolicy: the smallest is the best."""
    match str(group.get("FailOverPolicy")):
        case "RoundRobin":
            return (len(charged(view, system, group.unit)),)
        case "Load":
            return (-available(view, system, group.unit),)
        case _:
            return (group.priorities[system],)


def available(view: View, system: str, besides: str = "") -> float:
    """Return Capacity less the load of the groups charged to ``system``; of several amounts the scarcest counts."""
    capacity = amounts(_of_system(view, system, "Capacity"))
    used = _sum(amounts(other.get("Load")) for other in charged(view, system, besides))
    return min((capacity.get(name, 0) - used.get(name, 0) for name in capacity), default=0)


def _of_system(view: View, system: str, name: str) -> Value:
    values = view.configuration.systems.get(system)
    found = None if values is None else values.get(name, system)
    return SYSTEM_ATTRIBUTES[name].default if found is None else found


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, number in part.items():
            total[name] = total.get(name, 0) + number
    return total
