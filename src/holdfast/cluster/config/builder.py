"""Syntax trees to a :class:`Configuration`: the third stage, which knows what names mean and refuses what cannot be.

It reads main.cf and what it includes, all given as texts, so that what the store holds and what stands in a directory
are read alike. Every complaint names file, line and column; a configuration is returned whole or not at all.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from holdfast.cluster.config.comments import attach
from holdfast.cluster.config.syntax import (
    Assignment,
    AtLeastLink,
    Block,
    Declaration,
    Element,
    File,
    Raw,
    Words,
    parse_file,
)
from holdfast.cluster.config.tokens import Place
from holdfast.cluster.model.attributes import (
    CLUSTER_ATTRIBUTES,
    GROUP_ATTRIBUTES,
    HEARTBEAT_ATTRIBUTES,
    NAME_LIMIT_BYTES,
    REMOTE_CLUSTER_ATTRIBUTES,
    SYSTEM_ATTRIBUTES,
    TYPE_ATTRIBUTES,
    VALUE_LIMIT_BYTES,
    AttributeDef,
    Dimension,
    Kind,
    Value,
)
from holdfast.cluster.model.configuration import (
    AtLeast,
    Configuration,
    Group,
    GroupLink,
    Resource,
    ResourceType,
    Values,
)

INCLUDE_LIMIT = 64
_DIGITS = 9
GROUP_LINK_LEVELS = 5  # [K]; old releases had 3 (cluster.md section 9.1)
_ATTRIBUTE = re.compile(r"[A-Za-z_][\w-]*")
_NAME = re.compile(r"\w[\w.:-]*")


def build(files: Mapping[str, str], main: str = "main.cf") -> Configuration:
    """Return the configuration that ``files[main]`` and the files it includes describe.

    Raises :class:`InputError` with file, line, column and remedy for the first thing that cannot be.
    """
    return build_trees(read_trees(files, main))


def build_trees(trees: Mapping[str, File]) -> Configuration:
    """Return the configuration that syntax trees describe, by the name of their file; the first is main.cf itself.

    Raises :class:`InputError` as :func:`build` does.
    """
    main, first = next(iter(trees.items()))
    blocks = [block for tree in trees.values() for block in tree.blocks]
    _check_names(blocks)
    sources = _sources(trees, main)
    types = _types({name: [one for one in tree.blocks if one.word == "type"] for name, tree in trees.items()}, sources)
    cluster = _only(blocks)
    _check_users(cluster)
    systems = _named([block for block in blocks if block.word == "system"], SYSTEM_ATTRIBUTES, None)
    remote = _named([block for block in blocks if block.word == "remotecluster"], REMOTE_CLUSTER_ATTRIBUTES, {})
    groups = _groups([block for block in blocks if block.word == "group"], types, systems)
    return Configuration(
        name=cluster.name if cluster else "",
        cluster=_values(cluster.assignments, CLUSTER_ATTRIBUTES, "cluster", systems) if cluster else Values(),
        systems=systems,
        groups=groups,
        types=types,
        includes=_kept_includes(trees, main, sources),
        remote_clusters=remote,
        heartbeats=_heartbeats([block for block in blocks if block.word == "heartbeat"], remote),
        comments=attach(first),
    )


def _only(blocks: Iterable[Block]) -> Block | None:
    clusters = [block for block in blocks if block.word == "cluster"]
    if len(clusters) > 1:
        raise clusters[1].place.error("a second cluster block", "keep one")
    return clusters[0] if clusters else None


def read_trees(files: Mapping[str, str], main: str = "main.cf") -> dict[str, File]:
    """Return the syntax tree of ``files[main]``, then those of the files it includes. Raises :class:`InputError`."""
    first = parse_file(files[main], main)
    trees, waiting = {main: first}, list(first.includes)
    while waiting:
        name, place = waiting.pop(0)
        if name in trees:
            continue
        if name not in files or len(trees) >= INCLUDE_LIMIT:
            raise place.error(f"included file {name!r} cannot be read", "put it beside main.cf")
        trees[name] = parse_file(files[name], name)
        waiting.extend(trees[name].includes)
    return trees


def _sources(trees: Mapping[str, File], main: str) -> dict[str, str]:
    """Where a dump leaves the types of each file: in it, if it and what it includes hold nothing else; else main.cf."""
    mixed = {main, *(name for name, tree in trees.items() if any(block.word != "type" for block in tree.blocks))}
    while True:
        more = {name for name, tree in trees.items() if any(one in mixed for one, _ in tree.includes)} - mixed
        if not more:
            return {name: main if name in mixed else name for name in trees}
        mixed |= more


def _kept_includes(trees: Mapping[str, File], main: str, sources: Mapping[str, str]) -> tuple[str, ...]:
    """The includes of a dump: a file that holds more than types is written into main.cf, with its own includes."""
    kept: dict[str, None] = {}
    waiting, seen = [name for name, _ in trees[main].includes], {main}
    while waiting:
        name = waiting.pop(0)
        if sources[name] == name:
            kept[name] = None
        elif name not in seen:
            waiting = [one for one, _ in trees[name].includes] + waiting
        seen.add(name)
    return tuple(kept)


def _check_names(blocks: Iterable[Block]) -> None:
    """Names become keys of the store and names of files, so they hold nothing that means something there."""
    for block in blocks:
        if block.word != "cluster" and not _NAME.fullmatch(block.name):
            raise block.place.error(f"{block.name!r} is not a name", "use letters, digits, '_', '-' and '.'")
        _check_length(block.name, block.word, block.place)
        _check_names(block.resources)


def _check_length(name: str, what: str, place: Place) -> None:
    size = len(name.encode())
    if size > NAME_LIMIT_BYTES:
        raise place.error(
            f"the name {name[:20]}... of this {what} has {size} bytes; at most {NAME_LIMIT_BYTES} may be", "shorten it"
        )


def _check_users(cluster: Block | None) -> None:
    for item in cluster.assignments if cluster is not None else ():
        if item.name == "UserNames" and not isinstance(item.value, str):
            given = item.value
            for name in given.words if isinstance(given, Words) else [element.key for element in given]:
                _check_length(name, "user", item.place)


def _types(files: Mapping[str, list[Block]], sources: Mapping[str, str]) -> dict[str, ResourceType]:
    types: dict[str, ResourceType] = {}
    for file, block in ((file, block) for file, blocks in files.items() for block in blocks):
        if block.name in types:
            raise block.place.error(f"type {block.name!r} is declared twice", "remove one of the two declarations")
        attributes: dict[str, AttributeDef] = {}
        for declaration in block.declarations:
            if not _ATTRIBUTE.fullmatch(declaration.name):
                raise declaration.place.error(f"{declaration.name!r} names no attribute", "use letters, digits and '_'")
            _check_length(declaration.name, "attribute", declaration.place)
            if declaration.name in attributes:
                raise declaration.place.error(f"attribute {declaration.name!r} is declared twice", "remove one")
            attributes[declaration.name] = _definition(declaration)
        types[block.name] = ResourceType(block.name, attributes, sources[file])
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
        declaration.name, kind, dimension, empty, declaration.static, declaration.temp, declaration.value is not None,
    )  # fmt: skip
    if known is not None:
        shape = replace(shape, allowed=known.allowed, least=known.least, most=known.most)
    if declaration.value is None:
        return shape
    return replace(shape, default=_value(declaration.value, shape, declaration.place))


def _named(
    blocks: Iterable[Block], known: Mapping[str, AttributeDef], places: Mapping[str, Values] | None
) -> dict[str, Values]:
    """Blocks of one kind by name; their values may be local to ``places``, or to the block's own name (None)."""
    found: dict[str, Values] = {}
    for block in blocks:
        if block.name in found:
            raise block.place.error(f"{block.word} {block.name!r} stands twice", "remove one of the two blocks")
        local = {block.name: Values()} if places is None else places
        found[block.name] = _values(block.assignments, known, block.word, local)
    return found


