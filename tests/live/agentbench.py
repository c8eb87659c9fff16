"""A bench for agents: a real workload, resources with the real type file's attributes, the entry points as called.

A file of scenes ends with ``main(SCENES)`` and is run by :func:`play` in mount and network namespaces of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from holdfast.cluster.agents.marked import Ledger, MarkedCommands
from holdfast.cluster.agents.registry import BUILT_IN, Agents
from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import CleanReason
from holdfast.cluster.ports import Agent, AgentContext, MonitorResult
from holdfast.cluster.service import kernelcalls
from holdfast.cluster.service.guard import _Home
from holdfast.cluster.service.launcher import Workload, readable
from holdfast.cluster.service.worker import ECHO_S
from holdfast.kernel.errors import HoldfastError

TYPES = resources.files("holdfast.cluster.config").joinpath("types.cf").read_text()


class Bench:
    """One workload, and resources in it."""

    def __init__(self, directory: Path, namespaced: bool) -> None:
        self.directory = directory
        home = _Home("web", namespaced)
        self.home, self.workload = home, Workload(home.requests, home.pid, home.mark, namespaced)
        self.ledger = Ledger()
        self.agents = Agents({kind: factory() for kind, factory in BUILT_IN.items()})

    def resource(self, kind: str, attributes: str, types: str = "", name: str = "r", **environment: str) -> Resource:
        """A resource of type ``kind`` with attributes as in main.cf."""
        main = (
            f"{TYPES}\n{types}\nsystem alpha\ngroup web ( SystemList = {{ alpha }} )\n{kind} {name} ( {attributes} )\n"
        )
        found = build({"main.cf": main}).groups["web"].resources[name]
        run = self.directory / "run"
        run.mkdir(exist_ok=True)
        context = AgentContext(
            name, "web", "alpha", "1-a", found.resolved("alpha"), self.commands(name), run, environment=environment
        )
        return Resource(self.agents[kind], context)

    def commands(self, resource: str) -> MarkedCommands:
        """The commands of a resource, as the engine gives them."""
        return MarkedCommands(self.workload, resource, self.ledger)


class Resource:
    """An agent with its context: the entry points as the engine calls them."""

    def __init__(self, agent: Agent, context: AgentContext) -> None:
        self.agent, self.context = agent, context
        self.last: MonitorResult | None = None

    async def open(self) -> None:
        await self.agent.open(self.context)

    async def online(self) -> str:
        return await said(self.agent.online(self.context))

    async def offline(self) -> str:
        return await said(self.agent.offline(self.context))

    async def clean(self) -> bool:
        return await self.agent.clean(self.context, CleanReason.UNEXPECTED_OFFLINE)

    async def monitor(self) -> str:
        """The state in one word; ``broken`` for what is there but does not work."""
        try:
            self.last = await self.agent.monitor(self.context)
        except HoldfastError as error:
            return f"ERROR {error.message} | {error.remedy}"
        except TimeoutError as error:
            return f"TIMEOUT {error}"
        return "broken" if self.last.broken else self.last.state.value

    async def until(self, wanted: str, limit_s: float = 10.0) -> str:
        """Monitor until the state is as wanted; return the last."""
        end = time.monotonic() + limit_s
        while (state := await self.monitor()) != wanted and time.monotonic() < end:
            await asyncio.sleep(0.05)
        return state

    async def killed(self, pid: int, number: int = signal.SIGKILL) -> float:
        """Kill ``pid``; return after how many milliseconds one of the watched processes was seen to have ended."""
        assert self.last is not None
        assert self.last.pidfds, "nothing is watched"
        began = time.monotonic()
        os.kill(pid, number)
        waits = [asyncio.ensure_future(readable(descriptor)) for descriptor in self.last.pidfds]
        await asyncio.wait(waits, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        return (time.monotonic() - began) * 1000

    def watched(self) -> list[int]:
        """Process ids, as this system counts, of what the last monitor gave to watch."""
        assert self.last is not None
        return [pid_of(descriptor) for descriptor in self.last.pidfds]


async def said(work: Awaitable[object]) -> str:
    """``ok``, or what was raised."""
    try:
        await work
    except HoldfastError as error:
        return f"{error.message} | {error.remedy}"
    return "ok"


def pid_of(descriptor: int) -> int:
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


async def life(one: Resource, break_it: Callable[[], Awaitable[object]]) -> dict[str, Any]:
    """The whole life: probe, online, monitor, broken, clean, again online, offline; online and offline twice."""
    found: dict[str, Any] = {"probe": await one.monitor(), "stop of a stopped one": await one.offline()}
    found["online"] = await one.online()
    found["monitor"] = await one.until("ONLINE")
    found["online again"] = await one.online()
    found["monitor"] = await one.monitor()
    found["break"] = await break_it()
    found["seen"] = await one.monitor()
    if found["seen"] == "ONLINE":  # the engine looks once more too: what has ended answers until its parent takes note
        await asyncio.sleep(ECHO_S)
        found["seen"] = await one.monitor()
    found["why"] = one.last.detail if one.last else ""
    found["clean"] = await one.clean()
    found["after clean"] = await one.monitor()
    found["restart"] = await one.online()
    found["after restart"] = await one.until("ONLINE")
    found["offline"] = await one.offline()
    found["after offline"] = await one.monitor()
    found["offline again"] = await one.offline()
    return found


Scene = Callable[[Bench], Awaitable[Mapping[str, Any]]]


async def _act(scene: Scene, directory: Path, namespaced: bool) -> None:
    bench = Bench(directory, namespaced)
    try:
        found = await scene(bench)
    finally:
        bench.home.kill()
    print(json.dumps(found))


def main(*scenes: Scene) -> None:
    """Play the scene that the command line names: ``SCENE DIRECTORY ISOLATION``."""
    if os.geteuid() == 0:
        kernelcalls.share_mounts()
    scene = next(one for one in scenes if one.__name__ == sys.argv[1])
    asyncio.run(_act(scene, Path(sys.argv[2]), os.geteuid() == 0 and sys.argv[3] == "auto"))


def play(file: str, scene: str, directory: Path, isolation: str = "auto") -> dict[str, Any]:
    """Run a scene of ``file``, as root in namespaces of its own; return what it found.

    ``isolation`` is as in a system's file: ``marker`` is the workload of an ordinary user.
    """
    away = ["unshare", "--mount", "--net", "--propagation", "private"] if os.geteuid() == 0 else []
    command = [*away, sys.executable, str(Path(__file__).with_name(file)), scene, str(directory), isolation]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    for log in directory.glob("run/*.log"):
        print(f"--- {log.name}\n{log.read_text()}")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
