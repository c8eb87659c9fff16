"""Generated configurations: everything the language can say about the bundled types, with names and texts that bite.

Every value is drawn in the form that reading gives it (a list without doubles where a keylist is meant, no empty
association), so that "reading what was written" can be compared by equality.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.attributes import (
    CLUSTER_ATTRIBUTES,
    GROUP_ATTRIBUTES,
    HEARTBEAT_ATTRIBUTES,
    REMOTE_CLUSTER_ATTRIBUTES,
    RESOURCE_ATTRIBUTES,
    SYSTEM_ATTRIBUTES,
    AttributeDef,
    Dimension,
    Kind,
    Value,
)
from holdfast.cluster.model.configuration import (
    AtLeast,
    Comment,
    Configuration,
    Group,
    GroupLink,
    Resource,
    ResourceType,
    Values,
)

ROOT = Path(__file__).parents[3]
TYPES = (ROOT / "src/holdfast/cluster/config/types.cf").read_text()
BUNDLED = build({"main.cf": 'include "types.cf"', "types.cf": TYPES}).types

RESERVED = ("requires", "group", "include", "cluster", "system", "type", "heartbeat", "Heartbeat", "remotecluster")
NAMES = st.one_of(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_.\-]{0,8}", fullmatch=True),
    st.sampled_from([*RESERVED, "atleast", "online", "0", "1260", "dsmcad.vcs", "a:b", "größe", "_x"]),
)
BITING = (
    "", " ", " leading", "trailing ", 'say "hi"', "back\\slash", "\\", '\\"', "// no comment", "a@b", "{ a }", "-y",
    "%", "%-y", "0", "007", "-1", "a = b", "a,b", "\ttab", "\r", "\x0b", "\x85", "\u2028", "requires", "é", "#", "'",
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(BITING),
    st.text(st.characters(min_codepoint=1, exclude_characters="\n", exclude_categories=["Cs"]), max_size=12),
)
LOCAL_TYPES = ("FileOnOff", "Application", "Mount", "IP", "OCF", "NIC", "Script", "Process", "Phantom")


def numbers(definition: AttributeDef) -> st.SearchStrategy[int]:
    """Whole numbers that an attribute may hold."""
    return st.integers(0, 1) if definition.kind is Kind.BOOLEAN else st.integers(definition.least, definition.most)


def values(definition: AttributeDef) -> st.SearchStrategy[Value]:
    """Values that an attribute may hold, as the builder gives them."""
    number = definition.kind is not Kind.STR
    one: st.SearchStrategy[str] = numbers(definition).map(str) if number else TEXTS
    if definition.allowed:
        return st.sampled_from(definition.allowed).map(int if number else str)
    if definition.dimension is Dimension.SCALAR:
        return numbers(definition) if number else TEXTS
    if definition.dimension is Dimension.AMOUNT:
        return st.one_of(numbers(definition), st.dictionaries(TEXTS, one, max_size=3))
    if definition.dimension is Dimension.ASSOCIATION:
        keys: st.SearchStrategy[Value] = st.lists(TEXTS, max_size=3, unique=True).map(tuple)
        return st.one_of(keys, st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=3))
    return st.lists(one, max_size=3, unique=definition.dimension is Dimension.KEYLIST).map(tuple)


@st.composite
def filled(draw: st.DrawFn, known: dict[str, AttributeDef], places: list[str], without: tuple[str, ...]) -> Values:
    """Values for some of the ``known`` attributes, some of them local to ``places``."""
    names = st.lists(st.sampled_from(sorted(set(known) - set(without))), max_size=4, unique=True)
    common = {name: draw(values(known[name])) for name in draw(names)}
    local = {}
    for name in draw(names) if places else []:
        where = draw(st.lists(st.sampled_from(places), min_size=1, max_size=2, unique=True))
        local[name] = {place: draw(values(known[name])) for place in where}
    return Values(common, local)


@st.composite
def groups(draw: st.DrawFn, name: str, resource_names: list[str], systems: list[str]) -> Group:
    """A group with the named resources, linked without a circle."""
    resources: dict[str, Resource] = {}
    for each in resource_names:
        kind = BUNDLED[draw(st.sampled_from(LOCAL_TYPES))]
        known = {**RESOURCE_ATTRIBUTES, **kind.attributes}
        resources[each] = Resource(each, kind, draw(filled(known, systems, ())))
    pairs = [(one, other) for place, one in enumerate(resource_names) for other in resource_names[place + 1 :]]
    links = tuple(draw(st.lists(st.sampled_from(pairs), max_size=5, unique=True))) if pairs else ()
    own = draw(filled(dict(GROUP_ATTRIBUTES), systems, ("SystemList", "AutoStartList", "SystemZones", "ClusterList")))
    chosen = draw(st.lists(st.sampled_from(systems), min_size=1, unique=True))
    numbered: Value = {one: str(draw(st.integers(0, 9))) for one in chosen}
    common: dict[str, Value] = {"SystemList": draw(st.sampled_from([numbered, tuple(chosen)])), **own.common}
    if draw(st.booleans()):
        common["AutoStartList"] = tuple(chosen[:1])
    at_least = []
    for place, parent in enumerate(resource_names[:-1]):
        children = draw(st.lists(st.sampled_from(resource_names[place + 1 :]), max_size=3, unique=True))
        if children:
            at_least.append(AtLeast(parent, draw(st.integers(1, len(children))), tuple(children)))
    return Group(name, Values(common, own.local), resources, links, (), tuple(at_least))


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    """A whole configuration over the bundled types."""
    systems = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    group_names = draw(st.lists(NAMES, max_size=4, unique=True))
    free = draw(st.lists(NAMES, max_size=8, unique=True))
    found: dict[str, Group] = {}
    for place, name in enumerate(group_names):
        group = draw(groups(name, free[place :: len(group_names)], systems))
        later = group_names[place + 1 :]
        children = draw(st.lists(st.sampled_from(later), max_size=2, unique=True)) if later else []
        kinds = (st.sampled_from(each) for each in (("online", "offline"), ("local", "global", "remote"),
                                                    ("soft", "firm", "hard")))  # fmt: skip
        link = st.tuples(*kinds)
        found[name] = Group(
            name, group.values, group.resources, group.links,
            tuple(GroupLink(child, *draw(link)) for child in children), group.at_least,
        )  # fmt: skip
    found = {name: _possible(group, found) for name, group in found.items()}
    remote = draw(st.lists(NAMES, max_size=2, unique=True))
    beats = draw(st.lists(NAMES, max_size=2, unique=True))
    return Configuration(
        name=draw(NAMES),
        cluster=draw(filled(dict(CLUSTER_ATTRIBUTES), systems, ())),
        systems={name: draw(filled(dict(SYSTEM_ATTRIBUTES), [name], ())) for name in systems},
        groups=found,
        types=BUNDLED,
        includes=("types.cf",),
        remote_clusters={name: draw(filled(dict(REMOTE_CLUSTER_ATTRIBUTES), [], ())) for name in remote},
        heartbeats={name: draw(filled(dict(HEARTBEAT_ATTRIBUTES), remote, ("ClusterList",))) for name in beats},
        comments=draw(comments(found)),
    )


def _possible(group: Group, groups: dict[str, Group]) -> Group:
    """``group`` with links that its kind may have: where one of two is parallel, that they keep apart."""
    links = tuple(
        replace(link, category="offline", location="local") if group.parallel or groups[link.child].parallel else link
        for link in group.group_links
    )
    return replace(group, group_links=links)


@st.composite
def comments(draw: st.DrawFn, found: dict[str, Group]) -> dict[tuple[str, ...], Comment]:
    """Comments at some of the items that every configuration or one of ``found`` has."""
    keys: list[tuple[str, ...]] = [(), ("include", "types.cf"), ("cluster",), ("cluster", ")")]
    for group in found.values():
        keys += [("group", group.name), ("group", group.name, "SystemList", ""), ("group", group.name, ")")]
        keys += [("resource", name) for name in group.resources]
        keys += [("requires", *link) for link in group.links]
    lines = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F), max_size=12).map(str.rstrip)
    told = {}
    for key in draw(st.lists(st.sampled_from(keys), max_size=5, unique=True)):
        told[key] = Comment(tuple(draw(st.lists(lines, max_size=2))), draw(lines) if key else "")
    return {key: one for key, one in told.items() if one != Comment()}


@st.composite
def resource_types(draw: st.DrawFn) -> dict[str, ResourceType]:
    """Type declarations of every shape."""
    found: dict[str, ResourceType] = {}
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        attributes: dict[str, AttributeDef] = {}
        for each in draw(st.lists(st.from_regex(r"[A-Z][A-Za-z0-9_]{0,6}", fullmatch=True), max_size=4, unique=True)):
            attributes[each] = draw(definitions(each))
        found[name] = ResourceType(name, attributes)
    return found


@st.composite
def definitions(draw: st.DrawFn, name: str) -> AttributeDef:
    """One declaration with a default of its own."""
    dimension = draw(st.sampled_from([one for one in Dimension if one is not Dimension.AMOUNT]))
    kind = Kind.STR if dimension is Dimension.KEYLIST else draw(st.sampled_from(list(Kind)))
    static, temp = draw(st.sampled_from([(False, False), (True, False), (False, True)]))
    shape = AttributeDef(name, kind, dimension, "", static, temp, True)
    if dimension is Dimension.ASSOCIATION and kind is not Kind.STR:
        pairs: Value = draw(st.dictionaries(TEXTS, numbers(AttributeDef("x", kind)).map(str), min_size=1, max_size=3))
        return AttributeDef(name, kind, dimension, pairs, static, temp, True)
    return AttributeDef(name, kind, dimension, draw(values(shape)), static, temp, True)
