"""Reads the scenarios of ``global.toml``: what a cluster decides about a group that it shares with another."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from test_cluster_scenarios import HERE, load

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import (
    Evidence,
    EvidenceKind,
    GroupFact,
    Intent,
    Life,
    ResourceFact,
    ResourceState,
    Standing,
    SystemView,
    Wanted,
)
from holdfast.cluster.model.widearea import (
    Authority,
    Conn,
    GroupSummary,
    Pulse,
    RemoteCluster,
    RemoteState,
    Summary,
    judge,
)
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.view import Answer, Ask, Decision, View

MAIN_CF = """
include "types.cf"
cluster east ( )
system hosta ( )
system hostb ( )
remotecluster west ( ClusterAddress = "10.0.0.2" )
group web (
    SystemList = { hosta, hostb }
    AutoStartList = { hosta, hostb }
    ClusterList = { east = 0, west = 1 }
    ClusterFailOverPolicy = @POLICY@
    )
    FileOnOff flag ( PathName = "/f" )
"""
SYSTEMS = ("hosta", "hostb")
DATA = {"current": Standing(True, "recorded in sync"), "stale": Standing(False, "went on alone")}


def _view(scenario: dict[str, Any], answers: dict[Ask, Answer]) -> View:
    types = (HERE.parents[2] / "src/holdfast/cluster/config/types.cf").read_text()
    text = MAIN_CF.replace("@POLICY@", scenario.get("policy", "Manual"))
    owner, dead = scenario.get("owner", "hosta"), scenario.get("dead", [])
    systems = {name: SystemView(name, Life.DEAD if name in dead else Life.ALIVE, f"{name}-1", 9.0) for name in SYSTEMS}
    wanted = Wanted(scenario.get("wanted", "online"))
    proof = Evidence(EvidenceKind.FIRST_START, "")
    born = scenario.get("incarnation", f"{owner}-1")
    intents = {"web": Intent("web", owner, born, wanted, 5, 1, proof)} if owner else {}
    facts = {}
    for name in SYSTEMS:
        up = name == owner and scenario.get("facts", "online") == "online" and born == f"{owner}-1"
        found = ResourceFact(ResourceState.ONLINE if up else ResourceState.OFFLINE, probed=True)
        facts["web", name] = GroupFact("web", name, f"{name}-1", 5, True, {"flag": found})
    mine = Authority(
        "web", scenario.get("held", True), scenario.get("counter", 3), scenario.get("to", ""),
        start=scenario.get("start", False),
    )  # fmt: skip
    *words, number = scenario.get("theirs", "free 3").split()
    heir = words[1] if words[0] == "for" else ""
    theirs = GroupSummary(Authority("web", words[0] == "held", int(number), heir), {"hostc": "OFFLINE"})
    state = RemoteState[scenario.get("remote", "RUNNING")]
    remote = RemoteCluster("west", state, 1, scenario.get("met", True), {}, Summary("west", groups={"web": theirs}))
    alive = {key: fact for key, fact in facts.items() if key[1] not in dead}
    return View(
        build({"main.cf": text, "types.cf": types}), systems, intents, alive, facts, answers=answers, epoch=1,
        authorities={"web": mine}, remotes={"west": remote},
    )  # fmt: skip


def _decide(scenario: dict[str, Any]) -> Decision:
    answers: dict[Ask, Answer] = {}
    for _ in range(4):
        decision = decide(_view(scenario, answers))
        if not decision.asks:
            return decision
        answers |= {ask: DATA[scenario["data"]] for ask in decision.asks}
    raise AssertionError("asks for ever")


@pytest.mark.parametrize("scenario", load("global.toml"))
def test_a_global_group(scenario: dict[str, Any]) -> None:
    expect, decision = scenario["expect"], _decide(scenario)
    notes = [note.code for note in decision.notes if note.code]
    said = decision.authorities[0] if decision.authorities else None
    intent = decision.changes[0].intent if decision.changes else None
    if expect.get("quiet"):
        assert (notes, said, intent) == ([], None, None)
    if "note" in expect:
        assert notes == [expect["note"]]
        assert (said, intent) == (None, None)
    for name in ("held", "counter", "start", "to"):
        if name in expect:
            assert said is not None, notes
            assert getattr(said, name) == expect[name]
    for name in ("owner", "wanted"):
        if name in expect:
            assert intent is not None, (notes, said)
            found = getattr(intent, name)
            assert (found.value if isinstance(found, Wanted) else found) == expect[name]


def test_every_pair_of_signs_has_a_state_and_one_silent_line_alone_faults_nobody() -> None:
    for conn, pulse in itertools.product(Conn, Pulse):
        state = judge(conn, pulse, "RUNNING")
        if state is RemoteState.FAULTED:
            assert pulse is Pulse.LOST
            assert conn in (Conn.LOST, Conn.NEVER)
        assert (state in (RemoteState.RUNNING, RemoteState.LOST_HB)) == (conn is Conn.UP)
    assert judge(Conn.LOST, Pulse.LOST, "EXITING") is RemoteState.EXITED, "it said goodbye"
