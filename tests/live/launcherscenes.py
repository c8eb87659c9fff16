"""Scenes of commands whose caller goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentbench import Bench, main, pid_of

from holdfast.cluster.service.launcher import RunningProcess

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
    return {"text": log.read_text(), "mode": oct(log.stat().st_mode & 0o777)}


if __name__ == "__main__":
    main(cancelled, settled, logs)
