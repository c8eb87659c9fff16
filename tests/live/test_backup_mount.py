"""A point in time as a file system: what the kernel shows of it is what was backed up, and nothing can change it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab
import dsmc_lab
from dsmc_lab import DsmcLab

from holdfast.app.main import main

pytestmark = pytest.mark.root
Mount = Callable[..., Path]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DsmcLab]:
    with dsmc_lab.opened(tmp_path_factory.mktemp("mount")) as desk:
        yield desk


@pytest.fixture
def mine(desk: DsmcLab, tmp_path: Path) -> tuple[DsmcLab, Path]:
    desk.fs = tmp_path / "VCS"
    desk.fs.mkdir()
    desk.rules = tmp_path / "inclexcl"
    desk.rules.write_text("")
    return desk, desk.node()


@pytest.fixture
def mount(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Mount]:
    """Mount by the native command; unmount everything in the end and see its process go."""
    mounted: list[tuple[Path, int]] = []

    def run(opt: Path, filespace: Path, *words: str) -> Path:
        point = tmp_path / f"mnt{len(mounted)}"
        point.mkdir()
        line = ["holdfast", "mount", str(filespace), str(point), "--optfile", str(opt), "--json", *words]
        assert main(line) == 0
        facts = json.loads(capsys.readouterr().out)
        mounted.append((point, facts["pid"]))
        return point

    yield run
    for point, pid in mounted:
        subprocess.run(["umount", str(point)], check=True)
        os.waitpid(pid, 0)


Mine = tuple[DsmcLab, Path]


def test_a_mounted_tree_is_the_tree(mine: Mine, mount: Mount) -> None:
    desk, opt = mine
    backup_lab.make_nasty_tree(desk.fs)
    desk.run(opt, "incremental")
    point = mount(opt, desk.fs)
    assert backup_lab.differences(desk.fs, point) == ""
    assert (point / "link-one").stat().st_ino == (point / "z-link-three").stat().st_ino
    assert (point / "sparse").stat().st_blocks * 512 < 1_000_000
    with open(desk.fs / "big", "rb") as there, open(point / "big", "rb") as here:
        for at in (0, 1, 262_143, 3_000_000, 6_999_999, 7_000_000):
            there.seek(at)
            here.seek(at)
            assert here.read(70_000) == there.read(70_000)


def test_each_point_in_time_shows_its_own(mine: Mine, mount: Mount) -> None:
    desk, opt = mine
    desk.write(a="first", gone="gone", d__x="x")
    desk.run(opt, "incremental")
    time.sleep(0.01)
    then = time.time_ns()
    time.sleep(0.01)
    desk.write(a="second", new="new")
    (desk.fs / "gone").unlink()
    desk.run(opt, "incremental")
    now = mount(opt, desk.fs)
    moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(then // 10**9))}.{then % 10**9 // 1000:06d}+00:00"
    before = mount(opt, desk.fs, "--pitdate", moment)
    assert sorted(os.listdir(now)) == ["a", "d", "new"]
    assert (now / "a").read_text() == "second"
    assert sorted(os.listdir(before)) == ["a", "d", "gone"]
    assert (before / "a").read_text() == "first"
    desk.write(a="third")
    desk.run(opt, "incremental")
    assert (now / "a").read_text() == "second", "what is mounted does not move on"


def test_nothing_can_be_changed_and_what_is_not_there_is_not_there(mine: Mine, mount: Mount) -> None:
    desk, opt = mine
    desk.write(a="a", d__x="x")
    desk.run(opt, "incremental")
    point = mount(opt, desk.fs)
    for change in (
        lambda: (point / "a").write_text("b"),
        lambda: (point / "new").touch(),
        lambda: (point / "a").unlink(),
        lambda: (point / "d").rename(point / "e"),
        lambda: os.chmod(point / "a", 0o777),
        lambda: os.setxattr(point / "a", "user.x", b"y"),
    ):
        with pytest.raises(OSError, match="Read-only file system"):
            change()
    with pytest.raises(FileNotFoundError):
        (point / "d" / "y").read_text()
    with pytest.raises(NotADirectoryError):
        (point / "a" / "y").read_text()
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(point / "a", "user.none")


def test_it_goes_on_when_the_server_has_been_away(mine: Mine, mount: Mount) -> None:
    desk, opt = mine
    (desk.fs / "one").write_bytes(os.urandom(3_000_000))
    desk.write(d__x="x")
    desk.run(opt, "incremental")
    point = mount(opt, desk.fs)
    assert sorted(os.listdir(point)) == ["d", "one"]
    server = desk.lab.servers["DELHI"]
    server.stop()
    with pytest.raises(OSError, match="Input/output error"):
        (point / "one").read_bytes()
    server.start()
    assert (point / "one").read_bytes() == (desk.fs / "one").read_bytes()
    assert (point / "d" / "x").read_text() == "x"


def test_what_cannot_be_mounted_is_said_and_leaves_nothing(
    mine: Mine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk, opt = mine
    desk.write(a="a")
    desk.run(opt, "incremental")
    point = tmp_path / "point"
    point.mkdir()
    assert main(["holdfast", "mount", "/nowhere", str(point), "--optfile", str(opt)]) == 1
    assert "ANS4000E" in capsys.readouterr().err
    assert main(["holdfast", "mount", str(desk.fs), "/proc", "--optfile", str(opt)]) == 1
    assert "mount point already" in capsys.readouterr().err
    assert not os.path.ismount(point)
