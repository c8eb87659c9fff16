"""A set of flash copies: when it may be resynchronised, with which commands, how fresh it is; dates of any zone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.kernel.errors import HoldfastError
from holdfast.replication.drivers.dscli_stdin import flash_facts, resync_commands
from holdfast.replication.model.syncset import FlashFact, SyncSet
from holdfast.replication.model.zones import epoch_of
from holdfast.replication.plan.syncset import Moment, health, refusal

ARRAY = "IBM.2107-75FA120"
SET = SyncSet("sync#1", ARRAY, ("0001:0002", "0101:0102"), True, True, 7200.0, 86400.0)
NOW = 1_000_000.0


def facts(**changes: object) -> dict[str, FlashFact]:
    fresh = {pair: FlashFact(pair, True, True, "Valid", False, NOW - 10_000) for pair in SET.pairs}
    fresh["0101:0102"] = replace(fresh["0101:0102"], **changes)  # type: ignore[arg-type]
    return fresh


def code(found: dict[str, FlashFact], moment: Moment, wanted: SyncSet = SET) -> str:
    refused = refusal(wanted, found, moment)
    return "" if refused is None else refused.code


def test_a_set_is_up_only_if_every_pair_is_as_configured_and_fresh() -> None:
    assert health(SET, facts(), NOW).up
    for change in ({"recording": False}, {"persistent": False}, {"state": "Invalid"}, {"synced": NOW - 90_000}):
        assert not health(SET, facts(**change), NOW).up, change
    assert not health(SET, {}, NOW).up
    assert not health(SET, facts(synced=None), NOW).up


def test_the_service_must_be_down_whatever_is_forced() -> None:
    assert code(facts(), Moment(NOW, None, ("n1",), force=True)) == "not-down"


def test_force_bypasses_the_least_delay_and_nothing_else() -> None:
    young = facts(synced=NOW - 60)
    assert code(young, Moment(NOW)) == "too-soon"
    assert code(young, Moment(NOW, force=True)) == ""
    assert code(facts(), Moment(NOW, NOW - 60)) == "too-soon"
    assert code(facts(state="Invalid"), Moment(NOW, force=True)) == "pair-state"
    assert code({}, Moment(NOW, force=True)) == "missing-pairs"


def test_a_clock_that_was_set_back_does_not_forbid_a_resync_for_ever() -> None:
    ahead = facts(synced=NOW + 90_000)
    assert code(ahead, Moment(NOW)) == ""
    assert health(SET, ahead, NOW).reasons == (
        "last resync is dated 1500 minutes from now: compare the clocks of array and system",
    ), "an age below nothing is no proof of freshness"
    assert health(SET, facts(synced=NOW + 60), NOW).up


def test_thin_and_other_targets_share_one_command_and_so_one_point_in_time() -> None:
    (command,) = resync_commands(SET, facts(thin_target=True))
    assert command == f"resyncflash -dev {ARRAY} -persist -record -cp -tgtse 0001:0002 0101:0102"


def test_without_recording_a_copy_is_withdrawn_and_made_again() -> None:
    wanted = replace(SET, recording=False, bgcopy=False)
    assert resync_commands(wanted, facts()) == (
        f"rmflash -dev {ARRAY} -quiet 0001:0002 0101:0102",
        f"mkflash -dev {ARRAY} -persist -nocp 0001:0002 0101:0102",
    )


def test_a_freeze_is_ended_for_every_source_subsystem() -> None:
    assert resync_commands(replace(SET, freeze=True), facts())[-1] == f"unfreezeflash -dev {ARRAY} 00 01"


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("Thu Sep 18 23:04:04 CEST 2014", 1411074244.0),
        ("Thu Sep 18 21:04:04 UTC 2014", 1411074244.0),
        ("Thu Sep 18 16:04:04 CDT 2014", 1411074244.0),
        ("Fri Sep 19 02:34:04 IST 2014", 1411074244.0),
        ("Thu Sep 18 23:04:04 +0200 2014", 1411074244.0),
        ("Thu Sep  4 21:04:04 UTC 2014", 1409864644.0),
        ("Thu Sep 18 23:04:04 XYZT 2014", None),
        ("Thu Sep 31 23:04:04 UTC 2014", None),
        ("-", None),
    ],
)
def test_dates_are_read_in_any_zone(text: str, epoch: float | None) -> None:
    assert epoch_of(text, {}) == epoch


def test_the_systems_own_meaning_of_a_zone_comes_first() -> None:
    assert epoch_of("Thu Sep 18 23:04:04 IST 2014", {"IST": 60}) == 1411077844.0


def test_a_row_that_is_too_short_is_refused_and_an_empty_list_is_none() -> None:
    assert flash_facts("CMUC00234I lsflash: No Flash Copy found.\n", {}) == {}
    with pytest.raises(HoldfastError, match="2 of 6"):
        flash_facts("ID,Recording,Persistent,State,isTgtSE,DateSynced\n=====\n0001:0002,Enabled\n", {})
    with pytest.raises(HoldfastError, match="neither a table"):
        flash_facts("login:", {})
