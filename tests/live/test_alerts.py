"""What waits for a person: shown while its cause is there, put aside by who saw to it, back when it changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, apps, lab

from holdfast.cluster.model.facts import Request


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    yield from lab(tmp_path, "marker")


def typed(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOLDFAST_STORE": cluster.url, "HOLDFAST_SOCKET": "/nonexistent"}
    command = [sys.executable, "-m", "holdfast", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


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
    assert typed(cluster, "haalert", "-display").stdout == "There are no alerts\n"
    kill_until_stuck(cluster)
    assert "NOFAILA_web" in typed(cluster, "haalert", "-list").stdout
    refused = typed(cluster, "haalert", "-delete", "NOFAILA_web")
    assert (refused.returncode, "-notes" in refused.stderr) == (1, True)
    assert typed(cluster, "haalert", "-delete", "NOFAILA_web", "-notes", "beta is being repaired").returncode == 0
    assert "NOFAILA_web" not in typed(cluster, "haalert", "-list").stdout
    assert "beta is being repaired" in typed(cluster, "haalert", "-display").stdout
    assert "beta is being repaired" in typed(cluster, "cluster", "audit").stdout
    cluster.request("group.clear")
    cluster.request("group.online")
    cluster.until(cluster.online_on("alpha"))
    assert typed(cluster, "cluster", "alerts", "--all").stdout == "nothing waits for a person\n"
    kill_until_stuck(cluster)
    assert "NOFAILA_web" in typed(cluster, "haalert", "-list").stdout, "it is another one"


def test_what_a_systems_load_is_said_to_be_is_kept_shown_and_taken_back(cluster: Cluster) -> None:
    cluster.start("alpha")
    cluster.until(cluster.online_on("alpha"))
    assert typed(cluster, "hasys", "-load", "alpha", "30").returncode == 0
    assert "Capacity              100        30         70" in typed(cluster, "hasys", "-util", "alpha").stdout
    assert typed(cluster, "hasys", "-value", "alpha", "DynamicLoad").stdout == "30\n"
    refused = typed(cluster, "hasys", "-load", "alpha", "CPU", "3")
    assert refused.returncode == 1
    assert "a Capacity of a single number, not of CPU" in refused.stderr
    assert typed(cluster, "hasys", "-load", "alpha").returncode == 0
    assert cluster.state().loads == {}
    with pytest.raises(Exception, match="there is no system 'gamma'"):
        cluster.ask(lambda client: client.ask(Request("", "system.load", system="gamma"), 10.0))
