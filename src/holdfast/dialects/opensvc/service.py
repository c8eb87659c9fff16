"""A service made of its file: its resources typed and checked, its sync resources as flash copy sets.

Resource sections are named ``[sync#1]`` with ``type = ibmdssnap``, or ``[sync.ibmdssnap#1]``; both mean the same, as
for every other group of drivers. Keywords, their defaults and what is made of them stand in tables here. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from holdfast.dialects.opensvc.schedule import Schedule, parse_schedule
from holdfast.dialects.opensvc.servicefile import DEFAULT, Place, ServiceFile, unknown_keys
from holdfast.dialects.opensvc.values import duration_s, switch
from holdfast.kernel.errors import InputError
from holdfast.replication.model.identity import expand_pairs
from holdfast.replication.model.syncset import SyncSet

Value = TypeVar("Value")

SYNC_MAX_DELAY = "1d3h"
"""Of release 2.1: with a day and a window of two hours a limit of one day always trips."""
SYNC_MIN_DELAY = "121"
"""Minutes; sync_interval of release 1.5."""

_COMMON = ("type", "disable", "optional", "tags", "subset", "monitor", "restart", "snap", "always_on", "comment")
_TRIGGERS = ("pre_", "post_", "blocking_pre_", "blocking_post_")
_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    DEFAULT: (
        "nodes", "drpnodes", "drpnode", "autostart_node", "app", "env", "service_type", "svc_env", "cluster_type",
        "comment", "topology", "orchestrate", "id", "sync_schedule", "sync_max_delay", "sync_min_delay",
        "sync_interval", "schedule", "comp_schedule", "push_schedule", "status_schedule", "monitor_schedule",
        "resinfo_schedule", "presnap_trigger", "postsnap_trigger", "lock_timeout", "mode", "pkg_name",
    ),
    "sync": (
        "pairs", "array", "bgcopy", "recording", "schedule", "sync_schedule", "sync_max_delay", "sync_min_delay",
        "sync_interval", "freeze", "target",
    ),
    "app": ("script", "start", "stop", "check", "info", "user", "timeout", "start_timeout", "stop_timeout"),
    "fs": ("dev", "mnt", "mnt_opt", "vg"),
    "ip": ("ipname", "ipdev", "netmask", "gateway"),
}  # fmt: skip
"""Group of drivers → keywords beside the common ones."""
_TYPES: Mapping[str, tuple[str, ...]] = {
    "sync": ("ibmdssnap",),
    "app": ("", "simple", "forking"),
    "fs": ("ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "tmpfs", "nfs", "nfs4"),
    "ip": ("", "host"),
}
_RID = re.compile(r"(\w+?)(?:\.(\w+))?#(\w+)")


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource: ``rid`` is the section's short form ``sync#1``, ``section`` as it stands."""

    rid: str
    group: str
    type: str
    section: str
    disabled: bool = False
    optional: bool = False
    tags: tuple[str, ...] = ()
    subset: str = ""


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync resource: its set of flash copies, its schedule, and whether snapshot triggers run around it."""

    resource: Resource
    set: SyncSet
    schedule: Schedule
    schedule_key: str
    snap: bool


@dataclass(frozen=True, slots=True)
class Service:
    """A service, read and checked. ``warnings`` tell of keywords that mean nothing here."""

    name: str
    file: ServiceFile
    place: Place
    systems: tuple[str, ...]
    resources: tuple[Resource, ...]
    syncs: tuple[Sync, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def moving(self) -> tuple[Resource, ...]:
        """The resources that run on a system: all but the sync ones."""
        return tuple(one for one in self.resources if one.group != "sync" and not one.disabled)

    def text(self, section: str, key: str, default: str = "") -> str:
        """Return a keyword's value."""
        return self.file.get(section, key, self.place, default)


