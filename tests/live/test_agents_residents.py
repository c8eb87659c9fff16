"""Clean kills what a start left, also a failed one's, and nothing that may be another resource's."""

from __future__ import annotations

from pathlib import Path

import pytest
from agentbench import play

FILE = "residentscenes.py"
BOTH = pytest.mark.parametrize("isolation", ["auto", "marker"])


def test_what_others_begin_beside_a_start_survives_its_clean(tmp_path: Path) -> None:
    found = play(FILE, "beside", tmp_path)
    assert found == {"said": "ok", "before": True, "cleaned": True, "own": False, "spared": [True] * 4}


@BOTH
def test_a_start_that_raised_leaves_its_note(tmp_path: Path, isolation: str) -> None:
    found = play(FILE, "raised", tmp_path, isolation)
    assert found["said"].startswith("start ended with 1 (failed)")
    assert (found["before"], found["after"]) == (True, False)


@BOTH
def test_a_start_that_was_cancelled_goes_with_what_it_left(tmp_path: Path, isolation: str) -> None:
    assert play(FILE, "cancelled", tmp_path, isolation) == {"cancelled": True, "after": False, "clean": True}


def test_a_reused_id_is_not_killed(tmp_path: Path) -> None:
    assert play(FILE, "reused", tmp_path) == {"another's": [0, 1], "its own": [1, 0]}


def test_metadata_is_asked_for_once_and_never_by_stop_or_clean(tmp_path: Path) -> None:
    found = play(FILE, "metadata", tmp_path)
    assert found["stop and clean"] == ["stop", "stop", "monitor"]
    assert found["monitors"] == ["meta-data", "monitor", "monitor"]
