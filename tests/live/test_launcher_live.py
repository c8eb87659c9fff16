"""A command whose caller is cancelled does not run on, and its log is for its owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from agentbench import play

from holdfast.cluster.ports import OUTPUT_LIMIT_BYTES

FILE = "launcherscenes.py"
BOTH = pytest.mark.parametrize("isolation", ["auto", "marker"])


@BOTH
def test_what_is_cancelled_while_it_starts_is_killed(tmp_path: Path, isolation: str) -> None:
    found = play(FILE, "cancelled", tmp_path, isolation)
    assert found["cancelled"] > 0
    assert (found["left"], found["waiting"]) == (0, 0)
    assert not (tmp_path / "ran").exists()


@BOTH
def test_what_a_dead_daemon_was_starting_is_killed_and_services_are_not(tmp_path: Path, isolation: str) -> None:
    found = play(FILE, "settled", tmp_path, isolation)
    assert found == {"codes": [-9, -9], "alive": ["4713", "4714"]}
    assert not (tmp_path / "started").exists()
    assert not (tmp_path / "ran").exists()


def test_the_log_of_a_command_is_closed_to_others(tmp_path: Path) -> None:
    assert play(FILE, "logs", tmp_path) == {"text": "secret\n", "mode": "0o600"}


@BOTH
def test_a_flood_is_bounded_and_delays_nothing_beside_it(tmp_path: Path, isolation: str) -> None:
    found = play(FILE, "flood", tmp_path, isolation)
    assert found["beside"] == [3, "beside\n", "trouble\n"]
    assert found["flood"] == [True, OUTPUT_LIMIT_BYTES]
    assert found["written"] < 100 * 1024 * 1024  # of what would be gigabytes
    assert found["long"] == [0, OUTPUT_LIMIT_BYTES, "last\n"]


@BOTH
def test_what_a_start_leaves_may_print_for_ever(tmp_path: Path, isolation: str) -> None:
    assert play(FILE, "left", tmp_path, isolation) == {"code": 4, "first": "started", "alive": True}


@BOTH
def test_a_command_out_of_time_goes_with_all_that_it_started(tmp_path: Path, isolation: str) -> None:
    assert play(FILE, "stubborn", tmp_path, isolation) == {"timed out": True, "left": 0}


def test_the_longest_values_reach_a_program_and_longer_ones_are_refused(tmp_path: Path) -> None:
    found = play(FILE, "long_values", tmp_path)
    assert found["bytes"] == str(2 * 64 * 1024)
    assert found["one"] == [127, "true: Argument list too long\n"]
    assert "too long" in found["all"]
    assert "2 MiB" in found["all"]


def test_output_that_is_no_text_is_read_all_the_same(tmp_path: Path) -> None:
    assert play(FILE, "not_text", tmp_path) == {"text": "a\ufffd\ufffdb\0c"}


def test_the_log_of_a_service_that_floods_stays_short(tmp_path: Path) -> None:
    found = play(FILE, "chatter", tmp_path)
    assert 0 < found["largest"] <= found["limit"]
    assert found["head"].startswith("--- this log grew beyond its limit")
