"""``hastop`` and ``hastart`` on real guards and daemons: what becomes of the groups, and who may take them over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, apps, lab

from holdfast.app.main import main
from holdfast.cluster.model.facts import Intent
from holdfast.cluster.service.records import State


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    yield from lab(tmp_path, "auto" if os.geteuid() == 0 else "marker")


def on(cluster: Cluster, name: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setenv("HOLDFAST_STORE", cluster.url)
    monkeypatch.setenv("HOLDFAST_SYSTEM_CONFIG", str(cluster.directory / f"{name}.toml"))
    return main(list(words))


def is_left(name: str, state: State) -> bool:
    return state.judged.get(name) == "left"


def test_force_leaves_the_group_running_and_a_start_finds_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    before = apps(cluster.directory)
    assert len(before) == 1
    assert on(cluster, "alpha", monkeypatch, "hastop", "-local", "-force") == 0
    state = cluster.until(lambda state: is_left("alpha", state) and state.notes["web"].code == "no-evidence")
    assert "stopped by force" in state.notes["web"].text
    time.sleep(3 * cluster.ttl_s)
    assert apps(cluster.directory) == before, "neither killed by the guard nor started elsewhere"
    assert cluster.state().intents.get("web", Intent("web")).owner == "alpha"
    assert cluster.guards["alpha"].poll() is None
    assert on(cluster, "alpha", monkeypatch, "hastop", "-local") == 1
    assert "EXITED" in capsys.readouterr().err
    assert on(cluster, "alpha", monkeypatch, "hastart") == 0
    cluster.until(lambda state: state.judged.get("alpha") == "alive")
    cluster.until(cluster.online_on("alpha"))
    assert apps(cluster.directory) == before, "adopted, not started anew"
    assert on(cluster, "alpha", monkeypatch, "hastart") == 1
    assert "runs already" in capsys.readouterr().err


def test_a_stopped_system_keeps_its_groups_unless_it_evacuates(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    assert on(cluster, "beta", monkeypatch, "hastop", "-sys", "alpha") == 0
    state = cluster.until(lambda state: is_left("alpha", state) and state.notes["web"].code == "stopped")
    assert "online web --system" in state.notes["web"].remedy
    assert cluster.guards["alpha"].wait(20) == 0
    assert apps(cluster.directory) == []
    cluster.start("alpha")
    cluster.until(cluster.online_on("alpha"))
    assert on(cluster, "alpha", monkeypatch, "hastop", "-local", "-evacuate") == 0
    cluster.until(cluster.online_on("beta"))
    assert cluster.guards["alpha"].wait(20) == 0
    assert on(cluster, "beta", monkeypatch, "hastop", "-all") == 0
    assert cluster.guards["beta"].wait(30) == 0
    assert apps(cluster.directory) == []
