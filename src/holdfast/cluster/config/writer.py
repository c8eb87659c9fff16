"""A configuration back to text, in the strict form: texts in quotes unless they are plain words, one item a line.

The promise: reading what this wrote gives an equal configuration. Each group ends with its dependency tree as a
comment, as administrators know it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from holdfast.cluster.model.attributes import Dimension, Kind, Value
from holdfast.cluster.model.configuration import Configuration, Group, GroupLink, ResourceType, Values

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_\-]*")


def dump(configuration: Configuration) -> str:
    """Return main.cf as text; types stand in the files it includes."""
    lines = [f"include {_quote(name)}" for name in configuration.includes]
    if configuration.name:
        lines += ["", f"cluster {_word(configuration.name)} (", *_attributes(configuration.cluster), "\t)"]
    for name, values in configuration.systems.items():
        lines += ["", f"system {_word(name)} (", *_attributes(values), "\t)"]
    for group in configuration.groups.values():
        lines += ["", *_group(group)]
    return "\n".join(lines).lstrip("\n") + "\n"


def dump_types(types: Mapping[str, ResourceType]) -> str:
    """Return a type file that declares ``types``."""
    return "\n".join("\n".join(_type(kind)) + "\n" for kind in types.values())


def _group(group: Group) -> Iterator[str]:
    yield f"group {_word(group.name)} ("
    yield from _attributes(group.values)
    yield "\t)"
    for resource in group.resources.values():
        yield ""
        yield f"\t{_word(resource.type.name)} {_word(resource.name)} ("
        yield from (f"\t{line}" for line in _attributes(resource.values))
        yield "\t\t)"
    for link in group.group_links:
        yield f"\trequires group {_word(link.child)} {_kind(link)}"
    for parent, child in group.links:
        yield f"\t{_word(parent)} requires {_word(child)}"
    yield from _tree(group)


def _kind(link: GroupLink) -> str:
    return f"{link.category} {link.location} {link.rigidity}"


def _tree(group: Group) -> Iterator[str]:
    yield ""
    yield "\t// resource dependency tree"
    yield "\t//"
    yield f"\t//\tgroup {group.name}"
    yield "\t//\t{"
    for name in group.resources:
        if not group.parents(name):
            yield from _branch(group, name, 1)
    yield "\t//\t}"


def _branch(group: Group, name: str, depth: int) -> Iterator[str]:
    kind = group.resources[name].type.name
    children = group.children(name)
    indent = "    " * (depth - 1)
    yield f"\t//\t{indent}{kind} {name}"
    if children:
        yield f"\t//\t{indent}    {{"
        for child in children:
            yield from _branch(group, child, depth + 1)
        yield f"\t//\t{indent}    }}"


def _attributes(values: Values) -> Iterator[str]:
    for name, value in values.common.items():
        yield f"\t{name} = {_value(value)}"
    for name, systems in values.local.items():
        for system, value in systems.items():
            yield f"\t{name}@{_word(system)} = {_value(value)}"


def _value(value: Value) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_word(key)} = {_word(text)}" for key, text in value.items()) + " }"
    return "{ " + ", ".join(_word(key) for key in value) + " }" if value else "{}"


def _type(kind: ResourceType) -> Iterator[str]:
    yield f"type {_word(kind.name)} ("
    for attribute in kind.attributes.values():
        word = "keylist" if attribute.dimension is Dimension.KEYLIST else Kind(attribute.kind).value
        mark = {Dimension.VECTOR: "[]", Dimension.ASSOCIATION: "{}"}.get(attribute.dimension, "")
        prefix = "static " if attribute.static else "temp " if attribute.temp else ""
        suffix = f" = {_value(attribute.default)}" if attribute.declared_default else ""
        yield f"\t{prefix}{word} {attribute.name}{mark}{suffix}"
    yield "\t)"


def _word(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _quote(text)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
