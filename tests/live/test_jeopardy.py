"""Two networks: a system with one left is in jeopardy, is shown so, and its loss alone moves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster

from holdfast.app.system import read_system_file
from holdfast.cluster.model.facts import EvidenceKind, Heartbeat
from holdfast.cluster.service.membership import Membership
from holdfast.cluster.service.records import State
from holdfast.cluster.service.widebeat import echo_socket
from holdfast.kernel.errors import InputError

BROKEN = "240.0.0.1"
"""An address of the class that is kept for the future: nobody answers."""


def echo_allowed() -> bool:
    try:
        echo_socket()[0].close()
    except PermissionError:
        return False
    return True


class TwoNetworks(Cluster):
    """Each system watches red and blue; of alpha blue can be broken from the start."""

    blue = "127.0.0.1"

    def more(self) -> str:
        return f'[networks]\nred = ["127.0.0.1"]\nblue = ["{self.blue}"]\n'

    def start(self, *names: str) -> None:
        given = self.blue
        for name in names:
            self.blue = given if name == "alpha" else "127.0.0.1"
            super().start(name)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[TwoNetworks]:
    if not echo_allowed():
        pytest.skip("no echo request may be sent here")
    made = TwoNetworks(tmp_path, "marker")
    try:
        yield made
    finally:
        made.stop()


def lose(cluster: TwoNetworks, name: str) -> None:
    """The system loses its power. (Stopped processes would keep the lock of the store's file that they may hold.)"""
    for pid in cluster.tree(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def told(cluster: TwoNetworks, *words: str) -> str:
    command = [sys.executable, "-m", "holdfast", *words, "--store", cluster.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_a_system_in_jeopardy_is_shown_and_its_loss_alone_moves_nothing(cluster: TwoNetworks, tmp_path: Path) -> None:
    (tmp_path / "triggers").mkdir()
    program = tmp_path / "triggers" / "injeopardy"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/fired\n')
    program.chmod(0o755)
    cluster.blue = BROKEN
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"), 30)
    cluster.until(lambda state: state.jeopardy == {"alpha": "only network red is left"}, 20)
    shown = json.loads(told(cluster, "system", "state", "alpha", "--json"))
    assert shown["networks"] == {"red": True, "blue": False}
    assert shown["jeopardy"] == "only network red is left"
    assert "RUNNING (jeopardy)" in told(cluster, "system", "list")
    lose(cluster, "alpha")
    state = cluster.until(lambda state: "web" in state.notes and state.notes["web"].code == "no-evidence", 30)
    assert "in jeopardy" in state.notes["web"].text
    assert state.intents["web"].owner == "alpha"
    assert (tmp_path / "fired").read_text() == "alpha RUNNING\n"
    cluster.ask(lambda client: client.confirm_dead("alpha", "I pulled its plug"))
    state = cluster.until(cluster.online_on("beta"), 30)
    assert state.intents["web"].evidence is not None
    assert state.intents["web"].evidence.kind is EvidenceKind.PERSON


def test_with_both_networks_a_loss_moves_the_group(cluster: TwoNetworks) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"), 30)
    assert cluster.state().jeopardy == {}
    lose(cluster, "alpha")
    cluster.until(cluster.online_on("beta"), 30)


def test_a_coordinator_that_never_heard_of_the_system_goes_by_what_is_recorded() -> None:
    fresh = Membership(2.0, 0.3, 0.0)
    recorded = {"alpha": "only network red is left"}
    assert fresh.judge(["alpha"], 10.0, {}, recorded)["alpha"].jeopardy
    beat = Heartbeat("alpha", "a-1", "s", 1, networks={"red": True, "blue": True})
    fresh.observe(beat, 10.0)
    assert not fresh.judge(["alpha"], 10.0, {}, recorded)["alpha"].jeopardy
    assert not State().jeopardy


@pytest.mark.parametrize("text", ["red = []", "red = 'x'", "red = ['10.0.0.1']"])
def test_networks_that_make_no_sense_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f'name = "a"\nstore = "embedded:///x"\nrun_directory = "/x"\n[networks]\n{text}\n')
    with pytest.raises(InputError) as caught:
        read_system_file(path)
    assert caught.value.remedy
    assert "network" in caught.value.message