def _heartbeats(blocks: list[Block], remote: Mapping[str, Values]) -> dict[str, Values]:
    for block in blocks:
        for item in block.assignments:
            for name in [item.system] if item.system else []:
                if name not in remote:
                    raise item.place.error(
                        f"{name!r} is not a remote cluster", f"add 'remotecluster {name}' or correct"
                    )
    found = _named(blocks, HEARTBEAT_ATTRIBUTES, remote)
    for block in blocks:
        for item in block.assignments:
            value = found[block.name].get(item.name)
            for name in value if item.name == "ClusterList" and isinstance(value, tuple) else ():
                if name not in remote:
                    text = f"ClusterList names {name!r}, which is not a remote cluster"
                    raise item.place.error(text, f"add 'remotecluster {name}' or correct the name")
    return found


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
    _check_parallel_links(blocks, groups)
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


_PARALLEL_LINKS = {
    (False, True): (("online", "local", "firm"), ("online", "local", "soft"), ("online", "global", "firm"),
                    ("online", "global", "soft"), ("online", "remote", "firm"), ("online", "remote", "soft"),
                    ("offline", "local", "")),
    (True, False): (("online", "global", "firm"), ("online", "global", "soft"), ("online", "remote", "firm"),
                    ("online", "remote", "soft"), ("offline", "local", "")),
    (True, True): (("online", "local", "firm"), ("online", "local", "soft"), ("offline", "local", "")),
}  # fmt: skip
"""Which links there may be, by (parent is parallel, child is parallel); between two failover groups any. Partly [K]."""


