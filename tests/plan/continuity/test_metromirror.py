"""Runs the scenarios of ``metromirror.toml`` through the planner of the MetroMirror agent."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from holdfast.continuity.plan.metromirror import (
    Need,
    OtherSide,
    PairRow,
    decide_online,
    safe_to_fault,
    with_other_box,
)

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


@pytest.mark.parametrize(
    ("local", "other", "need"),
    [
        ("Target Full Duplex", OtherSide("Full Duplex", 0), Need.FAILOVER),
        ("Target Full Duplex", OtherSide("Suspended", 0), Need.FAILOVER),
        ("Target Full Duplex", OtherSide("Suspended", 3), Need.FAULT),
        ("Target Full Duplex", OtherSide("Suspended"), Need.FAULT),
        ("Target Full Duplex", OtherSide(""), Need.FAULT),
        ("Target Full Duplex", OtherSide("Target Full Duplex"), Need.FAULT),
        ("Target Full Duplex", OtherSide("Copy Pending", 9), Need.WAIT),
        ("Full Duplex", OtherSide("Target Full Duplex"), Need.NOTHING),
        ("Full Duplex", OtherSide(""), Need.NOTHING),
        ("Full Duplex", OtherSide("Suspended", 7), Need.FAULT),
        ("Suspended", OtherSide("Full Duplex", 0), Need.NOTHING),
        ("Suspended", OtherSide("Target Suspended"), Need.NOTHING),
        ("Copy Pending", OtherSide("Target Copy Pending"), Need.NOTHING),
    ],
)
def test_what_the_other_array_shows_can_only_make_it_worse(local: str, other: OtherSide, need: Need) -> None:
    rows = [PairRow(volume, local) for volume in VOLUMES]
    decision = decide_online(VOLUMES, rows)
    asked = with_other_box(decision, rows, {VOLUMES[0]: other, VOLUMES[1]: OtherSide(_usual(local))})
    assert asked.need is need
    assert asked.need >= decision.need
    assert bool(asked.failover) is (need is Need.FAILOVER)
    assert with_other_box(decision, rows, None) == decision, "no answer proves nothing"
    assert with_other_box(decision, rows, {VOLUMES[0]: other}, split_takeover=True) == decision


def _usual(local: str) -> str:
    return local.removeprefix("Target ") if local.startswith("Target") else f"Target {local}"
