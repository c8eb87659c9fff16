"""The rest of what the OpenSVC page promises, against a real array: ages, zones, owners, thin targets, a bad dscli."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from arraylab import A, Lab
from baddscli import BadDscli
from test_opensvc import CONF, PAIRS, SERVICE, Agent


@pytest.fixture
def agent(lab: Lab, tmp_path: Path) -> Agent:
    found = Agent(lab, tmp_path)
    found.configure()
    found.make_copies()
    return found


def shown(agent: Agent) -> dict[str, object]:
    tree = json.loads(agent.svcmgr("print", "status", "--format", "json").stdout)
    found: dict[str, object] = tree["resources"]["sync#1"]
    return found


def by_zone(agent: Agent, zone: str) -> None:
    """From now on the array's dates are told in ``zone``."""
    program = agent.bin / f"dscli-{zone.replace('/', '-')}"
    program.write_text(f'#!/bin/sh\nTZ={zone} exec {agent.dscli} "$@"\n')
    program.chmod(0o755)
    text = agent.auth.read_text()
    agent.auth.write_text(re.sub(r"dscli = .*", f"dscli = {program}", text))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Chicago", "Asia/Kolkata", "Australia/Adelaide", "UTC"])
def test_the_age_of_a_copy_is_known_in_any_zone_of_the_array(agent: Agent, zone: str) -> None:
    by_zone(agent, zone)
    agent.configure(CONF + "sync_max_delay = 5m\n")
    assert agent.svcmgr("sync", "resync", "--force").returncode == 0
    assert shown(agent)["status"] == "up", shown(agent)
    again = agent.svcmgr("sync", "resync")
    assert (again.returncode, "less than sync_min_delay" in again.stderr) == (1, True), (
        "the least delay, from its dates"
    )


def test_a_copy_that_is_too_old_is_warned_of(agent: Agent) -> None:
    agent.configure(CONF + "sync_max_delay = 1s\n")
    assert agent.svcmgr("sync", "resync", "--force").returncode == 0
    time.sleep(2.1)
    told = shown(agent)
    assert told["status"] == "warn"
    assert "more than" in json.dumps(told)
    agent.configure(CONF)
    assert shown(agent)["status"] == "up"


@pytest.mark.root
def test_credentials_of_somebody_else_are_refused(agent: Agent) -> None:
    for path in (agent.auth, agent.pwfile):
        os.chown(path, 65534, 65534)
        refused = agent.svcmgr("sync", "resync", "--force")
        assert refused.returncode == 1
        assert "belongs to another user" in refused.stderr
        assert f"chown root {path}" in refused.stderr
        os.chown(path, 0, 0)
    assert agent.svcmgr("sync", "resync", "--force").returncode == 0


def test_a_password_file_is_made_as_the_page_shows_it(agent: Agent) -> None:
    agent.pwfile.unlink()
    words = ("managepwfile", "-action", "add", "-mc1", "1.2.3.4", "-mc2", "1.2.3.5", "-pwfile", str(agent.pwfile))
    made = subprocess.run(
        [agent.dscli, *words, "-name", "opensvc", "-pw", "xxx"], capture_output=True, text=True, env=agent.environment
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert [line.split()[0] for line in made.stdout.splitlines()] == ["CMUC00205I", "CMUC00206I", "CMUC00206I"]
    assert (agent.pwfile.stat().st_mode & 0o777, b"xxx" in agent.pwfile.read_bytes()) == (0o600, False)


def test_thin_and_other_targets_get_one_point_in_time_and_one_command(agent: Agent) -> None:
    agent.lab.a.client.change("mkvolume", ["0A01", "0A03"], size_bytes=1 << 20, sam="standard")
    agent.lab.a.client.change("mkvolume", ["0A02"], size_bytes=1 << 20, sam="standard")
    agent.lab.a.client.change("mkvolume", ["0A04"], size_bytes=1 << 20, sam="ese")
    pairs = ["0A01:0A02", "0A03:0A04"]
    agent.lab.a.client.change("mkflash", pairs, persist=True, record=True)
    agent.configure(CONF.replace(" ".join(PAIRS), " ".join(pairs)))
    done = agent.svcmgr("sync", "resync", "--force")
    assert done.returncode == 0, done
    assert done.stdout.count(f"resyncflash -dev {A} -persist -record -cp -tgtse 0A01:0A02 0A03:0A04 | ") == 1
    rows = {row["id"]: row["synced"] for row in agent.lab.a.client.run("flashes").rows}
    assert rows[pairs[0]] == rows[pairs[1]]


@pytest.mark.parametrize(
    ("mood", "told"),
    [
        ("garbage", "neither a table|dscli"), ("silence", "neither a table"), ("prompt", "asks for a user name"),
        ("crash", "exit code -9"), ("code5", "CMUC09999E"), ("code3", "CMUC09999E"),
    ],
)  # fmt: skip
def test_a_bad_dscli_is_told_with_a_remedy_and_stands_in_the_log(
    agent: Agent, tmp_path: Path, mood: str, told: str
) -> None:
    bad = BadDscli(tmp_path / "bad", agent.dscli)
    agent.environment |= bad.environment
    agent.auth.write_text(re.sub(r"dscli = .*", f"dscli = {bad.program}", agent.auth.read_text()))
    bad.mood(mood)
    before = agent.lab.a.client.run("flashes").rows
    refused = agent.svcmgr("sync", "resync", "--force")
    assert refused.returncode == 1
    assert re.search(told, refused.stderr), refused
    assert "remedy" in refused.stderr
    log = (agent.log / f"{SERVICE}.log").read_text()
    assert re.search(told, log), "who looks later finds it"
    assert shown(agent)["status"] == "undef"
    bad.mood("")
    assert agent.lab.a.client.run("flashes").rows == before, "nothing was changed"
    assert shown(agent)["status"] == "up"
    assert agent.svcmgr("sync", "resync", "--force").returncode == 0


def test_a_missing_dscli_is_named(agent: Agent) -> None:
    agent.auth.write_text(re.sub(r"dscli = .*", "dscli = /nonexistent/dscli", agent.auth.read_text()))
    refused = agent.svcmgr("sync", "resync", "--force")
    assert refused.returncode == 1
    assert "/nonexistent/dscli cannot be run" in refused.stderr
    assert "install dscli" in refused.stderr
