"""A configuration as the ha… command lines that build it, for ``hacf -cftocmd``; :mod:`.commandfile` reads them back.

One line sets one attribute. What the command line of VCS leaves open is written so that nothing is lost: keys without
values go one by one (``-add KEY``), an empty list is ``-delete -keys``, a ``%`` protects what starts with ``-`` or
``%``. Comments have no command and are left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from holdfast.cluster.model.attributes import (
    CLUSTER_ATTRIBUTES,
    GROUP_ATTRIBUTES,
    HEARTBEAT_ATTRIBUTES,
    REMOTE_CLUSTER_ATTRIBUTES,
    SYSTEM_ATTRIBUTES,
    TYPE_ATTRIBUTES,
    AttributeDef,
    Dimension,
    Kind,
    Value,
)
from holdfast.cluster.model.configuration import Configuration, Group, ResourceType, Values

KINDS = {Kind.STR: "-string", Kind.INT: "-integer", Kind.BOOLEAN: "-boolean"}
DIMENSIONS = {
    Dimension.SCALAR: "-scalar", Dimension.VECTOR: "-vector", Dimension.KEYLIST: "-keylist",
    Dimension.ASSOCIATION: "-assoc",
}  # fmt: skip

Line = Sequence[str]


def command_lines(configuration: Configuration) -> str:
    """Return the text of main.cmd: commands that build ``configuration`` from nothing."""
    lines = (" ".join(map(shlex.quote, line)) for line in _lines(configuration))
    return "\n".join(["# written by hacf -cftocmd", *lines]) + "\n"


def _lines(configuration: Configuration) -> Iterator[Line]:
    for kind in configuration.types.values():
        yield from _type(kind, configuration.includes)
    if configuration.name:
        yield ("haclus", "-modify", "ClusterName", protected(configuration.name))
    for name, values in configuration.systems.items():
        yield ("hasys", "-add", name)
        yield from _values(("hasys", name), SYSTEM_ATTRIBUTES, values, "-sys")
    yield from _values(("haclus",), CLUSTER_ATTRIBUTES, configuration.cluster, "-sys")
    for name, values in configuration.remote_clusters.items():
        yield ("haclus", "-add", name)
        yield from _values(("haclus",), REMOTE_CLUSTER_ATTRIBUTES, values, "", ("-clus", name))
    for name, values in configuration.heartbeats.items():
        yield ("hahb", "-add", name)
        yield from _values(("hahb", name), HEARTBEAT_ATTRIBUTES, values, "-clus")
    for group in configuration.groups.values():
        yield from _group(group)
    for group in configuration.groups.values():
        for link in group.group_links:
            yield ("hagrp", "-link", group.name, link.child, link.category, link.location, link.rigidity)


def _type(kind: ResourceType, includes: Sequence[str]) -> Iterator[Line]:
    yield ("hatype", "-add", kind.name)
    if kind.source in includes:
        yield ("hatype", "-modify", kind.name, "SourceFile", f"./{kind.source}")
    for one in kind.attributes.values():
        scope = ("-static",) if one.static else ("-temp",) if one.temp else ()
        yield ("haattr", "-add", *scope, kind.name, one.name, KINDS[one.kind], DIMENSIONS[one.dimension])
        if one.declared_default:
            command = ("hatype", "-modify") if one.static else ("haattr", "-default")
            yield from _set((*command, kind.name, one.name), one, one.default, ())


def _group(group: Group) -> Iterator[Line]:
    yield ("hagrp", "-add", group.name)
    yield from _values(("hagrp", group.name), GROUP_ATTRIBUTES, group.values, "-sys")
    for resource in group.resources.values():
        kind = resource.type
        yield ("hares", "-add", resource.name, kind.name, group.name)
        for name in dict.fromkeys([*resource.values.common, *resource.values.local]):
            if kind.known[name].static or name in TYPE_ATTRIBUTES:
                yield ("hares", "-override", resource.name, name)
        yield from _values(("hares", resource.name), kind.known, resource.values, "-sys")
    for parent, child in group.links:
        yield ("hares", "-link", parent, child)
    for link in group.at_least:
        yield ("hares", "-link", link.parent, ",".join(link.children), "-min", str(link.minimum))


def _values(
    owner: Line, known: Mapping[str, AttributeDef], values: Values, scope: str, always: Line = ()
) -> Iterator[Line]:
    command, *named = owner
    for name, value in values.common.items():
        yield from _set((command, "-modify", *named, name), known[name], value, always)
    for name, places in values.local.items():
        yield (command, "-local", *named, name)
        for place, value in places.items():
            yield from _set((command, "-modify", *named, name), known[name], value, (scope, place))


def _set(line: Line, definition: AttributeDef, value: Value, where: Line) -> Iterator[Line]:
    if isinstance(value, str | int):
        yield (*line, protected(str(value)), *where)
    elif not value:
        yield (*line, "-delete", "-keys", *where)
    elif isinstance(value, Mapping):
        yield (*line, *(protected(word) for pair in value.items() for word in pair), *where)
    elif definition.dimension is Dimension.ASSOCIATION:
        yield from ((*line, "-add", protected(word), *where) for word in value)
    else:
        yield (*line, *map(protected, value), *where)


def protected(word: str) -> str:
    """Return a value so that no command takes it for an option."""
    return f"%{word}" if word.startswith(("-", "%")) else word
