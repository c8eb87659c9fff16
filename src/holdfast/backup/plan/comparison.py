"""What differs between two states of a filespace: two points in time, or a point in time and the disk.

Both sides come in key order and are merged as they come, so nothing is held. A change names what changed: content,
attributes one by one, or that an object is new, gone, or of another kind.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from holdfast.backup.model.objects import Kind, Stat


class Change(enum.StrEnum):
    """What happened to an object from the first state to the second."""

    ADDED = "added"
    REMOVED = "removed"
    CONTENT = "content"
    ATTRIBUTES = "attributes"
    KIND = "kind"


@dataclass(frozen=True, slots=True)
class State:
    """One object in one of the states. ``content`` is comparable within one comparison; None when it is not known."""

    key: bytes
    kind: Kind
    stat: Stat
    extra: bytes
    content: object = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that differs, and in which attributes."""

    key: bytes
    change: Change
    attributes: tuple[str, ...] = ()


_ATTRIBUTES = ("mode", "uid", "gid", "mtime_ns", "rdev")


def compare(before: Iterable[State], after: Iterable[State]) -> Iterator[Difference]:
    """Yield every difference in key order."""
    left, right = iter(before), iter(after)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.key < other.key):
            assert one is not None
            yield Difference(one.key, Change.REMOVED)
            one = next(left, None)
        elif one is None or other.key < one.key:
            yield Difference(other.key, Change.ADDED)
            other = next(right, None)
        else:
            found = compare_object(one, other)
            if found is not None:
                yield found
            one, other = next(left, None), next(right, None)


def compare_object(before: State, after: State) -> Difference | None:
    """Return how one object differs, or None. Without known content a file's size and mtime stand for it."""
    if before.kind != after.kind:
        return Difference(before.key, Change.KIND)
    names = tuple(name for name in _ATTRIBUTES if getattr(before.stat, name) != getattr(after.stat, name))
    if before.extra != after.extra:
        names += ("target" if before.kind is Kind.SYMLINK else "xattrs",)
    if before.kind is Kind.FILE and _content_differs(before, after, names):
        return Difference(before.key, Change.CONTENT, names)
    if before.kind is Kind.DIRECTORY and names == ("mtime_ns",):
        return None
    return Difference(before.key, Change.ATTRIBUTES, names) if names else None


def _content_differs(before: State, after: State, names: tuple[str, ...]) -> bool:
    if before.stat.size != after.stat.size:
        return True
    if before.content is None or after.content is None:
        return "mtime_ns" in names
    return before.content != after.content
