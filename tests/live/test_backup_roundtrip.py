"""A client, a server and a nasty tree over TLS: what is restored is what was backed up, to the last attribute."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab

from holdfast.backup.plan.inclexcl import Rules, parse_list
from holdfast.backup.service.client.incremental import Figures, Incremental, Source
from holdfast.backup.service.client.restore import Restore, RestoreFigures, Selection, list_versions
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
        return Incremental(session, Source("/fs", str(root)), Rules(statements), None).run()


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
    names = ("first", "second", "third")
    for name in names:
        (tree / name).write_bytes(os.urandom(5_000_000))
    back_up(lab, tree)
    volume = next((tmp_path / "DELHI" / "pools" / "BACKUPPOOL").iterdir())
    data = bytearray(volume.read_bytes())
    data[2_000_000] ^= 1
    volume.write_bytes(data)
    figures = restore(lab, back)
    assert figures.exit_code == 12
    named = [name for name in names if any(f"/fs/{name}" in failure for failure in figures.failures)]
    assert 1 <= len(named) <= 2, "the damaged group holds parts of one file or of two neighbours"
    assert len(figures.failures) == len(named)
    assert all(volume.name in failure for failure in figures.failures)
    for name in names:
        if name in named:
            assert not (back / name).exists()
        else:
            assert (back / name).read_bytes() == (tree / name).read_bytes()


def test_damaged_content_is_stored_again_and_heals_older_versions(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree, back = tmp_path / "tree", tmp_path / "back"
    tree.mkdir()
    (tree / "first").write_bytes(os.urandom(3_000_000))
    back_up(lab, tree)
    volume = next((tmp_path / "DELHI" / "pools" / "BACKUPPOOL").iterdir())
    data = bytearray(volume.read_bytes())
    data[len(data) // 2] ^= 1
    volume.write_bytes(data)
    assert lab.servers["DELHI"].run("audit volume", name=volume.name, wait="YES").code != 0
    (tree / "same-content").write_bytes((tree / "first").read_bytes())
    assert back_up(lab, tree).stored_bytes > 2_900_000
    assert restore(lab, back).failures == []
    assert backup_lab.differences(tree, back) == ""


def test_policy_counts_versions_and_expiration_frees_the_pool(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    server = lab.servers["DELHI"]
    for number in range(4):
        (tree / "file").write_bytes(os.urandom(100_000 + number))
        back_up(lab, tree)
    with lab.session("DELHI", "N") as session:
        kept = [v for v in list_versions(session, Selection("/fs", inactive=True)) if v.key == b"file"]
    assert len(kept) == 2  # VEREXISTS of the STANDARD class
    expired = server.run("expire inventory", wait="YES")
    assert expired.code == 0
    assert msgspec.msgpack.decode(expired.figures["chunks"]) == 2
    assert restore(lab, tmp_path / "back").failures == []


def test_a_tree_deeper_than_any_path_comes_back(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree, back, levels = tmp_path / "tree", tmp_path / "back", 600
    tree.mkdir()
    here = os.open(tree, os.O_RDONLY)
    for level in range(levels):
        name = f"directory-{level:03d}"
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        if level % 100 == 0:
            os.close(os.open(f"file-{level}", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.write(bottom := os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=here), b"reached")
    os.close(bottom)
    os.close(here)
    assert levels * len("directory-000") > os.pathconf("/", "PC_PATH_MAX")
    figures = back_up(lab, tree)
    assert (figures.objects_failed, figures.objects) == (0, levels + 6 + 1 + 1)
    assert restore(lab, back).failures == []
    here = os.open(back, os.O_RDONLY)
    for level in range(levels):
        below = os.open(f"directory-{level:03d}", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with os.fdopen(os.open("bottom", os.O_RDONLY, dir_fd=here)) as file:
        assert file.read() == "reached"
    os.close(here)
    for root in (tree, back):
        subprocess.run(["rm", "-rf", str(root)], check=True)  # pytest's own removal cannot go so deep
