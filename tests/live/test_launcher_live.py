"""A command whose caller is cancelled does not run on, and its log is for its owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from agentbench import play

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
