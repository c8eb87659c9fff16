"""The vault, end to end: pool and database to another server, disaster, recovery from kit and vault, reconcile."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab

from holdfast.app.backupserver import make_recovery_kit, recover_server
from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.client.incremental import Incremental, Source
from holdfast.backup.service.client.restore import Restore, Selection
from holdfast.backup.service.serverfile import load_config
from holdfast.backup.session import messages as m
from holdfast.runtime.secretfile import write_secret


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[backup_lab.Lab]:
    lab = backup_lab.Lab(tmp_path)
    delhi, tokyo = lab.server("DELHI"), lab.server("TOKYO")
    good(delhi.run("register node", name="N", password="secret"))
    good(tokyo.run("register node", name="DELHI", password="vaultpw", type="SERVER"))
    host, _, port = tokyo.config.address.rpartition(":")
    good(delhi.run("define server", name="TOKYO", password="vaultpw", hladdress=host, lladdress=port, nodename="DELHI"))
    good(delhi.run("define devclass", name="TARGETCLASS", devtype="SERVER", servername="TOKYO", maxcapacity="8M"))
    good(delhi.run("define stgpool", name="COPYPOOL", devclass="TARGETCLASS", pooltype="COPY", maxscratch="20"))
    yield lab
    lab.close()


def good(outcome: m.Outcome) -> m.Outcome:
    assert outcome.code == 0, outcome.messages
    return outcome


def figure(outcome: m.Outcome, name: str) -> object:
    return msgspec.msgpack.decode(outcome.figures[name])


def make_tree(root: Path) -> None:
    root.mkdir()
    for number in range(5):
        (root / f"file{number}").write_bytes(os.urandom(4_000_000))


def back_up(lab: backup_lab.Lab, root: Path) -> None:
    with lab.session("DELHI", "N") as session:
        Incremental(session, Source("/fs", str(root)), Rules([]), None).run()


def restore(lab: backup_lab.Lab, to: Path, pit_ns: int | None = None) -> list[str]:
    with lab.session("DELHI", "N") as session:
        return Restore(session, str(to)).run(Selection("/fs", pit_ns=pit_ns)).failures


def vault_and_lose(lab: backup_lab.Lab, tmp_path: Path) -> None:
    delhi = lab.servers["DELHI"]
    good(delhi.run("backup stgpool", primary="BACKUPPOOL", copy="COPYPOOL", wait="YES"))
    good(delhi.run("backup db", devclass="TARGETCLASS", type="FULL", wait="YES"))
    write_secret(tmp_path / "passphrase", b"correct horse\n")
    make_recovery_kit(delhi.config, tmp_path / "kit", tmp_path / "passphrase")
    delhi.stop(signal.SIGKILL)
    shutil.rmtree(delhi.config.directory)


def recover(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tokyo, old = lab.servers["TOKYO"], lab.servers["DELHI"]
    done = recover_server(
        tmp_path / "kit",
        tmp_path / "passphrase",
        tokyo.config.address,
        tmp_path / "DELHI-new",
        old.config.address,
        tmp_path / "DELHI-new.ready",
    )
    assert done.destroyed_volumes
    lab.servers["DELHI"] = backup_lab.LabServer("DELHI", done.config_file, load_config(done.config_file))
    lab.servers["DELHI"].start()


def test_lost_server_comes_back_from_the_vault(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    make_tree(tree)
    back_up(lab, tree)
    vault_and_lose(lab, tmp_path)
    recover(lab, tmp_path)
    assert restore(lab, tmp_path / "back") == []
    assert backup_lab.differences(tree, tmp_path / "back") == ""
    delhi = lab.servers["DELHI"]
    refused = delhi.run("backup db", devclass="TARGETCLASS", type="FULL", wait="YES")
    assert refused.code != 0
    assert "read-only" in " ".join(refused.messages)
    good(delhi.run("update server", name="TOKYO", forcesync="YES"))
    quiet = good(delhi.run("reconcile volumes", devclass="TARGETCLASS", fix="YES"))
    assert figure(quiet, "found") == []
    good(delhi.run("restore stgpool", primary="BACKUPPOOL", wait="YES"))
    lab.servers["TOKYO"].stop(signal.SIGKILL)
    assert restore(lab, tmp_path / "again") == []
    assert backup_lab.differences(tree, tmp_path / "again") == ""


def test_reconcile_finds_and_settles_what_was_planted(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    make_tree(tree)
    back_up(lab, tree)
    delhi, tokyo = lab.servers["DELHI"], lab.servers["TOKYO"]
    good(delhi.run("backup stgpool", primary="BACKUPPOOL", copy="COPYPOOL", wait="YES"))
    names = [row[0] for row in good(delhi.run("query volume", stgpool="COPYPOOL")).rows]
    assert len(names) >= 3
    kept = tmp_path / "TOKYO" / "pools" / "ARCHIVEPOOL" / "archive" / "DELHI" / "ADSM.SERVER"
    (kept / f"ADSM.{names[0]}").unlink()
    with open(kept / f"ADSM.{names[1]}", "ab") as file:
        file.write(b"more")
    good(tokyo.run("mark object", node="DELHI", name=f"ADSM.{names[2]}"))
    good(tokyo.run("copy object", node="DELHI", name=f"ADSM.{names[2]}", newname="ADSM.DELHI.BFS.999999999"))
    looked = good(delhi.run("reconcile volumes", devclass="TARGETCLASS", fix="NO"))
    cases = {entry["name"]: entry["case"] for entry in figure(looked, "found")}  # type: ignore[attr-defined]
    planted = {
        f"ADSM.{names[0]}": "no_file",
        f"ADSM.{names[1]}": "different",
        f"ADSM.{names[2]}": "marked",
        "ADSM.DELHI.BFS.999999999": "unknown_file",
    }
    assert cases == planted
    assert figure(looked, "settled") == []
    fixed = good(delhi.run("reconcile volumes", devclass="TARGETCLASS", fix="YES"))
    assert {entry["name"] for entry in figure(fixed, "settled")} == set(planted)  # type: ignore[attr-defined]
    access = {row[0]: row[6] for row in good(delhi.run("query volume", stgpool="COPYPOOL")).rows}
    assert {access[name] for name in names[:3]} == {"UNAVAILABLE"}
    after = figure(good(delhi.run("reconcile volumes", devclass="TARGETCLASS", fix="NO")), "found")
    assert {entry["case"] for entry in after} == {"no_file", "different"}  # type: ignore[attr-defined]


def test_incremental_database_series_and_a_damaged_primary(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    make_tree(tree)
    delhi = lab.servers["DELHI"]
    first = good(delhi.run("backup db", devclass="TARGETCLASS", wait="YES"))
    assert figure(first, "promoted") is True
    back_up(lab, tree)
    before = time.time_ns()
    (tree / "file0").unlink()
    back_up(lab, tree)
    good(delhi.run("backup stgpool", primary="BACKUPPOOL", copy="COPYPOOL", wait="YES"))
    second = good(delhi.run("backup db", devclass="TARGETCLASS", wait="YES"))
    assert figure(second, "full") is False
    for path in (tmp_path / "DELHI" / "pools" / "BACKUPPOOL").iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert restore(lab, tmp_path / "fromcopy") == []
    write_secret(tmp_path / "passphrase", b"correct horse")
    make_recovery_kit(delhi.config, tmp_path / "kit", tmp_path / "passphrase")
    delhi.stop(signal.SIGKILL)
    shutil.rmtree(delhi.config.directory)
    recover(lab, tmp_path)
    assert restore(lab, tmp_path / "now") == []
    assert sorted(os.listdir(tmp_path / "now")) == ["file1", "file2", "file3", "file4"]
    assert restore(lab, tmp_path / "then", before) == []
    assert len(os.listdir(tmp_path / "then")) == 5


def test_target_without_archive_copy_group_and_wrong_password(lab: backup_lab.Lab) -> None:
    delhi, tokyo = lab.servers["DELHI"], lab.servers["TOKYO"]
    for operation, args in (
        ("define domain", {"name": "BARE"}),
        ("define policyset", {"domain": "BARE", "name": "SET"}),
        ("define mgmtclass", {"domain": "BARE", "policyset": "SET", "name": "CLASS"}),
        ("assign defmgmtclass", {"domain": "BARE", "policyset": "SET", "name": "CLASS"}),
        ("activate policyset", {"domain": "BARE", "name": "SET"}),
        ("register node", {"name": "BARENODE", "password": "pw", "type": "SERVER", "domain": "BARE"}),
    ):
        good(tokyo.run(operation, **args))
    good(delhi.run("update server", name="TOKYO", nodename="BARENODE", password="pw"))
    refused = delhi.run("backup db", devclass="TARGETCLASS", type="FULL", wait="YES")
    assert "no archive copy group" in " ".join(refused.messages)
    good(delhi.run("update server", name="TOKYO", password="wrong"))
    assert "refused" in " ".join(delhi.run("backup db", devclass="TARGETCLASS", type="FULL", wait="YES").messages)
    assert delhi.run("define server", name="DELHI", password="x", hladdress="h", lladdress="1").code != 0
