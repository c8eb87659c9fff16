"""Step 1, boot: hosts, network and witness; arrays and backup servers; the cluster read from the example's main.cf."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from holdfast.continuity.model.sites import Role
from holdfast.continuity.service.drill.stage import Stage

SEED_002 = "seed 002"
SEED_000 = "seed 000"


def run(stage: Stage) -> Mapping[str, Any]:
    """Power everything on; every system must report RUNNING."""
    sites = stage.sites
    sites.boot()
    servers = [host.name for host in stage.layout.of(Role.SERVER)]
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(lambda host: _initialise(stage, host), servers))
    sites.start(*(host.name for host in stage.layout.of(Role.ARRAY)), *servers)
    configuration = str(sites.directory / ("conf" if sites.root else "conf-user"))
    first = stage.systems()[0]
    stage.run(first, "hacf", "-verify", configuration, origin="reference, cluster 2.4")
    stage.run(first, "holdfast", "cluster", "load", f"{configuration}/main.cf")
    sites.start(*stage.systems())
    stage.until("every system RUNNING", lambda: running(stage) == stage.systems(), 30, first)
    summary = stage.run(first, "hastatus", "-summary", origin=SEED_000)
    shown = [line.split()[1] for line in summary.splitlines() if line.startswith("A ") and "RUNNING" in line]
    stage.insist(shown == stage.systems(), f"hastatus to show {stage.systems()} RUNNING", shown, first)
    stage.narrator.note(f"running: {', '.join(shown)}")
    return {"systems": len(shown), "arrays": 2, "servers": len(stage.layout.of(Role.SERVER))}


def _initialise(stage: Stage, host: str) -> None:
    stage.run(host, "holdfast", "server", "init", "--config", str(stage.sites.directory / host / "server.toml"))


def running(stage: Stage) -> list[str]:
    """Return the systems that the coordinator sees RUNNING."""
    return [name for name, state in stage.eyes.systems().items() if state == "RUNNING"]
