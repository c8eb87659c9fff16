"""Migration and reclamation by scenario: facts in, what goes and why the rest stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.backup.model.pools import VolumeAccess, VolumeStatus
from holdfast.backup.plan.expiration import DAY_NS
from holdfast.backup.plan.migration import Candidate, Migration, PoolLoad, due, migrate
from holdfast.backup.plan.reclamation import Fill, reclaim
from holdfast.kernel.errors import Refusal

NOW = 1_000 * DAY_NS
POOL = PoolLoad("FAST", "SLOW", sequential=True, used=9, capacity=10)


def volume(number: int, age_days: int, obstacle: str = "") -> Candidate:
    return Candidate(number, f"V{number}", 100, NOW - age_days * DAY_NS, obstacle)


def plan(load: PoolLoad, candidates: list[Candidate], low: int | None = None) -> Migration:
    found = migrate(load, candidates, NOW, low)
    assert isinstance(found, Migration)
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"used": 8}, False),
        ({"highmig_pct": 100, "used": 10}, False),
        ({"next_pool": ""}, False),
        ({"capacity": 0}, False),
        ({"used": 0, "highmig_pct": 0}, False),
    ],
)
def test_when_migration_is_due(change: dict[str, int | str], expected: bool) -> None:
    assert due(replace(POOL, **change)) is expected  # type: ignore[arg-type]


def test_oldest_volumes_go_until_lowmig() -> None:
    found = plan(POOL, [volume(number, age_days=number) for number in range(1, 10)])
    assert found.goes == (9, 8)
    assert found.stays[0] == ("V7", "70 % is reached without it")
    assert not found.short


def test_what_cannot_be_read_stays_with_its_reason() -> None:
    candidates = [volume(1, 9, "its access is UNAVAILABLE"), *(volume(number, 1) for number in range(2, 10))]
    found = plan(POOL, candidates)
    assert 1 not in found.goes
    assert ("V1", "its access is UNAVAILABLE") in found.stays


def test_migdelay_holds_young_volumes_back_unless_migcontinue() -> None:
    load = replace(POOL, migdelay_days=5, migcontinue=False)
    candidates = [volume(1, 9), *(volume(number, 1) for number in range(2, 10))]
    held = plan(load, candidates)
    assert held.goes == (1,)
    assert held.short
    assert held.stays[0][1] == "younger than MIGDELAY=5 and MIGCONTINUE=NO"
    assert plan(replace(load, migcontinue=True), candidates).goes == (1, 2)


def test_a_disk_pool_gives_its_largest_filespace_first() -> None:
    load = PoolLoad("DISKPOOL", "FAST", sequential=False, used=950, capacity=1_000)
    candidates = [Candidate(n, f"fs{n}", size, NOW - DAY_NS) for n, size in ((1, 50), (2, 600), (3, 300))]
    assert plan(load, candidates).goes == (2,)
    assert plan(load, candidates, 0).goes == (2, 3, 1)


def test_a_pool_without_a_next_pool_is_refused() -> None:
    found = migrate(replace(POOL, next_pool=""), [], NOW)
    assert isinstance(found, Refusal)
    assert found.code == "no-next-pool"


def fill(number: int, live: int, **change: object) -> Fill:
    base = Fill(number, f"V{number}", 100, live, VolumeStatus.FULL, VolumeAccess.READWRITE)
    return replace(base, **change)  # type: ignore[arg-type]


def test_emptiest_volumes_are_reclaimed_first() -> None:
    found = reclaim([fill(1, 30), fill(2, 10), fill(3, 60)], 60, 9)
    assert found.volumes == (2, 1)
    assert found.passed_over == (("V3", "40 % reclaimable, below 60 %"),)


def test_why_volumes_are_not_reclaimed() -> None:
    found = reclaim(
        [
            fill(1, 0, status=VolumeStatus.FILLING),
            fill(2, 0, access=VolumeAccess.DESTROYED),
            fill(3, 0, mounted=True),
        ],
        60,
        9,
    )
    assert found.volumes == ()
    assert dict(found.passed_over) == {
        "V1": "it is FILLING",
        "V2": "its access is DESTROYED",
        "V3": "it is mounted",
    }


def test_offsite_volumes_are_limited_and_may_be_filling() -> None:
    away = VolumeAccess.OFFSITE
    fills = [fill(1, 0, access=away), fill(2, 5, access=away, status=VolumeStatus.FILLING), fill(3, 9, access=away)]
    found = reclaim(fills, 60, 2)
    assert found.volumes == (1, 2)
    assert found.passed_over == (("V3", "OFFSITERECLAIMLIMIT=2 is reached"),)


def test_a_threshold_of_100_takes_only_what_is_empty() -> None:
    assert reclaim([fill(1, 1), fill(2, 0)], 100, 9).volumes == (2,)
