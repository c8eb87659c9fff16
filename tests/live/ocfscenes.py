"""Scenes of OCF agents: Debian's own through their whole life, and two that answer badly on purpose."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentbench import Bench, life, main, run

from holdfast.cluster.agents import foreignlog
from holdfast.cluster.agents.ocf_metadata import parse_name, read, type_block


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


if __name__ == "__main__":
    main(dummy, imported, filesystem, ipaddr2, nginx, postgres, codes, refusals)
