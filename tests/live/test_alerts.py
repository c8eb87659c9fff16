"""What waits for a person: shown while its cause is there, put aside by who saw to it, back when it changes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, apps, lab

from holdfast.cluster.model.facts import Request


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    yield from lab(tmp_path, "marker")


def kill_until_stuck(cluster: Cluster) -> None:
    """Kill the application until it is faulted on the only system that lives."""
    for _ in range(2):
        (victim,) = cluster.until(lambda _: apps(cluster.directory)) and apps(cluster.directory)
        os.kill(victim, signal.SIGKILL)
        cluster.until(lambda _, victim=victim: apps(cluster.directory) != [victim])
    cluster.until(lambda state: state.notes["web"].code in ("no-target", "no-failover"))


def test_an_alert_is_put_aside_with_a_reason_and_comes_back_with_its_cause(cluster: Cluster) -> None:
    cluster.start("alpha")
    cluster.until(cluster.online_on("alpha"))
    assert cluster.typed("haalert", "-display").stdout == "There are no alerts\n"
    kill_until_stuck(cluster)
    assert "NOFAILA_web" in cluster.typed("haalert", "-list").stdout
    refused = cluster.typed("haalert", "-delete", "NOFAILA_web")
    assert (refused.returncode, "-notes" in refused.stderr) == (1, True)
    assert cluster.typed("haalert", "-delete", "NOFAILA_web", "-notes", "beta is being repaired").returncode == 0
    assert "NOFAILA_web" not in cluster.typed("haalert", "-list").stdout
    assert "beta is being repaired" in cluster.typed("haalert", "-display").stdout
    assert "beta is being repaired" in cluster.typed("cluster", "audit").stdout
    cluster.request("group.clear")
    cluster.request("group.online")
    cluster.until(cluster.online_on("alpha"))
    assert cluster.typed("cluster", "alerts", "--all").stdout == "nothing waits for a person\n"
    kill_until_stuck(cluster)
    assert "NOFAILA_web" in cluster.typed("haalert", "-list").stdout, "it is another one"


def test_what_a_systems_load_is_said_to_be_is_kept_shown_and_taken_back(cluster: Cluster) -> None:
    cluster.start("alpha")
    cluster.until(cluster.online_on("alpha"))
    assert cluster.typed("hasys", "-load", "alpha", "30").returncode == 0
    assert "Capacity              100        30         70" in cluster.typed("hasys", "-util", "alpha").stdout
    assert cluster.typed("hasys", "-value", "alpha", "DynamicLoad").stdout == "30\n"
    refused = cluster.typed("hasys", "-load", "alpha", "CPU", "3")
    assert refused.returncode == 1
    assert "a Capacity of a single number, not of CPU" in refused.stderr
    assert cluster.typed("hasys", "-load", "alpha").returncode == 0
    assert cluster.state().loads == {}
    with pytest.raises(Exception, match="there is no system 'gamma'"):
        cluster.ask(lambda client: client.ask(Request("", "system.load", system="gamma"), 10.0))
