"""Pools in an S3 bucket, on a real service: backup, copy, migration, damage, rebuild of the catalog."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import obstore
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import s3lab
from poolscene import Scene, figure

from holdfast.app.backupserver import rebuild_catalog
from holdfast.backup.drivers.objects import Bucket, open_bucket


class Cloud(Scene):
    """A server whose device class CLOUD is a prefix of the bucket."""

    def __init__(self, tmp_path: Path, rng: random.Random) -> None:
        self.place: Bucket = replace(s3lab.service(), prefix=uuid.uuid4().hex)  # first: it may not come up
        super().__init__(tmp_path, rng)
        self.good("define devclass", name="CLOUD", devtype="S3", endpoint=self.place.endpoint, bucket=s3lab.BUCKET,
                  prefix=self.place.prefix, credentials=str(self.place.credentials), maxcapacity="5M")  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path, rng: random.Random) -> Iterator[Cloud]:
    scene = Cloud(tmp_path, rng)
    yield scene
    scene.lab.close()


def test_migration_to_s3_and_restore_from_it(scene: Cloud) -> None:
    scene.good("define stgpool", name="OBJECTS", devclass="CLOUD")
    scene.good("update stgpool", name="BACKUPPOOL", nextstgpool="OBJECTS", highmig="100")
    scene.write(*(f"f{number}" for number in range(40)))
    scene.back_up()
    scene.good("migrate stgpool", name="BACKUPPOOL", lowmig="0", wait="YES")
    assert len(scene.volumes("OBJECTS")) >= 3
    assert scene.restored() == ""
    scene.good("audit volume", stgpool="OBJECTS", wait="YES")
    for number in range(0, 40, 2):
        (scene.tree / f"f{number}").unlink()
    scene.back_up()
    scene.good("update copygroup", domain="STANDARD", policyset="STANDARD", mgmtclass="STANDARD", retonly="0")
    scene.good("activate policyset", domain="STANDARD", name="STANDARD")
    scene.good("expire inventory", wait="YES")
    scene.good("reclaim stgpool", name="OBJECTS", threshold="30", wait="YES")
    assert scene.restored() == ""
    scene.server.stop()
    for left in (scene.path / "DELHI").glob("catalog.db*"):
        left.unlink()
    report = rebuild_catalog(scene.server.config, (), False)
    assert (report.lost, report.damaged) == ([], [])
    scene.server.start()
    assert scene.restored() == ""


def test_a_copy_pool_in_s3_repairs_what_is_lost_here_and_the_other_way_round(scene: Cloud) -> None:
    scene.good("define stgpool", name="COPY", devclass="CLOUD", pooltype="COPY")
    scene.write(*(f"f{number}" for number in range(30)))
    scene.back_up()
    scene.good("backup stgpool", primary="BACKUPPOOL", copy="COPY", wait="YES")
    volume = scene.fullest("BACKUPPOOL")
    scene.file_of(volume).unlink()
    assert scene.restored() == ""
    assert figure(scene.good("restore volume", name=volume, wait="YES"), "groups")
    store = open_bucket(scene.place)
    segments = [meta for page in obstore.list(store) for meta in page]
    victim = max(segments, key=lambda meta: meta["size"])["path"]
    data = bytearray(obstore.get(store, victim).bytes())
    data[len(data) // 2] ^= 1
    obstore.put(store, victim, bytes(data))
    found = scene.server.run("audit volume", stgpool="COPY", fix="YES", wait="YES")
    assert found.code != 0
    assert victim.split("/")[0] in " ".join(found.messages)
    scene.good("backup stgpool", primary="BACKUPPOOL", copy="COPY", wait="YES")
    scene.good("audit volume", stgpool="COPY", wait="YES")


def test_a_class_that_cannot_be_reached_is_refused_when_it_is_defined(scene: Cloud) -> None:
    base = {"name": "X", "devtype": "S3", "bucket": "b", "credentials": str(scene.place.credentials)}
    refused = scene.refused("define devclass", **base, endpoint="http://127.0.0.1:9")
    assert "check endpoint" in refused
    assert "missing" in scene.refused("define devclass", name="X", devtype="S3", bucket="b")
    assert "secret file" in scene.refused(
        "define devclass", **{**base, "credentials": "/nonexistent"}, endpoint="http://x"
    )
    assert "CLOUD" in {row["Device Class Name"] for row in scene.rows("query devclass")}
    assert "X" not in {row["Device Class Name"] for row in scene.rows("query devclass")}
