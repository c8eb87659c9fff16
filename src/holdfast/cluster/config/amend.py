"""How a command line changes one value: sets it, or adds, deletes and updates elements of a list or association.

What an element is depends on the attribute, whose dimension is looked up here; the kinds of values themselves are
checked by the builder, as those of any main.cf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.cluster.config.syntax import Block, Element, Raw, Words
from holdfast.cluster.model.attributes import (
    CLUSTER_ATTRIBUTES,
    GROUP_ATTRIBUTES,
    HEARTBEAT_ATTRIBUTES,
    REMOTE_CLUSTER_ATTRIBUTES,
    RESOURCE_ATTRIBUTES,
    SYSTEM_ATTRIBUTES,
    TYPE_ATTRIBUTES,
    AttributeDef,
    Dimension,
    Kind,
)
from holdfast.kernel.errors import Refusal, Refused

_TABLES: Mapping[str, Mapping[str, AttributeDef]] = {
    "cluster": CLUSTER_ATTRIBUTES, "system": SYSTEM_ATTRIBUTES, "group": GROUP_ATTRIBUTES,
    "remotecluster": REMOTE_CLUSTER_ATTRIBUTES, "heartbeat": HEARTBEAT_ATTRIBUTES, "type": TYPE_ATTRIBUTES,
    "resource": {**TYPE_ATTRIBUTES, **RESOURCE_ATTRIBUTES},
}  # fmt: skip
_BRACKETS = {"[]": Dimension.VECTOR, "{}": Dimension.ASSOCIATION}
_MARKS = {Dimension.VECTOR: "[]", Dimension.ASSOCIATION: "{}"}
_PAIRED = (Dimension.ASSOCIATION, Dimension.AMOUNT)
HOW = ("set", "add", "delete", "update", "clear")


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to a value: ``how`` is one of :data:`HOW`, ``words`` are the elements or the new value."""

    how: str
    words: tuple[str, ...] = ()


def dimension_of(word: str, attribute: str, block: Block, blocks: Mapping[tuple[str, str], Block]) -> Dimension | None:
    """Return the dimension of an attribute of a block, or None when there is no such attribute."""
    kind = blocks.get(("type", block.word)) if word == "resource" else block if word == "type" else None
    for one in kind.declarations if kind is not None else ():
        if one.name == attribute:
            return Dimension.KEYLIST if one.kind == "keylist" else _BRACKETS.get(one.brackets, Dimension.SCALAR)
    found = _TABLES[word].get(attribute)
    return None if found is None else found.dimension


def framework_kind(attribute: str) -> tuple[str, str]:
    """Return kind and brackets with which a type file declares an attribute that every type has."""
    found = TYPE_ATTRIBUTES[attribute]
    kind = "keylist" if found.dimension is Dimension.KEYLIST else Kind(found.kind).value
    return kind, _MARKS.get(found.dimension, "")


def amended(before: Raw | None, change: Change, attribute: str, dimension: Dimension) -> Raw:
    """Return the value that ``change`` makes of ``before``. Raises ``Refused`` for what cannot be."""
    if change.how == "set":
        return Words(change.words)
    if change.how == "clear":
        return Words((), keys=True)
    if dimension is Dimension.SCALAR:
        raise _no(f"{attribute} holds one value", f"write the value without -{change.how}")
    if not change.words:
        raise _no(f"nothing is given to {change.how}", f"-{change.how} KEY")
    known = _elements(before, dimension)
    given = _given(change, dimension)
    if change.how == "add":
        return _added(known, given, attribute, dimension)
    keys = {one.key for one in known}
    absent = [one.key for one in given if one.key not in keys]
    if absent:
        raise _no(f"{attribute} does not hold {absent[0]!r}", "see what it holds: -value", "no-key")
    if change.how == "delete":
        gone = {one.key for one in given}
        return tuple(one for one in known if one.key not in gone)
    fresh = {one.key: one.value for one in given}
    return tuple(Element(one.key, fresh.get(one.key, one.value)) for one in known)


def _added(known: list[Element], given: list[Element], attribute: str, dimension: Dimension) -> tuple[Element, ...]:
    if dimension is not Dimension.VECTOR:
        keys = {one.key for one in known}
        for one in given:
            if one.key in keys:
                raise _no(f"{attribute} holds {one.key!r} already", "-update KEY VALUE changes it", "key-exists")
            keys.add(one.key)
    return (*known, *given)


def _given(change: Change, dimension: Dimension) -> list[Element]:
    words = change.words
    if change.how == "update" and dimension not in _PAIRED:
        raise _no("a list has no values to update", "-delete the one and -add the other")
    if dimension in _PAIRED and change.how != "delete" and (len(words) > 1 or change.how == "update"):
        return _paired(words)
    return [Element(word, None) for word in words]


def _paired(words: Sequence[str]) -> list[Element]:
    if len(words) % 2:
        raise _no(f"{words[-1]!r} stands without a value", "give each key a value, in turn")
    return [Element(key, value) for key, value in zip(words[::2], words[1::2], strict=True)]


def _elements(before: Raw | None, dimension: Dimension) -> list[Element]:
    if before is None:
        return []
    if isinstance(before, Words):
        paired = dimension in _PAIRED and not before.keys and len(before.words) > 1
        return _paired(before.words) if paired else [Element(word, None) for word in before.words]
    if isinstance(before, str):
        return [Element(part, None) for part in (before.split() if dimension is Dimension.VECTOR else [before])]
    return list(before)


def _no(reason: str, remedy: str, code: str = "bad-change") -> Refused:
    return Refused(Refusal(code, reason, remedy))
