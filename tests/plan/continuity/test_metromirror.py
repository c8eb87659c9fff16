"""Runs the scenarios of ``metromirror.toml`` through the planner of the MetroMirror agent."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from holdfast.continuity.plan.metromirror import Need, PairRow, decide_online, safe_to_fault

SCENARIOS = tomllib.loads(Path(__file__).with_name("metromirror.toml").read_text())["scenario"]
VOLUMES = ("1260", "1261")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_scenario(scenario: dict[str, Any]) -> None:
    rows = [PairRow(*row) for row in scenario["rows"]]
    decision = decide_online(VOLUMES, rows, scenario.get("split_takeover", False))
    assert decision.need is Need[scenario["need"]]
    assert decision.failover == tuple(scenario.get("failover", ()))
    assert len(decision.reasons) == len(VOLUMES)
    assert safe_to_fault(VOLUMES, rows) is scenario["safe_to_fault"]
