"""Several server processes on one PostgreSQL and the same pools: shared load, kill -9 of one, storage work."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab
from pglab import new_database
from poolscene import Scene, figure

from holdfast.backup.service.serverfile import load_config

pytestmark = pytest.mark.root


@pytest.fixture
def scene(tmp_path: Path, rng: random.Random) -> Iterator[Scene]:
    scene = Scene(tmp_path, rng, catalog=new_database())
    yield scene
    scene.lab.close()


def second_process(scene: Scene) -> backup_lab.LabServer:
    """Start another process of the same server: same directory, keys and catalog, a port of its own."""
    first = scene.server
    text = first.config_file.read_text().replace(first.config.address, f"127.0.0.1:{backup_lab.free_port()}")
    path = first.config_file.with_name("second.toml")
    path.write_text(text.replace("DELHI.ready", "second.ready"))
    server = backup_lab.LabServer("DELHI", path, load_config(path))
    server.start()
    scene.lab.servers["second"] = server
    return server


def test_storage_work_on_postgresql(scene: Scene) -> None:
    scene.good("define stgpool", name="SLOW", devclass="SLOWCLASS")
    scene.good("define stgpool", name="COPY", devclass="SLOWCLASS", pooltype="COPY")
    scene.good("update stgpool", name="BACKUPPOOL", nextstgpool="SLOW", highmig="100", reclaim="100")
    scene.write(*(f"f{number}" for number in range(40)))
    scene.back_up()
    scene.good("backup stgpool", primary="BACKUPPOOL", copy="COPY", wait="YES")
    for number in range(30):
        (scene.tree / f"f{number}").unlink()
    scene.back_up()
    scene.good("update copygroup", domain="STANDARD", policyset="STANDARD", mgmtclass="STANDARD", retonly="0")
    scene.good("activate policyset", domain="STANDARD", name="STANDARD")
    assert figure(scene.good("expire inventory", wait="YES"), "versions") == 30
    assert figure(scene.good("reclaim stgpool", name="BACKUPPOOL", threshold="20", wait="YES"), "volumes")
    scene.good("migrate stgpool", name="BACKUPPOOL", lowmig="0", wait="YES")
    assert scene.restored() == ""
    scene.good("backup db", devclass="SLOWCLASS", type="FULL", wait="YES")
    for what in ("stgpool", "volume", "node", "db", "filespace", "actlog", "volhistory", "devclass", "domain"):
        scene.good(f"query {what}")


def test_two_processes_share_the_load_and_one_may_die(scene: Scene) -> None:
    other = second_process(scene)
    scene.good("register node", name="M", password="secret")
    scene.write(*(f"f{number}" for number in range(40)))
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(scene.back_up_at, *who) for who in (("DELHI", "N", "/fs"), ("second", "M", "/fs"))]
        for run in runs:
            run.result()
    assert scene.restored(server="second") == "", "what one process stored the other restores"
    other.stop(signal.SIGKILL)
    scene.write("more")
    scene.back_up()
    assert scene.restored() == ""
    done = scene.good("expire inventory", wait="YES")
    assert "SUCCESS" in done.messages[-1], "the dead process holds no claim any more"
    scene.good("audit volume", stgpool="BACKUPPOOL", wait="YES")
