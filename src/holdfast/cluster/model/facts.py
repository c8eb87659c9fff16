"""Facts: what the systems report and what the store records. Everything a planner may know is one of these values.

A *fact* is what a system saw of a group's resources; it counts only for the incarnation of the system that saw it. An
*intent* is what a coordinator decided: which system may run the group, and the evidence that nobody else does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class ResourceState(Enum):
    """What the last monitor said."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    UNKNOWN = "UNKNOWN"


class Phase(Enum):
    """What the agent is doing to a resource now."""

    IDLE = "idle"
    STARTING = "starting"
    STOPPING = "stopping"
    CLEANING = "cleaning"


class CleanReason(Enum):
    """Why clean runs; the number is what script agents get."""

    OFFLINE_HUNG = 0
    OFFLINE_INEFFECTIVE = 1
    ONLINE_HUNG = 2
    ONLINE_INEFFECTIVE = 3
    UNEXPECTED_OFFLINE = 4
    MONITOR_HUNG = 5


class EvidenceKind(Enum):
    """What proves that the earlier owner can do no harm."""

    FIRST_START = "first start"
    OFFLINE_CONFIRMED = "offline confirmed"
    FENCED = "fenced"
    GUARD_DEADLINE = "guard deadline past"
    PERSON = "confirmed by a person"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Proof, recorded in the store before the next owner may start anything."""

    kind: EvidenceKind
    text: str
    system: str = ""
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """Is the data on a system's side current? None: nobody can say."""

    current: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class ResourceFact:
    """One resource on one system. ``restarts`` counts local restarts since it was last stable; ``keeps`` says that it
    is never taken offline, so that the group may be offline while it is online. ``timed_out``: the last monitor ran out
    of time. ``admin_wait``: why an administrator must look (ManageFaults NONE, or clean was given up). ``intentional``:
    it was stopped on purpose from outside. ``broken``: it is there and does not work, so nothing may stand on it.
    ``unclear``: it was online, and the last monitor could not tell."""

    state: ResourceState = ResourceState.UNKNOWN
    phase: Phase = Phase.IDLE
    faulted: bool = False
    probed: bool = False
    clean_failing: bool = False
    restarts: int = 0
    detail: str = ""
    keeps: bool = False
    timed_out: bool = False
    admin_wait: CleanReason | None = None
    intentional: bool = False
    broken: bool = False
    unclear: bool = False

    @property
    def settled_offline(self) -> bool:
        """Offline, or one that keeps, and nothing under way that could change it."""
        down = self.keeps or self.state is ResourceState.OFFLINE
        return down and self.phase is Phase.IDLE and not self.clean_failing and self.admin_wait is None


@dataclass(frozen=True, slots=True)
class GroupFact:
    """What ``system`` in its ``incarnation`` sees of a group. ``serial`` is the last intent it has seen.

    ``guarded`` says that the guard kills the group at the lease deadline (False while it is frozen). ``barred`` is why
    the preonline trigger let nothing start for that intent.
    """

    group: str
    system: str
    incarnation: str
    serial: int = 0
    guarded: bool = True
    resources: Mapping[str, ResourceFact] = field(default_factory=dict)
    barred: str = ""

    @property
    def probed(self) -> bool:
        """Every resource has been monitored at least once."""
        return all(fact.probed for fact in self.resources.values())

    @property
    def offline(self) -> bool:
        """Every resource is confirmed offline and nothing is under way."""
        return self.probed and all(fact.settled_offline for fact in self.resources.values())


class Wanted(Enum):
    """What a group, or a resource by a person's wish, should be."""

    ONLINE = "online"
    OFFLINE = "offline"


SPARED = -1
"""Of ``Intent.spared``: the group is frozen, so that its owner's guard may spare it."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What was decided for a group. ``owner`` in ``incarnation`` may run it, and only with ``evidence``.

    ``following`` is the system that gets the group once ``owner`` confirmed it offline. ``overrides`` are a person's
    wishes for single resources. ``maintenance_until`` is wall-clock seconds, 0 when not in maintenance. ``kept_down``
    names the group for whose sake this one was taken offline: it comes back when that one allows it. ``ground`` says
    where the groups that it requires were when it got its owner. Of a parallel group each system has an intent of its
    own, that of the part ``at`` it. ``loose`` names resources that go offline although what needs them is online;
    ``nopre`` skips the preonline trigger; ``cause`` is the system whose fault moved the group, empty when it was a
    person or nobody. ``retries`` counts how often the group was started again in place (OnlineRetryLimit), the last
    time at ``retried_at`` (wall-clock seconds). ``spared`` is :data:`SPARED` while a
    freeze may keep the guard from killing the group, and after it the serial from which on the owner must report that
    the guard looks after it again.
    """

    group: str
    owner: str = ""
    incarnation: str = ""
    wanted: Wanted = Wanted.OFFLINE
    serial: int = 0
    epoch: int = 0
    evidence: Evidence | None = None
    following: str = ""
    reason: str = ""
    frozen: bool = False
    maintenance_until: float = 0.0
    overrides: Mapping[str, Wanted] = field(default_factory=dict)
    accept_data_loss: bool = False
    clears: Mapping[str, int] = field(default_factory=dict)
    kept_down: str = ""
    ground: Mapping[str, str] = field(default_factory=dict)
    at: str = ""
    loose: tuple[str, ...] = ()
    nopre: bool = False
    cause: str = ""
    retries: int = 0
    retried_at: float = 0.0
    spared: int = 0

    @property
    def unit(self) -> str:
        """The name that it is kept under: that of the group, or ``GROUP@SYSTEM`` for a part of a parallel group."""
        return f"{self.group}@{self.at}" if self.at else self.group

    def outlived(self, fact: GroupFact) -> bool:
        """Whether the group was given away on the proof that ``fact``'s system, in that life, runs nothing any more.

        A word of that life that the network delivers late says nothing of what runs now.
        """
        proof = self.evidence
        if proof is None or proof.kind in (EvidenceKind.FIRST_START, EvidenceKind.OFFLINE_CONFIRMED):
            return False
        return (proof.system, proof.incarnation) == (fact.system, fact.incarnation)

    @property
    def in_maintenance(self) -> bool:
        """Whether the engine keeps its hands off until a person or the deadline ends it."""
        return self.maintenance_until > 0


