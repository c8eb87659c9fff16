"""DBBACKUPTRIGGER on a real server: full first, then increments, a full again; a failing class is tried again."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from poolscene import Scene, eventually


@pytest.fixture
def scene(tmp_path: Path, rng: random.Random) -> Iterator[Scene]:
    scene = Scene(tmp_path, rng)
    yield scene
    scene.lab.close()


def backups(scene: Scene) -> list[str]:
    return [row["Volume Type"] for row in scene.rows("query volhistory", type="DBBACKUP")]


def change(scene: Scene, turn: int) -> None:
    """Commit enough that the log of one megabyte is more than a hundredth full."""
    for number in range(400):
        (scene.tree / f"t{turn}-{number}").write_bytes(b"%d" % number)
    scene.back_up()


def test_the_trigger_backs_up_and_counts(scene: Scene) -> None:
    scene.good("set logsize", value="1")
    scene.good("define dbbackuptrigger", devclass="SLOWCLASS", logfullpct="1", numincremental="1")
    change(scene, 0)
    assert backups(scene) == [], "nothing happens in log mode NORMAL"
    scene.good("set logmode", value="ROLLFORWARD")
    eventually("a full backup", lambda: backups(scene) == ["BACKUPFULL"])
    change(scene, 1)
    eventually("an increment", lambda: backups(scene) == ["BACKUPFULL", "BACKUPINCR"])
    change(scene, 2)
    eventually("a full one again", lambda: backups(scene) == ["BACKUPFULL", "BACKUPINCR", "BACKUPFULL"])
    history = (scene.path / "DELHI" / "volhist.out").read_text()
    assert history.count("Volume Type: BACKUP") == 3
    scene.good("delete volhistory", type="DBBACKUP", todate="TODAY")
    assert backups(scene) == ["BACKUPFULL"], "never the last full series"
    scene.good("delete dbbackuptrigger")
    assert scene.server.run("query dbbackuptrigger").code == 11


def test_a_trigger_without_its_class_is_refused(scene: Scene) -> None:
    assert "not defined" in scene.refused("define dbbackuptrigger", devclass="NOSUCH")
    assert "LOGFULLPCT" in scene.refused("define dbbackuptrigger", devclass="SLOWCLASS", logfullpct="100")
    scene.good("define dbbackuptrigger", devclass="SLOWCLASS")
    assert scene.server.run("define dbbackuptrigger", devclass="SLOWCLASS").code == 10
