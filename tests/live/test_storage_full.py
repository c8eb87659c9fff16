"""The server's disk is full, a volume is cut short: a clear refusal, nothing is lost, and it goes on later."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from poolscene import Scene

from holdfast.kernel.errors import HoldfastError

pytestmark = pytest.mark.root


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(path)], check=True)
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def scene(tmp_path: Path, rng: random.Random) -> Iterator[Scene]:
    scene = Scene(tmp_path, rng)
    yield scene
    scene.lab.close()


def into(scene: Scene, directory: Path) -> None:
    scene.good("define devclass", name="SMALL", devtype="FILE", directory=str(directory / "pool"), maxcapacity="5M")
    scene.good("define stgpool", name="TIGHT", devclass="SMALL")
    scene.good("update copygroup", domain="STANDARD", policyset="STANDARD", mgmtclass="STANDARD", destination="TIGHT")
    scene.good("activate policyset", domain="STANDARD", name="STANDARD")


def test_a_pool_whose_disk_is_full(scene: Scene, small: Path) -> None:
    into(scene, small)
    scene.write(*(f"f{number}" for number in range(12)))
    scene.back_up()
    scene.write(*(f"g{number}" for number in range(40)))
    with pytest.raises(HoldfastError, match=r"No space left|medium of pool TIGHT is full"):
        scene.back_up()
    for number in range(40):
        (scene.tree / f"g{number}").unlink()
    assert scene.restored().replace(".d..t...... ./", "").strip() == "", "what was acknowledged before is all there"
    scene.write(*(f"h{number}" for number in range(40)))
    scene.good("update stgpool", name="TIGHT", nextstgpool="BACKUPPOOL")
    scene.back_up()
    assert scene.volumes("BACKUPPOOL"), "what did not fit the disk went to the next pool"
    assert scene.restored() == ""
    scene.good("audit volume", stgpool="TIGHT", wait="YES")


def test_a_catalog_whose_disk_is_full(scene: Scene, small: Path) -> None:
    scene.server.stop()
    home = scene.path / "DELHI"
    for file in home.glob("catalog.db*"):
        (small / file.name).write_bytes(file.read_bytes())
        file.unlink()
    (home / "catalog.db").symlink_to(small / "catalog.db")
    scene.server.start()
    scene.write(*(f"f{number}" for number in range(5)))
    scene.back_up()
    filler = small / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    for number in range(3_000):
        (scene.tree / f"many{number}").write_bytes(b"x%d" % number)
    with pytest.raises(HoldfastError):
        scene.back_up()
    filler.unlink()
    scene.back_up()
    assert scene.restored() == ""


def test_a_volume_that_was_cut_short_is_left_alone_and_its_loss_is_named(scene: Scene) -> None:
    scene.good("define stgpool", name="COPY", devclass="SLOWCLASS", pooltype="COPY")
    scene.write(*(f"f{number}" for number in range(10)))
    scene.back_up()
    scene.good("backup stgpool", primary="BACKUPPOOL", copy="COPY", wait="YES")
    volume = scene.fullest("BACKUPPOOL")
    path = scene.file_of(volume)
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 1_000_000)
    scene.write("more")
    scene.back_up()
    access = {row["Volume Name"]: row["Access"] for row in scene.rows("query volume")}
    assert access[volume] == "READONLY", "nothing is appended to it"
    assert scene.restored() == "", "the copy serves what was cut off"
    found = scene.server.run("audit volume", name=volume, wait="YES")
    assert found.code != 0
    assert volume in " ".join(found.messages)
    scene.good("restore volume", name=volume, wait="YES")
    scene.good("audit volume", stgpool="BACKUPPOOL", wait="YES")
    assert scene.restored() == ""
