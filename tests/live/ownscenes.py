"""Scenes of the simple types, of LSB scripts, VCS script agents and systemd units. They need no root."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentbench import Bench, life, main, run

LSB = """#!/bin/sh
# As init scripts are: a PID file, a status by kill -0.
pid=@DIR@/lsb.pid
alive() { [ -e $pid ] && kill -0 `cat $pid` 2>/dev/null; }
case "$1" in
start) echo "$SYSTEMCTL_SKIP_REDIRECT$_SYSTEMCTL_SKIP_REDIRECT" > @DIR@/skip
       alive || { setsid sleep 1000 >/dev/null 2>&1 & echo $! > $pid; } ;;
stop) alive && kill `cat $pid`; rm -f $pid ;;
status) alive && exit 0; [ -e $pid ] && exit 1; exit 3 ;;
*) exit 3 ;;
esac
"""


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n" if not text.startswith("#!") else text)
    path.chmod(mode)
    return path


async def lsb(bench: Bench) -> Mapping[str, Any]:
    path = script(bench.directory / "widget", LSB.replace("@DIR@", str(bench.directory)))
    one = bench.resource("LSB", f'InitScript = "{path}"')
    await one.open()

    async def break_it() -> float:
        (daemon,) = one.watched()
        return await one.killed(daemon)

    found = await life(one, break_it)
    found["skip"] = (bench.directory / "skip").read_text().strip()
    found["none"] = await bench.resource("LSB", "").monitor()
    found["missing"] = await bench.resource("LSB", "InitScript = nosuch").monitor()
    path.chmod(0o644)
    found["not executable"] = await one.monitor()
    return found


async def debian_lsb(bench: Bench) -> Mapping[str, Any]:
    """Debian's own init script of nginx, with its own configuration; /run and the network are the scene's."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("ip", "link", "set", "lo", "up")
    one = bench.resource("LSB", "InitScript = nginx OnlineTimeout = 20 OfflineTimeout = 20")
    await one.open()

    async def break_it() -> float:
        (master,) = one.watched()
        return await one.killed(master)

    found = await life(one, break_it)
    found["left"] = [line for line in run("ss", "-ltnH").splitlines() if ":80 " in line]
    return found


SCRIPTS = {
    "open": 'echo open "$@" >> @DIR@/calls',
    "online": 'echo online "$@" >> @DIR@/calls; [ -e @DIR@/pid ] || { setsid sleep 1000 & echo $! > @DIR@/pid; }',
    "offline": 'echo offline "$@" >> @DIR@/calls; [ -e @DIR@/pid ] && kill `cat @DIR@/pid`; rm -f @DIR@/pid; exit 2',
    "monitor": "[ -e @DIR@/pid ] && kill -0 `cat @DIR@/pid` 2>/dev/null && exit 107; exit 100",
    "clean": 'echo clean "$@" >> @DIR@/calls; rm -f @DIR@/pid',
    "info": 'echo "Size=7"; echo "Owner nobody"',
    "actions/greet": 'echo "hello $@"',
}
WIDGET = """
type Widget (
    static str AgentDirectory = "@DIR@/bin"
    static str ArgList[] = { Path, Ports }
    str Path
    str Ports[]
    )
"""


async def scripts(bench: Bench) -> Mapping[str, Any]:
    """A type of its own, as from a VCS type file, whose agent is a directory of scripts."""
    for name, text in SCRIPTS.items():
        script(bench.directory / "bin" / name, text.replace("@DIR@", str(bench.directory)))
    types = WIDGET.replace("@DIR@", str(bench.directory))
    one = bench.resource("Widget", 'Path = "/a b" Ports = { "1", "2" }', types)
    await one.open()

    async def break_it() -> float:
        (daemon,) = one.watched()
        return await one.killed(daemon)

    found = await life(one, break_it)
    found["calls"] = (bench.directory / "calls").read_text().splitlines()
    found["pause"] = await one.agent.offline(one.context)
    found["info"] = await one.agent.info(one.context)
    found["action"] = (await one.agent.action(one.context, "greet", ["you"])).stdout
    found["confidence"] = await one.online() and await one.monitor() and one.last and one.last.confidence
    await one.offline()
    (bench.directory / "bin/monitor").chmod(0o644)
    found["not executable"] = await one.monitor()
    (bench.directory / "bin/monitor").unlink()
    found["no script"] = await one.monitor()
    found["no directory"] = await bench.resource("Script", 'Directory = "/nosuch"').monitor()
    found["no agent"] = await bench.resource("Gadget", "", "type Gadget ( str A )").monitor()
    script(bench.directory / "bad/online", "#!/no/such/shell\n")
    found["bad shell"] = await bench.resource("Script", f'Directory = "{bench.directory}/bad"').online()
    return found


