"""Debian's resource agents through their whole life: probe, online, broken, clean, restart, offline, each twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from agentbench import play as bench_play

from holdfast.cluster.ports import OUTPUT_LIMIT_BYTES

EVENT_LIMIT_MS = 4000
"""Within this the end of a process is seen. The bench waits for it five seconds, and nothing else would show it."""
AGENTS = Path("/usr/lib/ocf/resource.d/heartbeat")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts, addresses, users"),
    pytest.mark.skipif(not AGENTS.is_dir(), reason="needs resource-agents"),
]


def play(scene: str, directory: Path) -> dict[str, Any]:
    return bench_play("ocfscenes.py", scene, directory)


def insist_a_whole_life(found: dict[str, Any], seen: str = "OFFLINE") -> None:
    """Every step ended as it should; ``seen`` is what the monitor after the break says."""
    assert found["probe"] == "OFFLINE"
    assert found["monitor"] == found["after restart"] == "ONLINE"
    assert found["seen"] == seen
    assert found["clean"] is True
    assert found["after clean"] == found["after offline"] == "OFFLINE"
    for step in ("stop of a stopped one", "online", "online again", "restart", "offline", "offline again"):
        assert found[step] == "ok", step


def test_dummy(tmp_path: Path) -> None:
    found = play("dummy", tmp_path)
    insist_a_whole_life(found)
    assert "No process state file found" in found["why"], "the agent's own reason is the detail"
    assert found["parameter"] is True


def test_type_made_from_metadata(tmp_path: Path) -> None:
    insist_a_whole_life(play("imported", tmp_path))


def test_filesystem_on_a_loop_device(tmp_path: Path) -> None:
    found = play("filesystem", tmp_path)
    insist_a_whole_life(found)
    assert found["stop kills who uses it"] == "ok"
    assert found["holder"] in (-15, -9)
    assert found["mount events"] is True


def test_address(tmp_path: Path) -> None:
    found = play("ipaddr2", tmp_path)
    insist_a_whole_life(found)
    assert found["address events"] is True


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_nginx_whose_master_is_killed(tmp_path: Path) -> None:
    """Its workers live on and hold the port, of which the agent knows nothing: clean must end them."""
    found = play("nginx", tmp_path)
    insist_a_whole_life(found)
    assert found["break"] < EVENT_LIMIT_MS, "the end of the master is an event"


@pytest.mark.skipif(not Path("/usr/lib/postgresql").is_dir(), reason="needs postgresql")
def test_postgresql_whose_postmaster_is_killed(tmp_path: Path) -> None:
    found = play("postgres", tmp_path)
    insist_a_whole_life(found)
    assert found["break"] < EVENT_LIMIT_MS
    assert "automatic recovery in progress" in found["log"], "it was killed, not stopped"


def test_codes_of_an_agent_that_answers_everything(tmp_path: Path) -> None:
    """Probe and recurring monitor read the same code differently; a stop that says 7 has failed."""
    found = play("codes", tmp_path)
    assert found["probe"] == {
        "0": "ONLINE 100", "1": "UNKNOWN 0", "2": "UNKNOWN 0", "5": "UNKNOWN 0", "6": "UNKNOWN 0", "7": "OFFLINE 0",
        "8": "ONLINE 100", "9": "UNKNOWN 0", "190": "ONLINE 50", "191": "ONLINE 50", "200": "UNKNOWN 0",
    }  # fmt: skip
    assert found["recurring"] == {
        "0": "ONLINE 100", "1": "broken", "2": "broken", "5": "broken", "6": "broken", "7": "OFFLINE 0",
        "8": "ONLINE 100", "9": "broken", "190": "ONLINE 50", "191": "ONLINE 50", "200": "UNKNOWN 0",
    }  # fmt: skip
    assert "5 (something it needs is not installed): because 5" in found["detail"]
    assert "stop ended with 7 (not running)" in found["stop"]
    assert found["clean after stop 7"] == [True, "probe says it is gone"]
    assert found["clean while it runs"] is False
    assert found["environment"]["OCF_RESKEY_CRM_meta_interval"] == ["0", "10000"]
    assert found["environment"]["OCF_CHECK_LEVEL"] == ["20", "20"]
    assert found["environment"]["OCF_RESOURCE_INSTANCE"] == ["r", "r"]
    assert found["environment"]["OCF_RESKEY_word"] == ["two words", "two words"]


def test_what_cannot_be_is_refused_with_a_remedy(tmp_path: Path) -> None:
    found = play("refusals", tmp_path)
    assert found["no agent"] == "ERROR r: no Agent | set Agent, for example Agent = Dummy"
    assert found["no provider"].startswith("ERROR r: there is no OCF provider 'nobody' | providers here are ")
    assert found["unknown agent"].startswith("ERROR r: provider heartbeat has no agent 'Dumy' | see ")
    assert found["a path"].startswith("ERROR r: 'ocf:../../bin:sh' does not name an OCF agent")
    assert found["not executable"].startswith(f"ERROR r: {tmp_path}/ocf/resource.d/test/flood cannot be executed")
    assert found["required"] == 'ERROR r: ocf:heartbeat:IPaddr2 needs ip | set Params = { ip = "..." }'
    assert found["flood"] < OUTPUT_LIMIT_BYTES + 8192
    assert found["never returns"][0] == "TIMEOUT monitor ran out of time"
    assert found["never returns"][1] == 0, "nothing of its session is left"
