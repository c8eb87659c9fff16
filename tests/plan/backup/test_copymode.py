"""Mode, frequency and serialization of the backup copy group."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from holdfast.backup.model.objects import Entry, Kind, Known, Stat
from holdfast.backup.model.policy import reading
from holdfast.backup.plan.copymode import honoured
from holdfast.backup.plan.difference import Verdict, difference
from holdfast.backup.plan.expiration import DAY_NS

STAT = Stat(0o100644, 0, 0, 5, 10, 20, 7, 1)
CHANGED = msgspec.structs.replace(STAT, size=6)
NOW = 100 * DAY_NS


@dataclass(frozen=True)
class Class:
    name: str
    mode: str = "MODIFIED"
    frequency_days: int = 0


@pytest.mark.parametrize(
    ("mode", "days", "stored_days_ago", "stat", "bound", "verdict"),
    [
        ("MODIFIED", 0, 0, STAT, "C", Verdict.SKIP),
        ("ABSOLUTE", 0, 0, STAT, "C", Verdict.STORE),
        ("ABSOLUTE", 3, 2, STAT, "C", Verdict.SKIP),
        ("ABSOLUTE", 3, 3, STAT, "C", Verdict.STORE),
        ("MODIFIED", 3, 2, CHANGED, "C", Verdict.SKIP),
        ("MODIFIED", 3, 2, CHANGED, "OLD", Verdict.REBIND),
        ("MODIFIED", 3, 3, CHANGED, "C", Verdict.STORE),
        ("MODIFIED", 3, 9, STAT, "C", Verdict.SKIP),
        ("ABSOLUTE", 0, 0, STAT, "OLD", Verdict.STORE),
    ],
)
def test_mode_and_frequency(
    mode: str, days: int, stored_days_ago: int, stat: Stat, bound: str, verdict: Verdict
) -> None:
    known = Known(b"a", Kind.FILE, STAT, b"", bound, NOW - stored_days_ago * DAY_NS)
    items = difference([Entry(b"a", Kind.FILE, stat, "C")], [known])
    assert [item.verdict for item in honoured(items, [Class("C", mode, days)], NOW)] == [verdict]


def test_what_is_new_or_gone_is_never_held_back() -> None:
    known = Known(b"gone", Kind.FILE, STAT, b"", "C", NOW)
    items = difference([Entry(b"new", Kind.FILE, STAT, "C")], [known])
    found = [item.verdict for item in honoured(items, [Class("C", "MODIFIED", 9)], NOW)]
    assert found == [Verdict.EXPIRE, Verdict.STORE]


@pytest.mark.parametrize(
    ("serialization", "retries", "expected"),
    [
        ("STATIC", 4, (1, False)),
        ("SHRSTATIC", 4, (4, False)),
        ("SHRSTATIC", 9, (4, False)),
        ("SHRSTATIC", 2, (2, False)),
        ("SHRDYNAMIC", 4, (4, True)),
        ("DYNAMIC", 4, (1, True)),
    ],
)
def test_serialization_says_how_often_a_changing_file_is_read(
    serialization: str, retries: int, expected: tuple[int, bool]
) -> None:
    assert reading(serialization, retries) == expected
