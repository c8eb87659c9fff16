"""MODE and FREQUENCY of the backup copy group, honoured in an incremental; a selective backup ignores both.

ABSOLUTE stores a file that has not changed; FREQUENCY keeps a file from being stored again before so many days have
passed since its last version, in either mode. What is only rebound or gone is not held back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from holdfast.backup.plan.difference import Difference, Verdict
from holdfast.backup.plan.expiration import DAY_NS

_MODIFIED = "MODIFIED"
_UNCHANGED = frozenset({Verdict.SKIP, Verdict.REBIND, Verdict.RECHECK, Verdict.UPDATE})
_CHANGED = frozenset({Verdict.STORE, Verdict.RECHECK, Verdict.UPDATE})


class Terms(Protocol):
    """What counts of a management class."""

    @property
    def name(self) -> str:
        """The class's name."""

    @property
    def mode(self) -> str:
        """MODIFIED or ABSOLUTE."""

    @property
    def frequency_days(self) -> int:
        """Days that must lie between two versions."""


def honoured(items: Iterable[Difference], classes: Sequence[Terms], now_ns: int) -> Iterable[Difference]:
    """Return the differences as the classes' mode and frequency leave them; the same iterable when none has either."""
    special = {one.name: one for one in classes if one.mode != _MODIFIED or one.frequency_days}
    return _honoured(items, special, now_ns) if special else items


def _honoured(items: Iterable[Difference], special: dict[str, Terms], now_ns: int) -> Iterator[Difference]:
    for item in items:
        terms = special.get(item.entry.mgmtclass) if item.entry is not None else None
        yield item if terms is None else _judge(item, terms, now_ns)


def _judge(item: Difference, terms: Terms, now_ns: int) -> Difference:
    entry, known = item.entry, item.known
    if entry is None or known is None:
        return item
    due = known.stored_ns + terms.frequency_days * DAY_NS <= now_ns
    verdict = item.verdict
    if not due and verdict in _CHANGED:
        verdict = Verdict.SKIP if entry.mgmtclass == known.mgmtclass else Verdict.REBIND
    elif due and terms.mode != _MODIFIED and verdict in _UNCHANGED:
        verdict = Verdict.STORE
    return item if verdict is item.verdict else Difference(verdict, entry, known)
