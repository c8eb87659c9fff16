"""``diff``, ``verify``, ``retrieve`` and the native archive, as typed, against a real server."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab
import dsmc_lab
from dsmc_lab import DsmcLab

from holdfast.app.main import main


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DsmcLab]:
    with dsmc_lab.opened(tmp_path_factory.mktemp("compare")) as desk:
        yield desk


@pytest.fixture
def typed(desk: DsmcLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a native command for a node of this test's own; return its JSON document."""
    desk.fs = tmp_path / "VCS"
    desk.fs.mkdir()
    optfile = desk.node()

    def run(*words: str, code: int = 0):  # type: ignore[no-untyped-def]
        assert main(["holdfast", *words, "--optfile", str(optfile), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    run.optfile = optfile  # type: ignore[attr-defined]
    return run


def changes(rows: list[dict[str, object]], desk: DsmcLab) -> dict[str, object]:
    return {str(row["path"]).removeprefix(f"{desk.fs}/"): row["change"] for row in rows}


def test_diff_between_points_in_time_and_with_the_disk(desk: DsmcLab, typed) -> None:  # type: ignore[no-untyped-def]
    fs = str(desk.fs)
    desk.write(same="s", changed="one", gone="g", mode="m", d__moved="x")
    typed("backup", "incremental", fs)
    desk.write(changed="two", new="n")
    (desk.fs / "gone").unlink()
    (desk.fs / "mode").chmod(0o600)
    on_disk = {"changed": "content", "gone": "removed", "mode": "attributes", "new": "added"}
    assert changes(typed("diff", fs, "--disk"), desk) == on_disk
    before = Path(fs).stat().st_ctime_ns  # all of the first run is older than the last change of the directory
    typed("backup", "incremental", fs)
    point = datetime.datetime.fromtimestamp((before - 1000) / 1e9).isoformat()
    assert changes(typed("diff", fs, "--from", point), desk) == on_disk
    assert changes(typed("diff", fs, "--to", point), desk)["new"] == "removed"
    assert typed("diff", fs, "--disk") == []
    assert changes(typed("diff", fs, "--from", point, "--under", "d"), desk) == {}


def test_verify_reads_back_and_sees_what_is_damaged_and_what_lies(desk: DsmcLab, typed) -> None:  # type: ignore[no-untyped-def]
    fs = str(desk.fs)
    for number in range(3):
        (desk.fs / f"file{number}").write_bytes(os.urandom(5_000_000))
    with open(desk.fs / "sparse", "wb") as file:
        file.truncate(6_000_000)
    typed("backup", "incremental", fs)
    good = typed("verify", fs)
    assert (good["files_read"], good["files_equal"], good["bytes"]) == (4, 4, 21_000_000)
    assert typed("verify", fs, "--sample", "0")["files_read"] == 0
    some = typed("verify", fs, "--sample", "50", "--seed", "3")
    assert typed("verify", fs, "--sample", "50", "--seed", "3")["bytes"] == some["bytes"]
    (desk.fs / "file0").write_bytes(b"new content")
    liar = desk.fs / "file1"
    kept = liar.stat()
    with open(liar, "r+b") as file:
        file.write(b"silently changed")
    os.utime(liar, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    bad = typed("verify", fs, code=12)
    assert bad["files_changed_since"] == 1
    assert len(bad["failures"]) == 1
    assert "file1" in bad["failures"][0]
    assert "has not changed since" in bad["failures"][0]
    volumes = desk.lab.directory / "DELHI" / "pools" / "BACKUPPOOL"
    for volume in volumes.iterdir():
        data = bytearray(volume.read_bytes())
        for at in range(100_000, len(data), 100_000):
            data[at] ^= 1
        volume.write_bytes(data)
    broken = typed("verify", fs, code=12)
    assert sum("cannot be read" in line and "BFS" in line for line in broken["failures"]) == 3


def test_archive_and_retrieve_by_native_commands(desk: DsmcLab, typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    desk.write(a="a", d__b="b")
    done = typed("backup", "archive", f"{desk.fs}/*", "--subdir", "--description", "native")
    assert done["objects"] == 4
    typed("backup", "archive", f"{desk.fs}/a", "--class", "NOSUCH", code=3)
    back = typed("retrieve", f"{desk.fs}/*", f"{tmp_path}/x/", "--subdir", "--description", "native")
    assert back["objects"] == 4
    assert (tmp_path / "x" / "d" / "b").read_text() == "b"
    typed("retrieve", f"{desk.fs}/*", f"{tmp_path}/y/", "--description", "other", code=12)
    selective = typed("backup", "selective", f"{desk.fs}/a")
    assert selective["bytes"] == 1


def test_a_restore_that_was_killed_goes_on_where_it_ended(desk: DsmcLab, typed, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for number in range(300):
        path = desk.fs / f"d{number % 7}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(60_000))
        if number % 10 == 0:
            os.link(path, desk.fs / f"link{number}")
    typed("backup", "incremental", str(desk.fs))
    back = tmp_path / "back"
    words = ["restore", str(desk.fs), str(back), "--optfile", str(typed.optfile)]
    with subprocess.Popen([sys.executable, "-m", "holdfast.app.main", *words]) as process:
        while process.poll() is None and len(list(back.glob("*/f*"))) < 40:
            pass
        process.kill()
    there = len(list(back.glob("*/f*")))
    done = typed("restore", str(desk.fs), str(back), "--resume")
    assert done["objects_left"] > 0
    assert done["objects_left"] <= there + 30
    assert backup_lab.differences(desk.fs, back) == ""
    again = typed("restore", str(desk.fs), str(back), "--resume")
    assert (again["bytes"], again["transferred_bytes"]) == (0, 0)
    assert (back / "link0").stat().st_nlink == 2


def test_several_filespaces_at_once_are_each_whole(desk: DsmcLab, tmp_path: Path) -> None:
    tops = [tmp_path / name for name in ("one", "two", "three")]
    for top in tops:
        (top / "d").mkdir(parents=True)
        for number in range(30):
            (top / "d" / f"f{number}").write_bytes(os.urandom(20_000))
            os.link(top / "d" / f"f{number}", top / f"link{number}")
    desk.fs = tops[0]
    opt = desk.node(extra=f"  DOMain {tops[1]} {tops[2]}\n  RESOURceutilization 3\n")
    done = desk.run(opt, "incremental")
    assert done.number("Total number of objects backed up:") == 3 * 62
    assert done.out.count("Successful incremental backup of") == 3
    for top in tops:
        desk.run(opt, "restore", f"{{{top}}}/*", f"{tmp_path}/back-{top.name}/", "-subdir=yes")
        assert backup_lab.differences(top, tmp_path / f"back-{top.name}") == ""
    stanza = opt.parent / "dsm.sys"
    stanza.write_text(stanza.read_text().replace("RESOURceutilization 3", "RESOURceutilization 0"))
    assert "RESOURCEUTILIZATION" in desk.run(opt, "incremental", code=12).err
