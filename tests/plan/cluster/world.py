"""A toy world for planners: systems that carry out at once what the plans order, one small step at a time.

Nothing here decides anything. Each round the real planner decides on the whole picture, its intents are committed, and
each living system takes one step of the real local plan. Resources come and go instantly; what may go wrong is done to
the world from outside: a resource faults, a system dies or returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.configuration import Group, Resource
from holdfast.cluster.model.facts import (
    Confirmation,
    GroupFact,
    Intent,
    Life,
    Note,
    Request,
    RequestState,
    ResourceFact,
    ResourceState,
    SystemView,
    Wanted,
)
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.local import Charge, charge, leaned_on, orders
from holdfast.cluster.plan.status import online
from holdfast.cluster.plan.view import Decision, View

ROUNDS = 60
TYPES = """
type Thing ( str X )
type Keeper ( static str Operations = OnOnly )
type Watched ( static str Operations = None )
"""


def _booted(resource: Resource) -> ResourceFact:
    state = ResourceState.ONLINE if resource.persistent else ResourceState.OFFLINE
    return ResourceFact(state, probed=True, keeps=resource.keeps)


class World:
    """Systems, what runs on them, and what was decided."""

    def __init__(self, main_cf: str) -> None:
        self.configuration = build({"main.cf": TYPES + main_cf})
        self.lives = dict.fromkeys(self.configuration.systems, 1)
        self.dead: set[str] = set()
        self.unheard: set[str] = set()
        self.frozen: set[str] = set()
        self.cleared: dict[tuple[str, str], int] = {}
        self.now = 1000.0
        self.intents: dict[str, Intent] = {}
        self.facts: dict[tuple[str, str], dict[str, ResourceFact]] = {}
        self.seen: dict[tuple[str, str], int] = {}
        self.requests: list[Request] = []
        self.notes: dict[str, Note] = {}
        self.history: list[str] = []
        self.words: list[Confirmation] = []
        self.checks: list[Callable[[World], None]] = []
        for system in self.configuration.systems:
            self._boot(system)

    def _boot(self, system: str) -> None:
        for group in self.configuration.groups.values():
            if system in group.priorities:
                self.facts[group.name, system] = {name: _booted(each) for name, each in group.resources.items()}

    def crash(self, system: str) -> None:
        """The system dies; its guard's deadline is past."""
        self.dead.add(system)

    def boot(self, system: str) -> None:
        """The system returns with nothing running."""
        self.dead.discard(system)
        self.lives[system] += 1
        self._boot(system)

    def fault(self, resource: str, system: str) -> None:
        """A resource is gone for good on a system: cleaned and faulted."""
        group = self.configuration.group_of(resource)
        assert group is not None
        fact = ResourceFact(ResourceState.OFFLINE, faulted=True, probed=True)
        self.facts[group.name, system][resource] = fact

    def ask(self, operation: str, group: str = "", system: str = "", resource: str = "", **options: str) -> Request:
        """Put a request, run until quiet, return what became of it."""
        name = f"r{len(self.requests)}"
        self.requests.append(Request(name, operation, group, resource, system, options))
        self.settle()
        return next(request for request in self.requests if request.id == name)

    def settle(self) -> None:
        """Run until nothing changes any more. Raises AssertionError when it never does."""
        for _ in range(ROUNDS):
            before = (dict(self.intents), {key: dict(found) for key, found in self.facts.items()}, list(self.requests))
            self._decide()
            for system in self.configuration.systems:
                self._step(system)
                for check in self.checks:
                    check(self)
            if before == (self.intents, self.facts, self.requests):
                return
        raise AssertionError("the world never comes to rest:\n" + "\n".join(self.history[-12:]))

    def view(self) -> View:
        systems = {
            name: SystemView(name, self._life(name), f"{name}-{life}", 9.0, name in self.frozen)
            for name, life in self.lives.items()
        }
        every = {
            (group, system): GroupFact(
                group, system, f"{system}-{self.lives[system]}", self.seen.get((group, system), 0), True, dict(found)
            )
            for (group, system), found in self.facts.items()
        }
        living = {key: fact for key, fact in every.items() if key[1] not in self.dead}
        open_states = (RequestState.PENDING, RequestState.ACCEPTED)
        asked = tuple(request for request in self.requests if request.state in open_states)
        return View(self.configuration, systems, self.intents, living, every, asked, now=self.now, epoch=1)

    def _life(self, system: str) -> Life:
        unheard = Life.UNCERTAIN if system in self.unheard else Life.ALIVE
        return Life.DEAD if system in self.dead else unheard

    def _decide(self) -> Decision:
        decision = decide(self.view())
        assert decision == decide(self.view()), "the same picture gives the same decision"
        for change in decision.changes:
            self.history.append(change.text)
            self.intents[change.intent.unit] = change.intent
        for mark in decision.freezes:
            (self.frozen.add if mark.frozen else self.frozen.discard)(mark.system)
        self.words += decision.words
        for outcome in decision.outcomes:
            self.requests = [outcome if request.id == outcome.id else request for request in self.requests]
        self.notes |= {note.group: note for note in decision.notes}
        return decision

    def _step(self, system: str) -> None:
        if system in self.dead:
            return
        for group in self.configuration.groups.values():
            if system not in group.priorities:
                continue
            intent = self.intents.get(group.on(system).unit) or Intent(group.name)
            self.seen[group.name, system] = intent.serial
            found = self.facts[group.name, system]
            self._clear(intent, system, found)
            held = leaned_on(group, self._others(system))
            given = self._charge(group, system)
            for order in orders(group, found, given, intent.overrides, held, intent.loose):
                state = ResourceState.ONLINE if order.wanted is Wanted.ONLINE else ResourceState.OFFLINE
                found[order.resource] = replace(found[order.resource], state=state)

    def _clear(self, intent: Intent, system: str, found: dict[str, ResourceFact]) -> None:
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
        enabled = group.flag("Enabled", system)
        return charge(intent, system, f"{system}-{self.lives[system]}", True, enabled)

    def _others(self, system: str) -> list[tuple[Group, Charge, dict[str, ResourceFact]]]:
        here = [group for group in self.configuration.groups.values() if system in group.priorities]
        return [(group, self._charge(group, system), self.facts[group.name, system]) for group in here]

    def online_on(self, name: str) -> list[str]:
        """The living systems where a group is online as a whole."""
        group = self.configuration.groups[name]
        return [system for system in group.priorities if system not in self.dead and self._whole(group, system)]

    def anything_on(self, name: str) -> list[str]:
        """The living systems where any resource of a group is online."""
        found = []
        for system in self.configuration.groups[name].priorities:
            states = [fact.state for fact in self.facts[name, system].values()]
            if system not in self.dead and ResourceState.ONLINE in states:
                found.append(system)
        return found

    def _whole(self, group: Group, system: str) -> bool:
        return online(group, GroupFact(group.name, system, "", 0, True, self.facts[group.name, system]))
