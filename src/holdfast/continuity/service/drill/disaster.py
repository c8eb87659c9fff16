"""Step 7, disaster: everything at site 1 dies at once while the load runs; site 2 takes over and has every record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from holdfast.continuity.model.sites import Link, Role
from holdfast.continuity.service.drill import mirror
from holdfast.continuity.service.drill.stage import Stage


def run(stage: Stage) -> Mapping[str, Any]:
    """Cut the links, kill every process of site 1, delete DELHI; wait for site 2; count what was lost."""
    stage.await_writes(5)
    began = kill_site(stage, 1)
    shutil.rmtree(stage.sites.directory / "DELHI")
    owner = stage.until("the group online at site 2", lambda: _only_owner(stage), 40, *stage.systems(2))
    stage.await_writes(5)
    stage.insist_one_writer()
    away = stage.load.longest_gap(began)
    evidence = stage.group()["evidence"]
    stage.insist(
        evidence["kind"] == "guard deadline past", "the guard's deadline as evidence for the takeover", evidence
    )
    mirror.await_states(stage, 2, "Suspended")
    lost = stage.lost_writes()
    stage.report.lost_writes, stage.report.failover_seconds = lost, away
    stage.insist(lost == 0, "lost acknowledged writes: 0", lost, owner, mirror.array_of(stage, 2))
    stage.narrator.note(f"{owner} took over after {away:.2f} s on evidence: {evidence['kind']}")
    return {"owner": owner, "failover_seconds": away, "acknowledged": stage.load.count(), "lost": lost}


def kill_site(stage: Stage, site: int) -> float:
    """Cut a site's links, then SIGKILL every process of it at once; return the moment on the monotonic clock.

    The line to the witness goes first: a source that loses its mirror while it can still reach the witness rightly
    records that it goes on alone, and then nobody may take over.
    """
    hosts = [host.name for host in stage.layout.hosts if host.site == site and stage.sites.alive(host.name)]
    began = time.monotonic()
    stage.sites.cut(Link.SITE1 if site == 1 else Link.SITE2)
    stage.sites.cut(Link.MIRROR)
    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(stage.sites.kill, hosts))
    return began


def revive_site(stage: Stage, site: int) -> None:
    """Mend a site's links and start its array and its systems again."""
    stage.sites.mend(Link.MIRROR)
    stage.sites.mend(Link.SITE1 if site == 1 else Link.SITE2)
    stage.sites.start(*(host.name for host in stage.layout.of(Role.ARRAY, site)))
    stage.sites.start(*stage.systems(site))


def _only_owner(stage: Stage) -> str:
    online = stage.online_on()
    return online[0] if len(online) == 1 and online[0] in stage.systems(2) else ""
