"""Scenes of systemd units, played where a real systemd is process 1: see ``test_systemd_live.py``."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentbench import Bench, life, main, run

ACCEPTED = "AcceptUnguarded = 1 MonitorInterval = 5"


def unit(bench: Bench, name: str, *lines: str, install: str = "") -> None:
    """Write a unit that needs nothing, and let systemd read it."""
    where = Path("/etc/systemd/system", f"{name}.service")  # a directory of the test, mounted there
    more = f"[Install]\nWantedBy={install}\n" if install else ""
    text = "\n".join(lines)
    where.write_text(f"[Unit]\nDescription={name}\nDefaultDependencies=no\n[Service]\n{text}\n{more}")
    run("systemctl", "daemon-reload")


async def whole_life(bench: Bench) -> Mapping[str, Any]:
    unit(bench, "widget", "ExecStart=/bin/sleep 1000")
    one = bench.resource("Systemd", f"Unit = widget {ACCEPTED}")

    async def break_it() -> float:
        (main_process,) = one.watched()
        return await one.killed(main_process)

    found = await life(one, break_it)
    found["info"] = dict(await one.agent.info(one.context))
    return found


async def troubles(bench: Bench) -> Mapping[str, Any]:
    unit(bench, "broken", "ExecStart=/no/such/program")
    unit(bench, "again", "ExecStart=/bin/sleep 1000", "Restart=always", "RestartSec=2")
    unit(bench, "deaf", "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'", "TimeoutStopSec=60")
    unit(bench, "eager", "ExecStart=/bin/sleep 1000", install="trial.target")
    broken = bench.resource("Systemd", f"Unit = broken {ACCEPTED}")
    again = bench.resource("Systemd", f"Unit = again {ACCEPTED}")
    deaf = bench.resource("Systemd", f"Unit = deaf {ACCEPTED} OfflineTimeout = 2")
    eager = bench.resource("Systemd", f"Unit = eager {ACCEPTED}")
    found: dict[str, Any] = {"missing": await bench.resource("Systemd", f"Unit = nosuch {ACCEPTED}").monitor()}
    await broken.online()
    found["broken"] = [await broken.until("OFFLINE"), broken.last.detail if broken.last else ""]
    found["again"] = [await again.online(), await again.until("ONLINE")]
    os.kill(again.watched()[0], signal.SIGKILL)
    found["again"] += [await again.until("broken", 1.5), await again.clean(), await again.monitor()]
    await asyncio.sleep(3)
    found["again"].append(await again.monitor())
    found["deaf"] = [await deaf.online(), await deaf.until("ONLINE"), await deaf.offline(), await deaf.clean()]
    found["deaf"].append(await deaf.monitor())
    run("systemctl", "enable", "--quiet", "eager")
    found["eager"] = [await eager.online(), await eager.until("ONLINE"), eager.last.detail if eager.last else ""]
    found["left"] = await eager.offline()
    return found


if __name__ == "__main__":
    main(whole_life, troubles)
