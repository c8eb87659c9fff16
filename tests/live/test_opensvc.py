"""svcmgr as the OpenSVC page on IBM DS flash copy shows it: against a real software array, through a real dscli."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from arraylab import A, Lab
from clusterlab import Cluster

SERVICE = "iiststibmds"
PAIRS = ("0001:0002", "0101:0102", "0003:0004")
CONF = f"""\
[DEFAULT]
nodes = {{nodename}}

[sync#1]
type = ibmdssnap
array = {A}
pairs = {" ".join(PAIRS)}
bgcopy = true
recording = true
"""
LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - IISTSTIBMDS.SYNC#1 - INFO - "
BANNER = r"Date/Time: \w+ \d+, \d{4} \d+:\d\d:\d\d [AP]M \S+ IBM DSCLI Version: 7\.7\.10\.317 DS: "
REFUSING = """\
#!/bin/sh
read line
case "$line" in setenv*)
exec "$REAL" "$@" <<END
$line
$(cat)
END
esac
echo "CMUN03999E resyncflash: no" >&2
exit 4
"""


class Agent:
    """The agent's directories and its commands."""

    def __init__(self, lab: Lab, root: Path) -> None:
        self.lab, self.etc, self.var, self.log = lab, root / "etc", root / "var", root / "log"
        self.bin = root / "bin"
        for directory in (self.etc, self.var):
            directory.mkdir()
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("HOLDFAST_")},
            "HOLDFAST_IDENTITY": str(lab.identity), "OSVCETC": str(self.etc), "OSVCVAR": str(self.var),
            "OSVCLOG": str(self.log),
        }  # fmt: skip
        self.holdfast("dialect", "install", "--into", str(self.bin))
        self.dscli = self.bin / "dscli"
        self.auth = self.etc / "auth.conf"
        self.auth.write_text(
            f"[{A}]\ntype = ibmds\nhmc1 = {lab.a.management}\nhmc2 =\nusername = admin\ndscli = {self.dscli}\n"
        )
        self.auth.chmod(0o600)
        self.pwfile = self.var / f"{A}.pwfile"
        words = ("managepwfile", "-action", "add", "-mc1", lab.a.management, "-pwfile", str(self.pwfile))
        subprocess.run(
            [self.dscli, *words, "-name", "admin", "-pw", "-"],
            input="secret\n", text=True, check=True, env=self.environment, capture_output=True,
        )  # fmt: skip

    def holdfast(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "holdfast", *words]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=60, check=False)

    def svcmgr(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.holdfast("svcmgr", "-s", SERVICE, *words)

    def configure(self, text: str = CONF) -> None:
        (self.etc / f"{SERVICE}.conf").write_text(text)

    def make_copies(self) -> None:
        volumes = [volume for pair in PAIRS for volume in pair.split(":")]
        self.lab.a.client.change("mkvolume", volumes, size_bytes=1 << 20, sam="standard")
        self.lab.a.client.change("mkflash", list(PAIRS), persist=True, record=True)


@pytest.fixture
def agent(lab: Lab, tmp_path: Path) -> Agent:
    found = Agent(lab, tmp_path)
    found.configure()
    found.make_copies()
    return found


def test_the_two_examples_of_the_page_give_its_lines(agent: Agent) -> None:
    agent.configure(CONF + "sync_min_delay = 0\n")
    started = (
        "svcmgr -s iiststibmds stop && \\\n  svcmgr -s iiststibmds sync resync && \\\n  svcmgr -s iiststibmds start"
    )
    path = f"{agent.bin}:{os.environ['PATH']}"
    first = subprocess.run(started, shell=True, capture_output=True, text=True, env={**agent.environment, "PATH": path})
    assert (first.returncode, first.stderr) == (0, ""), first
    done = agent.svcmgr("sync", "resync")
    assert (done.returncode, done.stderr) == (0, ""), done
    dscli = re.escape(f"{agent.dscli} -hmc1 {agent.lab.a.management} -user admin -pwfile {agent.pwfile}")
    pairs = " ".join(PAIRS)
    messages = "\n".join(
        f"CMUC00168I resyncflash: FlashCopy volume pair {pair} successfully resynchronized." for pair in PAIRS
    )
    expected = (
        f"{LINE}resyncflash -dev {re.escape(A)} -persist -record -cp {pairs} \\| {dscli}\n"
        f"{LINE}{BANNER}\\S+\n\n {BANNER}{re.escape(A)}\n\n{re.escape(messages)}\n"
    )
    assert re.fullmatch(expected, done.stdout), done.stdout
    assert done.stdout in (agent.log / f"{SERVICE}.log").read_text()


def test_a_resync_brings_the_targets_up_to_date_and_the_state_up(agent: Agent) -> None:
    with_data = agent.lab.a.open(volume="0001")
    with_data.pwrite(b"new bytes" + bytes(503), 0)
    with_data.flush()
    with_data.close()
    assert agent.lab.a.digest("0001") != agent.lab.a.digest("0002")
    assert agent.svcmgr("sync", "resync", "--force").returncode == 0
    assert agent.lab.a.digest("0001") == agent.lab.a.digest("0002")
    tree = json.loads(agent.svcmgr("print", "status", "--format", "json").stdout)
    assert tree["overall"] == "up"
    assert tree["resources"]["sync#1"]["status"] == "up"
    assert agent.svcmgr("status").returncode == 0


def test_a_set_can_be_frozen_while_it_gets_its_point_in_time(agent: Agent) -> None:
    agent.configure(CONF + "freeze = true\n")
    done = agent.svcmgr("sync", "resync", "--force")
    assert done.returncode == 0, done
    assert f"unfreezeflash -dev {A} 00 01" in done.stdout
    assert done.stdout.count("CMUC00172I") == 2
    with agent.lab.a.open(volume="0001") as client:
        client.pwrite(b"goes on".ljust(512, b"."), 0)


def test_the_least_delay_holds_and_force_bypasses_it(agent: Agent) -> None:
    assert agent.svcmgr("sync", "resync", "--force").returncode == 0
    again = agent.svcmgr("sync", "resync")
    assert again.returncode == 1
    assert "less than sync_min_delay" in again.stderr
    assert agent.svcmgr("sync", "resync", "--force").returncode == 0


def test_credentials_that_others_can_read_are_refused(agent: Agent) -> None:
    for path in (agent.auth, agent.pwfile):
        path.chmod(0o644)
        refused = agent.svcmgr("sync", "resync", "--force")
        assert refused.returncode == 1
        assert "mode 644" in refused.stderr
        assert f"chmod 600 {path}" in refused.stderr
        path.chmod(0o600)


def test_a_missing_pair_is_warned_of_and_refused(agent: Agent) -> None:
    agent.configure(CONF.replace(PAIRS[2], "0003:0005"))
    refused = agent.svcmgr("sync", "resync", "--force")
    assert refused.returncode == 1
    assert "0003:0005 are not in the persistent flash copy list" in refused.stderr
    shown = agent.svcmgr("print", "status").stdout
    assert re.search(r"sync#1 +\.\.\.\. +warn", shown), shown


def test_a_failing_resync_still_runs_the_post_trigger(agent: Agent) -> None:
    mark = agent.etc / "mark"
    more = f"snap = true\npresnap_trigger = /bin/true\npostsnap_trigger = /usr/bin/touch {mark}\n"
    agent.configure(CONF + more)
    agent.lab.a.client.change("mkvolume", ["0009"], size_bytes=1 << 20)
    refusing = agent.bin / "refusing"
    refusing.write_text(REFUSING)
    refusing.chmod(0o755)
    agent.auth.write_text(agent.auth.read_text().replace(str(agent.dscli), str(refusing)))
    agent.environment["REAL"] = str(agent.dscli)
    failed = agent.svcmgr("sync", "resync", "--force")
    assert failed.returncode == 1, failed
    assert "CMUN03999E" in failed.stderr
    assert mark.exists()


def test_the_scheduler_runs_what_is_due_and_only_that(agent: Agent) -> None:
    agent.configure(CONF + "schedule = @0\n")
    assert agent.holdfast("nodemgr", "schedulers").returncode == 0
    assert "skip" in agent.svcmgr("logs").stdout
    agent.configure(CONF + "schedule = *\nsync_min_delay = 0\n")
    ran = agent.holdfast("nodemgr", "schedulers")
    assert "CMUC00168I" in ran.stdout, ran
    assert "*" in agent.svcmgr("print", "schedule").stdout


def test_bad_words_and_files_change_nothing(agent: Agent) -> None:
    for words, said in (
        (("sync", "split"), "do not know this action"),
        (("explode",), "there is no action"),
        (("--colour", "status"), "there is no option"),
    ):
        refused = agent.svcmgr(*words)
        assert refused.returncode == 1
        assert said in refused.stderr
        assert "remedy" in refused.stderr
    agent.configure(CONF.replace("bgcopy = true", "bgcopy = maybe"))
    refused = agent.svcmgr("sync", "resync", "--force")
    assert refused.returncode == 1
    assert f"{SERVICE}.conf:8:1" in refused.stderr


WEB = """\
[DEFAULT]
nodes = alpha beta

[app#1]
start = touch {env.dir}/{nodename}
stop = rm -f {env.dir}/{nodename}
check = test -e {env.dir}/{nodename}

[env]
dir = @DIR@
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, "marker")
    made.load('include "types.cf"\ncluster trial ( )\nsystem alpha ( )\nsystem beta ( )\n')
    try:
        made.start("alpha", "beta")
        yield made
    finally:
        made.stop()


def test_a_service_with_an_application_becomes_a_group_and_must_be_down_to_resync(
    agent: Agent, cluster: Cluster, tmp_path: Path
) -> None:
    agent.environment["HOLDFAST_SYSTEM_CONFIG"] = str(tmp_path / "alpha.toml")
    given = tmp_path / "web.conf"
    given.write_text(WEB.replace("@DIR@", str(tmp_path)).replace("{nodename}", "running") + CONF.partition("\n\n")[2])

    def svcmgr(*words: str) -> subprocess.CompletedProcess[str]:
        return agent.holdfast("svcmgr", "-s", "web", *words)

    created = svcmgr("create", "--config", str(given))
    assert created.returncode == 0, created
    cluster.until(cluster.online_on("alpha"), 30)
    assert (tmp_path / "running").exists()
    refused = svcmgr("sync", "resync", "--force")
    assert refused.returncode == 1
    assert "the service is not down on alpha" in refused.stderr
    stopped = svcmgr("stop")
    assert stopped.returncode == 0, stopped
    assert not (tmp_path / "running").exists()
    assert svcmgr("sync", "resync", "--force").returncode == 0
    started = svcmgr("start")
    assert started.returncode == 0, started
    cluster.until(cluster.online_on("alpha"), 30)
    tree = json.loads(svcmgr("print", "status", "--format", "json").stdout)
    assert (tree["resources"]["app#1"]["status"], tree["overall"]) == ("up", "up")
    frozen = svcmgr("freeze")
    assert frozen.returncode == 0, frozen
    assert cluster.state().intents["web"].frozen
