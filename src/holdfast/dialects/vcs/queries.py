"""The queries that all commands share: ``-display``, ``-value``, ``-list`` with conditions, ``-wait``.

A kind of object says how its rows are made (:mod:`.attributes`) and printed; the rest is here once.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from holdfast.dialects.vcs.attributes import GLOBAL, Row
from holdfast.dialects.vcs.session import Form, Session, UsageError, Words

_POLL_S = 0.2
_WAIT_LIMIT_S = 86400.0
_CONDITION = re.compile(r"([A-Za-z]\w*)(!=|=~|=)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: its names, its rows, the heading and the layout of a row of ``-display``."""

    noun: str
    names: Callable[[Session], Sequence[str]]
    rows: Callable[[Session, str], list[Row]]
    heading: str
    row: Callable[[str, Row], str]
    systems: Callable[[Session, str], Sequence[str]] = lambda _session, _name: ()
    state: str = "State"


@dataclass(frozen=True, slots=True)
class Condition:
    """``Attr=Val``, ``Attr!=Val`` or ``Attr=~Val`` (the value, or one of its keys or flags)."""

    attribute: str
    operator: str
    value: str

    def holds(self, rows: Sequence[Row], system: str = "") -> bool:
        """Whether it is so for an object with these rows, on ``system`` where the attribute is local."""
        found = [one for one in rows if one.attribute == self.attribute and (system in (one.system, "") or _same(one))]
        if not found:
            return False
        match self.operator:
            case "=":
                return any(self.value == one.value.strip("|") for one in found)
            case "!=":
                return all(self.value != one.value.strip("|") for one in found)
            case _:
                return any(self.value in one.words for one in found)


def _same(row: Row) -> bool:
    return row.system == GLOBAL


def conditions(words: Sequence[str]) -> list[Condition]:
    """Return the conditions that words say. Raises :class:`UsageError` for one that is none."""
    found = []
    for word in words:
        match = _CONDITION.fullmatch(word)
        if match is None:
            raise UsageError(f"{word!r} is no condition: Attr=Val, Attr!=Val or Attr=~Val")
        found.append(Condition(match[1], match[2], match[3]))
    return found


def display(kind: Kind, names: Callable[[Session, Words], Sequence[str]] | None = None) -> Form:
    """``-display [NAME ..] [-attribute A ..] [-sys S ..]``."""

    def run(session: Session, words: Words) -> list[str]:
        asked = names(session, words) if names else words.plain or kind.names(session)
        attributes, systems = words.every("attribute"), words.every("sys")
        for system in systems:
            session.system(system)
        return [
            kind.heading,
            *(
                kind.row(name, one)
                for name in asked
                for one in kind.rows(session, name)
                if (not attributes or one.attribute in attributes) and (not systems or one.system in (*systems, GLOBAL))
            ),
        ]

    return run


def value(kind: Kind) -> Form:
    """``-value NAME ATTRIBUTE [SYSTEM]``, the system also as ``-sys SYSTEM``."""

    def run(session: Session, words: Words) -> list[str]:
        if len(words.plain) < 2:
            raise UsageError(f"-value {kind.noun.upper()} ATTRIBUTE [SYSTEM]")
        name, attribute, *rest = words.plain
        system = session.system(rest[0] if rest else words.option("sys"))
        return [one.value for one in _asked(kind.rows(session, name), name, attribute, system)][:1]

    return run


def _asked(rows: Sequence[Row], name: str, attribute: str, system: str) -> list[Row]:
    found = [one for one in rows if one.attribute == attribute]
    if not found:
        raise UsageError(f"{name or 'the cluster'} has no attribute {attribute}")
    if any(_same(one) for one in found):
        return found
    here = [one for one in found if one.system == system]
    if not here:
        where = " ".join(dict.fromkeys(one.system for one in found))
        raise UsageError(f"{attribute} differs from system to system: name one of {where}")
    return here


def listing(kind: Kind, width: int) -> Form:
    """``-list [CONDITION ..]``: the objects, each with every system it may be on, that all conditions hold for."""

    def run(session: Session, words: Words) -> list[str]:
        asked = conditions(words.plain)
        lines = []
        for name in kind.names(session):
            rows = kind.rows(session, name) if asked else []
            systems = kind.systems(session, name)
            if not systems and all(one.holds(rows) for one in asked):
                lines.append(name)
            lines += [
                f"{name:<{width}} {system}" for system in systems if all(one.holds(rows, system) for one in asked)
            ]
        return lines

    return run


def wait(kind: Kind) -> Form:
    """``-wait NAME ATTRIBUTE VALUE [-sys SYSTEM] [-time SECONDS]``: end when it is so, or in failure after the time."""

    def run(session: Session, words: Words) -> None:
        named = 3 if kind.noun != "cluster" else 2
        if len(words.plain) < named:
            raise UsageError(f"-wait {kind.noun.upper()} {kind.state} VALUE [-sys SYSTEM] [-time SECONDS]")
        name = words.plain[0] if named == 3 else ""
        attribute, wanted = words.plain[-2:]
        system, end = session.system(words.option("sys")), time.monotonic() + _seconds(words.option("time"))
        while True:
            found = [one for one in kind.rows(session, name) if one.attribute == attribute]
            if not found:
                raise UsageError(f"{name or 'the cluster'} has no attribute {attribute}")
            if any(wanted in one.words for one in found if system in ("", one.system) or _same(one)):
                return
            if time.monotonic() > end:
                raise UsageError(f"{attribute} of {name or 'the cluster'} did not become {wanted} in time")
            time.sleep(_POLL_S)
            session = replace(session, state=session.wire.state())

    return run


def _seconds(text: str) -> float:
    if text and not text.isdecimal():
        raise UsageError(f"{text!r} is no number of seconds")
    return min(float(text or _WAIT_LIMIT_S), _WAIT_LIMIT_S)
