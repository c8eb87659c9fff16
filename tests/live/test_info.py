"""What agents tell people, with real daemons: told at each interval while online, asked for now, forgotten, bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, lab

from holdfast.cluster.model.facts import ResourceState

MAIN_CF = """
include "types.cf"
cluster trial ( )
system alpha ( )
group web (
    SystemList = { alpha }
    AutoStartList = { alpha }
    )
    Script gauge (
        Directory = "@DIR@/script"
        Arguments = { "@DIR@/gauge" }
        MonitorInterval = 1
        InfoInterval = 1
        InfoTimeout = 2
        )
"""

SCRIPTS = {
    "online": 'touch "$2"',
    "offline": 'rm -f "$2"',
    "clean": 'rm -f "$3"',
    "monitor": '[ -e "$2" ] && exit 110; exit 100',
    "info": '[ -e "$2.hang" ] && sleep 60; echo "pressure=$(cat "$2.value")"',
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "script").mkdir()
    for name, text in SCRIPTS.items():
        path = tmp_path / "script" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    (tmp_path / "gauge.value").write_text("12")
    yield from lab(tmp_path, "marker")


def told(cluster: Cluster) -> str:
    return cluster.typed("hares", "-value", "gauge", "ResourceInfo", "alpha").stdout.strip()


def test_info_is_told_asked_for_and_forgotten(cluster: Cluster) -> None:
    cluster.load(MAIN_CF)
    cluster.start("alpha")
    cluster.until(cluster.online_on("alpha"))
    cluster.until(lambda state: ("gauge", "alpha") in state.infos)
    assert told(cluster).startswith("State Valid Msg pressure 12 TS ")
    (cluster.directory / "gauge.value").write_text("99")
    asked = cluster.typed("hares", "-refreshinfo", "gauge", "-sys", "alpha")
    assert (asked.returncode, asked.stdout) == (0, "pressure 99\n")
    assert " pressure 99 " in told(cluster)
    cluster.request("group.offline")
    time.sleep(1.5)
    assert cluster.typed("hares", "-flushinfo", "gauge", "-sys", "alpha").returncode == 0
    assert told(cluster) == "State Stale Msg TS"
    time.sleep(2.5)
    assert told(cluster) == "State Stale Msg TS", "nothing is told of what is offline"


def test_an_info_that_hangs_is_ended_and_delays_no_monitor(cluster: Cluster) -> None:
    (cluster.directory / "gauge.hang").touch()
    cluster.load(MAIN_CF)
    cluster.start("alpha")
    cluster.until(cluster.online_on("alpha"))
    cluster.until(lambda state: ("gauge", "alpha") in state.infos and state.infos["gauge", "alpha"].trouble)
    assert told(cluster).startswith("State Invalid Msg info ran out of time")
    (cluster.directory / "gauge").unlink()
    began = time.monotonic()
    cluster.until(lambda state: state.facts["web", "alpha"].resources["gauge"].state is ResourceState.OFFLINE)
    assert time.monotonic() - began < 4.0, "the monitor came at its second although info was hanging"
    asked = cluster.typed("hares", "-refreshinfo", "gauge", "-sys", "alpha")
    assert asked.returncode == 1
    assert "info ran out of time" in asked.stderr
