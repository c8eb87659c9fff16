"""Syntax trees to a :class:`Configuration`: the third stage, which knows what names mean and refuses what cannot be.

It reads main.cf and what it includes, all given as texts, so that what the store holds and what stands in a directory
are read alike. Every complaint names file, line and column; a configuration is returned whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from holdfast.cluster.config.syntax import Assignment, Block, Declaration, Element, File, parse_file
from holdfast.cluster.config.tokens import Place
from holdfast.cluster.model.attributes import (
    CLUSTER_ATTRIBUTES,
    GROUP_ATTRIBUTES,
    SYSTEM_ATTRIBUTES,
    TYPE_ATTRIBUTES,
    AttributeDef,
    Dimension,
    Kind,
    Value,
)
from holdfast.cluster.model.configuration import Configuration, Group, GroupLink, Resource, ResourceType, Values

_INT_RANGE = range(-(2**31), 2**31)
_INCLUDE_LIMIT = 64
GROUP_LINK_LEVELS = 5  # [K]; old releases had 3 (cluster.md section 9.1)
_NAME = re.compile(r"\w[\w.:-]*")


def build(files: Mapping[str, str], main: str = "main.cf") -> Configuration:
    """Return the configuration that ``files[main]`` and the files it includes describe.

    Raises :class:`InputError` with file, line, column and remedy for the first thing that cannot be.
    """
    trees, includes = _read(files, main)
    _check_names(block for tree in trees for block in tree.blocks)
    types = _types(block for tree in trees for block in tree.blocks if block.word == "type")
    blocks = [block for tree in trees for block in tree.blocks]
    clusters = [block for block in blocks if block.word == "cluster"]
    if len(clusters) > 1:
        raise clusters[1].place.error("a second cluster block", "keep one")
    systems = _systems(block for block in blocks if block.word == "system")
    groups = _groups([block for block in blocks if block.word == "group"], types, systems)
    return Configuration(
        name=clusters[0].name if clusters else "",
        cluster=_values(clusters[0].assignments, CLUSTER_ATTRIBUTES, "cluster", systems) if clusters else Values(),
        systems=systems,
        groups=groups,
        types=types,
        includes=includes,
    )


def _read(files: Mapping[str, str], main: str) -> tuple[list[File], tuple[str, ...]]:
    first = parse_file(files[main], main)
    trees, seen, waiting = [first], {main}, list(first.includes)
    while waiting:
        name, place = waiting.pop(0)
        if name in seen:
            continue
        if name not in files or len(seen) >= _INCLUDE_LIMIT:
            raise place.error(f"included file {name!r} cannot be read", "put it beside main.cf")
        seen.add(name)
        tree = parse_file(files[name], name)
        trees.append(tree)
        waiting.extend(tree.includes)
    return trees, tuple(name for name, _ in first.includes)


def _check_names(blocks: Iterable[Block]) -> None:
    """Names become keys of the store and names of files, so they hold nothing that means something there."""
    for block in blocks:
        if block.word != "cluster" and not _NAME.fullmatch(block.name):
            raise block.place.error(f"{block.name!r} is not a name", "use letters, digits, '_', '-' and '.'")
        _check_names(block.resources)


def _types(blocks: Iterable[Block]) -> dict[str, ResourceType]:
    types: dict[str, ResourceType] = {}
    for block in blocks:
        if block.name in types:
            raise block.place.error(f"type {block.name!r} is declared twice", "remove one of the two declarations")
        attributes: dict[str, AttributeDef] = {}
        for declaration in block.declarations:
            if declaration.name in attributes:
                raise declaration.place.error(f"attribute {declaration.name!r} is declared twice", "remove one")
            attributes[declaration.name] = _definition(declaration)
        types[block.name] = ResourceType(block.name, attributes)
    return types


def _definition(declaration: Declaration) -> AttributeDef:
    known = TYPE_ATTRIBUTES.get(declaration.name) if declaration.static else None
    kind = Kind.STR if declaration.kind == "keylist" else Kind(declaration.kind)
    dimension = {"[]": Dimension.VECTOR, "{}": Dimension.ASSOCIATION}.get(declaration.brackets, Dimension.SCALAR)
    if declaration.kind == "keylist":
        dimension = Dimension.KEYLIST
    empty: Value = () if dimension is not Dimension.SCALAR else ("" if kind is Kind.STR else 0)
    if known is not None and declaration.value is None:
        empty = known.default
    shape = AttributeDef(
        declaration.name, kind, dimension, empty, declaration.static, declaration.temp, declaration.value is not None
    )
    if declaration.value is None:
        return shape
    return replace(shape, default=_value(declaration.value, shape, declaration.place))


def _systems(blocks: Iterable[Block]) -> dict[str, Values]:
    systems: dict[str, Values] = {}
    for block in blocks:
        if block.name in systems:
            raise block.place.error(f"system {block.name!r} stands twice", "remove one of the two blocks")
        systems[block.name] = _values(block.assignments, SYSTEM_ATTRIBUTES, "system", {block.name: Values()})
    return systems


def _groups(blocks: list[Block], types: Mapping[str, ResourceType], systems: Mapping[str, Values]) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    taken: dict[str, str] = {}
    for block in blocks:
        if block.name in groups:
            raise block.place.error(f"group {block.name!r} stands twice", "give one of them another name")
        groups[block.name] = _group(block, types, systems, taken)
    for block in blocks:
        for child, _, place in block.group_links:
            if child not in groups:
                raise place.error(f"group {child!r} does not exist", "correct the name or add the group")
    _check_group_links(blocks)
    return groups


def _check_group_links(blocks: list[Block]) -> None:
    """No circle, no chain longer than :data:`GROUP_LINK_LEVELS`."""
    requires: dict[str, list[str]] = {}
    for block in blocks:
        for child, _, place in block.group_links:
            if child == block.name or _reaches(requires, child, block.name):
                raise place.error(f"'{block.name} requires group {child}' closes a circle", "remove one of its links")
            requires.setdefault(block.name, []).append(child)
    for block in blocks:
        levels = _levels(requires, block.name)
        if levels > GROUP_LINK_LEVELS:
            text = f"group {block.name!r} starts a chain of {levels} groups; at most {GROUP_LINK_LEVELS} may be linked"
            raise block.group_links[0][2].error(text, "shorten the chain")


def _levels(requires: Mapping[str, list[str]], name: str) -> int:
    deepest, waiting = 1, [(name, 1)]
    while waiting:
        one, level = waiting.pop()
        deepest = max(deepest, level)
        if level <= GROUP_LINK_LEVELS:
            waiting += [(child, level + 1) for child in requires.get(one, [])]
    return deepest


def _group(
    block: Block, types: Mapping[str, ResourceType], systems: Mapping[str, Values], taken: dict[str, str]
) -> Group:
    values = _values(block.assignments, GROUP_ATTRIBUTES, "group", systems)
    resources: dict[str, Resource] = {}
    for inner in block.resources:
        if inner.name in taken:
            raise inner.place.error(
                f"resource {inner.name!r} stands twice (also in group {taken[inner.name]!r})",
                "resource names are unique in a cluster: rename one",
            )
        if inner.word not in types:
            raise inner.place.error(f"type {inner.word!r} is not known", "include the file that declares it")
        taken[inner.name] = block.name
        resources[inner.name] = _resource(inner, types[inner.word], systems)
    group_links = tuple(_group_link(child, words) for child, words, _ in block.group_links)
    group = Group(block.name, values, resources, _links(block, resources), group_links)
    _check_systems(block, group, systems)
    return group


def _group_link(child: str, words: tuple[str, ...]) -> GroupLink:
    category = next((word for word in words if word in ("online", "offline")), "online")
    location = next((word for word in words if word in ("local", "global", "remote")), "local")
    rigidity = next((word for word in words if word in ("soft", "firm", "hard")), "firm")
    return GroupLink(child, category, location, rigidity)


def _resource(block: Block, kind: ResourceType, systems: Mapping[str, Values]) -> Resource:
    known = {name: found for name in _names(kind) if (found := kind.definition(name)) is not None}
    return Resource(block.name, kind, _values(block.assignments, known, f"type {kind.name}", systems))


def _names(kind: ResourceType) -> list[str]:
    from_types = [*TYPE_ATTRIBUTES, "Critical", "Enabled", "AutoStart", "Signaled"]
    return [*kind.attributes, *from_types]


def _check_systems(block: Block, group: Group, systems: Mapping[str, Values]) -> None:
    places = {assignment.name: assignment.place for assignment in block.assignments}
    for attribute, names in (
        ("SystemList", _numbered(group, places)),
        ("AutoStartList", group.autostart_list),
        ("SystemZones", tuple(group.zones)),
    ):
        for name in names:
            if name not in systems:
                raise places[attribute].error(
                    f"{attribute} names system {name!r}, which is not in the cluster", f"add 'system {name}' or correct"
                )
            if attribute != "SystemList" and name not in group.priorities:
                raise places[attribute].error(
                    f"{attribute} names system {name!r}, which is not in SystemList", "add it to SystemList"
                )


def _numbered(group: Group, places: Mapping[str, Place]) -> tuple[str, ...]:
    try:
        return tuple(group.priorities)
    except ValueError as error:
        raise places["SystemList"].error("a priority in SystemList is no number", "write { a = 0, b = 1 }") from error


def _links(block: Block, resources: Mapping[str, Resource]) -> tuple[tuple[str, str], ...]:
    requires: dict[str, list[str]] = {}
    for parent, child, place in block.links:
        for name in (parent, child):
            if name not in resources:
                raise place.error(
                    f"{name!r} is not a resource of group {block.name!r}", "correct the name or add the resource"
                )
        if child in requires.get(parent, []):
            continue
        if parent == child or _reaches(requires, child, parent):
            raise place.error(f"'{parent} requires {child}' closes a circle", "remove one of the links of the circle")
        requires.setdefault(parent, []).append(child)
    return tuple((parent, child) for parent, children in requires.items() for child in children)


def _reaches(requires: Mapping[str, list[str]], start: str, goal: str) -> bool:
    waiting, seen = [start], set[str]()
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            waiting.extend(requires.get(name, []))
    return False


def _values(
    assignments: Iterable[Assignment],
    known: Mapping[str, AttributeDef],
    owner: str,
    systems: Mapping[str, Values],
) -> Values:
    common: dict[str, Value] = {}
    local: dict[str, dict[str, Value]] = {}
    for item in assignments:
        if item.name not in known:
            raise item.place.error(f"{owner} has no attribute {item.name!r}", "correct the name or declare it")
        value = _value(item.value, known[item.name], item.place)
        if not item.system and item.name in common:
            raise item.place.error(f"attribute {item.name!r} stands twice", "keep one of the two lines")
        if not item.system:
            common[item.name] = value
            continue
        if item.system not in systems:
            raise item.place.error(
                f"system {item.system!r} is not in the cluster", f"add 'system {item.system}' or correct the name"
            )
        if item.system in local.setdefault(item.name, {}):
            raise item.place.error(f"attribute {item.name!r} @{item.system} stands twice", "keep one of the two lines")
        local[item.name][item.system] = value
    return Values(common, local)


def _value(raw: str | tuple[Element, ...], definition: AttributeDef, place: Place) -> Value:
    if definition.dimension is Dimension.AMOUNT:
        return _amount(raw, definition, place)
    if definition.dimension is Dimension.SCALAR:
        if isinstance(raw, tuple):
            raise place.error(f"{definition.name} holds one value, not a list", "write it without braces")
        return _scalar(raw, definition, place)
    if isinstance(raw, str):
        raw = tuple(Element(part, None) for part in raw.split()) if definition.dimension is Dimension.VECTOR else (
            Element(raw, None),
        )  # fmt: skip
    if any(element.value is not None for element in raw):
        if definition.dimension is not Dimension.ASSOCIATION:
            raise place.error(f"{definition.name} is a list and takes no 'key = value'", "write { a, b }")
        pairs: dict[str, str] = {}
        for element in raw:
            if element.key in pairs:
                raise place.error(f"key {element.key!r} stands twice in {definition.name}", "keep one of the two")
            pairs[element.key] = element.value or ""
        return pairs
    keys = [str(_scalar(element.key, definition, place)) for element in raw]
    if definition.dimension is Dimension.VECTOR:
        return tuple(keys)
    return tuple(dict.fromkeys(keys))


def _amount(raw: str | tuple[Element, ...], definition: AttributeDef, place: Place) -> Value:
    if isinstance(raw, str):
        return _scalar(raw, definition, place)
    for element in raw:
        if element.value is None:
            raise place.error(f"{definition.name} lacks a number for {element.key!r}", "write { CPU = 4, Mem = 16 }")
        _scalar(element.value, definition, place)
    return {element.key: element.value or "" for element in raw}


def _scalar(text: str, definition: AttributeDef, place: Place) -> str | int:
    if definition.kind is Kind.STR:
        return text
    try:
        number = int(text)
    except ValueError:
        raise place.error(f"{definition.name} takes a whole number, not {text!r}", "correct the value") from None
    if definition.kind is Kind.BOOLEAN and number not in (0, 1):
        raise place.error(f"{definition.name} is 0 or 1, not {number}", "correct the value")
    if number not in _INT_RANGE:
        raise place.error(f"{definition.name} does not fit 32 bits", "correct the value")
    return number