async def together(bench: Bench) -> Mapping[str, Any]:
    """Two starts at once, of daemons that hide whose they are: clean of one must spare the other's."""
    texts = {
        "online": 'env -i setsid sleep 1000 & echo $! > "$2"; sleep 0.3',
        "offline": "exit 0",
        "clean": 'kill -9 `cat "$3"`; rm -f "$3"',
        "monitor": '[ -e "$2" ] && kill -0 `cat "$2"` 2>/dev/null && exit 110; exit 100',
    }
    for name, text in texts.items():
        script(bench.directory / "bin" / name, text)
    both = []
    for name in ("one", "two"):
        attributes = f'Directory = "{bench.directory}/bin" Arguments = {{ "{bench.directory}/{name}" }}'
        both.append(bench.resource("Script", attributes, name=name))
    await asyncio.gather(*(one.online() for one in both))
    (bench.directory / "bin/clean").unlink()
    states = [[await one.monitor() for one in both]]
    await both[0].clean()
    states.append([await one.monitor() for one in both])
    return {"states": states}


async def process(bench: Bench) -> Mapping[str, Any]:
    sleep = subprocess.run(["which", "sleep"], check=True, capture_output=True, text=True).stdout.strip()
    one = bench.resource("Process", f'PathName = "{sleep}" Arguments = "{5000 + os.getpid() % 1000}"')
    await one.open()

    async def break_it() -> float:
        (daemon,) = one.watched()
        return await one.killed(daemon)

    found = await life(one, break_it)
    found["ends at once"] = await bench.resource("Process", f'PathName = "{sleep}" Arguments = "nonsense"').online()
    found["no program"] = await bench.resource("Process", 'PathName = "/no/such"').online()
    found["relative"] = await bench.resource("Process", "PathName = sleep").online()
    stubborn = script(bench.directory / "stubborn", "trap '' TERM; while :; do sleep 0.1; done")
    shell = f'PathName = "/bin/sh" Arguments = "{stubborn}" OfflineTimeout = 1'
    one = bench.resource("Process", shell)
    found["stubborn"] = [await one.online(), await one.until("ONLINE"), (await one.offline())[-15:], await one.clean()]
    return found


async def small(bench: Bench) -> Mapping[str, Any]:
    file = bench.directory / "file"
    found: dict[str, Any] = {"phantom": await bench.resource("Phantom", "").monitor()}
    kinds = ("FileNone", "ElifNone", "FileOnOnly")
    resources = {kind: bench.resource(kind, f'PathName = "{file}"') for kind in kinds}
    found["without"] = [await resources[kind].monitor() for kind in kinds]
    await resources["FileOnOnly"].online()
    found["with"] = [await resources[kind].monitor() for kind in kinds]
    found["clean"] = [await resources[kind].clean() for kind in kinds]
    await resources["FileOnOnly"].offline()
    found["stays"] = file.exists()
    found["no path"] = await bench.resource("FileNone", "").monitor()
    return found


async def nic(bench: Bench) -> Mapping[str, Any]:
    run("ip", "link", "add", "dum0", "type", "veth", "peer", "name", "dum1")
    one = bench.resource("NIC", "Device = dum0")
    states = [await one.monitor()]
    run("ip", "link", "set", "dum0", "up")
    states.append(await one.monitor())
    with subprocess.Popen(["unshare", "--net", "sleep", "100"]) as there:
        while os.readlink(f"/proc/{there.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        inside = ("nsenter", "-t", str(there.pid), "-n", "ip")
        run("ip", "link", "set", "dum1", "netns", str(there.pid))
        run(*inside, "link", "set", "dum1", "up")
        states.append(await one.until("ONLINE"))
        run("ip", "addr", "add", "10.78.0.1/24", "dev", "dum0")
        run(*inside, "addr", "add", "10.78.0.2/24", "dev", "dum1")
        hosts = bench.resource("NIC", 'Device = dum0 NetworkHosts = { "10.78.0.9", "10.78.0.2" }')
        deaf = bench.resource("NIC", 'Device = dum0 NetworkHosts = { "10.78.0.9" }')
        states += [await hosts.until("ONLINE"), await deaf.monitor()]
        there.kill()
    return {
        "states": states,
        "why": deaf.last.detail if deaf.last else "",
        "missing": [
            await bench.resource("NIC", "Device = nosuch0").monitor(),
            await bench.resource("NIC", "").monitor(),
        ],
    }


async def systemd(bench: Bench) -> Mapping[str, Any]:
    unit = "Unit = widget"
    return {
        "unguarded": await bench.resource("Systemd", unit).online(),
        "by kill": await bench.resource("Systemd", unit, HOLDFAST_ON_EXPIRY="kill").online(),
        "by reboot": await bench.resource("Systemd", unit, HOLDFAST_ON_EXPIRY="reboot").online(),
        "accepted": await bench.resource("Systemd", f"{unit} AcceptUnguarded = 1").online(),
        "monitor": await bench.resource("Systemd", unit).monitor(),
    }


if __name__ == "__main__":
    main(lsb, debian_lsb, scripts, together, process, small, nic, systemd)
