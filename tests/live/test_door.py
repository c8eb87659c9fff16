"""Commands that the system daemon answers at its door: the same words, the same rights, and a way round when closed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, lab

QUESTIONS = (
    ("hastatus", "-sum"),
    ("hagrp", "-state"),
    ("hagrp", "-display", "web"),
    ("hares", "-dep"),
    ("hasys", "-state"),
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    for made in lab(tmp_path, "marker"):
        made.start("alpha", "beta")
        made.until(made.online_on("alpha"))
        yield made


def knock_at(cluster: Cluster, name: str, *words: str, store: str = "", **more: str) -> dict[str, object]:
    """Say a command at the door of a system as the thin client does; return what was answered."""
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(20)
        door.connect(str(cluster.directory / f"run-{name}" / "control.sock"))
        said = {"command": words[0], "arguments": list(words[1:]), "store": store or cluster.url, **more}
        door.sendall(json.dumps(said).encode() + b"\n")
        answer: dict[str, object] = json.loads(door.makefile("rb").readline())
        return answer


def typed(cluster: Cluster, *words: str, door: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOLDFAST_STORE": cluster.url, "HOLDFAST_SOCKET": str(door)}
    command = [sys.executable, "-m", "holdfast.app.main", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_the_door_says_what_the_command_itself_says(cluster: Cluster) -> None:
    for words in QUESTIONS:
        own = typed(cluster, *words, door=cluster.directory / "nobody")
        told = knock_at(cluster, "beta", *words)
        assert (told["code"], told["out"]) == (own.returncode, own.stdout), words
    refused = knock_at(cluster, "beta", "hagrp", "-state", "nothing")
    assert refused["code"] == 1
    assert "V-16-1-10133" in str(refused["err"])


def test_a_switch_at_the_door_moves_the_group_and_is_recorded(cluster: Cluster) -> None:
    done = typed(cluster, "hagrp", "-switch", "web", "-to", "beta", door=cluster.directory / "run-alpha/control.sock")
    assert (done.returncode, done.stderr) == (0, "")
    cluster.until(cluster.online_on("beta"))
    audit = typed(cluster, "cluster", "audit", "--json", door=cluster.directory / "nobody")
    assert "switch" in audit.stdout


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (("hagrp", "-state"), {"store": "embedded:///another"}),
        (("hagrp", "-state"), {"config": "/dev/null"}),
        (("hares", "-modify", "app", "Critical", "0"), {}),
        (("hastop", "-local"), {}),
    ],
)
def test_what_the_door_does_not_do_is_sent_elsewhere(
    cluster: Cluster, words: tuple[str, ...], more: dict[str, str]
) -> None:
    cluster.ask(_makerw)
    before = cluster.state().revisions["cluster/config"]
    assert knock_at(cluster, "alpha", *words, **more) == {"elsewhere": True}
    assert cluster.state().revisions["cluster/config"] == before


async def _makerw(client):  # type: ignore[no-untyped-def]
    from holdfast.app.configuration import set_writable

    return await set_writable(client._store, "root", True)


def test_a_daemon_that_is_stopped_is_not_waited_for_for_ever(cluster: Cluster) -> None:
    """Its lease lapses, the guard starts another, and that one answers."""
    os.kill(cluster.daemon_pid("alpha"), signal.SIGSTOP)
    done = typed(cluster, "hagrp", "-state", "web", door=cluster.directory / "run-alpha/control.sock")
    assert done.returncode == 0
    assert "web" in done.stdout


def test_garbage_at_the_door_harms_nobody(cluster: Cluster) -> None:
    path = str(cluster.directory / "run-alpha/control.sock")
    for line in (b"\n", b"{}\n", b"[1, 2]\n", b"\xff\xfe\n", b"x" * 200_000, b'{"command": 3, "arguments": "a"}\n'):
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(20)
            door.connect(path)
            try:
                door.sendall(line)
                door.shutdown(socket.SHUT_WR)
                door.recv(4096)
            except OSError:
                continue
    assert knock_at(cluster, "alpha", "hagrp", "-state", "web")["code"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user")
def test_a_stranger_is_sent_away(cluster: Cluster) -> None:
    script = (
        "import json, os, socket, sys\n"
        "os.setuid(65534)\n"
        "door = socket.socket(socket.AF_UNIX); door.connect(sys.argv[1])\n"
        "said = {'command': 'hagrp', 'arguments': ['-offline', 'web', '-sys', 'alpha']}\n"
        "door.sendall(json.dumps(said).encode() + b'\\n')\n"
        "print(door.makefile().readline())\n"
    )
    for parent in (cluster.directory, *cluster.directory.parents):
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    path = str(cluster.directory / "run-alpha/control.sock")
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout or "{}") == {"elsewhere": True}, done.stderr
    assert cluster.online_on("alpha")(cluster.state())
