"""A cluster in the mind: what the plans would do, played on a picture of it, one small step at a time.

Nothing here decides anything. Each round the production planner decides on the whole picture, its intents are taken as
committed, and each living system takes one step of the production's local plan. Resources come and go at once and
without failing; what goes wrong is done to the world from outside. The forecast and the planner's tests both play here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from holdfast.cluster.model.configuration import Configuration, Group, Resource
from holdfast.cluster.model.facts import (
    Confirmation,
    Departure,
    GroupFact,
    Intent,
    Life,
    Note,
    Phase,
    Request,
    RequestState,
    ResourceFact,
    ResourceState,
    SystemView,
    Wanted,
)
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.local import Charge, Mandate, Order, charge, leaned_on, orders
from holdfast.cluster.plan.status import online
from holdfast.cluster.plan.view import Answer, Ask, Decision, View

_OPEN = (RequestState.PENDING, RequestState.ACCEPTED)
_ENDS = {Phase.STARTING: ResourceState.ONLINE, Phase.STOPPING: ResourceState.OFFLINE,
         Phase.CLEANING: ResourceState.OFFLINE}  # fmt: skip
"""What is under way → how it ends when all goes well."""

Found = dict[str, ResourceFact]


def booted(resource: Resource) -> ResourceFact:
    """Return what a system that has just come finds of a resource."""
    state = ResourceState.ONLINE if resource.persistent else ResourceState.OFFLINE
    return ResourceFact(state, probed=True, keeps=resource.keeps)


class Imagined:
    """Systems, what runs on them, and what was decided. It begins as ``view`` says; the view itself stays as it is."""

    def __init__(self, view: View) -> None:
        self._view, self.now = view, view.now
        self.configuration: Configuration = view.configuration
        self.systems: dict[str, SystemView] = dict(view.systems)
        self.frozen = {name for name, one in view.systems.items() if one.frozen}
        self.leaving: dict[str, Departure] = {}
        self.intents: dict[str, Intent] = dict(view.intents)
        self.requests: list[Request] = list(view.requests)
        self.answers: dict[Ask, Answer] = dict(view.answers)
        self.notes: dict[str, Note] = {}
        self.words: list[Confirmation] = []
        self.facts: dict[tuple[str, str], Found] = {
            key: {name: _ended(each) for name, each in fact.resources.items()} for key, fact in view.facts.items()
        }
        self.seen = {key: fact.serial for key, fact in view.facts.items()}
        self.guarded = {key: fact.guarded for key, fact in view.facts.items()}
        self.cleared = {(one.unit, key): count for one in view.intents.values() for key, count in one.clears.items()}

    def picture(self) -> View:
        """Return the world as a coordinator would see it now."""
        systems = {name: replace(one, frozen=name in self.frozen) for name, one in self.systems.items()}
        facts = {
            (group, system): GroupFact(
                group, system, self.incarnation(system), self.seen.get((group, system), 0),
                self.guarded.get((group, system), True), dict(found),
            )
            for (group, system), found in self.facts.items()
        }  # fmt: skip
        asked = tuple(request for request in self.requests if request.state in _OPEN)
        said = {word.system: (word.incarnation, word.reason) for word in self.words}
        living = {key: fact for key, fact in facts.items() if self.life(key[1]) is not Life.DEAD}
        return replace(
            self._view, configuration=self.configuration, systems=systems, intents=dict(self.intents), facts=living,
            last_facts={**self._view.last_facts, **facts}, requests=asked, answers=dict(self.answers),
            now=self.now, confirmed={**self._view.confirmed, **said},
        )  # fmt: skip

    def life(self, system: str) -> Life:
        """Return what an observer makes of a system."""
        found = self.systems.get(system)
        return Life.UNCERTAIN if found is None else found.life

    def incarnation(self, system: str) -> str:
        """Return the present incarnation of a system."""
        found = self.systems.get(system)
        return "" if found is None else found.incarnation

    def lose(self, system: str, silent_s: float = 0.0) -> None:
        """The system dies; the deadline of its guard is past."""
        self.systems[system] = SystemView(system, Life.DEAD, self.incarnation(system), silent_s)

    def fault(self, resource: str, system: str) -> None:
        """A resource is gone for good on a system: cleaned and faulted."""
        group = self.configuration.group_of(resource)
        assert group is not None
        keeps = group.resources[resource].keeps
        fact = ResourceFact(ResourceState.OFFLINE, faulted=True, probed=True, keeps=keeps)
        self.facts.setdefault((group.name, system), {})[resource] = fact

    def decide(self) -> Decision:
        """Let the planner decide once, and take its decision as committed."""
        decision = self.decided(self.picture())
        for change in decision.changes:
            self.intents[change.intent.unit] = change.intent
        for mark in decision.freezes:
            (self.frozen.add if mark.frozen else self.frozen.discard)(mark.system)
        self.words += decision.words
        outcomes = {one.id: one for one in decision.outcomes}
        self.requests = [outcomes.get(one.id, one) for one in self.requests]
        self.notes |= {note.group: note for note in decision.notes}
        return decision

    def decided(self, view: View) -> Decision:
        """Return what the planner makes of a picture."""
        return decide(view)

    def step(self, system: str) -> tuple[tuple[str, Order], ...]:
        """Let a system do what its plan orders now; return it, each order with the name of its group."""
        if self.life(system) is Life.DEAD:
            return ()
        done: list[tuple[str, Order]] = []
        for group in self.configuration.groups.values():
            if (group.name, system) not in self.facts:
                continue
            intent = self.intents.get(group.on(system).unit) or Intent(group.name)
            self.seen[group.name, system] = intent.serial
            self.guarded[group.name, system] = not intent.frozen
            found = self.facts[group.name, system]
            self._clear(intent, system, found)
            held = leaned_on(group, self._others(system))
            for order in orders(group, found, self._charge(group, system), intent.overrides, held, intent.loose):
                state = ResourceState.ONLINE if order.wanted is Wanted.ONLINE else ResourceState.OFFLINE
                found[order.resource] = replace(found[order.resource], state=state)
                done.append((group.name, order))
        self._leave(system)
        return tuple(done)

    def _leave(self, system: str) -> None:
        """A system that was told to leave is gone once its groups are offline; by force it is gone at once."""
        how = self.leaving.get(system)
        mine = [key for key in self.facts if key[1] == system]
        spared = [key for key in mine if not self.guarded.get(key, True)]
        if how is None:
            return
        if how is Departure.PARKED:
            self.guarded |= dict.fromkeys(mine, False)
        elif any(not self.fact(*key).offline for key in mine if key not in spared):
            return
        self.systems[system] = replace(self.systems[system], life=Life.DEAD, left=True, how=how)

    def _clear(self, intent: Intent, system: str, found: Found) -> None:
        for key, count in intent.clears.items():
            where, _, what = key.partition(":")
            if where != system or self.cleared.get((intent.unit, key), 0) >= count:
                continue
            self.cleared[intent.unit, key] = count
            name, _, mark = what.partition("!")
            for each in found if name == "*" else [name]:
                if mark:
                    waited = found[each].admin_wait is not None
                    faulted = found[each].faulted or (waited and mark == "fault")
                    found[each] = replace(found[each], admin_wait=None, faulted=faulted)
                else:
                    found[each] = replace(found[each], faulted=False)

    def _charge(self, group: Group, system: str) -> Charge:
        intent = self.intents.get(group.on(system).unit)
        if system in self.leaving and not (intent is not None and intent.frozen):
            return Charge(Mandate.STOP, "the system is stopped", system)
        return charge(intent, system, self.incarnation(system), True, group.flag("Enabled", system))

    def _others(self, system: str) -> list[tuple[Group, Charge, Mapping[str, ResourceFact]]]:
        here = [group for group in self.configuration.groups.values() if (group.name, system) in self.facts]
        return [(group, self._charge(group, system), self.facts[group.name, system]) for group in here]

    def fact(self, group: str, system: str) -> GroupFact:
        """Return what a system would report of a group."""
        key = (group, system)
        found = self.facts.get(key, {})
        return GroupFact(group, system, self.incarnation(system), self.seen.get(key, 0), True, found)

    def online_on(self, name: str) -> list[str]:
        """The systems, not dead, where a group is online as a whole."""
        group = self.configuration.groups[name]
        living = [system for system in group.priorities if self.life(system) is not Life.DEAD]
        return [system for system in living if online(group, self.fact(name, system))]

    def anything_on(self, name: str) -> list[str]:
        """The systems, not dead, where any resource of a group is online."""
        living = [one for one in self.configuration.groups[name].priorities if self.life(one) is not Life.DEAD]
        up = ResourceState.ONLINE
        return [one for one in living if up in {each.state for each in self.facts.get((name, one), {}).values()}]

    def rest(self) -> tuple[object, ...]:
        """Return everything that can still change: two equal values in turn say that the world has come to rest."""
        found = {key: dict(each) for key, each in self.facts.items()}
        return dict(self.intents), found, list(self.requests), dict(self.systems), dict(self.answers)


def _ended(fact: ResourceFact) -> ResourceFact:
    if fact.phase is Phase.IDLE or fact.clean_failing:
        return fact
    return replace(fact, state=_ENDS[fact.phase], phase=Phase.IDLE)
