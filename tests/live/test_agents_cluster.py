"""OCF agents under the engine, on two systems: a real web server that is started, killed, restarted and taken over."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, lab

from holdfast.cluster.agents.ocf_metadata import parse_name, read, type_block
from holdfast.cluster.model.facts import ResourceState
from holdfast.cluster.service.records import State

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: PID namespaces"),
    pytest.mark.skipif(not Path("/usr/lib/ocf/resource.d/heartbeat").is_dir(), reason="needs resource-agents"),
    pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx"),
]

MAIN_CF = """
include "types.cf"
include "DummyTypes.cf"
cluster trial ( )
system alpha ( )
system beta ( )
group web (
    SystemList = { alpha, beta }
    AutoStartList = { alpha }
    )
    OCF server (
        Agent = nginx
        Params @alpha = { configfile = "@DIR@/alpha/nginx.conf" }
        Params @beta = { configfile = "@DIR@/beta/nginx.conf" }
        RestartLimit = 1
        MonitorInterval = 60
        )
    OCF_heartbeat_Dummy ground (
        state @alpha = "@DIR@/alpha/ground"
        state @beta = "@DIR@/beta/ground"
        MonitorInterval = 1
        )
    Script above ( Directory = "@DIR@/script" Arguments = { "@DIR@/above" } MonitorInterval = 1 )
    above requires server
    server requires ground
"""

SCRIPTS = {
    "online": 'touch "$2"',
    "offline": 'rm -f "$2"',
    "clean": 'rm -f "$3"',
    "monitor": '[ -e "$2" ] && exit 110; exit 100',
}


def server(directory: Path, port: int) -> None:
    directory.mkdir()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "\n".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    (directory / "nginx.conf").write_text(
        f"user root;\npid {directory}/nginx.pid;\nerror_log {directory}/error.log;\nevents {{ }}\n"
        f"http {{ access_log off;\n{places}\nserver {{ listen 127.0.0.1:{port}; "
        f"location / {{ return 200 {directory.name}; }} }} }}\n"
    )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Cluster, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("alpha", "beta"):
        server(tmp_path / name, port)
    (tmp_path / "script").mkdir()
    for name, text in SCRIPTS.items():
        (tmp_path / "script" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "script" / name).chmod(0o755)
    dummy = parse_name("ocf:heartbeat:Dummy")
    (tmp_path / "DummyTypes.cf").write_text(type_block(dummy, read(dummy)))
    for cluster in lab(tmp_path, "auto"):
        cluster.load(MAIN_CF)
        yield cluster, port


def answer(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as found:
            return str(found.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


def masters(directory: Path) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (path / "cmdline").read_bytes()
            if line.startswith(b"nginx: master") and str(directory).encode() in line:
                found.append(int(path.name))
    return found


def test_a_real_service_is_restarted_in_place_then_taken_over(site: tuple[Cluster, int]) -> None:
    cluster, port = site
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"), 30)
    assert answer(port) == "alpha"
    (master,) = masters(cluster.directory / "alpha")
    began = time.monotonic()
    os.kill(master, signal.SIGKILL)
    cluster.until(lambda _: masters(cluster.directory / "alpha") not in ([], [master]), 20)
    assert time.monotonic() - began < 10, "the end of the server is an event: MonitorInterval is a minute"
    state = cluster.until(cluster.online_on("alpha"), 20)
    assert state.facts["web", "alpha"].resources["server"].restarts == 1
    assert answer(port) == "alpha", "its orphaned workers did not keep the port"
    for pid in cluster.tree("alpha"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cluster.until(cluster.online_on("beta"), 30)
    assert answer(port) == "beta"
    assert not masters(cluster.directory / "alpha")


def test_switch_and_offline(site: tuple[Cluster, int]) -> None:
    cluster, port = site
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"), 30)
    cluster.request("group.switch", system="beta", wait_s=30)
    cluster.until(cluster.online_on("beta"), 30)
    assert answer(port) == "beta"
    assert not (cluster.directory / "alpha/ground").exists()
    cluster.request("group.offline", wait_s=30)
    assert answer(port) == ""
    assert not (cluster.directory / "beta/ground").exists()
    assert not (cluster.directory / "above").exists()


def test_agents_reason_is_what_a_person_sees(site: tuple[Cluster, int]) -> None:
    """The ground is lost on one system, the server's file is wrong on the other: both details are the agents' own."""
    cluster, _ = site
    (cluster.directory / "beta/nginx.conf").write_text("this is no configuration")
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"), 30)
    (cluster.directory / "alpha/ground").unlink()

    def both(state: State) -> bool:
        facts = state.facts
        return facts["web", "alpha"].resources["ground"].faulted and facts["web", "beta"].resources["server"].faulted

    state = cluster.until(both, 40)
    assert "No process state file found" in state.facts["web", "alpha"].resources["ground"].detail
    failed = state.facts["web", "beta"].resources["server"]
    assert "start ended with" in failed.detail
    cluster.until(lambda now: now.facts["web", "beta"].resources["ground"].state is ResourceState.OFFLINE, 20)
