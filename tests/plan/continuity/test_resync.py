"""Runs the scenarios of ``resync.toml`` through the planner of the flash resync."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from holdfast.continuity.plan.resync import ResyncFacts, ResyncRequest, consistency, plan_resync
from holdfast.replication.ports import FlashRelation

SCENARIOS = tomllib.loads(Path(__file__).with_name("resync.toml").read_text())["scenario"]
BOTH = [["1260", "1360", True, True], ["1261", "1361", True, True]]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_scenario(scenario: dict[str, Any]) -> None:
    facts = ResyncFacts(
        group="VCS_Cluster",
        state=scenario.get("state", "ONLINE"),
        online_on=tuple(scenario["online_on"]),
        maintenance=scenario.get("maintenance", False),
        resources=tuple((name, kind) for name, kind in scenario.get("resources", [])),
        relations=tuple(
            FlashRelation(source, target, "now", recording, persistent)
            for source, target, recording, persistent in scenario.get("relations", BOTH)
        ),
        together=scenario.get("together", True),
        targets_in_use=scenario.get("targets_in_use", {}),
        since_last_s=scenario.get("since_last_s"),
    )
    request = ResyncRequest(
        (("1260", "1360"), ("1261", "1361")), scenario.get("min_delay_s", 0.0), scenario.get("force", False),
        scenario.get("kind", "array"),
    )  # fmt: skip
    plan = plan_resync(request, facts)
    assert [step.id for step in plan.steps] == scenario.get("steps", [])
    assert [refusal.code for refusal in plan.refusals] == scenario.get("refusals", [])
    assert all(step.reason for step in plan.steps)
    assert all(refusal.remedy for refusal in plan.refusals)
    if "consistency" in scenario:
        assert consistency(facts, request.kind).name == scenario["consistency"]
