"""What bounds an array: a full disk, volume groups, the rate of background copies, one pair per volume."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from arraylab import VOLUME, A, B, Box, Lab, until

from holdfast.kernel.errors import InputError, Refused
from holdfast.replication.service.config import load_config

C = "IBM.2107-75FA170"
MIB = 1 << 20
SCENE = Path(__file__).with_name("fulldisk.py")
UNSHARE = shutil.which("unshare")


@pytest.mark.skipif(os.geteuid() != 0 or UNSHARE is None, reason="mounts a file system of its own: needs root")
def test_a_full_disk_fails_the_copies_and_never_their_source(tmp_path: Path) -> None:
    mounted = f"mount -t tmpfs -o size=32m none {tmp_path} && exec {sys.executable} {SCENE} {tmp_path}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_volume_in_a_group_is_open_to_its_hosts_and_to_no_other(lab: Lab) -> None:
    lab.a.create(VOLUME, "1261")
    group = lab.a.client.change("mkvolgroup", ["database"], volumes=[VOLUME]).outcomes[0].object
    lab.a.client.change("mkhost", ["hosta"], volgroup=group)
    assert lab.a.client.run("hosts").rows == [{"id": "0000", "host": "hosta", "volgroup": group}]
    with lab.a.open("hosta") as member, lab.a.open("hostb", volume="1261") as other:
        with pytest.raises(Refused, match="not in a volume group of host hostb"):
            lab.a.open("hostb")
        member.pwrite(b"mine".ljust(4096), 0, fua=True)
        lab.a.client.change("chvolgroup", [group], remove=[VOLUME], add=["1261"])
        member.pwrite(b"open to all".ljust(4096), 0)
        with pytest.raises(PermissionError):
            other.pwrite(b"not mine".ljust(4096), 0)
        with pytest.raises(PermissionError):
            other.pread(4096, 0)


def test_a_background_copy_keeps_to_its_rate(lab: Lab) -> None:
    lab.a.create(VOLUME, "1360", size_bytes=32 * MIB)
    with lab.a.open() as client:
        for place in range(32):
            client.pwrite(bytes([place + 1]) * MIB, place * MIB)
    lab.a.stop()
    lab.a.config.write_text(lab.a.config.read_text().replace("[peers]", 'flash_copy_rate = "4M"\n[peers]'))
    lab.a.start()
    began = time.monotonic()
    lab.a.client.change("mkflash", [f"{VOLUME}:1360"], persist=True)
    time.sleep(1.5)
    row = lab.a.client.run("flashes").rows[0]
    most = (time.monotonic() - began) * 4 * MIB + 8 * MIB
    assert 0 < row["tracks_copied"] * 65536 <= most
    with lab.a.open(volume="1360") as client:
        assert client.pread(4096, 31 * MIB) == b"\x20" * 4096, "the copy is whole at once"


@pytest.mark.parametrize(
    "line", ['flash_copy_rate = "-1"', 'paths = "some"', "long_busy_s = 0", 'flash_cascading = "yes"']
)
def test_a_wrong_setting_is_refused_by_name(lab: Lab, line: str) -> None:
    config = lab.a.config.with_name("wrong.toml")
    config.write_text(lab.a.config.read_text().replace("[peers]", f"{line}\n[peers]"))
    with pytest.raises(InputError, match=line.partition(" ")[0]) as refused:
        load_config(config)
    assert refused.value.file == str(config)
    assert refused.value.remedy


def test_one_array_mirrors_to_two_and_nothing_cascades(lab: Lab) -> None:
    third = Box(lab, C, "127.0.0.13")
    third.write_config(lab.a)
    for box in (lab.a, lab.b):
        box.stop()
        box.config.write_text(box.config.read_text() + f'"{C}" = "{third.mirror}"\n')
    third.config.write_text(third.config.read_text() + f'"{B}" = "{lab.b.mirror}"\n')
    boxes = (lab.a, lab.b, third)
    try:
        for box in boxes:
            box.start()
            box.create(VOLUME, "1261")
        for box in boxes:
            until(lambda box=box: all(row["state"] == "Success" for row in box.client.run("paths").rows), what="links")
        with pytest.raises(Refused, match="other array of pair") as unnamed:
            lab.a.client.change("mkpair", [f"{VOLUME}:{VOLUME}"])
        assert "-remotedev" in unnamed.value.refusal.remedy
        lab.a.client.change("mkpair", [f"{VOLUME}:{VOLUME}"], remote=B)
        lab.a.client.change("mkpair", ["1261:1261"], remote=C)
        lab.a.wait_state("Full Duplex")
        lab.a.wait_state("Full Duplex", "1261")
        for box, remote, code in ((lab.b, C, "cascade"), (lab.a, C, "paired")):
            with pytest.raises(Refused) as refused:
                box.client.change("mkpair", [f"{VOLUME}:{VOLUME}"], remote=remote)
            assert refused.value.refusal.code == code
        third.kill()
        with lab.a.open() as first, lab.a.open(volume="1261") as second:
            first.pwrite(b"one".ljust(4096), 0, fua=True)
            second.pwrite(b"two".ljust(4096), 0, fua=True)
        assert lab.a.pair()["state"] == "Full Duplex", "the loss of one peer concerns its pairs only"
        assert lab.a.pair("1261")["state"] == "Suspended"
        assert lab.a.digest() == lab.b.digest()
        assert lab.a.pair()["source"] == f"{A}/{VOLUME}"
    finally:
        if third.process is not None:
            third.stop()


def test_native_commands_revert_and_restore(lab: Lab) -> None:
    def flash(*words: str) -> None:
        command = [sys.executable, "-m", "holdfast.app.main", "flash", *words, "--array", lab.a.management]
        environment = {**os.environ, "HOLDFAST_IDENTITY": str(lab.identity)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
        assert done.returncode == 0, done.stderr

    lab.a.create(VOLUME, "1360")
    with lab.a.open() as source, lab.a.open(volume="1360") as copy:
        source.pwrite(b"one".ljust(4096), 0)
        flash("create", f"{VOLUME}:1360", "--no-copy")
        source.pwrite(b"two".ljust(4096), 0)
        flash("revertible", f"{VOLUME}:1360")
        assert copy.pread(3, 0) == b"two"
        with pytest.raises(PermissionError):
            source.pwrite(b"no!".ljust(4096), 0)
        flash("revert", VOLUME)
        assert copy.pread(3, 0) == b"one"
        flash("restore", f"{VOLUME}:1360")
        assert source.pread(3, 0) == b"one"
        until(lambda: lab.a.client.run("flashes").rows == [], what="the relation ends with the restore")
        assert source.pread(3, 0) == b"one"


def test_a_log_that_cannot_be_written_stops_nothing(lab: Lab) -> None:
    lab.a.stop()
    log = lab.directory / f"{lab.a.image}.log"
    log.unlink()
    log.symlink_to("/dev/full")
    lab.a.start()
    lab.b.kill()  # links that go down and come up are told in the log
    lab.b.start()
    until(lambda: lab.a.client.run("paths").rows[0]["state"] == "Success", what="path up again")
    lab.mirror()
    with lab.a.open() as client:
        client.pwrite(b"goes on".ljust(4096), 0, fua=True)
    assert lab.a.digest() == lab.b.digest()