def _check_parallel_links(blocks: list[Block], groups: Mapping[str, Group]) -> None:
    """Refuse links that a parallel group cannot have (:data:`_PARALLEL_LINKS`)."""
    for block in blocks:
        for child, words, place in block.group_links:
            kinds = (groups[block.name].parallel, groups[child].parallel)
            link = _group_link(child, words)
            shape = (link.category, link.location, "" if link.category == "offline" else link.rigidity)
            if any(kinds) and shape not in _PARALLEL_LINKS[kinds]:
                parent, other = ("parallel" if kind else "failover" for kind in kinds)
                text = f"a {parent} group cannot require a {other} group '{' '.join(shape).strip()}'"
                possible = ", ".join(" ".join(one).strip() for one in _PARALLEL_LINKS[kinds])
                raise place.error(text, f"possible is: {possible}")


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
    links, at_least = _links(block, resources)
    group = Group(block.name, values, resources, links, group_links, at_least)
    _check_systems(block, group, systems)
    return group


def _group_link(child: str, words: tuple[str, ...]) -> GroupLink:
    category = next((word for word in words if word in ("online", "offline")), "online")
    location = next((word for word in words if word in ("local", "global", "remote")), "local")
    rigidity = next((word for word in words if word in ("soft", "firm", "hard")), "firm")
    return GroupLink(child, category, location, rigidity)


def _resource(block: Block, kind: ResourceType, systems: Mapping[str, Values]) -> Resource:
    return Resource(block.name, kind, _values(block.assignments, kind.known, f"type {kind.name}", systems))


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
        numbers = group.priorities
    except ValueError as error:
        raise places["SystemList"].error("a priority in SystemList is no number", "write { a = 0, b = 1 }") from error
    for name, number in numbers.items():
        if not 0 <= number < 2**31:
            text = f"the priority of {name!r} in SystemList is not between 0 and {2**31 - 1}"
            raise places["SystemList"].error(text, "write { a = 0, b = 1 }")
    return tuple(numbers)


def _links(block: Block, resources: Mapping[str, Resource]) -> tuple[tuple[tuple[str, str], ...], tuple[AtLeast, ...]]:
    edges = [(parent, child, place) for parent, child, place in block.links]
    edges += [(link.parent, child, link.place) for link in block.at_least for child in link.children]
    edges.sort(key=lambda edge: edge[2].offset)
    for parent, child, place in edges:
        for name in (parent, child):
            if name not in resources:
                raise place.error(
                    f"{name!r} is not a resource of group {block.name!r}", "correct the name or add the resource"
                )
    _check_circle(edges)
    links = dict.fromkeys((parent, child) for parent, child, _ in block.links)
    return tuple(links), tuple(_at_least(link) for link in block.at_least)


def _check_circle(edges: Iterable[tuple[str, str, Place]]) -> None:
    requires: dict[str, list[str]] = {}
    for parent, child, _ in edges:
        requires.setdefault(parent, []).append(child)
    try:
        graphlib.TopologicalSorter(requires).prepare()
    except graphlib.CycleError:
        requires.clear()  # now find the link that closes it, which takes time
    else:
        return
    for parent, child, place in edges:
        if _reaches(requires, child, parent):
            raise place.error(f"'{parent} requires {child}' closes a circle", "remove one of the links of the circle")
        requires.setdefault(parent, []).append(child)


def _at_least(link: AtLeastLink) -> AtLeast:
    children = tuple(dict.fromkeys(link.children))
    if len(link.minimum) > _DIGITS or not 1 <= int(link.minimum) <= len(children):
        text = f"{link.parent} requires at least {link.minimum} of {len(children)} resources"
        raise link.place.error(text, f"write a number from 1 to {len(children)}")
    return AtLeast(link.parent, int(link.minimum), children)


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


