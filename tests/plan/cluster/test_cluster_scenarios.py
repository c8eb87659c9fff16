"""Reads the scenarios of ``*.toml`` here: facts, then what the planner must decide and why.

The cluster is always the same: hosta and hostb in zone 0, hostc and hostd in zone 1; group ``web`` with ``app``
requiring ``mnt`` requiring ``disk``, and a ``log`` on ``mnt`` that is not critical. ``hosta`` owns it and runs it
unless the scenario says otherwise.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import (
    SPARED,
    CleanReason,
    Evidence,
    EvidenceKind,
    GroupFact,
    Intent,
    Life,
    Phase,
    Request,
    RequestState,
    ResourceFact,
    ResourceState,
    Standing,
    SystemView,
    Wanted,
)
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.faults import Counters, after_clean, judge
from holdfast.cluster.plan.local import Charge, Mandate, charge, hopeless, orders
from holdfast.cluster.plan.view import Answer, Ask, AskKind, Decision, View
from holdfast.kernel.errors import Refusal

HERE = Path(__file__).parent
SYSTEMS = ("hosta", "hostb", "hostc", "hostd")
MAIN_CF = """
include "types.cf"
cluster trial ( )
system hosta ( )
system hostb ( )
system hostc ( )
system hostd ( )
group web (
    SystemList = { hosta = 0, hostb = 1, hostc = 2, hostd = 3 }
    @ZONES@
    AutoStartList = { hosta, hostb }
    @GROUP@
    )
    FileOnOff disk ( PathName = "/d" )
    FileOnOff mnt ( PathName = "/m" )
    Application app ( StartProgram = "/a" @APP@ )
    FileOnOff log ( PathName = "/l" Critical = 0 )
    mnt requires disk
    app requires mnt
    log requires mnt
