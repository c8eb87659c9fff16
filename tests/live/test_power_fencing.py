"""Fencing by programs: Debian's own fence_dummy, and agents that fail, hang, lie and babble, at a real cluster."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster

from holdfast.app.fencing import check_devices, read_devices
from holdfast.cluster.agents.power import FenceAgents
from holdfast.cluster.model.facts import Evidence, EvidenceKind
from holdfast.cluster.model.power import PowerDevice
from holdfast.kernel.errors import InputError, Refusal

AGENT = """\
#!{python}
import os, signal, sys, time
if "metadata" in sys.argv:
    print('<resource-agent name="fence_x"><parameters><parameter name="action" required="1"/>'
          '<parameter name="ip" required="1"/><parameter name="way" required="0"/>'
          '<parameter name="password"/></parameters>'
          '<actions><action name="off"/><action name="reboot"/><action name="status"/></actions></resource-agent>')
    sys.exit(0)
given = dict(line.rstrip("\\n").split("=", 1) for line in sys.stdin)
assert sys.argv[1:] == []
way, action = given.get("way", ""), given["action"]
state = "{directory}/" + given["ip"]
with open("{directory}/calls", "a") as file:
    file.write(action + " " + given["ip"] + "\\n")
if way == "hangs":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        time.sleep(600)
    time.sleep(600)
if way == "babbles":
    for _ in range(20000):
        sys.stdout.write("\\xff no, not today. " * 10)
if way in ("fails", "babbles"):
    print("cannot log in with", given.get("password"))
    sys.exit(1)
if action == "status":
    sys.exit(2 if os.path.exists(state) and way != "lies" else 0)
open(state, "w").close()
"""


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    program = tmp_path / "fence_x"
    program.write_text(AGENT.replace("{python}", sys.executable).replace("{directory}", str(tmp_path)))
    program.chmod(0o755)
    return program


def device(agent: Path, ip: str = "10.0.0.1", way: str = "", **more: object) -> PowerDevice:
    return PowerDevice(str(agent), {"ip": ip, "way": way}, timeout_s=more.pop("timeout_s", 20.0), **more)  # type: ignore[arg-type]


def end(*devices: PowerDevice) -> Evidence | Refusal:
    return asyncio.run(FenceAgents({"alpha": devices}, lambda _level, _text: None).end("alpha", "a-1"))


def test_only_a_confirmed_off_is_evidence(agent: Path) -> None:
    found = end(device(agent))
    assert isinstance(found, Evidence)
    assert (found.kind, found.system, found.incarnation) == (EvidenceKind.FENCED, "alpha", "a-1")
    lie = end(device(agent, way="lies"))
    assert isinstance(lie, Refusal)
    assert "its status is still on" in lie.reason


def test_the_next_level_is_tried_and_every_device_of_a_level_must_confirm(agent: Path) -> None:
    first, second = device(agent, way="fails"), device(agent, "10.0.0.2", level=2)
    assert isinstance(end(first, second), Evidence)
    both = end(device(agent, "10.0.0.3"), device(agent, "10.0.0.4", way="fails"))
    assert isinstance(both, Refusal)
    assert "10.0.0.4" in both.reason
    assert "10.0.0.3" not in both.reason


def test_an_agent_that_hangs_is_killed_with_what_it_started(agent: Path) -> None:
    began = time.monotonic()
    found = end(device(agent, way="hangs", timeout_s=1.0))
    assert isinstance(found, Refusal)
    assert "did not end within 1 s" in found.reason
    assert time.monotonic() - began < 30
    left = subprocess.run(["pgrep", "-f", str(agent)], capture_output=True, text=True, check=False).stdout
    assert left == ""


def test_a_secret_goes_to_the_agent_and_nowhere_else(agent: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    secret.chmod(0o600)
    told: list[str] = []
    agents = FenceAgents(
        {"alpha": [PowerDevice(str(agent), {"ip": "1", "way": "babbles"}, {"password": str(secret)})]},
        lambda _level, text: told.append(text),
    )
    found = asyncio.run(agents.end("alpha", "a-1"))
    assert isinstance(found, Refusal)
    assert "cannot log in with ***" in found.reason
    assert len(found.reason) < 2000
    assert "hunter2" not in found.reason + "".join(told)
    secret.chmod(0o644)
    refused = asyncio.run(agents.end("alpha", "a-1"))
    assert isinstance(refused, Refusal)
    assert "chmod 600" in refused.reason


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"agent": "fence_nothing"}, "there is no program"),
        ({"agent": "@AGENT@"}, "needs ip"),
        ({"agent": "@AGENT@", "parameters": {"ip": "1", "colour": "red"}}, "has no parameter 'colour'"),
        ({"agent": "@AGENT@", "parameters": {"ip": "1", "password": "x"}}, "does not belong among parameters"),
        ({"agent": "@AGENT@", "parameters": {"ip": "1"}, "action": "hug"}, "'hug' is not known"),
        ({"agent": "@AGENT@", "parameters": {"ip": "1"}, "when": "now"}, "'when' is not known"),
        ({"agent": "/bin/true", "parameters": {"ip": "1"}}, "metadata"),
        ({}, "names no agent"),
    ],
)
def test_a_device_that_cannot_work_is_refused_with_file_and_table(
    agent: Path, tmp_path: Path, row: dict[str, object], said: str
) -> None:
    given = {key: str(agent) if value == "@AGENT@" else value for key, value in row.items()}
    with pytest.raises(InputError) as caught:
        check_devices(read_devices({"fencing": {"alpha": [given]}}, tmp_path / "s.toml"), tmp_path / "s.toml")
    assert said in str(caught.value)
    assert "s.toml" in str(caught.value)
    assert "fencing.alpha" in str(caught.value)
    assert caught.value.remedy


def test_several_devices_cannot_each_reboot_a_system(agent: Path, tmp_path: Path) -> None:
    row = {"agent": str(agent), "parameters": {"ip": "1"}, "action": "reboot"}
    with pytest.raises(InputError, match="cannot each reboot"):
        read_devices({"fencing": {"alpha": [row, row]}}, tmp_path / "s.toml")


@pytest.mark.skipif(not Path("/usr/sbin/fence_dummy").exists(), reason="needs fence-agents")
def test_debians_own_agent_as_the_command_line_drives_it(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("on")
    config = tmp_path / "alpha.toml"
    config.write_text(
        'name = "alpha"\nstore = "embedded:///none"\nrun_directory = "/none"\n'
        f'[[fencing.beta]]\nagent = "fence_dummy"\nparameters = {{ status_file = "{status}" }}\n'
    )

    def fence(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "holdfast", "fence", *words, "--config", str(config), "--json"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert [row["state"] for row in json.loads(fence("status").stdout)] == ["on"]
    refused = fence("test", "beta", "--off")
    assert (refused.returncode, json.loads(refused.stdout)["error"]["id"]) == (3, "not-agreed"), refused
    assert status.read_text() == "on"
    assert fence("test", "beta").returncode == 0
    done = fence("test", "beta", "--off", "--yes")
    assert done.returncode == 0, done
    assert status.read_text() == "off"
    assert [row["state"] for row in json.loads(fence("status", "beta").stdout)] == ["off"]


class Fenced(Cluster):
    """A cluster of which alpha can be ended by the test's agent."""

    way = ""

    def more(self) -> str:
        parameters = f'{{ ip = "alpha", way = "{self.way}" }}'
        agent = self.directory / "fence_x"
        return f'[[fencing.alpha]]\nagent = "{agent}"\nparameters = {parameters}\ntimeout_s = 5\n'


