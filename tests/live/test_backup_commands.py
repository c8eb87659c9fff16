"""The commands as users type them: holdfast, dsmc and dsmadmc in processes of their own, against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab

from holdfast.runtime.secretfile import write_secret

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "two-sites"
HOLDFAST = [sys.executable, "-m", "holdfast.app.main"]


class Desk:
    """A working directory with option files, and a way to run commands in it."""

    def __init__(self, lab: backup_lab.Lab, directory: Path) -> None:
        self.lab, self.directory = lab, directory
        self.server = lab.servers["DELHI"]
        host, _, port = self.server.config.address.rpartition(":")
        self.fs = directory / "VCS"
        (self.fs / "tsm").mkdir(parents=True)
        (self.fs / "tsm" / "dsm.opt").write_text("SErvername TSM_VCS\n")
        (self.fs / "tsm" / "inclexcl").write_text(f"exclude {self.fs}/tsm/*.log\nexclude.dir {self.fs}/skip\n")
        (directory / "dsm.sys").write_text(
            f"SErvername TSM_VCS\n  TCPServeraddress {host}\n  TCPPort {port}\n  TLSSERVERNAME DELHI\n"
            f"  TLSIDENTITY {lab.directory / 'client'}\n  NODename VCSSHARE\n  PASSWORDAccess generate\n"
            f"  PASSWORDDIR {directory / 'pw'}\n  DOMain {self.fs}\n  INCLExcl {self.fs}/tsm/inclexcl\n"
            f"  ERRORLOGName {self.fs}/tsm/dsmerror.log\n"
        )
        self.optfile = str(self.fs / "tsm" / "dsm.opt")

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command line; expect its exit code; return what it printed on both streams."""
        env = {**os.environ, "DSM_DIR": str(self.directory)}
        done = subprocess.run([*HOLDFAST, *arguments], capture_output=True, text=True, env=env, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    lab = backup_lab.Lab(tmp_path)
    lab.server("DELHI")
    desk = Desk(lab, tmp_path)
    yield desk
    lab.close()


def test_example_macro_sets_the_server_up(desk: Desk) -> None:
    config = str(desk.server.config_file)
    desk.run("server", "command", "--config", config, "--macro", str(EXAMPLES / "delhi.mac"))
    again = desk.run("server", "command", "--config", config, "DEF STG TARGETCOPYPOOL TARGETCLASS PO=CO", code=10)
    assert "already defined" in again
    pools = json.loads(desk.run("server", "command", "--config", config, "q stg targetcopypool", "--json"))
    assert pools["rows"][0]["Device Class Name"] == "TARGETCLASS"
    log = desk.run("server", "command", "--config", config, "query actlog search=issued")
    assert "ANR2017I" in log
    assert "delhi-at-tokyo" not in log
    assert "vcsshare-password" not in log


def test_backup_and_restore_by_native_commands(desk: Desk, tmp_path: Path) -> None:
    config = str(desk.server.config_file)
    desk.run("server", "command", "--config", config, "register node vcsshare secret")
    write_secret(tmp_path / "secret", b"secret\n")
    desk.run("backup", "set-password", "--optfile", desk.optfile, "--password-file", str(tmp_path / "secret"))
    (desk.fs / "skip").mkdir()
    (desk.fs / "data").write_text("first")
    first = json.loads(desk.run("backup", "incremental", "--optfile", desk.optfile, "--json"))
    assert first["objects"] == 5  # the root, tsm, dsm.opt, inclexcl, data
    assert first["filespaces"][str(desk.fs)]["objects"] == 5
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(desk.fs), str(copy)], check=True)
    (copy / "data").write_text("second, on the copy")
    roots = f"{desk.fs}={copy}"
    arguments = ("backup", "incremental", str(desk.fs), "--optfile", desk.optfile, "--snapshotroot", roots, "--json")
    second = json.loads(desk.run(*arguments))
    assert second["bytes"] > 0
    back = tmp_path / "back"
    figures = json.loads(desk.run("restore", str(desk.fs), str(back), "--optfile", desk.optfile, "--json"))
    assert figures["objects"] == 5
    assert (back / "data").read_text() == "second, on the copy"


def test_dsmc_and_dsmadmc(desk: Desk, tmp_path: Path) -> None:
    write_secret(tmp_path / "admin", (desk.server.config.directory / "admin.password").read_bytes())
    admin = ("dsmadmc", "-id=admin", f"-passwordfile={tmp_path / 'admin'}", "-se=TSM_VCS", "-dataonly=yes")
    desk.run(*admin, "reg", "node", "vcsshare", "secret")
    assert "ANR2147E" in desk.run(*admin, "reg", "node", "vcsshare", "secret", code=10)
    assert "ANR2034E" in desk.run(*admin, "q", "vol", "NONE", code=11)
    comma = desk.run(*admin, "-comma", "q", "stg")
    assert comma.splitlines()[1].startswith("BACKUPPOOL,BACKUPPOOLCLASS,")
    (tmp_path / "bad.mac").write_text("define domain good\ndefine domian bad\n")
    wrong = desk.run(*admin, "macro", str(tmp_path / "bad.mac"), code=1)
    assert "bad.mac:2:8" in wrong
    assert "GOOD" not in desk.run(*admin, "q", "domain")
    write_secret(tmp_path / "secret", b"secret")
    desk.run("backup", "set-password", "--optfile", desk.optfile, "--password-file", str(tmp_path / "secret"))
    (desk.fs / "data").write_text("first")
    out = desk.run("dsmc", "incremental", f"-optfile={desk.optfile}")
    assert "Normal File-->" in out
    assert "Total number of objects backed up:                5" in out
    assert "Session established with server DELHI" in out
    spec = f"{desk.fs}/*"
    assert "data" in desk.run("dsmc", "q", "backup", spec, "-subdir=yes", f"-optfile={desk.optfile}")
    assert str(desk.fs) in desk.run("dsmc", "q", "fi", f"-optfile={desk.optfile}")
    assert "Excl Directory" in desk.run("dsmc", "query", "inclexcl", f"-optfile={desk.optfile}")
    desk.run("dsmc", "restore", spec, f"{tmp_path}/back/", "-subdir=yes", f"-optfile={desk.optfile}")
    assert (tmp_path / "back" / "data").read_text() == "first"
    one = f"{desk.fs}/tsm/inclexcl"
    desk.run("dsmc", "restore", one, f"{tmp_path}/one/", f"-optfile={desk.optfile}")
    assert os.listdir(tmp_path / "one") == ["inclexcl"]
    none = desk.run("dsmc", "restore", "/nowhere/*", "/tmp/x", f"-optfile={desk.optfile}", code=12)
    assert "ANS1302E" in none


def test_malformed_option_files_change_nothing(desk: Desk) -> None:
    system = desk.directory / "dsm.sys"
    good = system.read_text()
    system.write_text(good + "  NODNAME X\n")
    assert "dsm.sys:12:3: unknown option 'NODNAME'" in desk.run("dsmc", "i", f"-optfile={desk.optfile}", code=12)
    system.write_text(good.replace("TCPPort", "TCPPort x"))
    assert "dsm.sys:3:3" in desk.run("dsmc", "i", f"-optfile={desk.optfile}", code=12)
    system.write_text(good)
    (desk.fs / "tsm" / "inclexcl").write_text("exclude /a\n  exclud /b\n")
    assert "inclexcl:2:3" in desk.run("dsmc", "i", f"-optfile={desk.optfile}", code=12)
