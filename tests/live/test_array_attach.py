"""Volumes as block devices with a real file system on them. Needs root, FUSE and loop devices."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from arraylab import Lab

from holdfast.kernel.errors import Refused
from holdfast.replication.service import attach as attaching

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nbdfuse"), reason="needs root and nbdfuse"),
]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def write_durably(path: Path) -> None:
    with path.open("w") as file:
        file.write("x" * 100_000)
        file.flush()
        os.fsync(file.fileno())


def test_a_file_system_lives_through_the_death_of_its_array(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.mirror(64 << 20)
    run_dir, mountpoint = tmp_path / "run", tmp_path / "mnt"
    mountpoint.mkdir()
    uri = lab.a.client.nbd_uri("1260", "hosta", 1)
    device = attaching.attach_detached(uri, run_dir)
    try:
        assert attaching.attach_detached(uri, run_dir) == device
        run("mkfs.ext4", "-q", str(device.path))
        run("mount", str(device.path), str(mountpoint))
        (mountpoint / "kept").write_text("acknowledged")
        run("sync", "-f", str(mountpoint))
        monkeypatch.setattr(attaching, "DETACH_LIMIT_S", 0.2)
        with pytest.raises(Refused):
            attaching.detach(run_dir)
        monkeypatch.undo()
        lab.a.kill()
        began = time.monotonic()
        with pytest.raises(OSError, match=r"."):
            write_durably(mountpoint / "lost")
        assert time.monotonic() - began < 10, "I/O on a dead array must fail, not hang"
        run("umount", "--lazy", str(mountpoint))
        attaching.detach(run_dir)
        lab.a.start()
        device = attaching.attach_detached(uri, run_dir)
        run("mount", str(device.path), str(mountpoint))
        attaching.release_on_last_close(device)
        assert (mountpoint / "kept").read_text() == "acknowledged"
        run("umount", str(mountpoint))
        attaching.detach(run_dir)
        assert str(run_dir) not in run("losetup", "--list")
        assert str(run_dir) not in Path("/proc/self/mountinfo").read_text()
    finally:
        subprocess.run(["umount", "--lazy", str(mountpoint)], capture_output=True, check=False)
        attaching.detach(run_dir)