def _value(raw: Raw, definition: AttributeDef, place: Place) -> Value:
    if isinstance(raw, Words):
        raw = _of_words(raw, definition, place)
    if definition.dimension is Dimension.AMOUNT:
        return _amount(raw, definition, place)
    if definition.dimension is Dimension.SCALAR:
        if isinstance(raw, tuple):
            raise place.error(f"{definition.name} holds one value, not a list", "write it without braces")
        return _scalar(raw, definition, place)
    if isinstance(raw, str):
        parts = raw.split() if definition.dimension is Dimension.VECTOR else [raw]
        raw = tuple(Element(part, None) for part in parts)
    if any(element.value is not None for element in raw):
        if definition.dimension is not Dimension.ASSOCIATION:
            raise place.error(f"{definition.name} is a list and takes no 'key = value'", "write { a, b }")
        return _pairs(raw, definition, place)
    if definition.dimension is Dimension.ASSOCIATION:
        for element in raw:
            _check_text(element.key, definition.name, place)
        return tuple(dict.fromkeys(element.key for element in raw))
    keys = [str(_scalar(element.key, definition, place)) for element in raw]
    return tuple(keys) if definition.dimension is Dimension.VECTOR else tuple(dict.fromkeys(keys))


def _of_words(raw: Words, definition: AttributeDef, place: Place) -> str | tuple[Element, ...]:
    """What the words of a command line mean for an attribute, as main.cf would have it."""
    single = definition.dimension is Dimension.SCALAR
    if single or (definition.dimension is Dimension.AMOUNT and len(raw.words) == 1):
        if len(raw.words) != 1:
            raise place.error(f"{definition.name} holds one value, not {len(raw.words)}", "put it in quotes")
        return raw.words[0]
    if raw.keys or definition.dimension in (Dimension.VECTOR, Dimension.KEYLIST):
        return tuple(Element(word, None) for word in raw.words)
    if len(raw.words) % 2:
        raise place.error(f"{definition.name} takes keys and values in turn", "give each key a value")
    return tuple(Element(key, value) for key, value in zip(raw.words[::2], raw.words[1::2], strict=True))


def _pairs(raw: tuple[Element, ...], definition: AttributeDef, place: Place) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for element in raw:
        _check_text(element.key, definition.name, place)
        _check_text(element.value or "", definition.name, place)
        if element.key in pairs:
            raise place.error(f"key {element.key!r} stands twice in {definition.name}", "keep one of the two")
        value = element.value
        if value is None and definition.kind is not Kind.STR:
            raise place.error(f"{definition.name} lacks a number for {element.key!r}", "write { CPU = 4, Mem = 16 }")
        pairs[element.key] = value or ""
        if definition.kind is not Kind.STR:
            pairs[element.key] = str(_scalar(value or "", definition, place))
    return pairs


def _amount(raw: str | tuple[Element, ...], definition: AttributeDef, place: Place) -> Value:
    return _scalar(raw, definition, place) if isinstance(raw, str) else _pairs(raw, definition, place)


def _scalar(text: str, definition: AttributeDef, place: Place) -> str | int:
    if definition.allowed and text.strip() not in definition.allowed:
        possible = ", ".join(definition.allowed)
        raise place.error(f"{definition.name} is one of {possible}, not {text!r}", f"write one of {possible}")
    if definition.kind is Kind.STR:
        _check_text(text, definition.name, place)
        return text
    try:
        number = int(text)
    except ValueError:
        raise place.error(f"{definition.name} takes a whole number, not {text!r}", "correct the value") from None
    if definition.kind is Kind.BOOLEAN and number not in (0, 1):
        raise place.error(f"{definition.name} is 0 or 1, not {number}", "correct the value")
    if not definition.least <= number <= definition.most:
        if not -(2**31) <= number < 2**31:
            raise place.error(f"{definition.name} does not fit 32 bits", "correct the value")
        what = "at least" if number < definition.least else "at most"
        bound = definition.least if number < definition.least else definition.most
        raise place.error(f"{definition.name} is {what} {bound}, not {number}", "correct the value")
    return number


def _check_text(text: str, name: str, place: Place) -> None:
    """Refuse what no program could be given: too long a text, one with a zero byte, one that is no text."""
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise place.error(f"{name} holds bytes that are not UTF-8", "write the value in UTF-8") from None
    if size > VALUE_LIMIT_BYTES:
        raise place.error(
            f"a value of {name} has {size} bytes; at most {VALUE_LIMIT_BYTES} may be",
            "put it into a file and name that",
        )
    if "\0" in text:
        raise place.error(f"{name} holds a zero byte", "take it out")
