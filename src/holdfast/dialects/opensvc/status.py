"""States of resources and of services, how they add up, and the tree that shows them. Pure.

Values and sums are the agent's: a service of which one part is up and another down is in ``warn``, what does not apply
counts for nothing, and a warning anywhere is a warning.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class Status(enum.Enum):
    """The value is the exit code of ``svcmgr status``."""

    UP = 0
    DOWN = 1
    WARN = 2
    NA = 3
    UNDEF = 5

    @property
    def word(self) -> str:
        """As it is printed."""
        return "n/a" if self is Status.NA else self.name.lower()


def added(states: Iterable[Status]) -> Status:
    """Return the state of the whole."""
    found = {state for state in states if state is not Status.NA}
    if not found:
        return Status.NA
    if Status.UNDEF in found and len(found) == 1:
        return Status.UNDEF
    return found.pop() if len(found) == 1 else Status.WARN


def of_flags(flags: Sequence[str]) -> Status:
    """Return the state that a cluster resource's flags mean."""
    if not flags or "UNKNOWN" in flags or "STATE UNKNOWN" in flags:
        return Status.UNDEF
    if "FAULTED" in flags or "ADMIN_WAIT" in flags:
        return Status.WARN
    if tuple(flags) == ("ONLINE",):
        return Status.UP
    return Status.DOWN if tuple(flags) == ("OFFLINE",) else Status.WARN


@dataclass(frozen=True, slots=True)
class Line:
    """One resource in the tree: ``flags`` are disabled, optional and frozen, ``notes`` what there is to say."""

    rid: str
    status: Status
    label: str
    flags: str = "...."
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """A service's state: of what makes it available, of its sync resources, and of both."""

    service: str
    moving: tuple[Line, ...]
    syncs: tuple[Line, ...]
    frozen: bool = False

    @property
    def available(self) -> Status:
        """Of all but the sync resources."""
        return added(line.status for line in self.moving)

    @property
    def overall(self) -> Status:
        """Of everything."""
        return added([self.available, *(line.status for line in self.syncs)])

    def text(self) -> str:
        """Return the tree as ``svcmgr print status`` shows it."""
        frozen = "frozen" if self.frozen else ""
        lines = [self.service, _row("overall", self.overall, frozen), _row("|- avail", self.available)]
        for number, one in enumerate(self.moving, 1):
            lines += _resource("|  `- " if number == len(self.moving) else "|  |- ", one)
        synced = added(line.status for line in self.syncs)
        lines.append(_row("`- sync", synced))
        for number, one in enumerate(self.syncs, 1):
            lines += _resource("   `- " if number == len(self.syncs) else "   |- ", one)
        return "\n".join(lines)

    def document(self) -> dict[str, object]:
        """Return it for programs."""
        every = (*self.moving, *self.syncs)
        resources = {one.rid: {"status": one.status.word, "label": one.label, "log": list(one.notes)} for one in every}
        return {
            "name": self.service, "overall": self.overall.word, "avail": self.available.word,
            "frozen": self.frozen, "resources": resources,
        }  # fmt: skip


def _row(head: str, status: Status, tail: str = "") -> str:
    return f"{head:<24} {'':<5} {status.word:<8} {tail}".rstrip()


def _resource(branch: str, one: Line) -> list[str]:
    head = f"{branch}{one.rid}"
    rows = [f"{head:<24} {one.flags:<5} {one.status.word:<8} {one.label}".rstrip()]
    return rows + [f"{'':<40}{note}" for note in one.notes]
