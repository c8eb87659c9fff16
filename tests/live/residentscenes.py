"""Scenes of what a start leaves behind: whose it is, what clean kills and what it must spare; and of metadata."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentbench import Bench, Resource, main, pid_of

from holdfast.cluster.agents import residents

AGENT = """#!/bin/sh
# Its stop stops nothing, and its monitor says "not running": what clean kills is known from the start alone.
case "$1" in
start) setsid sh -c 'echo $$ > @DIR@/inner; touch @DIR@/started; exec sleep 1000' >/dev/null 2>&1 &
       while [ ! -e @DIR@/started ]; do sleep 0.02; done
       while [ ! -e @DIR@/go ]; do sleep 0.02; done; exit $(cat @DIR@/go) ;;
stop) exit 0 ;;
monitor) exit 7 ;;
*) exit 3 ;;
esac
"""


def _resource(bench: Bench) -> Resource:
    agent = bench.directory / "ocf/resource.d/test/leaver"
    agent.parent.mkdir(parents=True)
    agent.write_text(AGENT.replace("@DIR@", str(bench.directory)))
    agent.chmod(0o755)
    root = str(bench.directory / "ocf")
    return bench.resource("OCF", "Provider = test Agent = leaver", OCF_ROOT=root)


async def _began(bench: Bench) -> None:
    while not (bench.directory / "started").exists():
        await asyncio.sleep(0.01)


def _runs(pidfd: int) -> bool:
    state = Path(f"/proc/{pid_of(pidfd)}/stat")
    return pid_of(pidfd) > 0 and state.exists() and state.read_text().rpartition(")")[2].split()[0] not in "ZX"


async def _daemon(bench: Bench) -> int:
    """A pidfd of what the start left."""
    found = await bench.workload.process(int((bench.directory / "inner").read_text()))
    assert found is not None
    return found


async def beside(bench: Bench) -> Mapping[str, Any]:
    """Commands of others begin while a start runs: one without any mark, a marked one, one that sheds its mark."""
    one, other = _resource(bench), bench.commands("data")
    start = asyncio.ensure_future(one.online())
    await _began(bench)
    lasts = [f"{seconds}.{os.getpid()}" for seconds in (1001, 1002, 1003, 1004)]
    away = "setsid sleep {} >/dev/null 2>&1 & exit 0"
    unmarked = await bench.workload.spawn(["sleep", lasts[0]])
    marked = await other.spawn(["sleep", lasts[1]])
    await other.run(away.format(lasts[2]))
    await other.run(f"env -i {away.format(lasts[3])}")
    await asyncio.sleep(0.05)
    (bench.directory / "go").write_text("0")
    said, daemon = await start, await _daemon(bench)
    before = _runs(daemon)
    cleaned = await one.clean()
    await asyncio.sleep(0.05)
    found = [_sleeper(seconds) for seconds in lasts]
    assert unmarked.pid != marked.pid
    if found[3]:
        os.kill(found[3], signal.SIGKILL)  # without a PID namespace nothing else ends one that shed its mark
    spared = [pid > 0 for pid in found]
    return {"said": said, "before": before, "cleaned": cleaned, "own": _runs(daemon), "spared": spared}


def _sleeper(seconds: str) -> int:
    """The process that sleeps for so long, as this machine counts; 0 when there is none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().split(b"\0")[:2] == [b"sleep", seconds.encode()]:
                return int(path.parent.name)
    return 0


async def raised(bench: Bench) -> Mapping[str, Any]:
    """A start that ends with an error."""
    one = _resource(bench)
    (bench.directory / "go").write_text("1")
    said, daemon = await one.online(), await _daemon(bench)
    before = _runs(daemon)
    await one.clean()
    await asyncio.sleep(0.05)
    return {"said": said, "before": before, "after": _runs(daemon)}


async def cancelled(bench: Bench) -> Mapping[str, Any]:
    """A start that is abandoned, as at its timeout, ends with what it had left."""
    one = _resource(bench)
    start = asyncio.ensure_future(one.agent.online(one.context))
    await _began(bench)
    daemon = await _daemon(bench)
    start.cancel()
    await asyncio.wait([start])
    for _ in range(500):
        if not _runs(daemon):
            break
        await asyncio.sleep(0.01)
    return {"cancelled": start.cancelled(), "after": _runs(daemon), "clean": await one.clean()}


async def reused(bench: Bench) -> Mapping[str, Any]:
    """A note of a dead daemon, whose process id and session id another process has got since."""
    one = _resource(bench)
    heir = await bench.workload.spawn(f"touch {bench.directory}/up; exec sleep 1000")
    while not (bench.directory / "up").exists():
        await asyncio.sleep(0.01)
    pidfd = await bench.workload.process(heir.pid)
    assert pidfd is not None
    now = residents._look(pid_of(pidfd))
    assert now is not None
    record = residents._record(one.context)
    found = {}
    for name, started in (("another's", now.started - 1), ("its own", now.started)):
        record.write_text(f"{now.pid} {now.session} {started} 1", "ascii")
        found[name] = [await residents.kill(one.context)]
        await asyncio.sleep(0.05)
        found[name].append(int(_runs(pidfd)))
    os.close(pidfd)
    return found


ASKED = """#!/bin/sh
echo $1 >> @DIR@/asked
case "$1" in
meta-data) echo '<no metadata' ;;
monitor) exit 7 ;;
esac
"""


async def metadata(bench: Bench) -> Mapping[str, Any]:
    """What an agent whose metadata nobody can read is asked: by stop and clean, then by two monitors."""
    one = _resource(bench)
    (bench.directory / "ocf/resource.d/test/leaver").write_text(ASKED.replace("@DIR@", str(bench.directory)))
    asked = bench.directory / "asked"
    await one.offline()
    await one.clean()
    found = {"stop and clean": asked.read_text().split()}
    asked.unlink()
    await one.monitor()
    await one.monitor()
    return {**found, "monitors": asked.read_text().split()}


if __name__ == "__main__":
    main(beside, raised, cancelled, reused, metadata)