@pytest.fixture
def cluster(tmp_path: Path, agent: Path) -> Iterator[Fenced]:
    made = Fenced(tmp_path, "marker")
    try:
        yield made
    finally:
        made.stop()


def lose_alpha(cluster: Fenced) -> None:
    """Alpha loses its power. (Stopped processes would keep the lock of the store's file that they may hold.)"""
    for pid in cluster.tree("alpha"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_lost_system_is_ended_before_its_group_starts_elsewhere(cluster: Fenced, tmp_path: Path) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"), 30)
    lose_alpha(cluster)
    state = cluster.until(cluster.online_on("beta"), 40)
    evidence = state.intents["web"].evidence
    assert evidence is not None
    assert evidence.kind is EvidenceKind.FENCED
    assert "fence_x ip=alpha confirms that it is off" in evidence.text
    assert (tmp_path / "calls").read_text().split("\n")[:2] == ["off alpha", "status alpha"]
    assert "beta" not in (tmp_path / "calls").read_text()


def test_without_confirmation_nothing_starts_until_a_person_says_so(cluster: Fenced) -> None:
    cluster.way = "fails"
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"), 30)
    lose_alpha(cluster)
    state = cluster.until(lambda state: state.notes.get("web") and state.notes["web"].code == "no-evidence", 30)
    assert "cannot log in" in state.notes["web"].text
    assert "holdfast fence confirm alpha" in state.notes["web"].remedy
    assert state.intents["web"].owner == "alpha"
    cluster.ask(lambda client: client.confirm_dead("alpha", "its cable is in my hand"))
    state = cluster.until(cluster.online_on("beta"), 30)
    assert state.intents["web"].evidence is not None
    assert state.intents["web"].evidence.kind is EvidenceKind.PERSON


def test_a_watchdog_that_must_be_had_and_cannot_keeps_the_system_from_starting(cluster: Fenced, tmp_path: Path) -> None:
    fake = tmp_path / "no-watchdog"
    fake.touch()
    outcomes = {}
    for mode in ("required", "automatic"):
        lines = f'watchdog = "{fake}"\nwatchdog_mode = "{mode}"\nlease_ttl_s = 2.6\n'
        path = tmp_path / f"{mode}.toml"
        path.write_text(
            f'name = "beta"\nstore = "{cluster.url}"\nrun_directory = "{tmp_path}/run-{mode}"\nisolation = "marker"\n'
            + lines
        )
        command = [sys.executable, "-m", "holdfast", "system", "run", "--config", str(path)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            process.wait(3.0)
        except subprocess.TimeoutExpired:
            process.terminate()
        outcomes[mode] = (process.wait(30), process.communicate()[1])
    assert outcomes["required"][0] == 1
    assert "watchdog_mode is required" in outcomes["required"][1]
    assert outcomes["automatic"][0] == 0, outcomes
    assert "no watchdog" in outcomes["automatic"][1]
