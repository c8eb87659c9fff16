"""A client, a server and a nasty tree over TLS: what is restored is what was backed up, to the last attribute."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab

from holdfast.backup.plan.inclexcl import Rules, parse_list
from holdfast.backup.service.client.incremental import Figures, Incremental, Source
from holdfast.backup.service.client.restore import Restore, RestoreFigures, Selection
from holdfast.kernel.errors import Refused


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[backup_lab.Lab]:
    lab = backup_lab.Lab(tmp_path)
    lab.server("DELHI").run("register node", name="N", password="secret", domain="STANDARD")
    yield lab
    lab.close()


def back_up(lab: backup_lab.Lab, root: Path, rules: str = "") -> Figures:
    with lab.session("DELHI", "N") as session:
        statements = parse_list(rules, "inclexcl")
        return Incremental(session, Source("/fs", str(root)), Rules(statements), lambda line: None).run()


def restore(lab: backup_lab.Lab, to: Path, **selection: object) -> RestoreFigures:
    with lab.session("DELHI", "N") as session:
        return Restore(session, str(to)).run(Selection("/fs", **selection))  # type: ignore[arg-type]


def test_nasty_tree_comes_back_whole(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree, back = tmp_path / "tree", tmp_path / "back"
    backup_lab.make_nasty_tree(tree)
    first = back_up(lab, tree)
    assert (first.objects_failed, first.failures) == (0, [])
    figures = restore(lab, back)
    assert figures.failures == []
    assert figures.objects == first.objects
    assert backup_lab.differences(tree, back) == ""
    assert (back / "sparse").stat().st_blocks * 512 < 1_000_000
    assert (back / "link-one").stat().st_nlink == 3


def test_second_run_stores_only_what_changed(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree, back = tmp_path / "tree", tmp_path / "back"
    backup_lab.make_nasty_tree(tree)
    back_up(lab, tree)
    quiet = back_up(lab, tree)
    assert (quiet.objects, quiet.objects_updated, quiet.objects_expired, quiet.stored_bytes) == (0, 0, 0, 0)
    before = time.time_ns()
    time.sleep(0.01)
    (tree / "zero").write_bytes(b"no longer")
    (tree / "a-c").unlink()
    (tree / "a" / "inside").chmod(0o600)
    second = back_up(lab, tree)
    assert (second.objects, second.objects_updated, second.objects_expired) == (2, 1, 1)  # zero and the root directory
    restore(lab, back)
    assert backup_lab.differences(tree, back) == ""
    old = tmp_path / "old"
    restore(lab, old, pit_ns=before)
    assert (old / "zero").read_bytes() == b""
    assert (old / "a-c").read_bytes() == b"sorts between"
    assert (old / "a" / "inside").stat().st_mode & 0o777 == 0o644


def test_excluded_objects_expire_and_directories_stay(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree, back = tmp_path / "tree", tmp_path / "back"
    (tree / "keep").mkdir(parents=True)
    (tree / "keep" / "x.log").write_text("x")
    (tree / "gone").mkdir()
    (tree / "gone" / "y").write_text("y")
    back_up(lab, tree)
    second = back_up(lab, tree, "exclude /fs/.../*.log\nexclude.dir /fs/gone\n")
    assert second.objects_expired == 3
    restore(lab, back)
    assert sorted(os.listdir(back)) == ["keep"]
    assert os.listdir(back / "keep") == []


def test_wrong_password_is_refused(lab: backup_lab.Lab) -> None:
    with pytest.raises(Refused, match="sign-on of N refused"):
        lab.session("DELHI", "N", "wrong")


def test_flipped_bit_names_object_and_volume_and_restores_the_rest(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree, back = tmp_path / "tree", tmp_path / "back"
    tree.mkdir()
    (tree / "first").write_bytes(os.urandom(5_000_000))
    (tree / "second").write_bytes(os.urandom(5_000_000))
    back_up(lab, tree)
    volume = next((tmp_path / "DELHI" / "pools" / "BACKUPPOOL").iterdir())
    data = bytearray(volume.read_bytes())
    data[2_000_000] ^= 1
    volume.write_bytes(data)
    figures = restore(lab, back)
    assert figures.exit_code == 12
    assert len(figures.failures) == 1
    assert "/fs/first" in figures.failures[0]
    assert volume.name in figures.failures[0]
    assert (back / "second").read_bytes() == (tree / "second").read_bytes()
    assert not (back / "first").exists()
