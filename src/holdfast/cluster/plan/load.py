"""What runs where, as numbers: the load that groups put on systems, and what a system has left for one more.

What a system is charged with stands in the :class:`Roster`: two groups decided in one picture after another never
count on the same room twice.

``Prerequisites`` against ``Limits`` says whether a system is eligible at all, whatever the policy; ``FailOverPolicy``
ranks those that are (``cluster.md`` section 5.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from holdfast.cluster.model.attributes import SYSTEM_ATTRIBUTES, Value, amounts
from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Life
from holdfast.cluster.plan.roster import Roster, charges
from holdfast.cluster.plan.status import online
from holdfast.cluster.plan.triggers import Firing
from holdfast.cluster.plan.view import View

Rank = tuple[float, ...]

METER_WEIGHTS: Mapping[str, int] = {"CPU": 10, "Mem": 5, "Swap": 1}
"""How much each meter counts for BiggestAvailable. [K]"""


def charged(view: View, system: str, besides: str = "") -> tuple[Group, ...]:
    """Return the groups that run on ``system`` or are on their way there, without the unit ``besides``."""
    roster = view.intents if isinstance(view.intents, Roster) else Roster(view.intents)
    groups = view.configuration.groups
    units = [unit.partition("@")[0] for unit in roster.charged(system) if unit != besides]
    return tuple(groups[name] for name in units if name in groups)


def _used(view: View, system: str, attribute: str, besides: str = "") -> Mapping[str, int]:
    """Sum up ``attribute`` (Load, Prerequisites) over what ``system`` is charged with, without the unit ``besides``."""
    roster = view.intents if isinstance(view.intents, Roster) else Roster(view.intents)
    total = roster.total(
        system, attribute, lambda: _sum(amounts(group.get(attribute)) for group in charged(view, system))
    )
    intent = roster.get(besides)
    if intent is None or system not in charges(intent) or intent.group not in view.configuration.groups:
        return total
    own = amounts(view.configuration.groups[intent.group].get(attribute))
    return {name: number - own.get(name, 0) for name, number in total.items()}


def shortage(view: View, group: Group, system: str) -> str:
    """Return why ``system`` cannot meet the group's Prerequisites; empty when it can."""
    needed = amounts(group.get("Prerequisites"))
    if not needed:
        return ""
    limits = amounts(_of_system(view, system, "Limits"))
    used = _used(view, system, "Prerequisites", group.unit)
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
        case "BiggestAvailable":
            return (-forecast(view, group, system),)
        case _:
            return (group.priorities[system],)


def available(view: View, system: str, besides: str = "") -> float:
    """Return Capacity less the load of the groups charged to ``system``, or less what its load is said to be; of
    several amounts the scarcest counts."""
    capacity = amounts(_of_system(view, system, "Capacity"))
    used = view.system(system).load or _used(view, system, "Load", besides)
    return min((capacity.get(name, 0) - used.get(name, 0) for name in capacity), default=0)


def forecast(view: View, group: Group, system: str) -> float:
    """Return how much of a system would be free if what is on its way there had arrived, as a weighted sum of shares.

    Each meter's share is of the most that any living system has free. Where nothing is measured (Statistics Disabled)
    Capacity less Load counts.
    """
    measured = view.system(system).available
    if not measured:
        return available(view, system, group.unit)
    others = [other for other in charged(view, system, group.unit) if not online(other, view.fact(other.name, system))]
    coming = _sum(amounts(other.get("Load")) for other in others)
    living = [one.available for one in view.systems.values() if one.life is Life.ALIVE]
    most = {meter: max(one.get(meter, 0.0) for one in living) for meter in measured}
    return sum(
        METER_WEIGHTS.get(meter, 0) * (free - coming.get(meter, 0)) / max(most[meter], 1e-9)
        for meter, free in measured.items()
    )


def used_percent(view: View, system: str) -> float:
    """Return how much of a system's Capacity its groups' Load uses, in percent; of several the scarcest counts."""
    capacity = amounts(_of_system(view, system, "Capacity"))
    used = view.system(system).load or _used(view, system, "Load")
    return max((100.0 * used.get(name, 0) / number for name, number in capacity.items() if number > 0), default=0.0)


def overloaded(view: View, since: Mapping[str, float], now: float) -> tuple[dict[str, float], tuple[Firing, ...]]:
    """Return since when each living system has been above its LoadWarningLevel, and the warnings that are due.

    ``since`` is what the last call returned, ``now`` the same clock. A system is warned of once, when it has been above
    for LoadTimeThreshold seconds, and again only after it was below.
    """
    above: dict[str, float] = {}
    due: list[Firing] = []
    for system in view.configuration.systems:
        level = amounts(_of_system(view, system, "LoadWarningLevel")).get("", 0)
        limit_s = amounts(_of_system(view, system, "LoadTimeThreshold")).get("", 0)
        if not view.alive(system) or used_percent(view, system) <= level:
            continue
        above[system] = since.get(system, now)
        if now - above[system] >= limit_s:
            due.append(Firing("loadwarning", (system, f"{available(view, system):.0f}")))
            above[system] = math.inf
    return above, tuple(due)


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