"""
NAMES = ("disk", "mnt", "app", "log")


def load(name: str) -> list[Any]:
    scenarios = tomllib.loads((HERE / name).read_text())["scenario"]
    return [pytest.param(one, id=one["name"].replace(" ", "-")) for one in scenarios]


def configuration(scenario: dict[str, Any]) -> Configuration:
    zones = "" if scenario.get("no_zones") else "SystemZones = { hosta = 0, hostb = 0, hostc = 1, hostd = 1 }"
    text = MAIN_CF.replace("@ZONES@", zones)
    text = text.replace("@GROUP@", scenario.get("group", "")).replace("@APP@", scenario.get("app", ""))
    files = {"main.cf": text}
    bundled = HERE.parents[2] / "src/holdfast/cluster/config/types.cf"
    files["types.cf"] = bundled.read_text()
    return build(files)


def resource_facts(text: str) -> dict[str, ResourceFact]:
    """``online`` or ``offline`` for all, then words such as ``app:faulted``, ``mnt:failing``, ``disk:unprobed``."""
    words = text.split()
    general = ResourceState[words[0].upper()] if words[0] in ("online", "offline") else ResourceState.OFFLINE
    facts = {name: ResourceFact(general, probed=True) for name in NAMES}
    for word in words:
        name, mark, what = word.partition(":")
        if not mark:
            continue
        fact = facts[name]
        facts[name] = {
            "online": replace(fact, state=ResourceState.ONLINE),
            "offline": replace(fact, state=ResourceState.OFFLINE),
            "faulted": replace(fact, state=ResourceState.OFFLINE, faulted=True),
            "cleaning": replace(fact, phase=Phase.CLEANING),
            "failing": replace(fact, phase=Phase.CLEANING, clean_failing=True),
            "starting": replace(fact, phase=Phase.STARTING),
            "stopping": replace(fact, phase=Phase.STOPPING),
            "unprobed": ResourceFact(),
        }[what]
    return facts


def intent_of(scenario: dict[str, Any]) -> Intent:
    wishes = {name: Wanted(value) for name, value in scenario.get("overrides", {}).items()}
    owner = scenario.get("owner", "hosta")
    return Intent(
        "web",
        owner,
        scenario.get("incarnation", f"{owner}-1") if owner else "",
        Wanted(scenario.get("wanted", "online")),
        5,
        1,
        Evidence(EvidenceKind.FIRST_START, "") if scenario.get("evidence", True) else None,
        scenario.get("following", ""),
        frozen=scenario.get("frozen", False),
        maintenance_until=scenario.get("maintenance_until", 0.0),
        overrides=wishes,
        accept_data_loss=scenario.get("accept_data_loss", False),
        spared=scenario.get("spared", SPARED if scenario.get("frozen", False) else 0),
    )


def view_of(scenario: dict[str, Any], answers: dict[Ask, Answer]) -> View:
    lives = {name: "alive" for name in SYSTEMS} | scenario.get("systems", {})
    systems = {
        name: SystemView(
            name,
            Life.DEAD if life == "left" else Life(life.removesuffix(" frozen")),
            scenario.get("incarnations", {}).get(name, f"{name}-1"),
            9.0 if life == "dead" else 0.1,
            life.endswith("frozen"),
            life == "left",
            jeopardy="only network red is left" if name in scenario.get("jeopardy", []) else "",
        )
        for name, life in lives.items()
    }
    intent = intent_of(scenario)
    default = {name: "online" if name == intent.owner else "offline" for name in SYSTEMS}
    texts = default | scenario.get("facts", {})
    every = {
        ("web", name): GroupFact(
            "web", name, systems[name].incarnation, scenario.get("serial", 5),
            name not in scenario.get("unguarded", []), resource_facts(text),
        )
        for name, text in texts.items()
        if text != "none"
    }  # fmt: skip
    requests = ()
    if "request" in scenario:
        fields = {"id": "1", "group": "web", "by": "anna", **scenario["request"]}
        fields["state"] = RequestState(fields.get("state", "pending"))
        requests = (Request(**fields),)
    return View(
        configuration(scenario),
        systems,
        {"web": intent} if scenario.get("decided", True) else {},
        {key: fact for key, fact in every.items() if systems[key[1]].life is not Life.DEAD},
        every,
        requests,
        answers,
        frozenset(["web"]) if "fence" in scenario else frozenset(),
        {name: (f"{name}-1", "anna saw it off") for name in scenario.get("confirmed", [])},
        now=1000.0,
        epoch=4,
        powered=frozenset(["hosta"]) if "power" in scenario else frozenset(),
    )


def reply(scenario: dict[str, Any], ask: Ask) -> Answer:
    if ask.kind is AskKind.FENCE:
        if scenario["fence"] == "confirms":
            return Evidence(EvidenceKind.FENCED, "the array revoked its access", ask.system, ask.incarnation)
        return Refusal("array-silent", scenario["fence"])
    if ask.kind is AskKind.POWER:
        if scenario["power"] == "confirms":
            return Evidence(EvidenceKind.FENCED, "fence_x confirms that it is off", ask.system, ask.incarnation)
        return Refusal("fence-failed", scenario["power"])
    if ask.kind is AskKind.ADMIT:
        return Refusal("not-admitted", scenario["admit"]) if "admit" in scenario else None
    value = scenario.get("standing", {}).get(ask.system, "unknown")
    return Standing({"current": True, "stale": False}.get(value), value)


def settle(scenario: dict[str, Any]) -> Decision:
    answers: dict[Ask, Answer] = {}
    for _ in range(10):
        decision = decide(view_of(scenario, answers))
        if not decision.asks:
            assert decision == decide(view_of(scenario, answers)), "the same picture gives the same decision"
            return decision
        answers |= {ask: reply(scenario, ask) for ask in decision.asks}
    raise AssertionError("the planner never stops asking")


@pytest.mark.parametrize("scenario", load("coordinator.toml"))
def test_coordinator(scenario: dict[str, Any]) -> None:
    decision, expected = settle(scenario), dict(scenario["expect"])
    change = decision.changes[0].intent if decision.changes else None
    note = decision.notes[0] if decision.notes else None
    outcome = decision.outcomes[0] if decision.outcomes else None
    seen = {
        "quiet": change is None and (note is None or not note.code) and outcome is None,
        "owner": change.owner if change else None,
        "wanted": change.wanted.value if change else None,
        "following": change.following if change else None,
        "evidence": change.evidence.kind.value if change and change.evidence else None,
        "kind": decision.changes[0].kind if decision.changes else None,
        "incarnation": change.incarnation if change else None,
        "note": note.code if note else None,
        "outcome": outcome.state.value if outcome else None,
        "code": outcome.code if outcome else None,
        "changed": change is not None,
        "maintenance": change.in_maintenance if change else None,
    }
    rejected, text = expected.pop("rejected", {}), expected.pop("says", "")
    assert {key: seen[key] for key in expected} == expected
    for name, why in rejected.items():
        assert note is not None
        assert why in note.rejected[name]
    if text:
        told = [change.text for change in decision.changes] + [one.reason + one.remedy for one in decision.outcomes]
        told += [one.text + one.remedy for one in decision.notes]
        assert any(text in one for one in told), told
    if change is not None and change.owner and change.wanted is Wanted.ONLINE:
        assert change.evidence is not None, "no owner without evidence"
        assert change.serial > 5 or not scenario.get("decided", True)


@pytest.mark.parametrize("scenario", load("local.toml"))
def test_local(scenario: dict[str, Any]) -> None:
    intent = intent_of(scenario) if scenario.get("decided", True) else None
    given: Charge = charge(intent, scenario.get("system", "hosta"), "hosta-1", scenario.get("swept", True))
    group = configuration(scenario).groups["web"]
    wishes = {} if intent is None else intent.overrides
    found = orders(group, resource_facts(scenario["facts"]), given, wishes)
    assert given.mandate is Mandate(scenario["mandate"])
    assert sorted(f"{order.wanted.value} {order.resource}" for order in found) == sorted(scenario["orders"])
    assert all(order.reason for order in found)
    ended = hopeless(group, resource_facts(scenario["facts"]), given)
    assert sorted(ended) == scenario.get("ended", [])


@pytest.mark.parametrize("scenario", load("faults.toml"))
def test_faults(scenario: dict[str, Any]) -> None:
    resource = configuration(scenario).groups["web"].resources["app"]
    counters = Counters(**scenario.get("counters", {}))
    if "cleaned" in scenario:
        sequel, after = after_clean(
            resource, CleanReason(scenario["cleaned"]), counters, scenario.get("abandoned", False)
        )
        seen: dict[str, Any] = {"sequel": sequel.value}
    else:
        state = None if scenario["seen"] == "timeout" else ResourceState[scenario["seen"].upper()]
        finding = judge(resource, ResourceState[scenario["before"].upper()], state, counters, scenario.get("now", 0.0))
        after, seen = finding.counters, {"verdict": finding.verdict.value, "reason": finding.reason.value}
    for name in ("tolerated", "restarts", "retries", "timeouts"):
        seen[name] = getattr(after, name)
    assert {key: seen[key] for key in scenario["expect"]} == scenario["expect"]
