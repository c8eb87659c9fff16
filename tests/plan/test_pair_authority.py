"""Who may be source: each case is what the store says, what is asked, and what must come of it."""

from __future__ import annotations

import pytest

from holdfast.kernel.errors import InputError, Refusal
from holdfast.replication.model.identity import Endpoint, expand_pairs, expand_volumes, pair_key
from holdfast.replication.model.pairs import TRANSITIONS, PairEvent, PairRecord, Phase, Reason, Role
from holdfast.replication.plan import authority

A, B = Endpoint("IBM.2107-75FA120", "1260"), Endpoint("IBM.2107-75FA150", "1260")


@pytest.mark.parametrize(
    ("record", "force", "outcome"),
    [
        (PairRecord(A, True, 5), False, PairRecord(B, False, 6)),
        (PairRecord(A, False, 5), False, "stale"),
        (PairRecord(A, False, 5), True, PairRecord(B, False, 6)),
        (PairRecord(B, False, 5), False, PairRecord(B, False, 5)),
        (PairRecord(B, True, 5), False, PairRecord(B, False, 6)),
        (None, False, "no-record"),
        (None, True, PairRecord(B, False, 1)),
    ],
)
def test_failover_at_b(record: PairRecord | None, force: bool, outcome: PairRecord | str) -> None:
    decided = authority.failover(record, B, A, force)
    assert (decided.code if isinstance(decided, Refusal) else decided) == outcome


def test_of_failover_and_divergence_only_the_first_wins() -> None:
    seen = PairRecord(A, True, 5)
    diverged = authority.diverge(seen, A)
    assert diverged == PairRecord(A, False, 6)
    assert isinstance(authority.failover(diverged, B, A, force=False), Refusal)
    taken = authority.failover(seen, B, A, force=False)
    assert isinstance(taken, PairRecord)
    assert authority.diverge(taken, A) is None
    assert authority.settle(taken, A, suspended=False) is None


def test_a_source_in_doubt_always_outdates_its_own_earlier_commits() -> None:
    for record in (PairRecord(A, True, 5), PairRecord(A, False, 5)):
        settled = authority.settle(record, A, suspended=False)
        assert settled == PairRecord(A, record.in_sync, 6)
    assert authority.settle(PairRecord(A, True, 5), A, suspended=True) == PairRecord(A, False, 6)


def test_only_the_recorded_source_may_overwrite_its_peer() -> None:
    assert authority.may_copy_from(PairRecord(B, False, 3), B) is None
    refusal = authority.may_copy_from(PairRecord(B, False, 3), A)
    assert refusal is not None
    assert refusal.code == "not-source"
    assert isinstance(authority.synced(PairRecord(B, False, 3), A), Refusal)


def test_the_table_of_transitions() -> None:
    for (role, phase, event), after in TRANSITIONS.items():
        if event in (PairEvent.FAILOVER, PairEvent.LINK_LOST, PairEvent.RESTARTED):
            assert after.role is Role.SOURCE
            assert after.phase is Phase.SUSPENDED
        if event is PairEvent.FAILBACK_TO:
            assert after.role is Role.TARGET
        if event is not PairEvent.FAILOVER and event is not PairEvent.FAILBACK_TO:
            assert after.role is role, "roles change only by failover and failback"
        assert (after.phase is Phase.SUSPENDED) == (after.reason is not Reason.NONE), (role, phase, event)
    assert (Role.SOURCE, Phase.FULL_DUPLEX, PairEvent.FAILBACK_FROM) not in TRANSITIONS


def test_names() -> None:
    assert pair_key(A, B) == pair_key(B, A) == f"replication/pairs/{A}|{B}"
    assert expand_volumes("1260-1262") == ("1260", "1261", "1262")
    assert expand_pairs("0100-0101:0200-0201") == (("0100", "0200"), ("0101", "0201"))
    for wrong in ("12", "126G", "1261-1260", "FF00"):
        with pytest.raises(InputError):
            expand_volumes(wrong)
    with pytest.raises(InputError):
        expand_pairs("1260-1261:1360")
