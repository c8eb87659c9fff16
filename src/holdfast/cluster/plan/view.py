"""One immutable picture of the cluster, and the decision that the planner makes of it.

The coordinator takes the picture at one revision of the store. What only the outside can say (a fence's success, the
standing of data) is first asked for: the planner returns :class:`Ask` values, and is called again with the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from holdfast.cluster.model.configuration import Configuration, Group
from holdfast.cluster.model.facts import (
    Confirmation,
    Evidence,
    Freeze,
    GroupFact,
    Intent,
    Life,
    Note,
    Request,
    ResourceState,
    Standing,
    SystemLoad,
    SystemView,
)
from holdfast.cluster.model.widearea import Authority, Declaration, RemoteCluster
from holdfast.kernel.errors import Refusal


class AskKind(Enum):
    """What can be asked of the outside."""

    FENCE = "fence"
    ADMIT = "admit"
    STANDING = "standing"
    POWER = "power"


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for a port."""

    kind: AskKind
    group: str
    system: str
    incarnation: str = ""


Answer = Evidence | Refusal | Standing | None


@dataclass(frozen=True, slots=True)
class View:
    """Everything a decision may depend on. ``now`` is wall-clock seconds. ``facts`` are by (group, system) and only of
    living incarnations; ``fenced`` are the groups that have a fence, ``powered`` the systems that can be ended from
    outside; ``confirmed`` maps a system to the incarnation that a person declared dead, and why. ``trusted`` may ask
    for anything, whatever the configuration says."""

    configuration: Configuration
    systems: Mapping[str, SystemView]
    intents: Mapping[str, Intent]
    facts: Mapping[tuple[str, str], GroupFact]
    last_facts: Mapping[tuple[str, str], GroupFact] = field(default_factory=dict)
    requests: tuple[Request, ...] = ()
    answers: Mapping[Ask, Answer] = field(default_factory=dict)
    fenced: frozenset[str] = frozenset()
    confirmed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    now: float = 0.0
    epoch: int = 0
    trusted: frozenset[str] = frozenset()
    authorities: Mapping[str, Authority] = field(default_factory=dict)
    remotes: Mapping[str, RemoteCluster] = field(default_factory=dict)
    """What is recorded of global groups and of the clusters that share them."""
    powered: frozenset[str] = frozenset()

    def system(self, name: str) -> SystemView:
        """Return the view of a system; one that nobody has seen is uncertain."""
        return self.systems.get(name, SystemView(name, Life.UNCERTAIN))

    def alive(self, name: str) -> bool:
        """Whether the observer has seen a fresh sign of life."""
        return self.system(name).life is Life.ALIVE

    def fact(self, group: str, system: str) -> GroupFact | None:
        """Return what the living incarnation of ``system`` says of ``group``."""
        return self.facts.get((group, system))

    def intent(self, unit: Group) -> Intent:
        """Return what was decided for a group, or for a parallel group's part on one system."""
        return self.intents.get(unit.unit) or Intent(unit.name, at=unit.at)

    def running_on(self, group: Group) -> tuple[str, ...]:
        """The living systems where any resource of the group is online or not known to be offline, by priority."""
        return tuple(
            name
            for name in sorted(group.priorities, key=lambda each: group.priorities[each])
            if self.alive(name) and _any_online(self.fact(group.name, name), group)
        )


def _any_online(fact: GroupFact | None, group: Group) -> bool:
    if fact is None:
        return False
    up = [name for name, found in fact.resources.items() if found.state is ResourceState.ONLINE]
    return any(name in group.resources and not group.resources[name].keeps for name in up)


@dataclass(frozen=True, slots=True)
class Change:
    """A new intent, the event that tells of it, and why each other system was passed over."""

    intent: Intent
    kind: str
    text: str
    by: str = ""
    rejected: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the coordinator will commit: intents, notes, outcomes of requests, frozen systems, people's words about dead
    ones, the authority over global groups, what is declared of remote clusters, what systems' load is said to be; and
    what it must ask first."""

    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()
    outcomes: tuple[Request, ...] = ()
    asks: tuple[Ask, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    words: tuple[Confirmation, ...] = ()
    authorities: tuple[Authority, ...] = ()
    declarations: tuple[Declaration, ...] = ()
    loads: tuple[SystemLoad, ...] = ()
