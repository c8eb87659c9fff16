"""Types of VCS that OCF agents do the work of, MultiNICB, Proxy, and types of products that nothing here drives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentbench import play
from clusterlab import Cluster, lab

from holdfast.cluster.model.facts import ResourceState
from holdfast.cluster.service.records import State

FILE = "typescenes.py"


def test_attributes_reach_the_agent_under_its_own_names(tmp_path: Path) -> None:
    assert play(FILE, "given", tmp_path) == {
        "Oracle": ["home=/opt/oracle", "sid=PROD", "user=oracle"],
        "Netlsnr": ["home=/opt/oracle", "listener=LISTENER", "sid=PROD", "tns_admin=/opt/net", "user=oracle"],
        "LVMLogicalVolume": ["lvname=data", "vg_access_mode=system_id", "vgname=vg0"],
        "DNS": ["hostname=www.example", "ip=127.0.0.5", "server=127.0.0.1", "serverport=53", "ttl=300"],
    }


@pytest.mark.skipif(not Path("/usr/lib/ocf/resource.d/heartbeat/exportfs").exists(), reason="needs resource-agents")
def test_what_this_machine_lacks_is_said_plainly(tmp_path: Path) -> None:
    found = play(FILE, "missing", tmp_path)
    assert "/nowhere/at/all" in found["Share"]
    assert "Veritas Volume Manager is not driven here" in found["DiskGroup"]
    assert "LVMVolumeGroup" in found["start"]
    assert found["clean"] is False


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: devices")
def test_one_working_device_is_enough(tmp_path: Path) -> None:
    found = play(FILE, "devices", tmp_path)
    assert (found["both"], found["one"], found["none"]) == ("ONLINE", "ONLINE", "OFFLINE")
    assert found["confidence"] == 50
    assert "one0" in found["why"]


MAIN_CF = """
include "types.cf"
cluster trial ( )
system alpha ( )
system beta ( )
group net (
    SystemList = { alpha, beta }
    AutoStartList = { alpha, beta }
    Parallel = 1
    )
    FileNone cable (
        PathName @alpha = "@DIR@/alpha.cable"
        PathName @beta = "@DIR@/beta.cable"
        MonitorInterval = 1
        OfflineMonitorInterval = 1
        )
group web ( SystemList = { alpha, beta } AutoStartList = { alpha } )
    Proxy here ( TargetResName = cable MonitorInterval = 1 OfflineMonitorInterval = 1 Critical = 0 )
    Proxy there (
        TargetResName = cable
        TargetSysName = beta
        MonitorInterval = 1
        OfflineMonitorInterval = 1
        Critical = 0
        )
    FileOnOff flag ( PathName @alpha = "@DIR@/alpha.flag" PathName @beta = "@DIR@/beta.flag" )
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    for name in ("alpha", "beta"):
        (tmp_path / f"{name}.cable").touch()
    for made in lab(tmp_path, "marker"):
        made.load(MAIN_CF)
        made.start("alpha", "beta")
        yield made


def test_a_proxy_shows_what_it_mirrors_here_and_there(cluster: Cluster) -> None:
    def shows(here: ResourceState, there: ResourceState):  # type: ignore[no-untyped-def]
        def look(state: State) -> bool:
            fact = state.facts.get(("web", "alpha"))
            found = {} if fact is None else {name: one.state for name, one in fact.resources.items()}
            return (found.get("here"), found.get("there")) == (here, there)

        return look

    on, off = ResourceState.ONLINE, ResourceState.OFFLINE
    cluster.until(shows(on, on), 30)
    (cluster.directory / "beta.cable").unlink()
    cluster.until(shows(on, off), 30)
    (cluster.directory / "alpha.cable").unlink()
    cluster.until(shows(off, off), 30)
