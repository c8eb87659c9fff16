"""The database backup trigger by scenario (case 20)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.backup.plan.dbtrigger import NORMAL, ROLLFORWARD, LogState, Trigger, due

TRIGGER = Trigger("VAULT", "", logfull_pct=50, numincremental=2)
HALF = LogState(ROLLFORWARD, used_bytes=50, capacity_bytes=100, has_full=True, increments=0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "INCREMENTAL"),
        ({"used_bytes": 49}, ""),
        ({"mode": NORMAL}, ""),
        ({"has_full": False}, "FULL"),
        ({"increments": 1}, "INCREMENTAL"),
        ({"increments": 2}, "FULL"),
        ({"increments": 7}, "FULL"),
    ],
)
def test_what_is_due(change: dict[str, int | str | bool], expected: str) -> None:
    found = due(TRIGGER, replace(HALF, **change))  # type: ignore[arg-type]
    assert (("FULL" if found.full else "INCREMENTAL") if found else "") == expected


def test_numincremental_0_makes_only_full_backups() -> None:
    found = due(replace(TRIGGER, numincremental=0), HALF)
    assert found is not None
    assert found.full


def test_increments_may_go_to_a_class_of_their_own() -> None:
    found = due(replace(TRIGGER, incrdevclass="NEAR"), HALF)
    assert found is not None
    assert (found.devclass, found.full) == ("NEAR", False)
    assert "50 % full" in found.reason
