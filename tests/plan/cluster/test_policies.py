"""Scenario file for target choice among several groups: policies, limits, zones."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import GroupFact, Intent, Life, SystemView, Wanted
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.placement import first_choice, place
from holdfast.cluster.plan.view import View

HERE = Path(__file__).parent
SYSTEMS = ("s1", "s2", "s3")


def load() -> list[Any]:
    scenarios = tomllib.loads((HERE / "policies.toml").read_text())["scenario"]
    return [pytest.param(one, id=one["name"].replace(" ", "-")) for one in scenarios]


def picture(scenario: dict[str, Any]) -> View:
    text = "cluster c ( )\n"
    text += "".join(f"system {name} ( {scenario.get('systems', {}).get(name, '')} )\n" for name in SYSTEMS)
    own = scenario["group"] if "SystemList" in scenario["group"] else "SystemList = { s1, s2, s3 } " + scenario["group"]
    text += f"group web ( {own} )\n"
    intents = {"web": Intent("web", scenario.get("owner", ""), wanted=Wanted.ONLINE)}
    for other in scenario.get("groups", []):
        name, where, attributes = [*other.split(" ", 2), ""][:3]
        owner, _, following = where.partition(">")
        text += f"group {name} ( SystemList = {{ s1, s2, s3 }} {attributes} )\n"
        wanted = Wanted.OFFLINE if following else Wanted.ONLINE
        intents[name] = Intent(name, owner, f"{owner}-1", wanted, following=following)
    return View(
        build({"main.cf": text}),
        {name: SystemView(name, Life.ALIVE, f"{name}-1") for name in SYSTEMS},
        intents,
        {("web", name): GroupFact("web", name, f"{name}-1") for name in SYSTEMS},
    )


@pytest.mark.parametrize("scenario", load())
def test_policies(scenario: dict[str, Any]) -> None:
    view = picture(scenario)
    group, leaving = view.configuration.groups["web"], scenario["leaving"]
    found = place(view, group, near=leaving, avoid=frozenset({leaving}) if leaving else frozenset())
    if "starts" in scenario:
        assert first_choice(view, group, found) == scenario["starts"]
        return
    assert list(found.candidates) == scenario["expect"]
    for name, why in scenario.get("rejected", {}).items():
        assert why in found.rejected[name]


def test_two_groups_of_one_decision_never_take_the_same_room() -> None:
    limit = "Limits = { Slots = 1 }"
    text = "cluster c ( )\n" + "".join(f"system {name} ( {limit} )\n" for name in SYSTEMS)
    for name in ("a", "b", "c", "d"):
        text += f"group {name} ( SystemList = {{ s1, s2, s3 }} AutoStartList = {{ s1, s2, s3 }} "
        text += "Prerequisites = { Slots = 1 } )\n"
    configuration = build({"main.cf": text})
    view = View(
        configuration,
        {name: SystemView(name, Life.ALIVE, f"{name}-1") for name in SYSTEMS},
        {},
        {(group, name): GroupFact(group, name, f"{name}-1") for group in configuration.groups for name in SYSTEMS},
    )
    decision = decide(view)
    assert [(change.intent.group, change.intent.owner) for change in decision.changes] == [
        ("a", "s1"), ("b", "s2"), ("c", "s3")
    ]  # fmt: skip
    (note,) = [note for note in decision.notes if note.code == "no-target"]
    assert note.group == "d"
    assert "lacks Slots" in note.rejected["s1"]
