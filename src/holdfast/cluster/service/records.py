"""The cluster's keys in the store, and the one way to read and write their values.

``cluster/config``         the texts of main.cf and its includes
``cluster/writable``       there while a person keeps the configuration open with ``haconf -makerw``
``cluster/coordinator``    who decides, with the epoch; every commit compares this key's revision
``cluster/gatherer``       who writes the heartbeats that others tell it, where, and by what key they are proven
``cluster/systems/NAME``   the heartbeat, written each interval under a lease
``cluster/groups/NAME``    the intent; of a parallel group one for each system, ``cluster/groups/NAME@SYSTEM``
``cluster/frozen/SYSTEM``  that a person froze a system until further notice
``cluster/load/SYSTEM``     what a system's load is said to be
``cluster/facts/SYSTEM/GROUP``  what a system sees of a group
``cluster/requests/ID``    what people asked for, and what became of it
``cluster/notes/GROUP``    why a group is where it is
``cluster/alerts/ID``      that a person took note of an alert
``cluster/info/SYSTEM/RESOURCE``  what a resource's agent tells people; no planner reads it
``cluster/confirmed/SYSTEM``    a person's word that an incarnation is dead
``cluster/authority/GROUP``  this cluster's word on who may run a global group, with a counter
``cluster/remotes/NAME``   what the coordinator's connector makes of a remote cluster, and that one's last summary
``cluster/declared/NAME``  what a person declared of a silent remote cluster
``cluster/judged``         what the coordinator makes of each system
``cluster/jeopardy``       which systems had one network left when they were last heard of
``cluster.audit/TIME``     who asked for or changed what, and why; bounded
``cluster.events/TIME``    history, bounded; outside ``cluster/`` so that no daemon has to read it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import TypeVar, get_type_hints

import msgspec

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import (
    Acknowledgement,
    Confirmation,
    CoordinatorRecord,
    Event,
    Freeze,
    Gatherer,
    GroupFact,
    Heartbeat,
    Info,
    Intent,
    Note,
    Request,
    ResourceFact,
    SystemLoad,
)
from holdfast.cluster.model.widearea import Authority, Declaration, RemoteCluster
from holdfast.kernel.errors import InputError
from holdfast.store.port import Entry, Put, Snapshot

ROOT = "cluster/"
CONFIG = "cluster/config"
WRITABLE = "cluster/writable"
COORDINATOR = "cluster/coordinator"
GATHERER = "cluster/gatherer"
SYSTEMS = "cluster/systems/"
GROUPS = "cluster/groups/"
FROZEN = "cluster/frozen/"
LOADS = "cluster/load/"
FACTS = "cluster/facts/"
REQUESTS = "cluster/requests/"
NOTES = "cluster/notes/"
INFO = "cluster/info/"
ALERTS = "cluster/alerts/"
CONFIRMED = "cluster/confirmed/"
JUDGED = "cluster/judged"
JEOPARDY = "cluster/jeopardy"
AUTHORITY = "cluster/authority/"
REMOTES = "cluster/remotes/"
DECLARED = "cluster/declared/"
EVENTS = "cluster.events/"
AUDIT = "cluster.audit/"

EVENT_LIMIT = 1000
AUDIT_LIMIT = 5000
FOR_PEOPLE = (SYSTEMS, INFO, ALERTS, GATHERER)
"""Keys whose changes alone change nothing that is decided on."""
REQUEST_LIMIT = 200

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class ConfigRecord:
    """The committed configuration: file name → text."""

    files: Mapping[str, str]


def encode(record: object) -> bytes:
    """Return a record as JSON, so that people can read the store. Raises ``InputError`` for what is no text."""
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError as error:
        raise InputError("what is to be written down holds bytes that are not UTF-8", remedy="write UTF-8") from error


def decode(value: bytes, kind: type[Record]) -> Record:
    """Return the record that ``value`` holds. Raises ``msgspec.ValidationError`` for anything else."""
    return msgspec.json.decode(value, type=kind)


@lru_cache(maxsize=4096)
def _known(value: bytes, kind: type[Record]) -> Record:
    """Decode once what is read again and again: a snapshot differs little from the one before."""
    return decode(value, kind)


def event_key(at_ns: int, place: int) -> str:
    """Return the key of an event; keys sort by time."""
    return f"{EVENTS}{at_ns:020d}-{place:03d}"


def audit(told: Event, token: str) -> Put:
    """Return the write that records who did what, and why; it goes into the transaction that does it. ``token`` keeps
    two records of one instant apart."""
    return Put(f"{AUDIT}{int(told.at * 1e9):020d}-{token[:8]}", encode(replace(told, kind="audit")))


_FACT_ON_WIRE = msgspec.defstruct(
    "_FactOnWire",
    [
        (each.name, kind, default)
        for each, default in ((each, msgspec.UNSET) for each in fields(GroupFact))
        for kind in (msgspec.Raw if each.name == "resources" else get_type_hints(GroupFact)[each.name],)
    ],
)
_ALIKE_LIMIT = 4096


class _Facts:
    """Decodes facts; those of a group that is alike on many systems share one value of its resources.

    That is most of them: in a large cluster nearly every group is offline nearly everywhere, and decoding each
    anew would be most of a decision's time and memory.
    """

    def __init__(self) -> None:
        self._alike: dict[bytes, Mapping[str, ResourceFact]] = {}

    def decode(self, value: bytes) -> GroupFact:
        """Return the fact. Raises ``msgspec.ValidationError`` for anything else."""
        found = msgspec.json.decode(value, type=_FACT_ON_WIRE)
        given = {
            name: part
            for name in _FACT_ON_WIRE.__struct_fields__
            if (part := getattr(found, name)) is not msgspec.UNSET
        }
        raw = bytes(given.pop("resources", b"{}"))
        resources = self._alike.get(raw)
        if resources is None:
            if len(self._alike) >= _ALIKE_LIMIT:
                self._alike.clear()
            resources = self._alike[raw] = msgspec.json.decode(raw, type=dict[str, ResourceFact])
        return GroupFact(**given, resources=resources)


_NAMED: Mapping[str, tuple[str, type]] = {
    SYSTEMS: ("heartbeats", Heartbeat),
    GROUPS: ("intents", Intent),
    REQUESTS: ("requests", Request),
    NOTES: ("notes", Note),
    FROZEN: ("frozen", Freeze),
    LOADS: ("loads", SystemLoad),
    CONFIRMED: ("confirmed", Confirmation),
    ALERTS: ("acknowledged", Acknowledgement),
    EVENTS: ("events", Event),
    AUTHORITY: ("authorities", Authority),
    REMOTES: ("remotes", RemoteCluster),
    DECLARED: ("declared", Declaration),
}
"""Prefix of keys that end in a name → the table of :class:`State` that holds them by it, and what they hold."""


@dataclass(slots=True)
class State:
    """Everything under ``cluster/`` at one revision, decoded. ``revisions`` are those of the keys' last changes;
    ``substance`` is that of the last change of anything but what stands :data:`FOR_PEOPLE`."""

    revision: int = 0
    substance: int = 0
    config: ConfigRecord | None = None
    writable: bool = False
    coordinator: CoordinatorRecord | None = None
    gatherer: Gatherer | None = None
    heartbeats: dict[str, Heartbeat] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    facts: dict[tuple[str, str], GroupFact] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    infos: dict[tuple[str, str], Info] = field(default_factory=dict)
    confirmed: dict[str, Confirmation] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    judged: dict[str, str] = field(default_factory=dict)
    jeopardy: dict[str, str] = field(default_factory=dict)
    frozen: dict[str, Freeze] = field(default_factory=dict)
    acknowledged: dict[str, Acknowledgement] = field(default_factory=dict)
    loads: dict[str, SystemLoad] = field(default_factory=dict)
    authorities: dict[str, Authority] = field(default_factory=dict)
    remotes: dict[str, RemoteCluster] = field(default_factory=dict)
    declared: dict[str, Declaration] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    _decoder: _Facts = field(default_factory=_Facts, repr=False, compare=False)

    @classmethod
    def of(cls, snapshot: Snapshot) -> State:
        """Decode a snapshot of ``cluster/``."""
        state = cls()
        for key, entry in snapshot.entries.items():
            state.put(key, entry)
        state.revision = snapshot.revision
        return state

    def intent_on(self, group: Group, system: str) -> Intent | None:
        """Return what was decided for a group, or for the part of a parallel one on ``system``; None if nothing."""
        return self.intents.get(group.on(system).unit)

    def put(self, key: str, entry: Entry) -> None:
        """Take in one key's new value."""
        self.revision = max(self.revision, entry.revision)
        self.revisions[key] = entry.revision
        if not key.startswith(FOR_PEOPLE):
            self.substance = max(self.substance, entry.revision)
        if key == CONFIG:
            self.config = _known(entry.value, ConfigRecord)
        elif key == WRITABLE:
            self.writable = True
        elif key == COORDINATOR:
            self.coordinator = _known(entry.value, CoordinatorRecord)
        elif key == GATHERER:
            self.gatherer = _known(entry.value, Gatherer)
        elif key == JUDGED:
            self.judged = msgspec.json.decode(entry.value, type=dict[str, str])
        elif key == JEOPARDY:
            self.jeopardy = msgspec.json.decode(entry.value, type=dict[str, str])
        elif key.startswith(FACTS):
            fact = self._decoder.decode(entry.value)
            self.facts[fact.group, fact.system] = fact
        elif key.startswith(INFO):
            info = _known(entry.value, Info)
            self.infos[info.resource, info.system] = info
        else:
            self._put_named(key, entry)

    def _put_named(self, key: str, entry: Entry) -> None:
        for prefix, (table, kind) in _NAMED.items():
            if key.startswith(prefix):
                getattr(self, table)[key.rpartition("/")[2]] = _known(entry.value, kind)
                return

    def drop(self, key: str, revision: int) -> None:
        """Forget a deleted key."""
        self.revision = max(self.revision, revision)
        self.revisions.pop(key, None)
        if not key.startswith(FOR_PEOPLE):
            self.substance = max(self.substance, revision)
        if key == COORDINATOR:
            self.coordinator = None
        elif key == CONFIG:
            self.config = None
        elif key == WRITABLE:
            self.writable = False
        elif key.startswith(FACTS):
            system, _, group = key[len(FACTS) :].partition("/")
            self.facts.pop((group, system), None)
        elif key.startswith(INFO):
            system, _, resource = key[len(INFO) :].partition("/")
            self.infos.pop((resource, system), None)
        for prefix, (table, _) in _NAMED.items():
            if key.startswith(prefix):
                getattr(self, table).pop(key.rpartition("/")[2], None)
