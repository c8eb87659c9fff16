"""RemoteGroup: a group of another cluster as a resource, with two real clusters on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, lab

from holdfast.cluster.model.facts import ResourceState
from holdfast.cluster.plan.status import resource_flags
from holdfast.cluster.service.records import State

OURS = """
include "types.cf"
cluster ours ( )
system gamma ( )
group web (
    SystemList = { gamma }
    )
    RemoteGroup database (
        Store = "@STORE@"
        GroupName = web
        ControlMode = @MODE@
        MonitorInterval = 1
        ToleranceLimit = 0
        )
    FileOnOff app ( PathName = "@DIR@/app" MonitorInterval = 1 )
    app requires database
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "theirs").mkdir()
    yield from lab(tmp_path / "theirs", "marker")


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "ours").mkdir()
    yield from lab(tmp_path / "ours", "marker")


def load(ours: Cluster, theirs: Cluster, mode: str) -> None:
    ours.load(OURS.replace("@STORE@", theirs.url).replace("@MODE@", mode))
    ours.start("gamma")
    ours.until(lambda state: ("web", "gamma") in state.facts and state.facts["web", "gamma"].probed)


def up(name: str) -> object:
    def check(state: State) -> bool:
        return state.facts["web", "gamma"].resources[name].state is ResourceState.ONLINE

    return check


def test_onoff_starts_and_stops_the_group_of_the_other_cluster(ours: Cluster, theirs: Cluster) -> None:
    theirs.start("alpha", "beta")
    theirs.until(theirs.online_on("alpha"))
    theirs.request("group.offline")
    load(ours, theirs, "OnOff")
    ours.request("group.online", wait_s=20.0)
    assert any(theirs.online_on(name)(theirs.state()) for name in ("alpha", "beta"))
    theirs.request("group.offline")
    ours.until(lambda state: state.facts["web", "gamma"].resources["database"].faulted)
    ours.until(lambda state: not (ours.directory / "app").exists())
    ours.request("group.clear")
    ours.request("group.online", wait_s=20.0)
    ours.request("group.offline", wait_s=20.0)
    theirs.until(lambda state: not any(theirs.online_on(name)(state) for name in ("alpha", "beta")))


def test_monitoronly_touches_nothing_and_knows_nothing_of_a_cluster_that_is_out_of_reach(
    ours: Cluster, theirs: Cluster
) -> None:
    theirs.start("alpha")
    theirs.until(theirs.online_on("alpha"))
    load(ours, theirs, "MonitorOnly")
    ours.request("group.online", wait_s=20.0)
    for pid in theirs.tree("alpha"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    ours.until(lambda state: state.facts["web", "gamma"].resources["database"].unclear, 30.0)
    fact = ours.state().facts["web", "gamma"].resources
    assert fact["app"].state is ResourceState.ONLINE, "not to know is no reason to take anything down"
    assert resource_flags(fact["database"]) == ("ONLINE", "STATE UNKNOWN")
