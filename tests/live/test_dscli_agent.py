"""How the MetroMirror agent runs dscli: time left, both boxes, other ids, and a program that misbehaves."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from arraylab import A, B, Lab, until
from baddscli import BadDscli
from test_metromirror_agent import PAIRS, VOLUMES, Hosts, states, wait

from holdfast.cluster.agents.alone import Alone
from holdfast.cluster.ports import OUTPUT_LIMIT_BYTES, AgentContext
from holdfast.continuity.agents import dscli as agents_dscli
from holdfast.continuity.agents import metromirror
from holdfast.continuity.agents.dscli import CopyServices
from holdfast.continuity.agents.metromirror import MetroMirror
from holdfast.kernel.errors import HoldfastError
from holdfast.replication.drivers.dscli_process import Turn


@pytest.fixture
def hosts(lab: Lab, tmp_path: Path) -> Hosts:
    for box in (lab.a, lab.b):
        box.create(*VOLUMES, size_bytes=4 << 20)
    lab.a.client.change("mkpair", PAIRS, remote=B)
    wait(lab.a, "Full Duplex")
    wait(lab.b, "Target Full Duplex")
    return Hosts(lab, tmp_path)


@pytest.fixture
def bad(hosts: Hosts, tmp_path: Path) -> BadDscli:
    """A program in dscli's place at the second host, which runs its commands as another cluster manager's agent."""
    made = BadDscli(tmp_path / "bad", tmp_path / "dscli" / "dscli")
    context = hosts.contexts[B]
    hosts.contexts[B] = replace(
        context, commands=Alone(), attributes={**context.attributes, "DSCliHome": str(made.directory)},
        environment={**context.environment, **made.environment},
    )  # fmt: skip
    return made


def test_no_takeover_begins_with_less_time_than_it_needs(lab: Lab, hosts: Hosts) -> None:
    with pytest.raises(HoldfastError, match="too little of OnlineTimeout is left"):
        hosts.online(B, OnlineTimeout=8)
    assert (hosts.typed(B), hosts.left(B)) == ([], [])
    assert states(lab.b) == ["Target Full Duplex"] * 2

    async def late(agent: MetroMirror, context: AgentContext) -> str:
        with pytest.raises(HoldfastError, match="failoverpprc was not begun") as raised:
            await CopyServices(context, asyncio.get_running_loop().time() + 5).failover(VOLUMES)
        return raised.value.remedy

    assert "timeout" in hosts.do(B, late)
    assert hosts.typed(B) == []
    turn = Turn(B, lab.b.management)
    assert turn.take()
    try:
        with pytest.raises(HoldfastError, match="another dscli command"):
            hosts.online(B, OnlineTimeout=3)
    finally:
        turn.drop()
    assert (hosts.typed(B), hosts.left(B)) == ([], [])


def test_a_target_that_its_source_has_left_behind_is_refused_by_what_the_other_box_shows(
    lab: Lab, hosts: Hosts
) -> None:
    other = {"RemoteHMC1": lab.a.management}
    lab.a.client.change("freeze", ["12:12"], remote=B)
    lab.a.client.change("thaw", ["12"])
    with lab.a.open() as volume:
        volume.pwrite(b"only at the source".ljust(4096), 0, fua=True)
    assert states(lab.b) == ["Target Full Duplex"] * 2, "the target does not know"
    with pytest.raises(HoldfastError, match="1260: the other array shows Suspended and may have writes"):
        hosts.online(B, **other)
    assert (hosts.typed(B), hosts.left(B)) == ([], [])
    lab.a.client.change("rmpair", ["1261:1261"], remote=B, unconditional=True, at="src")
    with pytest.raises(HoldfastError, match="1261: the other array has no such pair any more"):
        hosts.online(B, **other)
    assert hosts.typed(B) == []


def test_a_frozen_source_that_lacks_nothing_does_not_hinder_the_takeover(lab: Lab, hosts: Hosts) -> None:
    lab.a.client.change("freeze", ["12:12"], remote=B)
    hosts.online(B, RemoteHMC1=lab.a.management)
    assert hosts.typed(B)[0] == "failoverpprc"
    assert not [state for state in states(lab.b) if state.startswith("Target")]


def test_a_pair_of_volumes_with_different_ids_is_taken_over(lab: Lab, tmp_path: Path) -> None:
    lab.a.create("1260", size_bytes=4 << 20)
    lab.b.create("1360", size_bytes=4 << 20)
    lab.a.client.change("mkpair", ["1260:1360"], remote=B)
    lab.b.wait_state("Target Full Duplex", "1360")
    hosts = Hosts(lab, tmp_path)
    hosts.online(B, VolIds={"1360": ""}, RemoteHMC1=lab.a.management)
    assert hosts.typed(B) == ["failoverpprc", "failbackpprc"]
    assert lab.b.wait_state("Full Duplex", "1360")["id"] == "1360:1260"
    lab.a.wait_state("Target Full Duplex", "1260")


def test_many_volumes_are_listed_in_whole_answers(lab: Lab, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert agents_dscli.BATCH >= 1000, "a thousand pairs are one call"
    monkeypatch.setattr(agents_dscli, "BATCH", 1)
    shown = hosts.do(A, lambda agent, context: agent.info(context))
    assert shown == dict.fromkeys(VOLUMES, "Full Duplex (-)")
    assert hosts.commands[A].typed == ["lspprc"] * 2
    assert agents_dscli.LONG_BATCH * 250 <= OUTPUT_LIMIT_BYTES, "what is listed is kept whole"


@pytest.mark.parametrize(
    ("mood", "told"),
    [
        ("garbage", "dscli|lspprc"),
        ("silence", "neither a table"),
        ("prompt", "asks for a user name"),
        ("hang", "did not end within"),
        ("flood", "printed more than"),
        ("code5", "CMUC09999E"),
    ],
)
def test_a_bad_dscli_faults_the_resource_in_bounded_time_and_loses_nothing(
    lab: Lab, hosts: Hosts, bad: BadDscli, mood: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents_dscli, "COMMAND_TIMEOUT_S", 1.5)
    monkeypatch.setattr(metromirror, "ARRAY_PATIENCE_S", 1.0)
    bad.mood(mood)
    began = time.monotonic()
    with pytest.raises(HoldfastError, match=told) as raised:
        hosts.online(B)
    assert raised.value.remedy
    assert time.monotonic() - began < 25
    until(lambda: not bad.running(), what="nothing that it started is left")
    assert hosts.left(B) == []
    assert states(lab.b) == ["Target Full Duplex"] * 2
    if mood == "hang":
        return
    monkeypatch.undo()
    bad.mood("")
    hosts.online(B)
    assert hosts.left(B) == [".lock"], "and with a dscli that works it is brought online"


def test_a_dscli_that_is_not_there_is_named(lab: Lab, hosts: Hosts, bad: BadDscli) -> None:
    with pytest.raises(HoldfastError, match="/nonexistent/dscli cannot be run") as raised:
        hosts.online(B, DSCliHome="/nonexistent")
    assert "install dscli" in raised.value.remedy
    hosts.pwfile.chmod(0o644)
    with pytest.raises(HoldfastError, match="mode 644"):
        hosts.online(B)
    hosts.pwfile.chmod(0o600)
    assert states(lab.b) == ["Target Full Duplex"] * 2


def test_a_takeover_whose_answer_is_lost_is_found_to_be_done(lab: Lab, hosts: Hosts, bad: BadDscli) -> None:
    bad.mood("cut-off")
    hosts.online(B)
    assert hosts.left(B) == [".lock"]
    assert len([call for call in bad.calls() if "failoverpprc" in call]) == 1
    assert not [state for state in states(lab.b) if state.startswith("Target")]
