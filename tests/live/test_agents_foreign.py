"""Init scripts, VCS script agents, processes and the small types through their whole life, as root and without."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from agentbench import play
from test_agents_ocf import EVENT_LIMIT_MS, insist_a_whole_life

FILE = "ownscenes.py"
BOTH = pytest.mark.parametrize("isolation", ["auto", "marker"])


@BOTH
def test_lsb(tmp_path: Path, isolation: str) -> None:
    found = play(FILE, "lsb", tmp_path, isolation)
    insist_a_whole_life(found)
    assert found["break"] < EVENT_LIMIT_MS
    assert found["why"] == "dead, with its PID file left"
    assert found["skip"] == "11", "it must not hand over to systemd, where the guard could not kill it"
    assert found["none"].startswith("ERROR r has no InitScript | set InitScript")
    assert found["missing"].startswith("ERROR r: there is no init script /etc/init.d/nosuch")
    assert "chmod 755" in found["not executable"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: port 80, /run")
@pytest.mark.skipif(not Path("/etc/init.d/nginx").exists(), reason="needs nginx")
def test_an_init_script_of_debian_with_the_service_it_is_for(tmp_path: Path) -> None:
    found = play(FILE, "debian_lsb", tmp_path)
    insist_a_whole_life(found)
    assert found["break"] < EVENT_LIMIT_MS
    assert found["left"] == [], "nothing of the web server is left"


@BOTH
def test_script_agent_of_a_type_of_its_own(tmp_path: Path, isolation: str) -> None:
    found: dict[str, Any] = play(FILE, "scripts", tmp_path, isolation)
    insist_a_whole_life(found)
    assert found["break"] < EVENT_LIMIT_MS
    values = "r /a b 2 1 2"
    assert found["calls"] == [
        f"open {values}", f"offline {values}", f"online {values}", f"online {values}", "clean r 4 /a b 2 1 2",
        f"online {values}", f"offline {values}", f"offline {values}",
    ]  # fmt: skip
    assert found["pause"] == 2.0, "the exit value is the seconds to wait"
    assert found["info"] == {"Size": "7", "Owner": "nobody"}
    assert found["action"] == "hello r /a b 2 1 2 you\n"
    assert found["confidence"] == 70
    assert "chmod 755" in found["not executable"]
    assert "there is no script" in found["no script"]
    assert found["no directory"].startswith("ERROR r: Directory '/nosuch' is no directory")
    assert found["no agent"].startswith("ERROR r: no agent for type Gadget | set AgentDirectory")
    assert "cannot be run" in found["bad shell"]


def test_clean_spares_what_may_be_anothers(tmp_path: Path) -> None:
    found = play(FILE, "together", tmp_path)
    assert found["states"][0] == ["ONLINE", "ONLINE"]
    assert found["states"][1][1] == "ONLINE"


@BOTH
def test_process(tmp_path: Path, isolation: str) -> None:
    found = play(FILE, "process", tmp_path, isolation)
    insist_a_whole_life(found)
    assert found["break"] < EVENT_LIMIT_MS
    assert "ended at once with 1" in found["ends at once"]
    assert found["no program"] == "r: /no/such cannot be executed | correct PathName"
    assert found["relative"].startswith("r has no PathName")
    assert found["stubborn"][0:2] == ["ok", "ONLINE"]
    assert found["stubborn"][3] is True, "what ignores SIGTERM is killed by clean"


def test_small_types(tmp_path: Path) -> None:
    found = play(FILE, "small", tmp_path)
    assert found["phantom"] == "ONLINE"
    assert found["without"] == ["OFFLINE", "ONLINE", "OFFLINE"]
    assert found["with"] == ["ONLINE", "OFFLINE", "ONLINE"]
    assert found["clean"] == [True, True, True]
    assert found["stays"] is True
    assert "set PathName to an absolute path" in found["no path"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: devices")
def test_nic(tmp_path: Path) -> None:
    found = play(FILE, "nic", tmp_path)
    assert found["states"] == ["OFFLINE", "OFFLINE", "ONLINE", "ONLINE", "OFFLINE"]
    assert found["why"] == "dum0: none of 10.78.0.9 answers"
    assert found["missing"] == ["OFFLINE", "ERROR r has no Device | set Device, for example eth0"]


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs here")
def test_systemd_refuses_what_the_guard_cannot_kill_and_where_it_is_not(tmp_path: Path) -> None:
    found = play(FILE, "systemd", tmp_path)
    assert "cannot kill a systemd unit | set on_expiry" in found["unguarded"]
    assert found["by kill"] == found["unguarded"]
    nowhere = "r: systemd does not run on alpha | use type LSB, OCF or Application, or boot the system with systemd"
    assert found["by reboot"] == found["accepted"] == nowhere
    assert found["monitor"] == f"ERROR {nowhere}"
