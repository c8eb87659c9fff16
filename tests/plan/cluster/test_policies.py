"""Scenario file for target choice among several groups: policies, limits, zones."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import GroupFact, Intent, Life, SystemView, Wanted
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.load import overloaded
from holdfast.cluster.plan.placement import first_choice, place
from holdfast.cluster.plan.view import View
from holdfast.cluster.service.meters import Meters
from holdfast.kernel.errors import InputError

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
        {
            name: SystemView(
                name,
                Life.ALIVE,
                f"{name}-1",
                available=scenario.get("free", {}).get(name, {}),
                load=scenario.get("said", {}).get(name, {}),
            )
            for name in SYSTEMS
        },
        intents,
        {("web", name): GroupFact("web", name, f"{name}-1") for name in SYSTEMS},
    )


@pytest.mark.parametrize("scenario", load())
def test_policies(scenario: dict[str, Any]) -> None:
    view = picture(scenario)
    group, leaving = view.configuration.groups["web"], scenario["leaving"]
    avoid = frozenset({leaving}) if leaving else frozenset()
    found = place(view, group, near=leaving, avoid=avoid, site=scenario.get("site", ""))
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


def test_a_system_is_warned_of_once_when_its_load_has_been_high_for_long() -> None:
    scenario = {
        "group": "", "owner": "s1", "groups": ["big s1 Load = 90", "small s2 Load = 10"],
        "systems": {"s1": "LoadTimeThreshold = 100"},
    }  # fmt: skip
    view = picture(scenario)
    above, due = overloaded(view, {}, 1000.0)
    assert above == {"s1": 1000.0}
    assert due == ()
    above, due = overloaded(view, above, 1100.0)
    assert [(one.name, one.arguments) for one in due] == [("loadwarning", ("s1", "10"))]
    above, due = overloaded(view, above, 1300.0)
    assert due == ()
    calm = picture({**scenario, "groups": ["big s2 Load = 90"]})
    above, due = overloaded(calm, above, 1400.0)
    assert "s1" not in above


def test_what_is_free_is_read_as_the_kernel_tells_it(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 4096 kB\nMemAvailable:    3145728 kB\nSwapFree: 1048576 kB\n")
    (tmp_path / "stat").write_text("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\n")
    meters = Meters(tmp_path)
    assert meters.free(10.0, 5.0) == {"Mem": 3072.0, "Swap": 1024.0, "CPU": round(0.8 * (os.cpu_count() or 1), 1)}
    (tmp_path / "stat").write_text("cpu  200 0 100 800 0 0 0 0 0 0\n")
    assert meters.free(12.0, 5.0)["CPU"] > 0, "not measured again so soon"
    assert meters.free(16.0, 5.0)["CPU"] == 0.0, "since the last look nothing was idle"
    (tmp_path / "stat").unlink()
    assert meters.free(30.0, 5.0) == {}
    assert Meters().free(0.0, 5.0)["Mem"] > 0


@pytest.mark.parametrize("wrong", ["AutoFailOver = 3", "FailOverPolicy = Biggest", "ManageFaults = SOME"])
def test_what_an_attribute_cannot_be_is_refused_with_what_it_can(wrong: str) -> None:
    text = f"cluster c ( )\nsystem s1 ( )\ngroup web (\n SystemList = {{ s1 }}\n {wrong}\n)\n"
    with pytest.raises(InputError) as refused:
        build({"main.cf": text})
    assert refused.value.line == 5
    assert "write one of" in refused.value.remedy
