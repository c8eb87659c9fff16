"""A configuration back to text, in the strict form: texts in quotes unless they are plain words, one item a line.

The promise: reading what this wrote gives an equal configuration, and dumping that gives the same text. Comments stand
where they stood; each group ends with its dependency tree as a comment, as administrators know it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from holdfast.cluster.config.comments import TREE_END, TREE_HEADING, Key
from holdfast.cluster.model.attributes import AttributeDef, Dimension, Kind, Value
from holdfast.cluster.model.configuration import Comment, Configuration, Group, GroupLink, ResourceType, Values

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_\-]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,9})")
_RESERVED = frozenset(
    (
        "requires", "group", "include", "cluster", "system", "type", "heartbeat", "Heartbeat", "remotecluster",
        "atleast", "from", "online", "offline", "local", "global", "remote", "soft", "firm", "hard",
    )
)  # fmt: skip
"""Plain words that mean something of their own where a name may stand: as names they go in quotes."""

MAIN = "main.cf"
"""The name under which a set of files holds main.cf."""

Item = tuple[Key, int, str]
"""A line with the key of its comments and the depth at which it stands."""


def dump(configuration: Configuration) -> str:
    """Return main.cf as text; types stand in the files it includes, unless main.cf declared them itself."""
    lines: list[str] = []
    for key, depth, text in items(configuration):
        found = configuration.comments.get(key, Comment()) if key else Comment()
        lines += [f"{indent(depth)}//{one}" for one in found.before]
        ending = f" //{found.after}" if found.after else ""
        lines.append(f"{indent(depth)}{text}{ending}")
    lines += [f"//{one}" for one in configuration.comments.get((), Comment()).before]
    return "\n".join(lines).lstrip("\n") + "\n"


def indent(depth: int) -> str:
    """Return the white space before a line of that depth."""
    return "\t" * depth


def dump_types(types: Mapping[str, ResourceType]) -> str:
    """Return a type file that declares ``types``."""
    return "\n".join("\n".join(_indented(_type(kind))) + "\n" for kind in types.values())


def _indented(items: Iterable[Item]) -> Iterator[str]:
    return (indent(depth) + text for _, depth, text in items)


def items(configuration: Configuration) -> Iterator[Item]:
    """Yield main.cf line by line, without comments; a line that is no item of its own has an empty key."""
    for name in configuration.includes:
        yield ("include", name), 0, f"include {quote(name)}"
    for kind in configuration.types.values():
        if kind.source == MAIN:
            yield from _spaced(_type(kind))
    if configuration.name or configuration.cluster != Values():
        heading = f"cluster {word(configuration.name)} ("
        yield from _spaced(_block(("cluster",), heading, configuration.cluster))
    for name, values in configuration.remote_clusters.items():
        yield from _spaced(_block(("remotecluster", name), f"remotecluster {word(name)} (", values))
    for name, values in configuration.heartbeats.items():
        yield from _spaced(_block(("heartbeat", name), f"heartbeat {word(name)} (", values))
    for name, values in configuration.systems.items():
        yield from _spaced(_block(("system", name), f"system {word(name)} (", values))
    for group in configuration.groups.values():
        yield from _spaced(_group(group))


def _spaced(items: Iterable[Item]) -> Iterator[Item]:
    """The items with an empty line before the first."""
    for number, (key, depth, text) in enumerate(items):
        if number == 0:
            yield (), 0, ""
        yield key, depth, text


def _block(key: Key, heading: str, values: Values, depth: int = 0) -> Iterator[Item]:
    yield key, depth, heading
    for name, value in values.common.items():
        yield (*key, name, ""), depth + 1, f"{name} = {_value(value)}"
    for name, places in values.local.items():
        for place, value in places.items():
            yield (*key, name, place), depth + 1, f"{name}@{word(place)} = {_value(value)}"
    yield (*key, ")"), depth + 1, ")"


def _group(group: Group) -> Iterator[Item]:
    yield from _block(("group", group.name), f"group {word(group.name)} (", group.values)
    for resource in group.resources.values():
        heading = f"{word(resource.type.name)} {word(resource.name)} ("
        yield from _spaced(_block(("resource", resource.name), heading, resource.values, 1))
    if group.group_links or group.links or group.at_least:
        yield (), 0, ""
    for link in group.group_links:
        yield ("requires group", group.name, link.child), 1, f"requires group {word(link.child)} {_kind(link)}"
    for parent, child in group.links:
        yield ("requires", parent, child), 1, f"{word(parent)} requires {word(child)}"
    for one in group.at_least:
        children = ", ".join(word(name) for name in one.children)
        text = f"{word(one.parent)} requires atleast {one.minimum} from {children}"
        yield ("atleast", one.parent, *one.children), 1, text
    yield (), 0, ""
    yield from (((), 1, f"//{text}") for text in _tree(group))


def _kind(link: GroupLink) -> str:
    return f"{link.category} {link.location} {link.rigidity}"


def _tree(group: Group) -> Iterator[str]:
    """What needs what, as a drawing. What stands below several is drawn in full below the first of them."""
    yield from (TREE_HEADING, "", f"\tgroup {group.name}", "\t{")
    drawn: set[str] = set()
    waiting = [(name, 0) for name in reversed(list(group.resources)) if not group.parents(name)]
    depth_before = 0
    while waiting:
        name, depth = waiting.pop()
        yield from (f"\t{'    ' * (deeper - 1)}    }}" for deeper in range(depth_before, depth, -1))
        children = group.children(name)
        more = " ..." if children and name in drawn else ""
        yield f"\t{'    ' * depth}{group.resources[name].type.name} {name}{more}"
        depth_before = depth
        if children and name not in drawn:
            yield f"\t{'    ' * depth}    {{"
            waiting += [(child, depth + 1) for child in reversed(children)]
            depth_before = depth + 1
        drawn.add(name)
    yield from (f"\t{'    ' * (deeper - 1)}    }}" for deeper in range(depth_before, 0, -1))
    yield TREE_END


def _value(value: Value) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Mapping):
        pairs = (f"{word(key)} = {text if _NUMBER.fullmatch(text) else word(text)}" for key, text in value.items())
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    return "{ " + ", ".join(word(key) for key in value) + " }" if value else "{}"


def _type(kind: ResourceType) -> Iterator[Item]:
    yield ("type", kind.name), 0, f"type {word(kind.name)} ("
    for attribute in kind.attributes.values():
        yield (), 1, declaration(attribute)
    yield ("type", kind.name, ")"), 1, ")"


def declaration(attribute: AttributeDef) -> str:
    """Return the line of a type block that declares an attribute."""
    name = "keylist" if attribute.dimension is Dimension.KEYLIST else Kind(attribute.kind).value
    mark = {Dimension.VECTOR: "[]", Dimension.ASSOCIATION: "{}"}.get(attribute.dimension, "")
    prefix = "static " if attribute.static else "temp " if attribute.temp else ""
    suffix = f" = {_value(attribute.default)}" if attribute.declared_default else ""
    return f"{prefix}{name} {attribute.name}{mark}{suffix}"


def word(text: str) -> str:
    """Return a text as a plain word where that is allowed, else in quotes."""
    return text if _PLAIN.fullmatch(text) and text not in _RESERVED else quote(text)


def quote(text: str) -> str:
    """Return a text in quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
