"""The storage hierarchy on a real server: overflow, migration, reclamation, copies, damage, reuse; then a restore."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from poolscene import Scene, eventually, figure, flip

from holdfast.backup.service.client.restore import Restore, Selection


@pytest.fixture
def scene(tmp_path: Path, rng: random.Random) -> Iterator[Scene]:
    scene = Scene(tmp_path, rng)
    yield scene
    scene.lab.close()


def test_a_full_pool_overflows_and_migrates_by_itself(scene: Scene) -> None:
    scene.good("define stgpool", name="SLOW", devclass="SLOWCLASS")
    scene.good("update stgpool", name="BACKUPPOOL", nextstgpool="SLOW", maxscratch="3", highmig="100", lowmig="0")
    scene.write(*(f"f{number}" for number in range(60)))
    scene.back_up()
    assert len(scene.volumes("BACKUPPOOL")) == 3
    assert scene.volumes("SLOW"), "what did not fit went to the next pool"
    assert scene.restored() == ""
    scene.good("update stgpool", name="BACKUPPOOL", highmig="50")
    eventually("BACKUPPOOL is empty", lambda: not scene.volumes("BACKUPPOOL"))
    assert scene.restored() == ""
    log = " ".join(row["Message"] for row in scene.rows("query actlog", search="ANR1000I"))
    assert "storage pool BACKUPPOOL" in log
    history = [row["Volume Type"] for row in scene.rows("query volhistory", type="STGDELETE")]
    assert history == ["STGDELETE"] * 3


def test_sparse_volumes_are_reclaimed_and_their_copies_stay(scene: Scene) -> None:
    scene.good("define stgpool", name="COPY", devclass="SLOWCLASS", pooltype="COPY")
    scene.good("update copygroup", domain="STANDARD", policyset="STANDARD", mgmtclass="STANDARD", verexists="1",
               verdeleted="0")  # fmt: skip
    scene.good("activate policyset", domain="STANDARD", name="STANDARD")
    scene.write(*(f"f{number}" for number in range(40)))
    scene.back_up()
    scene.good("backup stgpool", primary="BACKUPPOOL", copy="COPY", wait="YES")
    for number in range(40):
        if number % 4:
            (scene.tree / f"f{number}").unlink()
    scene.back_up()
    before = scene.bytes_of("BACKUPPOOL")
    scene.good("update stgpool", name="BACKUPPOOL", reclaim="100")
    scene.good("expire inventory", wait="YES")
    done = scene.good("reclaim stgpool", name="BACKUPPOOL", threshold="50", wait="YES")
    assert figure(done, "repacked"), "sparse groups became full ones"
    after = scene.volumes("BACKUPPOOL")
    assert scene.bytes_of("BACKUPPOOL") < before * 0.7
    assert scene.restored() == ""
    for volume in after:
        scene.file_of(volume).write_bytes(b"")
    assert scene.restored() == "", "the copy pool got the repacked groups too"


def test_damage_is_found_marked_and_repaired_from_the_copy(scene: Scene) -> None:
    scene.good("define stgpool", name="COPY", devclass="SLOWCLASS", pooltype="COPY")
    scene.write(*(f"f{number}" for number in range(30)))
    scene.back_up()
    scene.good("backup stgpool", primary="BACKUPPOOL", copy="COPY", wait="YES")
    again = scene.good("backup stgpool", primary="BACKUPPOOL", copy="COPY", wait="YES")
    assert figure(again, "bytes") < 100_000, "copying is incremental: the configuration may have been written anew"
    primary, copy = scene.fullest("BACKUPPOOL"), scene.fullest("COPY")
    flip(scene.file_of(primary), scene.rng)
    found = scene.server.run("audit volume", name=primary, wait="YES")
    assert found.code != 0
    assert primary in " ".join(found.messages)
    assert scene.restored() == ""
    restored = scene.good("restore volume", name=primary, wait="YES")
    assert figure(restored, "groups")
    assert primary not in scene.volumes("BACKUPPOOL")
    flip(scene.file_of(copy), scene.rng)
    assert scene.server.run("audit volume", name=copy, fix="YES", wait="YES").code != 0
    renewed = scene.good("backup stgpool", primary="BACKUPPOOL", copy="COPY", wait="YES")
    assert 1_000_000 < figure(renewed, "bytes") < 5_000_000, "the damaged copy was made again, and no other"
    scene.good("audit volume", stgpool="COPY", wait="YES")
    assert scene.restored() == ""


def test_reuse_waits_for_its_delay_and_move_data_empties_a_volume(scene: Scene) -> None:
    scene.write(*(f"f{number}" for number in range(8)))
    scene.back_up()
    scene.good("update stgpool", name="BACKUPPOOL", reusedelay="2")
    volume = scene.volumes("BACKUPPOOL")[0]
    assert "still holds" in scene.refused("delete volume", name=volume)
    scene.good("move data", name=volume, wait="YES")
    row = next(row for row in scene.rows("query volume") if row["Volume Name"] == volume)
    assert row["Volume Status"] == "PENDING"
    assert scene.file_of(volume).exists(), "its bytes are kept: a restored database may still name them"
    assert scene.restored() == ""
    scene.good("update stgpool", name="BACKUPPOOL", reusedelay="0")
    eventually("the volume is gone", lambda: volume not in scene.volumes("BACKUPPOOL"))
    scene.good("update volume", name=scene.volumes("BACKUPPOOL")[0], access="UNAVAILABLE")
    assert scene.restored() != "", "a volume that is not available is not read"
    scene.good("update volume", name="*", access="READWRITE")
    assert scene.restored() == ""


def test_disk_pool_migrates_caches_and_gives_space_back(scene: Scene) -> None:
    scene.good("define stgpool", name="SLOW", devclass="SLOWCLASS")
    scene.good("define stgpool", name="FAST", devclass="DISK", nextstgpool="SLOW", cache="YES", highmig="100")
    path = scene.path / "disk" / "d1.dsm"
    scene.good("define volume", pool="FAST", name=str(path), formatsize="8")
    scene.good("update copygroup", domain="STANDARD", policyset="STANDARD", mgmtclass="STANDARD", destination="FAST")
    scene.good("activate policyset", domain="STANDARD", name="STANDARD")
    scene.write(*(f"f{number}" for number in range(20)))
    scene.back_up()
    assert scene.volumes("FAST") == [str(path)]
    scene.good("migrate stgpool", name="FAST", lowmig="0", wait="YES")
    row = scene.rows("query stgpool", name="FAST")[0]
    assert (row["Pct Migr"], row["Pct Util"] != "0.0") == ("0.0", True), "migrated, and still cached"
    scene.good("define stgpool", name="COPY", devclass="SLOWCLASS", pooltype="COPY")
    skipped = scene.good("backup stgpool", primary="FAST", copy="COPY", wait="YES")
    assert figure(skipped, "bytes") < 100_000, "cached copies are not copied"
    scene.write(*(f"g{number}" for number in range(16)))
    scene.back_up()
    assert scene.restored() == ""
    eventually("cached copies gave their space back", lambda: os.stat(path).st_blocks * 512 <= 9 * 1024 * 1024)


def test_what_makes_no_sense_is_refused_and_changes_nothing(scene: Scene) -> None:
    scene.good("define stgpool", name="SLOW", devclass="SLOWCLASS", nextstgpool="ARCHIVEPOOL")
    before = scene.settings()
    for words, operation, args in (
        ("leads back", "update stgpool", {"name": "ARCHIVEPOOL", "nextstgpool": "SLOW"}),
        ("at most HIGHMIG", "update stgpool", {"name": "SLOW", "highmig": "20", "lowmig": "30"}),
        ("not for a copy pool", "define stgpool", {"name": "C", "devclass": "SLOWCLASS", "pooltype": "COPY",
                                                   "nextstgpool": "SLOW"}),
        ("not for a sequential pool", "update stgpool", {"name": "SLOW", "cache": "YES"}),
        ("is the destination", "delete stgpool", {"name": "ARCHIVEPOOL"}),
        ("is used by", "delete devclass", {"name": "SLOWCLASS"}),
        ("predefined", "delete devclass", {"name": "DISK"}),
        ("1M or more", "update devclass", {"name": "SLOWCLASS", "maxcapacity": "1K"}),
        ("takes a volume or STGPOOL", "audit volume", {"wait": "YES"}),
        ("not defined", "move data", {"name": "NOSUCH", "wait": "YES"}),
    ):  # fmt: skip
        assert words in scene.refused(operation, **args)
    assert scene.settings() == before


def test_the_retention_lock_binds_administrators_too(scene: Scene) -> None:
    scene.good("update copygroup", domain="STANDARD", policyset="STANDARD", mgmtclass="STANDARD", verdeleted="0")
    scene.good("activate policyset", domain="STANDARD", name="STANDARD")
    scene.good("update stgpool", name="BACKUPPOOL", retentionlock="30")
    scene.write("kept")
    scene.back_up()
    (scene.tree / "kept").unlink()
    scene.back_up()
    scene.good("expire inventory", wait="YES")
    with scene.lab.session("DELHI", "N") as session:
        target = scene.path / "inactive"
        assert Restore(session, str(target)).run(Selection("/fs", latest=True)).failures == []
    assert (target / "kept").exists(), "policy keeps 0 versions of what is deleted, the lock keeps it"
    volume = scene.volumes("BACKUPPOOL")[0]
    assert "retention lock" in scene.refused("delete volume", name=volume, discarddata="YES")
    assert "cannot become shorter" in scene.refused("update stgpool", name="BACKUPPOOL", retentionlock="29")
    scene.good("update stgpool", name="BACKUPPOOL", retentionlock="31")
