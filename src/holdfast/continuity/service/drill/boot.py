"""Step 1, boot: hosts, network and witness; arrays and backup servers; the cluster read from the example's main.cf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.continuity.model.sites import Role
from holdfast.continuity.service.drill.stage import Stage

SEED_002 = "seed 002"
SEED_000 = "seed 000"


def run(stage: Stage) -> Mapping[str, Any]:
    """Power everything on; every system must report RUNNING."""
    sites = stage.sites
    sites.boot()
    for server in stage.layout.of(Role.SERVER):
        config = str(sites.directory / server.name / "server.toml")
        stage.run(server.name, "holdfast", "server", "init", "--config", config)
    for host in (*stage.layout.of(Role.ARRAY), *stage.layout.of(Role.SERVER)):
        sites.start(host.name)
    configuration = str(sites.directory / ("conf" if sites.root else "conf-user"))
    first = stage.systems()[0]
    stage.run(first, "hacf", "-verify", configuration, origin="reference, cluster 2.4")
    stage.run(first, "holdfast", "cluster", "load", f"{configuration}/main.cf")
    for system in stage.systems():
        sites.start(system)
    stage.until("every system RUNNING", lambda: len(running(stage)) == len(stage.systems()), 20, first)
    stage.narrator.note(f"running: {', '.join(running(stage))}")
    return {"systems": len(running(stage)), "arrays": 2, "servers": len(stage.layout.of(Role.SERVER))}


def running(stage: Stage, viewer: str = "") -> list[str]:
    """Return the systems that ``hastatus -summary`` shows as RUNNING."""
    summary = stage.run(viewer or stage.systems()[0], "hastatus", "-summary", origin=SEED_000)
    rows = [line.split() for line in summary.splitlines() if line.startswith("A ")]
    return [row[1] for row in rows if "RUNNING" in row]