def read_service(file: ServiceFile, place: Place) -> Service:
    """Check a file whole and return its service. Raises :class:`InputError` at the first thing that is wrong."""
    resources = tuple(_resource(file, section, place) for section in file.resources())
    rids = [one.rid for one in resources]
    for one in resources:
        if rids.count(one.rid) > 1:
            raise file.wrong(one.section, "type", InputError(f"{one.rid} stands twice", remedy="number it anew"))
    syncs = tuple(_sync(file, one, place) for one in resources if one.group == "sync")
    warnings = [text for section in (DEFAULT, *file.resources()) for text in _unknown(file, section)]
    names = f"{file.own(DEFAULT, 'nodes', place)} {file.own(DEFAULT, 'drpnodes', place)}"
    systems = tuple(dict.fromkeys((*names.split(), *file.own(DEFAULT, "drpnode", place).split())))
    return Service(file.name, file, place, systems, resources, syncs, tuple(warnings))


def _unknown(file: ServiceFile, section: str) -> list[str]:
    group = DEFAULT if section == DEFAULT else section.partition("#")[0].partition(".")[0]
    found = unknown_keys(file, section, (*_KEYWORDS.get(group, ()), *_COMMON))
    return [text for text in found if not text.partition("] ")[2].startswith(_TRIGGERS) and "_requires" not in text]


def _resource(file: ServiceFile, section: str, place: Place) -> Resource:
    found = _RID.fullmatch(section)
    group = found[1] if found else ""
    if found is None or group not in _TYPES:
        remedy = f"known are {', '.join(f'{name}#1' for name in _TYPES)}"
        raise file.wrong(section, "", InputError("is no resource that is known here", remedy=remedy))
    kind = found[2] or file.own(section, "type", place)
    if kind not in _TYPES[group] and not (group == "fs" and re.fullmatch(r"\w+", kind)):
        known = ", ".join(name for name in _TYPES[group] if name)
        text = f"{kind!r} is no type of {group} resource" if kind else "has no type"
        raise file.wrong(section, "type", InputError(text, remedy=f"known are {known}"))
    disabled, optional = (_checked(file, section, key, place, "false", switch) for key in ("disable", "optional"))
    tags, subset = tuple(file.own(section, "tags", place).split()), file.own(section, "subset", place)
    return Resource(f"{group}#{found[3]}", group, kind, section, disabled, optional, tags, subset)


def _sync(file: ServiceFile, resource: Resource, place: Place) -> Sync:
    section = resource.section

    def value(key: str, default: str, read: Callable[[str], Value]) -> Value:
        return _checked(file, section, key, place, default, read)

    for key in ("pairs", "array", "bgcopy", "recording"):
        if not file.get(section, key, place):
            raise file.wrong(section, key, InputError("is required and missing", remedy=f"set {key} = ..."))
    key = next((name for name in ("schedule", "sync_schedule") if file.get(section, name, place)), "sync_schedule")
    minimum = "sync_interval" if file.get(section, "sync_interval", place) else "sync_min_delay"
    wanted = SyncSet(
        resource.rid,
        file.get(section, "array", place),
        value("pairs", "", _pairs),
        value("bgcopy", "", switch),
        value("recording", "", switch),
        value(minimum, SYNC_MIN_DELAY, duration_s),
        value("sync_max_delay", SYNC_MAX_DELAY, duration_s),
        value("freeze", "false", switch),
    )
    schedule = value(key, "@0", parse_schedule)
    where = section if file.own(section, key, place) else DEFAULT
    return Sync(resource, wanted, schedule, f"{where}.{key}", value("snap", "false", switch))


def _pairs(text: str) -> tuple[str, ...]:
    found = [f"{source}:{target}" for word in text.split() for source, target in expand_pairs(word)]
    twice = next((pair for pair in found if found.count(pair) > 1), "")
    targets = [pair.partition(":")[2] for pair in found]
    shared = next((target for target in targets if targets.count(target) > 1), "")
    if twice or shared:
        raise InputError(f"{twice or shared} stands twice", remedy="a target has one source: name each once")
    return tuple(found)


def _checked(
    file: ServiceFile, section: str, key: str, place: Place, default: str, read: Callable[[str], Value]
) -> Value:
    """Return a keyword's value as ``read`` makes it; its complaint gets the line of the keyword."""
    text = file.get(section, key, place, default)
    try:
        return read(text)
    except InputError as error:
        raise file.wrong(section, key, error) from error
