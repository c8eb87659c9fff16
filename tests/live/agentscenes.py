"""Scenes for agents that people already have, each played in a mount and network namespace of its own.

Run as ``agentscenes.py SCENE DIRECTORY``; prints what was found as JSON. Agents run in a real workload, their
attributes come from the real type file.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from holdfast.cluster.agents import foreignlog
from holdfast.cluster.agents.ocf_metadata import parse_name, read, type_block
from holdfast.cluster.agents.registry import BUILT_IN, Agents
from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import CleanReason
from holdfast.cluster.ports import Agent, AgentContext, MonitorResult
from holdfast.cluster.service import kernelcalls
from holdfast.cluster.service.guard import _Home
from holdfast.cluster.service.launcher import Workload, readable
from holdfast.kernel.errors import HoldfastError

TYPES = resources.files("holdfast.cluster.config").joinpath("types.cf").read_text()


class Bench:
    """One workload, and resources in it."""

    def __init__(self, directory: Path, namespaced: bool) -> None:
        self.directory = directory
        home = _Home("web", namespaced)
        self.home, self.workload = home, Workload(home.requests, home.pid, home.mark, namespaced)
        self.agents = Agents({kind: factory() for kind, factory in BUILT_IN.items()})

    def resource(self, kind: str, attributes: str, types: str = "", **environment: str) -> Resource:
        """A resource of type ``kind`` with attributes as in main.cf."""
        main = f"{TYPES}\n{types}\nsystem alpha\ngroup web ( SystemList = {{ alpha }} )\n{kind} r ( {attributes} )\n"
        found = build({"main.cf": main}).groups["web"].resources["r"]
        run = self.directory / "run"
        run.mkdir(exist_ok=True)
        context = AgentContext(
            "r", "web", "alpha", "1-a", found.resolved("alpha"), self.workload, run, environment=environment
        )
        return Resource(self.agents[kind], context)


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
    found["why"] = one.last.detail if one.last else ""
    found["clean"] = await one.clean()
    found["after clean"] = await one.monitor()
    found["restart"] = await one.online()
    found["after restart"] = await one.until("ONLINE")
    found["offline"] = await one.offline()
    found["after offline"] = await one.monitor()
    found["offline again"] = await one.offline()
    return found


async def dummy(bench: Bench) -> Mapping[str, Any]:
    state = bench.directory / "run/ocf/Dummy-r.state"
    one = bench.resource("OCF", "Agent = Dummy")
    await one.open()

    async def break_it() -> None:
        state.unlink()

    found = await life(one, break_it)
    one = bench.resource("OCF", f'Agent = Dummy Params = {{ state = "{bench.directory}/own.state" }}')
    await one.online()
    found["parameter"] = (bench.directory / "own.state").exists()
    await one.offline()
    return found


async def imported(bench: Bench) -> Mapping[str, Any]:
    name = parse_name("ocf:heartbeat:Dummy")
    block = type_block(name, read(name))
    one = bench.resource("OCF_heartbeat_Dummy", f'state = "{bench.directory}/own.state"', block)
    await one.open()

    async def break_it() -> None:
        (bench.directory / "own.state").unlink()

    return await life(one, break_it)


async def filesystem(bench: Bench) -> Mapping[str, Any]:
    image, point = bench.directory / "image", bench.directory / "mnt"
    point.mkdir()
    run("truncate", "-s", "64M", str(image))
    run("mkfs.ext4", "-q", str(image))
    loop = run("losetup", "-f", "--show", str(image))
    try:
        params = f'device = "{loop}", directory = "{point}", fstype = ext4'
        one = bench.resource("OCF", f"Agent = Filesystem Params = {{ {params} }}")
        await one.open()

        async def break_it() -> None:
            run("umount", str(point))

        found = await life(one, break_it)
        await one.online()
        holder = await bench.workload.spawn(f"exec sleep 1000 > {point}/held")
        await asyncio.sleep(0.2)
        found["stop kills who uses it"] = await one.offline()
        found["holder"] = await holder.wait()
        found["mount events"] = one.last is not None and one.last.watch_mounts
        return found
    finally:
        subprocess.run(["losetup", "-d", loop], check=False)


async def ipaddr2(bench: Bench) -> Mapping[str, Any]:
    run("ip", "link", "add", "dum0", "type", "veth", "peer", "name", "dum1")
    run("ip", "link", "set", "dum0", "up")
    run("ip", "link", "set", "dum1", "up")
    one = bench.resource("OCF", 'Agent = IPaddr2 Params = { ip = "10.77.0.10", cidr_netmask = "24", nic = dum0 }')
    await one.open()

    async def break_it() -> None:
        run("ip", "addr", "del", "10.77.0.10/24", "dev", "dum0")

    found = await life(one, break_it)
    found["address events"] = one.last is not None and one.last.watch_addresses
    return found


async def nginx(bench: Bench) -> Mapping[str, Any]:
    run("ip", "link", "set", "lo", "up")
    directory = bench.directory / "nginx"
    directory.mkdir()
    temporary = "\n".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"user root;\npid {directory}/nginx.pid;\nerror_log {directory}/error.log;\nevents {{ }}\n"
        f"http {{ access_log off;\n{temporary}\n"
        "server { listen 127.0.0.1:18080; location / { return 200 good; } } }\n"
    )
    one = bench.resource("OCF", f'Agent = nginx Params = {{ configfile = "{directory}/nginx.conf" }}')
    await one.open()

    async def break_it() -> float:
        (master,) = one.watched()
        return await one.killed(master)

    return await life(one, break_it)


async def postgres(bench: Bench) -> Mapping[str, Any]:
    run("ip", "link", "set", "lo", "up")
    binaries = max(Path("/usr/lib/postgresql").iterdir()) / "bin"
    (bench.directory / "data").mkdir()
    data = Path("/mnt")  # of this mount namespace alone; what lies above a test's directory is closed to other users
    run("mount", "--bind", str(bench.directory / "data"), str(data))
    shutil.chown(data, "postgres", "postgres")
    run("su", "postgres", "-s", "/bin/sh", "-c", f"{binaries}/initdb -D {data} -A trust -E UTF8 --no-sync")
    params = {
        "pgctl": f"{binaries}/pg_ctl", "psql": shutil.which("psql"), "pgdata": data, "pgport": "15432",
        "socketdir": data, "logfile": data / "log",
    }  # fmt: skip
    text = ", ".join(f'{name} = "{value}"' for name, value in params.items())
    one = bench.resource("OCF", f"Agent = pgsql Params = {{ {text} }}")
    await one.open()
    (data / "postgresql.auto.conf").write_text(f"listen_addresses = ''\nunix_socket_directories = '{data}'\n")

    async def break_it() -> float:
        (postmaster,) = one.watched()
        return await one.killed(postmaster)

    found = await life(one, break_it)
    found["log"] = (data / "log").read_text()
    return found


ANSWERS = """#!/bin/sh
if [ "$1" = meta-data ]; then echo '<resource-agent name="answers"/>'; exit 0; fi
env > @DIR@/env-$1-$OCF_RESKEY_CRM_meta_interval
code=$(cat @DIR@/$1)
[ "$code" = 0 ] || echo "ocf-exit-reason:because $code" >&2
exit $code
"""


def own_agent(directory: Path, name: str, text: str) -> str:
    """Write an OCF agent of provider ``test`` below a root of its own; return that root."""
    agent = directory / "ocf/resource.d/test" / name
    agent.parent.mkdir(parents=True, exist_ok=True)
    agent.write_text(text.replace("@DIR@", str(directory)))
    agent.chmod(0o755)
    return str(directory / "ocf")


async def codes(bench: Bench) -> Mapping[str, Any]:
    directory = bench.directory
    root = own_agent(directory, "answers", ANSWERS)
    attributes = 'Provider = test Agent = answers Params = { word = "two words" } CheckLevel = 20'
    one = bench.resource("OCF", attributes, OCF_ROOT=root)
    found: dict[str, Any] = {"probe": {}, "recurring": {}}

    async def ask(code: int) -> str:
        (directory / "monitor").write_text(str(code))
        state = await one.monitor()
        assert one.last is not None
        return state if state == "broken" else f"{state} {one.last.confidence}"

    for action in ("start", "stop"):
        (directory / action).write_text("0")
    for code in (0, 1, 2, 5, 6, 7, 8, 9, 190, 191, 200):
        await one.open()
        found["probe"][code] = await ask(code)
        await one.online()
        found["recurring"][code] = await ask(code)
    await one.open()
    await ask(5)
    found["detail"] = one.last.detail if one.last else ""
    (directory / "stop").write_text("7")
    found["stop"] = await one.offline()
    await ask(7)
    found["clean after stop 7"] = [await one.clean(), "probe says it is gone"]
    await ask(1)
    found["clean while it runs"] = await one.clean()
    seen = [dict(line.split("=", 1) for line in (directory / f"env-monitor-{interval}").read_text().splitlines())
            for interval in (0, 10000)]  # fmt: skip
    found["environment"] = {name: [one[name], other[name]] for one, other in [seen] for name in one if name in other}
    return found


async def refusals(bench: Bench) -> Mapping[str, Any]:
    found: dict[str, Any] = {
        "no agent": await bench.resource("OCF", "").monitor(),
        "no provider": await bench.resource("OCF", "Provider = nobody Agent = Dummy").monitor(),
        "unknown agent": await bench.resource("OCF", "Agent = Dumy").monitor(),
        "a path": await bench.resource("OCF", 'Provider = "../../bin" Agent = sh').monitor(),
        "required": await bench.resource("OCF", "Agent = IPaddr2").monitor(),
    }
    root = own_agent(
        bench.directory, "flood", "#!/bin/sh\n[ $1 = meta-data ] && exit 1\nyes flood | head -c 9000000\nexit 6\n"
    )
    one = bench.resource("OCF", "Provider = test Agent = flood", OCF_ROOT=root)
    await one.online()
    found["flood"] = (bench.directory / "run/r.log").stat().st_size
    (bench.directory / "ocf/resource.d/test/flood").chmod(0o644)
    found["not executable"] = await one.monitor()
    hang = "#!/bin/sh\n[ $1 = meta-data ] && exit 1\ntrap '' TERM\nsleep 4711 & sleep 4711\n"
    own_agent(bench.directory, "hang", hang)
    one = bench.resource("OCF", "Provider = test Agent = hang MonitorTimeout = 1", OCF_ROOT=root)
    foreignlog.GRACE_S = 0.0
    state = await one.monitor()
    await asyncio.sleep(0.2)
    sleeping = sum(
        b"4711" in Path(f"/proc/{name}/cmdline").read_bytes() for name in os.listdir("/proc") if name.isdigit()
    )
    found["never returns"] = [state, sleeping]
    return found


SCENES = {one.__name__: one for one in (dummy, imported, filesystem, ipaddr2, nginx, postgres, codes, refusals)}


async def play(name: str, directory: Path, namespaced: bool) -> None:
    bench = Bench(directory, namespaced)
    try:
        found = await SCENES[name](bench)
    finally:
        bench.home.kill()
    print(json.dumps(found))


if __name__ == "__main__":
    if os.geteuid() == 0:
        kernelcalls.share_mounts()
    asyncio.run(play(sys.argv[1], Path(sys.argv[2]), os.geteuid() == 0))
