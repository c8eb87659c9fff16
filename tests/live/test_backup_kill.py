"""kill -9 of the server at random moments: it restarts, nothing acknowledged is lost, the next run resumes."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab

from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.client import staging
from holdfast.backup.service.client.incremental import Incremental, Source
from holdfast.backup.service.client.restore import Restore, Selection
from holdfast.kernel.errors import HoldfastError

ROUNDS = 6


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[backup_lab.Lab]:
    lab = backup_lab.Lab(tmp_path)
    lab.server("DELHI").run("register node", name="N", password="secret", domain="STANDARD")
    yield lab
    lab.close()


def run_once(lab: backup_lab.Lab, tree: Path) -> bool:
    try:
        with lab.session("DELHI", "N") as session:
            Incremental(session, Source("/fs", str(tree)), Rules([]), None).run()
    except HoldfastError:
        return False
    return True


def test_server_killed_at_random_points(
    lab: backup_lab.Lab, tmp_path: Path, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_COMMIT_OBJECTS", 40)
    tree = tmp_path / "tree"
    tree.mkdir()
    server = lab.servers["DELHI"]
    for number in range(ROUNDS):
        for index in range(120):
            (tree / f"r{number}-{index}").write_bytes(rng.randbytes(rng.randrange(1, 60_000)))
        (tree / f"r{number}-0").unlink()
        pid = server.process.pid  # type: ignore[union-attr]
        delay = rng.uniform(0.0, 0.6)
        timer = threading.Timer(delay, os.kill, (pid, signal.SIGKILL))
        timer.start()
        run_once(lab, tree)
        timer.cancel()
        timer.join()
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
        server.stop(signal.SIGKILL)
        server.start()
        time.sleep(0.01)
    assert run_once(lab, tree)
    with lab.session("DELHI", "N") as session:
        figures = Restore(session, str(tmp_path / "back")).run(Selection("/fs"))
    assert figures.failures == []
    assert backup_lab.differences(tree, tmp_path / "back") == ""


def test_acknowledged_commits_survive_and_torn_tails_are_cut(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "kept").write_bytes(os.urandom(1_000_000))
    assert run_once(lab, tree)
    server = lab.servers["DELHI"]
    server.stop(signal.SIGKILL)
    volume = next((tmp_path / "DELHI" / "pools" / "BACKUPPOOL").iterdir())
    with open(volume, "ab") as file:
        file.write(b"HFRC half a record that was never acknowledged")
    server.start()
    (tree / "more").write_bytes(os.urandom(1_000_000))
    assert run_once(lab, tree)
    assert server.run("audit volume", name=volume.name, wait="YES").code == 0
    rebuilt = server.run("rebuild stgpool", name="BACKUPPOOL", wait="YES")
    assert ": 0 groups of" in " ".join(rebuilt.messages)
    with lab.session("DELHI", "N") as session:
        assert Restore(session, str(tmp_path / "back")).run(Selection("/fs")).failures == []
    assert backup_lab.differences(tree, tmp_path / "back") == ""
