"""The page for those who come from TSM: every block that it marks as run is run here, word for word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab

from holdfast.runtime.secretfile import write_secret

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto" / "from-tsm.md").read_text()
BLOCK = re.compile(r"<!-- (run|macro) -->\n```\n(.*?)```", re.DOTALL)
NOTHING_YET = ("msgno=2578", "from summary")
"""What finds nothing on a server that was set up a moment ago."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[backup_lab.Lab]:
    lab = backup_lab.Lab(tmp_path)
    server = lab.server("DELHI")
    host, _, port = server.config.address.rpartition(":")
    (tmp_path / "dsm.sys").write_text(
        f"SErvername DELHI\n  TCPServeraddress {host}\n  TCPPort {port}\n  TLSIDENTITY {tmp_path / 'client'}\n"
    )
    write_secret(tmp_path / "admin.secret", (server.config.directory / "admin.password").read_bytes())
    (tmp_path / "delhi.toml").symlink_to(server.config_file)
    yield lab
    lab.close()


def test_the_page_is_true(lab: backup_lab.Lab, tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE)
    (tmp_path / "policy.mac").write_text(next(text for kind, text in blocks if kind == "macro"))
    lines = [line for kind, text in blocks if kind == "run" for line in text.splitlines()]
    assert len(lines) > 15
    env = {**os.environ, "DSM_DIR": str(tmp_path)}
    for line in lines:
        typed = line.replace("/root/admin.secret", str(tmp_path / "admin.secret"))
        words = shlex.split(typed)
        command = [sys.executable, "-m", "holdfast.app.main", *(words[1:] if words[0] == "holdfast" else words)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=60)
        expected = 11 if any(part in line for part in NOTHING_YET) else 0
        assert done.returncode == expected, f"{line}\n{done.stdout}{done.stderr}"
    shown = lab.servers["DELHI"].run("query event", domain="DELHI", begindate="-1", enddate="+1")
    assert {row[3] for row in shown.rows} == {"VCSSHARE"}
