"""One agent floods, forks without end in sight, ignores signals and prints what is no text; nothing else suffers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, apps, lab

from holdfast.cluster.model.facts import Phase, ResourceFact, ResourceState
from holdfast.cluster.service.records import State

MAIN_CF = """
include "types.cf"
cluster trial ( )
system alpha ( )
group web (
    SystemList = { alpha } AutoStartList = { alpha }
    )
    Application app (
        StartProgram = "cd @DIR@; sleep 1000 & echo $! > @DIR@/app.pid"
        StopProgram = "kill `cat @DIR@/app.pid`"
        PidFiles = { "@DIR@/app.pid" }
        RestartLimit = 5
        )
group wild (
    SystemList = { alpha } AutoStartList = { alpha }
    )
    Application beast (
        StartProgram = "trap '' TERM HUP; (setsid sleep 4731 &); yes \\\\377\\\\376 & yes; sleep 4731"
        CleanProgram = "yes"
        MonitorProgram = "printf 'no text: \\\\377\\\\n'; test -e @DIR@/tame || { yes >&2 & exit 100; }"
        MonitorInterval = 1 OnlineTimeout = 4 CleanTimeout = 1 MonitorTimeout = 2 OfflineMonitorInterval = 1
        )
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One system."""
    yield from lab(tmp_path, "auto" if os.geteuid() == 0 else "marker")


def fact(state: State, group: str, resource: str) -> ResourceFact:
    found = state.facts.get((group, "alpha"))
    return ResourceFact() if found is None else found.resources[resource]


def test_what_one_agent_does_no_other_resource_suffers(cluster: Cluster) -> None:
    cluster.load(MAIN_CF)
    cluster.start("alpha")
    cluster.until(lambda state: fact(state, "web", "app").state is ResourceState.ONLINE, 30)
    daemon = cluster.daemon_pid("alpha")
    for restarts, phase in enumerate((Phase.STARTING, Phase.CLEANING, Phase.CLEANING), 1):
        cluster.until(lambda state, wanted=phase: fact(state, "wild", "beast").phase is wanted, 30)
        os.kill(apps(cluster.directory)[0], 9)
        cluster.until(
            lambda state, wanted=restarts: (
                fact(state, "web", "app").restarts == wanted and fact(state, "web", "app").state is ResourceState.ONLINE
            ),
            30,
        )
    assert cluster.daemon_pid("alpha") == daemon
    log = cluster.directory / "run-alpha" / "resources" / "beast.log"
    assert log.stat().st_size < 32 * 1024 * 1024
