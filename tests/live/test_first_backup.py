"""The tutorial of the first backup, typed as it is printed."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-backup.md"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_every_command_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    commands = "".join(re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL))
    assert commands.count("holdfast ") >= 9
    script = commands.replace("127.0.0.1:1500", f"127.0.0.1:{free_port()}").replace(
        "server.toml &\n",
        "server.toml >server.log &\n"
        'trap "kill $!; wait" EXIT\n'
        "for _ in $(seq 300); do grep -q ready server.log && break; sleep 0.05; done\n",
    )
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-e"], input=script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "restored/letters/will.txt").read_text() == "all to the cat\n"
    lines = done.stdout.splitlines()
    runs = [line for line in lines if "objects backed up" in line]
    assert [re.match(r"(\d+) objects backed up", run)[1] for run in runs] == ["3", "0", "1"]  # type: ignore[index]
    versions = [line for line in lines if line.rstrip().endswith("/papers/letters/will.txt")]
    assert len(versions) == 2, done.stdout
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "laptop/passwords").rglob("*"))


def test_a_second_client_of_the_same_name_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    def holdfast(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "holdfast", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )

    assert holdfast("server", "new", "srv", "--address", f"127.0.0.1:{free_port()}").returncode == 0
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "holdfast", "server", "run", "--config", "srv/server.toml"], cwd=tmp_path, stdout=log
        )
    try:
        words = ("server", "add-client", "one", "--config", "srv/server.toml", "--into")
        while "ready" not in (tmp_path / "log").read_text():
            assert server.poll() is None
        assert holdfast(*words, "first").returncode == 0
        again = holdfast(*words, "second")
        assert again.returncode != 0
        assert "ANR2147E" in again.stderr
        assert not (tmp_path / "second").exists()
        full = holdfast("server", "new", "srv")
        assert full.returncode != 0
        assert "not empty" in full.stderr
    finally:
        server.terminate()
        server.wait(20)
