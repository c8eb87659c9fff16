"""Who is charged with what while one decision is made: the intents, and for each system the units that it bears.

A unit (a failover group, or a parallel group's part on one system) is *charged* to a system from the moment an intent
says that it is to run there, or to go there, until another intent takes it away. The planner puts each intent that it
changes in here at once, so that two groups of one decision never count on the same room; and because the units of a
system are at hand, a decision about many groups on many systems stays short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from holdfast.cluster.model.facts import Intent, Wanted


class Roster(Mapping[str, Intent]):
    """Intents by unit; :meth:`put` replaces one."""

    def __init__(self, intents: Mapping[str, Intent]) -> None:
        self._intents = dict(intents)
        self._charged: dict[str, dict[str, None]] = {}
        self._totals: dict[str, dict[str, Mapping[str, int]]] = {}
        for intent in self._intents.values():
            self._charge(intent)

    def __getitem__(self, unit: str) -> Intent:
        return self._intents[unit]

    def __iter__(self) -> Iterator[str]:
        return iter(self._intents)

    def __len__(self) -> int:
        return len(self._intents)

    def put(self, intent: Intent) -> None:
        """Replace the intent of a unit."""
        before = self._intents.get(intent.unit)
        for system in () if before is None else charges(before):
            self._charged[system].pop(intent.unit, None)
            self._totals.pop(system, None)
        self._intents[intent.unit] = intent
        self._charge(intent)

    def charged(self, system: str) -> tuple[str, ...]:
        """Return the units that run on ``system`` or are on their way there."""
        return tuple(self._charged.get(system, ()))

    def total(self, system: str, name: str, count: Callable[[], Mapping[str, int]]) -> Mapping[str, int]:
        """Return what ``count`` says of ``name`` for all units of ``system``; it is asked again when those change."""
        known = self._totals.setdefault(system, {})
        if name not in known:
            known[name] = count()
        return known[name]

    def _charge(self, intent: Intent) -> None:
        for system in charges(intent):
            self._charged.setdefault(system, {})[intent.unit] = None
            self._totals.pop(system, None)


def charges(intent: Intent) -> tuple[str, ...]:
    """Return the systems that bear a unit by its intent: where it runs, and where it goes."""
    runs = (intent.owner,) if intent.owner and intent.wanted is Wanted.ONLINE else ()
    goes = (intent.following,) if intent.following and intent.following not in runs else ()
    return runs + goes
