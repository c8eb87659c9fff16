"""A service's moving resources as a service group: what main.cf would say for the same service. Pure.

Only what runs on a system becomes part of the group; sync resources stay with the service file. Resources start in the
order of the agent, addresses, file systems, applications, and within a group of drivers by their number: each requires
the one before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from holdfast.cluster.config.amend import Change
from holdfast.cluster.config.edit import Draft
from holdfast.dialects.opensvc.service import Resource, Service
from holdfast.kernel.errors import InputError

_ORDER = ("ip", "fs", "app")
_TYPES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "ip": ("IP", {"ipname": "Address", "ipdev": "Device", "netmask": "NetMask"}),
    "fs": ("Mount", {"dev": "BlockDevice", "mnt": "MountPoint", "mnt_opt": "MountOpt"}),
    "app": ("Application", {"start": "StartProgram", "stop": "StopProgram", "check": "MonitorProgram", "user": "User"}),
}
"""Group of drivers → type, and keyword → attribute."""
_NEEDED = {"ip": ("ipname", "ipdev"), "fs": ("dev", "mnt"), "app": ("start", "check")}
_SCRIPT = {"start": "start", "stop": "stop", "check": "status"}
"""Keyword → the argument with which an init-style ``script`` is called in its place."""


def resource_name(service: str, resource: Resource) -> str:
    """Return the name of a resource in the cluster: ``web_fs_1`` of ``fs#1``."""
    return re.sub(r"\W", "_", f"{service}_{resource.rid}")


def group_of(service: Service, draft: Draft) -> None:
    """Add the service's group to ``draft``. Raises :class:`InputError` for a keyword that is missing or cannot be."""
    if not service.systems:
        error = InputError("is required and missing", remedy="set nodes = SYSTEM SYSTEM")
        raise service.file.wrong("DEFAULT", "nodes", error)
    draft.add("group", service.name)
    places = [word for number, name in enumerate(service.systems) for word in (name, str(number))]
    draft.modify("group", service.name, "SystemList", Change("set", tuple(places)))
    starter = service.text("DEFAULT", "autostart_node") or service.systems[0]
    if service.text("DEFAULT", "orchestrate", "ha") != "no":
        draft.modify("group", service.name, "AutoStartList", Change("set", tuple(starter.split())))
    before = ""
    for one in sorted(service.moving, key=_place):
        name = resource_name(service.name, one)
        _add(service, one, name, draft)
        if before:
            draft.link(name, [before])
        before = name


def _place(one: Resource) -> tuple[int, int, str]:
    number = one.rid.partition("#")[2]
    return (_ORDER.index(one.group), int(number) if number.isascii() and number.isdigit() else 1_000_000, number)


def _add(service: Service, one: Resource, name: str, draft: Draft) -> None:
    kind, attributes = _TYPES[one.group]
    draft.add_resource(name, kind, service.name)
    script = service.text(one.section, "script")
    for keyword, attribute in attributes.items():
        value = service.text(one.section, keyword)
        if not value and script and keyword in _SCRIPT:
            value = f"{script} {_SCRIPT[keyword]}"
        if not value and keyword in _NEEDED[one.group]:
            error = InputError("is required and missing", remedy=f"set {keyword} = ...")
            raise service.file.wrong(one.section, keyword, error)
        if value:
            draft.modify("resource", name, attribute, Change("set", (value,)))
    if one.group == "fs":
        draft.modify("resource", name, "FSType", Change("set", (one.type,)))
    if one.optional:
        draft.modify("resource", name, "Critical", Change("set", ("0",)))
