"""A worker that ends is seen at once, by whoever waits for the engine, and not at the next change of something else."""

from __future__ import annotations

import asyncio
from importlib import resources
from pathlib import Path

import pytest

from holdfast.cluster.agents import netlink
from holdfast.cluster.agents.alone import Alone
from holdfast.cluster.agents.files import Phantom
from holdfast.cluster.agents.ip import IP
from holdfast.cluster.agents.registry import Agents
from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import Evidence, EvidenceKind, Intent, ResourceState, Wanted
from holdfast.cluster.ports import AgentContext, MonitorResult
from holdfast.cluster.service.engine import Engine, Engines

TYPES = resources.files("holdfast.cluster.config").joinpath("types.cf").read_text()
WAIT_S = 5.0


class Broken(Phantom):
    """An agent with a fault of the program."""

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Fail as no agent may."""
        raise RuntimeError("a fault of the program")


def test_a_dead_worker_wakes_the_engine(tmp_path: Path) -> None:
    main = f"{TYPES}\nsystem alpha\ngroup web ( SystemList = {{ alpha }} )\nPhantom r ( )\n"
    group = build({"main.cf": main}).groups["web"]

    async def play() -> None:
        given = Engines("alpha", "1-a", Agents({"Phantom": Broken()}), tmp_path)
        engine = Engine(given, lambda _level, _text: None, swept=True, leased=lambda: True)
        engine.adopt(group, Alone(), None)
        async with asyncio.timeout(WAIT_S):
            while True:
                await engine.wake.wait()
                engine.wake.clear()
                engine.check_tasks()

    with pytest.raises(RuntimeError, match="a fault of the program"):
        asyncio.run(play())


class Flapping(Phantom):
    """Online, then gone for one look, then back: a device whose cable was touched."""

    def __init__(self) -> None:
        self.looks = 0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Say offline the third time only."""
        self.looks += 1
        return MonitorResult(ResourceState.OFFLINE if self.looks == 3 else ResourceState.ONLINE)


def test_what_is_only_watched_and_is_back_at_once_is_online_again(tmp_path: Path) -> None:
    main = f"{TYPES}\nsystem alpha\ngroup web ( SystemList = {{ alpha }} )\nPhantom r ( )\n"
    group = build({"main.cf": main}).groups["web"]

    async def play() -> None:
        agent, said = Flapping(), list[str]()
        given = Engines("alpha", "1-a", Agents({"Phantom": agent}), tmp_path)
        engine = Engine(given, lambda _level, text: said.append(text), swept=True, leased=lambda: True)
        found = engine.adopt(group, Alone(), None)
        proof = Evidence(EvidenceKind.FIRST_START, "a first start")
        found.take(Intent("web", "alpha", "1-a", Wanted.ONLINE, 1, evidence=proof))
        worker = found.workers["r"]
        async with asyncio.timeout(WAIT_S):
            while agent.looks < 5 or worker.busy or worker.fact.state is not ResourceState.ONLINE:
                worker.probe()
                await asyncio.sleep(0.001)
        assert any("went offline unexpectedly" in text for text in said)
        assert not worker.fact.faulted
        await engine.drop("web")

    asyncio.run(play())


def test_an_address_whose_device_goes_between_two_questions_is_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = netlink.Device(2**30, True, "UP")  # it was there a moment ago; the kernel's answer to the rest is real
    monkeypatch.setattr(netlink, "device", lambda _: gone)
    given = {"Device": "dum0", "Address": "10.77.0.10", "PrefixLen": "24"}
    context = AgentContext("r", "web", "alpha", "1-a", given, Alone(), tmp_path)
    assert asyncio.run(IP().monitor(context)).state is ResourceState.OFFLINE


def test_a_group_is_let_go_of_although_something_happens_at_that_moment(tmp_path: Path) -> None:
    """The event that a worker sleeps for and the end of its work come at once; both orders, many times."""
    main = f"{TYPES}\nsystem alpha\ngroup web ( SystemList = {{ alpha }} )\nPhantom r ( )\n"
    group = build({"main.cf": main}).groups["web"]

    async def play() -> None:
        given = Engines("alpha", "1-a", Agents({"Phantom": Phantom()}), tmp_path)
        engine = Engine(given, lambda _level, _text: None, swept=True, leased=lambda: True)
        for _ in range(20):
            worker = engine.adopt(group, Alone(), None).workers["r"]
            while not worker.fact.probed:
                await asyncio.sleep(0)
            for _ in range(5):
                await asyncio.sleep(0)
            worker.probe()
            await asyncio.sleep(0)
            async with asyncio.timeout(WAIT_S):
                await engine.drop("web")

    asyncio.run(play())