class Life(Enum):
    """What an observer makes of a system, by its own monotonic clock."""

    ALIVE = "alive"
    DEAD = "dead"
    UNCERTAIN = "uncertain"


class Departure(Enum):
    """How a system left: what is to become of its groups."""

    HANDS_OVER = ""
    """They are offline, and others may take them over."""
    WAITS = "stay"
    """They are offline and wait for the system, or for a person."""
    PARKED = "parked"
    """They run on without anybody to look after them; only a person's word that they are gone frees them."""


@dataclass(frozen=True, slots=True)
class SystemView:
    """A system as the observer sees it. ``silent_s`` is how long nothing new came; ``left``: it said goodbye, ``how``
    says how; ``available`` is what it measured to be free."""

    name: str
    life: Life
    incarnation: str = ""
    silent_s: float = 0.0
    frozen: bool = False
    left: bool = False
    available: Mapping[str, float] = field(default_factory=dict)
    how: Departure | None = None
    jeopardy: str = ""
    """Why it was in jeopardy when it was last heard of."""
    load: Mapping[str, int] = field(default_factory=dict)
    """What a person or a program said that its load is; empty: that of its groups counts."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A person froze a system until further notice (``frozen``), or took that back."""

    system: str
    frozen: bool
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SystemLoad:
    """What a person or a program said that a system's load is, in the unit of its Capacity; empty: it says nothing any
    more, and the Load of the system's groups counts."""

    system: str
    amounts: Mapping[str, int] = field(default_factory=dict)
    by: str = ""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A person's word that ``incarnation`` of a system is dead."""

    system: str
    incarnation: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a system writes each interval. ``session`` changes with each start of the daemon; ``available`` is what it
    measured to be free: CPU in processors, Mem and Swap in MiB; ``protocol`` is that of the records, ``version`` that
    of the software."""

    system: str
    incarnation: str
    session: str
    sequence: int
    state: str = "RUNNING"
    mode: str = ""
    available: Mapping[str, float] = field(default_factory=dict)
    protocol: int = 0
    version: str = ""
    networks: Mapping[str, bool] = field(default_factory=dict)
    """Which of the networks that it watches work."""

    @property
    def jeopardy(self) -> str:
        """Why the system's silence would prove little: of several networks one is left, or none answers; or empty."""
        working = [name for name, works in self.networks.items() if works]
        if len(self.networks) < 2 or len(working) > 1:
            return ""
        return f"only network {working[0]} is left" if working else "none of its networks answers"


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Whose daemon writes the signs of life of others: where it is told them, and by what key they are proven."""

    system: str
    session: str
    address: str
    key: str


@dataclass(frozen=True, slots=True)
class CoordinatorRecord:
    """Who decides. ``epoch`` grows with each change; ``protocol`` is what every system had reached by then."""

    system: str
    session: str
    epoch: int
    protocol: int = 0


ERRANDS = ("resource.action", "resource.probe", "resource.refreshinfo", "resource.flushinfo")
"""Requests about a resource that the system it is on carries out by itself."""


class RequestState(Enum):
    """How far a person's request has come."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Request:
    """Something a person asked for, and what became of it. ``code``, ``reason`` and ``remedy`` explain a refusal."""

    id: str
    operation: str
    group: str = ""
    resource: str = ""
    system: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    by: str = ""
    state: RequestState = RequestState.PENDING
    serial: int = 0
    code: str = ""
    reason: str = ""
    remedy: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A person took note of an alert, as it was at ``revision``; ``at`` is wall-clock seconds."""

    alert: str
    revision: int
    by: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Info:
    """What a resource's agent tells people about it (its info entry point): when (wall-clock seconds), what, or why
    it could not."""

    resource: str
    system: str
    at: float
    values: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Why a group is where it is: what the coordinator waits for, and what speaks against each system.

    ``group`` is the unit's name: ``GROUP@SYSTEM`` for a part of a parallel group.
    """

    group: str
    code: str = ""
    text: str = ""
    remedy: str = ""
    rejected: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of history: when (wall-clock seconds), what, about whom, by whom, why, and the revision decided on."""

    at: float
    kind: str
    text: str
    group: str = ""
    system: str = ""
    by: str = ""
    reason: str = ""
    revision: int = 0
