"""Scenes of commands whose caller goes away."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentbench import Bench, main, pid_of

from holdfast.cluster.service.launcher import RunningProcess
from holdfast.cluster.service.outlets import LOG_LIMIT_BYTES
from holdfast.kernel.errors import InputError

STEPS = 8
"""A command is on its way to the workload and back within so many rounds of the event loop."""


async def cancelled(bench: Bench) -> Mapping[str, Any]:
    """Commands cancelled after each round of the event loop: before, while and after the workload starts them."""
    cancelled = 0
    for work in (bench.workload.run, bench.workload.spawn):
        for rounds in range(1, STEPS):
            task = asyncio.ensure_future(work(f"sleep 4712; touch {bench.directory}/ran"))
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            cancelled += task.cancelled()
            if not task.cancelled() and isinstance(done := task.result(), RunningProcess):
                await done.kill()  # the answer was faster
                await done.wait()
    await asyncio.sleep(0.3)
    lines = [Path(f"/proc/{pid_of(found)}/cmdline").read_bytes() for found in await bench.workload.using("/")]
    return {
        "cancelled": cancelled,
        "left": sum(b"4712" in line for line in lines),
        "waiting": len(bench.workload._exits) + len(bench.workload._replies),
    }


async def settled(bench: Bench) -> Mapping[str, Any]:
    """A daemon died and left a start program, a service that it started earlier, and one that it runs itself."""
    service = bench.directory / "service"
    await bench.workload.run(f"sleep 4713 >/dev/null 2>&1 & echo $! >{service}")
    stays = await bench.workload.spawn("sleep 4714")
    start = await bench.workload.spawn("sleep 0.6; touch started", cwd=str(bench.directory), stays=False)
    asked = asyncio.ensure_future(bench.workload.run("sleep 0.6; touch ran", cwd=str(bench.directory)))
    await asyncio.sleep(0.2)
    await bench.workload.settle()
    codes = [await start.wait(), (await asked).code]
    await asyncio.sleep(0.8)
    lines = [Path(f"/proc/{pid_of(found)}/cmdline").read_bytes() for found in await bench.workload.using("/")]
    alive = sorted(number for number in ("4713", "4714") if any(number.encode() in line for line in lines))
    await stays.kill()
    return {"codes": codes, "alive": alive}


async def logs(bench: Bench) -> Mapping[str, Any]:
    """What a command that stays prints may be secret."""
    log = bench.directory / "a.log"
    process = await bench.workload.spawn("echo secret", log=log)
    await process.wait()
    while not (text := log.read_text()):
        await asyncio.sleep(0.01)
    return {"text": text, "mode": oct(log.stat().st_mode & 0o777)}


async def lines_of(bench: Bench) -> list[bytes]:
    """The command lines of what runs in the workload; what ends meanwhile runs no more."""
    lines = []
    for found in await bench.workload.using("/"):
        with contextlib.suppress(OSError):
            lines.append(Path(f"/proc/{pid_of(found)}/cmdline").read_bytes())
    return lines


async def flood(bench: Bench) -> Mapping[str, Any]:
    """One command prints without end; another is run meanwhile."""
    flooding = asyncio.ensure_future(bench.workload.run(["yes"], timeout_s=2.0))
    await asyncio.sleep(1.5)
    beside = await bench.workload.run("echo beside; echo trouble >/dev/stderr; exit 3")
    pids = [pid_of(found) for found in await bench.workload.using("/")]
    yes = next(pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes() == b"yes\0")
    counts = dict(line.split(": ") for line in Path(f"/proc/{yes}/io").read_text().splitlines())
    done = await flooding
    long = await bench.workload.run("head -c 3000000 /dev/zero | tr '\\0' x; echo last >&2")
    return {
        "beside": [beside.code, beside.stdout, beside.stderr],
        "written": int(counts["wchar"]),
        "flood": [done.timed_out, len(done.stdout)],
        "long": [long.code, len(long.stdout), long.stderr],
    }


async def chatter(bench: Bench) -> Mapping[str, Any]:
    """A service that prints without end into its log."""
    log = bench.directory / "a.log"
    process = await bench.workload.spawn("echo early; yes", log=log)
    largest = 0
    while not log.read_bytes().startswith(b"---"):  # until it began anew
        largest = max(largest, log.stat().st_size)
        await asyncio.sleep(0.01)
    head = log.read_bytes()[:40]
    await process.kill()
    await process.wait()
    return {"largest": largest, "limit": LOG_LIMIT_BYTES, "head": head.decode()}


async def left(bench: Bench) -> Mapping[str, Any]:
    """A start that leaves something that prints on and on into what it inherited."""
    chatter = "while :; do echo x || exit; sleep 0.01; done"
    done = await bench.workload.run(f"echo started; setsid sh -c '{chatter}' 4721 & exit 4")
    await asyncio.sleep(0.5)
    alive = any(b"4721" in line for line in await lines_of(bench))
    return {"code": done.code, "first": done.stdout.splitlines()[0], "alive": alive}


async def stubborn(bench: Bench) -> Mapping[str, Any]:
    """A command that ignores SIGTERM, forks into sessions of its own, leaves orphans there, and never returns."""
    deaf = "trap '' TERM HUP INT;"
    inner = f"{deaf} (setsid sleep 4722 &) ; sleep 4722 & sleep 4722"
    done = await bench.workload.run(f'{deaf} setsid sh -c "{inner}" & sleep 4722', timeout_s=1.0)
    for _ in range(100):
        if not (remaining := [line for line in await lines_of(bench) if b"4722" in line]):
            break
        await asyncio.sleep(0.05)
    return {"timed out": done.timed_out, "left": len(remaining)}


async def long_values(bench: Bench) -> Mapping[str, Any]:
    """The longest attribute value, as argument and in the environment; then longer than a program can get."""
    value = "é" * (32 * 1024)
    done = await bench.workload.run(["sh", "-c", 'printf %s "$0$V" | wc -c', value], env={"V": value})
    words = [await bench.workload.run(["true", "x" * 200_000])]
    try:
        await bench.workload.run(["true", *["x" * 100_000] * 30])
    except InputError as error:
        refused = f"{error.message}; {error.remedy}"
    return {"bytes": done.stdout.strip(), "one": [words[0].code, words[0].stderr], "all": refused}


async def not_text(bench: Bench) -> Mapping[str, Any]:
    """Output that is no UTF-8."""
    assert int((await bench.workload.run("nice")).stdout) == os.nice(0)  # the workload's precedence is its own
    done = await bench.workload.run(["printf", r"a\377\376b\000c"])
    return {"text": done.stdout}


if __name__ == "__main__":
    main(cancelled, settled, logs, flood, left, stubborn, long_values, not_text, chatter)
