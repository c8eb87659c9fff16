"""The client's inventory file: it makes a run cheap, and it never changes what a run does.

The same random changes go to two nodes, one with an inventory file and one without: both must see the same objects, and
what is restored is what is on the disk.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab

from holdfast.backup.model.objects import Entry, Kind, Known, Stat
from holdfast.backup.plan.inclexcl import Rules, parse_list
from holdfast.backup.service.client.delivery import Delivery, Terms
from holdfast.backup.service.client.incremental import Figures, Incremental, Source
from holdfast.backup.service.client.inventory import gathered, open_inventory, precedes
from holdfast.backup.service.client.restore import Restore, Selection
from holdfast.backup.service.client.scan import Scanner, facts

NOTHING = Stat(0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[backup_lab.Lab]:
    lab = backup_lab.Lab(tmp_path)
    server = lab.server("DELHI")
    for node in ("WITH", "WITHOUT"):
        server.run("register node", name=node, password="secret", domain="STANDARD")
    yield lab
    lab.close()


def back_up(lab: backup_lab.Lab, node: str, tree: Path, inventory: Path | None = None, rules: str = "") -> Figures:
    with lab.session("DELHI", node) as session:
        chosen = Rules(parse_list(rules, "inclexcl"))
        return Incremental(session, Source("/fs", str(tree)), chosen, None, inventory=inventory).run()


def archive(lab: backup_lab.Lab, node: str, directory: Path, key: bytes) -> None:
    name = key.rpartition(b"\0")[2]
    descriptor = os.open(directory, os.O_RDONLY)
    with lab.session("DELHI", node) as session:
        delivery = Delivery(
            session, Source("/fs", ""), Terms(archive=True, description="kept"), lambda: (descriptor, name), None, 1
        )
        delivery.open()
        assert delivery.store(Entry(key, Kind.FILE, facts(os.lstat(name, dir_fd=descriptor))), None)
        delivery.finish()
        delivery.close()
    os.close(descriptor)


def mutate(tree: Path, rng: random.Random) -> None:
    """Make, change, rename and remove a few things anywhere in the tree."""
    places = [tree, *(path for path in sorted(tree.rglob("*")) if path.is_dir() and not path.is_symlink())]
    for _ in range(rng.randrange(1, 8)):
        place = rng.choice(places)
        if not place.is_dir():
            continue
        name = rng.choice(["a", "a-b", "a b", "b", "c", "\u00e9", "z\x01", "a.d"])
        target = place / name
        what = rng.randrange(6)
        if what == 0 and not target.exists():
            target.mkdir()
            places.append(target)
        elif what in (1, 2) and not target.is_dir():
            target.write_bytes(rng.randbytes(rng.randrange(3_000)))
        elif what == 3 and target.is_dir():
            shutil.rmtree(target)
        elif what == 4 and target.exists():
            os.chmod(target, rng.choice([0o700, 0o755, 0o777]))
        elif target.exists() and not (place / (name + "x")).exists():
            target.rename(place / (name + "x"))


def comparable(figures: Figures) -> dict[str, object]:
    kept = ("objects_inspected", "objects", "objects_updated", "objects_expired", "objects_failed", "bytes_inspected")
    return {name: value for name, value in asdict(figures).items() if name in kept}


def test_random_changes_are_seen_the_same_with_and_without_a_file(
    lab: backup_lab.Lab, tmp_path: Path, rng: random.Random
) -> None:
    tree, file = tmp_path / "tree", tmp_path / "inventory"
    tree.mkdir()
    for turn in range(25):
        mutate(tree, rng)
        accident = rng.randrange(8)
        if accident == 0:
            file.unlink(missing_ok=True)
        elif accident == 1 and file.exists():
            data = bytearray(file.read_bytes())
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            file.write_bytes(data)
        elif accident == 2 and file.exists():
            os.truncate(file, rng.randrange(file.stat().st_size))
        elif accident == 3:
            back_up(lab, "WITH", tree)  # from elsewhere: the file's generation is past
        rules = "exclude.dir /fs/a" if turn % 7 == 5 else ""
        with_file = back_up(lab, "WITH", tree, file, rules)
        without = back_up(lab, "WITHOUT", tree, None, rules)
        if accident != 3:
            assert comparable(with_file) == comparable(without), f"turn {turn}"
    back_up(lab, "WITH", tree, file)
    with lab.session("DELHI", "WITH") as session:
        assert Restore(session, str(tmp_path / "back")).run(Selection("/fs")).failures == []
    assert backup_lab.differences(tree, tmp_path / "back") == ""


def test_a_quiet_run_believes_the_file_and_a_changed_server_is_asked(lab: backup_lab.Lab, tmp_path: Path) -> None:
    tree, file = tmp_path / "tree", tmp_path / "inventory"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "one").write_text("one")
    os.utime(tree / "sub" / "one", ns=(1, 1))
    back_up(lab, "WITH", tree, file)
    back_up(lab, "WITH", tree, file)  # what was written within a clock tick before is read again once
    quiet = back_up(lab, "WITH", tree, file)
    assert (quiet.objects, quiet.objects_expired, quiet.objects_inspected) == (0, 0, 3)
    before = open_inventory(file)
    assert before is not None
    assert before.header.generation
    before.close()
    (tree / "sub" / "one").unlink()
    assert back_up(lab, "WITH", tree).objects_expired == 1  # by a client without the file
    (tree / "sub" / "one").write_text("one again")
    assert back_up(lab, "WITH", tree, file).objects >= 1


@pytest.mark.parametrize("seed", range(40))
def test_a_listing_in_key_order_gathers_into_the_scanners_order(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    tree = tmp_path / "tree"
    tree.mkdir()
    for _ in range(12):
        mutate(tree, rng)
    scanner = Scanner(os.fsencode(tree), "/fs", Rules([]), "", lambda text: pytest.fail(text))
    scanned = {}
    order = []
    for listing in scanner.directories():
        order.append(listing.key)
        scanned[listing.key] = [entry.key for entry in scanner.entries(listing)]
    keys = sorted(key for found in scanned.values() for key in found)
    records = list(gathered(Known(key, Kind.FILE, NOTHING, b"", "") for key in keys))
    assert [record.key for record in records] == [key for key in order if scanned[key]]
    assert all([row.key for row in record.rows()] == scanned[record.key] for record in records)
    assert all(precedes(a, b) and not precedes(b, a) for n, a in enumerate(order) for b in order[n + 1 :])


def test_inventory_files_are_no_part_of_a_backup_and_do_not_stir_their_directory(
    lab: backup_lab.Lab, tmp_path: Path
) -> None:
    tree = tmp_path / "fs"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "password").write_text("kept")
    file = tree / "etc" / "inventories" / "one"
    file.parent.mkdir()
    with lab.session("DELHI", "WITH") as session:
        runs = [
            Incremental(session, Source(str(tree), str(tree)), Rules([]), None, inventory=file).run() for _ in range(5)
        ]
    assert file.exists()
    assert [run.objects_inspected for run in runs] == [3] * 5
    counts = [run.objects for run in runs]
    assert counts[0] == 3
    assert counts[2:] == [0, 0, 0], counts  # what was written within a clock tick before is read again once
    (tree / "etc" / "new").write_text("new")
    with lab.session("DELHI", "WITH") as session:
        changed = Incremental(session, Source(str(tree), str(tree)), Rules([]), None, inventory=file).run()
    assert (changed.objects, changed.objects_failed) == (2, 0)  # the file, and the directory that it is new in


def test_what_the_server_no_longer_has_is_stored_again_whatever_the_file_says(
    lab: backup_lab.Lab, tmp_path: Path
) -> None:
    tree, file = tmp_path / "tree", tmp_path / "inventory"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "one").write_text("one")
    for _ in range(3):
        back_up(lab, "WITH", tree, file)
    assert back_up(lab, "WITH", tree, file).objects == 0
    archive(lab, "WITH", tree / "sub", b"sub\0one")  # so that the filespace outlives its backups
    reply = lab.servers["DELHI"].run("delete filespace", node="WITH", filespace="/fs", type="BACKUP", wait="YES")
    assert reply.code == 0, reply.messages
    assert back_up(lab, "WITH", tree, file).objects == 3
    with lab.session("DELHI", "WITH") as session:
        assert Restore(session, str(tmp_path / "back")).run(Selection("/fs")).failures == []
    assert backup_lab.differences(tree, tmp_path / "back") == ""
