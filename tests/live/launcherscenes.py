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


async def logs(bench: Bench) -> Mapping[str, Any]:
    """What a command that stays prints may be secret."""
    log = bench.directory / "a.log"
    process = await bench.workload.spawn("echo secret", log=log)
    await process.wait()
    return {"text": log.read_text(), "mode": oct(log.stat().st_mode & 0o777)}


if __name__ == "__main__":
    main(cancelled, logs)
