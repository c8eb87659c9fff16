"""The catalog is lost: everything it knew comes back from the volumes, after copies, migration and reclamation too."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard

sys.path.insert(0, str(Path(__file__).parent))

from poolscene import Scene, figure, flip

from holdfast.app.backupserver import rebuild_catalog
from holdfast.backup.plan.filespec import FileSpec
from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.catalogrebuild import RebuildReport
from holdfast.backup.service.client.delivery import Terms
from holdfast.backup.service.client.incremental import Source
from holdfast.backup.service.client.selected import Archive, Order
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import InputError, Refused

_archives = msgspec.msgpack.Decoder(list[m.StoredArchive])
_rows = msgspec.msgpack.Decoder(list[m.StoredVersion])


@pytest.fixture
def scene(tmp_path: Path, rng: random.Random) -> Iterator[Scene]:
    scene = Scene(tmp_path, rng)
    yield scene
    scene.lab.close()


def archive(scene: Scene) -> None:
    order = Order(Source("/fs", str(scene.tree)), (FileSpec("/fs", b"", "f2?"),), Rules([]))
    with scene.lab.session("DELHI", "N") as session:
        Archive(session, order, Terms(archive=True, description="kept apart"), None).run()


def archives(scene: Scene) -> list[tuple[object, ...]]:
    with scene.lab.session("DELHI", "N") as session:
        page = session.call(lambda seq: m.ListArchives(seq, "/fs", b"", None, 5_000, True))
    assert isinstance(page, m.Page)
    found = _archives.decode(zstandard.ZstdDecompressor().decompress(page.rows))
    return [(a.key, a.stat, a.stored_ns, a.description, sum(n for _, n in a.pieces)) for a in found]


def history(scene: Scene) -> list[tuple[object, ...]]:
    """Every version the server lists, without the numbers that belong to one catalog."""
    with scene.lab.session("DELHI", "N") as session:
        page = session.call(lambda seq: m.ListVersions(seq, "/fs", None, True, False, b"", None, 5_000, True))
    assert isinstance(page, m.Page)
    found = _rows.decode(zstandard.ZstdDecompressor().decompress(page.rows))
    return [
        (v.key, v.kind, v.stat, v.extra, v.mgmtclass, v.stored_ns, v.inactive_ns, sum(n for _, n in v.pieces))
        for v in found
    ]


def lose_and_rebuild(scene: Scene) -> RebuildReport:
    scene.server.stop()
    for left in (scene.path / "DELHI").glob("catalog.db*"):
        left.unlink()
    report = rebuild_catalog(scene.server.config, (), False)
    scene.server.start()
    return report


def age(scene: Scene) -> None:
    """Three runs: changed, deleted, touched and new files, one class rebound by nothing; versions of all kinds."""
    scene.write(*(f"f{number}" for number in range(30)))
    (scene.tree / "dir").mkdir()
    scene.back_up()
    scene.write("f1", "f2", "dir/new")
    (scene.tree / "f3").unlink()
    (scene.tree / "f4").chmod(0o600)
    scene.back_up()
    scene.write("f1")
    (scene.tree / "f5").unlink()
    scene.back_up()


def test_versions_and_configuration_come_back(scene: Scene) -> None:
    age(scene)
    archive(scene)
    kept = archives(scene)
    assert len(kept) >= 10
    scene.good("register node", name="LAST", password="secret")
    before, tables = history(scene), scene.settings()
    report = lose_and_rebuild(scene)
    assert (report.lost, report.damaged) == ([], [])
    assert history(scene) == before
    assert archives(scene) == kept
    assert scene.settings() == tables
    assert {row["Node Name"] for row in scene.rows("query node")} == {"LAST", "N"}
    assert scene.restored() == ""
    scene.write("f6")
    scene.back_up()
    assert scene.restored() == ""
    scene.good("audit volume", stgpool="BACKUPPOOL", wait="YES")


def test_after_copy_migration_and_reclamation(scene: Scene) -> None:
    scene.good("define stgpool", name="SLOW", devclass="SLOWCLASS")
    scene.good("define stgpool", name="COPY", devclass="SLOWCLASS", pooltype="COPY")
    scene.good("update stgpool", name="BACKUPPOOL", nextstgpool="SLOW", highmig="100", reclaim="100")
    age(scene)
    scene.good("backup stgpool", primary="BACKUPPOOL", copy="COPY", wait="YES")
    for number in range(10, 28):
        (scene.tree / f"f{number}").unlink()
    scene.back_up()
    scene.good("update copygroup", domain="STANDARD", policyset="STANDARD", mgmtclass="STANDARD", retonly="0")
    scene.good("activate policyset", domain="STANDARD", name="STANDARD")
    scene.good("expire inventory", wait="YES")
    assert figure(scene.good("reclaim stgpool", name="BACKUPPOOL", threshold="20", wait="YES"), "volumes")
    scene.good("migrate stgpool", name="BACKUPPOOL", lowmig="0", wait="YES")
    scene.write("after")
    scene.back_up()
    before = history(scene)
    assert not any(row[0] == b"f12" for row in before), "what expired is gone"
    report = lose_and_rebuild(scene)
    assert (report.lost, report.damaged) == ([], [])
    scene.good("expire inventory", wait="YES")
    assert history(scene) == before, "what had expired and lay on a volume still has expired again"
    assert scene.restored() == ""


def test_from_the_copies_when_the_primaries_are_lost_and_damage_is_named(scene: Scene) -> None:
    scene.good("define stgpool", name="COPY", devclass="SLOWCLASS", pooltype="COPY")
    age(scene)
    scene.server.stop()
    scene.server.start()
    scene.good("backup stgpool", primary="BACKUPPOOL", copy="COPY", wait="YES")
    before = history(scene)
    primaries = [scene.file_of(volume) for volume in scene.volumes("BACKUPPOOL")]
    for path in primaries:
        path.unlink()
    report = lose_and_rebuild(scene)
    assert (report.lost, report.damaged) == ([], [])
    assert history(scene) == before
    assert scene.restored() == ""
    copy = scene.file_of(scene.fullest("COPY"))
    flip(copy, scene.rng)
    report = lose_and_rebuild(scene)
    assert any(copy.name in text for text in report.damaged)
    assert all("/fs/" in text for text in report.lost)


def test_it_refuses_to_replace_and_to_guess(scene: Scene) -> None:
    scene.server.stop()
    with pytest.raises(InputError, match="there is a catalog already"):
        rebuild_catalog(scene.server.config, (), False)
    for volume in (scene.path / "DELHI" / "pools").glob("*/*"):
        volume.unlink()
    with pytest.raises(Refused, match="no pool volume"):
        rebuild_catalog(scene.server.config, (), True)
    assert (scene.path / "DELHI" / "catalog.db").exists()
    secrets = scene.path / "DELHI" / "secrets"
    secrets.rename(secrets.with_name("away"))
    with pytest.raises(InputError, match="key file is missing"):
        rebuild_catalog(scene.server.config, (), True)
    secrets.with_name("away").rename(secrets)
    scene.server.start()
