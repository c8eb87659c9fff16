"""dscli against real arrays: what scripts and cluster software type, and what they read back."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from arraylab import A, B, Box, Lab, until

BANNER = re.compile(r"Date/Time: \w+ \d+, \d{4} \d+:\d\d:\d\d [AP]M \S+ IBM DSCLI Version: 7\.7\.10\.317 DS: (\S+)")


class Dscli:
    """Calls the real program."""

    def __init__(self, lab: Lab, tmp_path: Path) -> None:
        self.lab, self.pwfile = lab, tmp_path / "pw" / "security.dat"
        self.environment = {**os.environ, "HOLDFAST_IDENTITY": str(lab.identity)}
        self.call(
            "managepwfile",
            "-action",
            "add",
            "-name",
            "admin",
            "-pw",
            "-",
            "-pwfile",
            str(self.pwfile),
            stdin="secret\n",
        )

    def call(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "holdfast.app.main", "dscli", *words]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, env=self.environment, timeout=60)

    def at(self, address: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.call("-hmc1", address, "-user", "admin", "-pwfile", str(self.pwfile), *words, stdin=stdin)

    def ok(self, address: str, *words: str, stdin: str = "") -> list[str]:
        done = self.at(address, *words, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout.splitlines()


@pytest.fixture
def dscli(lab: Lab, tmp_path: Path) -> Dscli:
    return Dscli(lab, tmp_path)


def test_the_life_of_a_pair_in_dscli(lab: Lab, dscli: Dscli) -> None:
    a, b = lab.a.management, lab.b.management
    assert stat.S_IMODE(dscli.pwfile.stat().st_mode) == 0o600
    assert b"secret" not in dscli.pwfile.read_bytes()
    for address in (a, b):
        lines = dscli.ok(
            address, "mkfbvol", "-extpool", "P0", "-type", "blocks", "-cap", "32768", "-name", "V_#h", "1260-1261"
        )
        assert BANNER.fullmatch(lines[0])
        assert [line.split()[0] for line in lines[1:]] == ["CMUC00025I"] * 2
        assert "FB volume 1260 successfully created" in lines[1]
    lines = dscli.ok(a, "lsfbvol", "-fmt", "delim", "-delim", "|", "-bnr", "off")
    assert lines[0].startswith("Name|ID|accstate")
    assert lines[1] == "=" * len(lines[0])
    assert lines[2].split("|")[:2] == ["V_1260", "1260"]
    empty = dscli.ok(a, "lspprc", "-l", "0000-FFFF")
    assert empty[1] == "CMUC00234I lspprc: No Remote Mirror and Copy found."
    made = dscli.ok(a, "mkpprc", "-dev", A, "-remotedev", B, "-type", "mmir", "-wait", "1260-1261:1260-1261")
    assert BANNER.fullmatch(made[0])[1] == A  # type: ignore[index]
    assert made[1] == (
        "CMUC00153I mkpprc: Remote Mirror and Copy volume pair relationship 1260:1260 successfully created."
    )
    shown = dscli.ok(a, "lspprc", "1260-1261")
    assert re.search(r"^1260:1260 Full Duplex - +Metro Mirror 12 +60 +Disabled +Invalid$", "\n".join(shown), re.M), (
        shown
    )
    lab.b.wait_state("Target Full Duplex", "1261")
    assert "Target Full Duplex" in "\n".join(dscli.ok(b, "lspprc", "1260:1260"))
    pairs = ("-type", "mmir", "1260:1260", "1261:1261")
    over = dscli.ok(b, "failoverpprc", "-dev", B, "-remotedev", A, *pairs)
    assert over[1:] == [
        f"CMUC00196I failoverpprc: Remote Mirror and Copy pair {n}:{n} successfully reversed." for n in ("1260", "1261")
    ]
    assert "Suspended Host Source" in "\n".join(dscli.ok(b, "lspprc", "1260"))
    back = dscli.ok(b, "failbackpprc", "-dev", B, "-remotedev", A, "-wait", *pairs)
    assert [line.split()[0] for line in back[1:]] == ["CMUC00197I"] * 2
    assert "Full Duplex" in "\n".join(dscli.ok(b, "lspprc", "1260"))
    refused = dscli.at(a, "rmpprc", "1260:1260", stdin="n\n")
    assert "CMUC00160W" in refused.stdout
    assert lab.b.pair()["state"] == "Full Duplex"


def test_stdin_mode_flash_as_cluster_software_drives_it(lab: Lab, dscli: Dscli) -> None:
    a = lab.a.management
    lab.a.create("1260", "1360")
    script = f"setenv -banner off -header on -format delim\nlsflash -l -dev {A} 1260:1360\n"
    done = dscli.at(a, stdin=script)
    assert (done.returncode, done.stderr) == (0, "")
    assert "No Flash Copy found" in done.stdout
    done = dscli.at(
        a,
        stdin=f"mkflash -dev {A} -record -persist 1260:1360\n"
        f"resyncflash -dev {A} -persist -record -cp 1260:1360\nquit\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = list(filter(None, done.stdout.replace("dscli> ", "").splitlines()))
    assert [bool(BANNER.fullmatch(line)) for line in lines] == [True, True, False, True, False]
    assert lines[2] == "CMUC00137I mkflash: FlashCopy pair 1260:1360 successfully created."
    assert lines[4] == "CMUC00168I resyncflash: FlashCopy volume pair 1260:1360 successfully resynchronized."
    listed = list(filter(None, dscli.at(a, stdin=script).stdout.replace("dscli> ", "").splitlines()))
    header, row = listed[1].split(","), listed[3].split(",")
    found = dict(zip(header, row, strict=True))
    assert (found["ID"], found["Recording"], found["Persistent"], found["State"]) == (
        "1260:1360",
        "Enabled",
        "Enabled",
        "Valid",
    )
    assert time.strptime(found["DateSynced"].replace(" UTC ", " GMT "), "%a %b %d %H:%M:%S %Z %Y")
    missing = dscli.at(a, "resyncflash", "-record", "-persist", "1260:1361")
    assert missing.returncode == 4
    assert re.match(r"CMUN\d{5}E resyncflash: 1260:1361: Copy Services operation failure: ", missing.stderr)
    asked = dscli.at(a, "rmflash", "1260:1360", stdin="y\n")
    assert asked.returncode == 0
    assert "CMUC00144W rmflash: Are you sure you want to remove the FlashCopy pair 1260:1360:? [y/n]:" in asked.stdout
    assert "CMUC00140I" in asked.stdout


def test_exit_codes_and_speed(lab: Lab, dscli: Dscli, tmp_path: Path) -> None:
    a = lab.a.management
    began = time.monotonic()
    assert dscli.ok(a, "lssi", "-s", "-fullid", "-hdr", "off")[1] == A
    assert time.monotonic() - began < 2.0
    assert dscli.at(a, "lsnothing").returncode == 2
    assert dscli.at(a, "lspprc", "-nonsense").returncode == 2
    assert dscli.call("-hmc1", "127.0.0.13:9", "-user", "admin", "-passwd", "secret", "lssi").returncode == 3
    wrong = dscli.call("-hmc1", a, "-user", "admin", "-passwd", "wrong", "lssi")
    assert wrong.returncode == 5
    assert wrong.stderr.startswith("CMUC00191E")
    second = dscli.call("-hmc1", "127.0.0.13:9", "-hmc2", a, "-user", "watcher", "-passwd", "secret", "lssi")
    assert second.returncode == 0
    looker = dscli.call("-hmc1", a, "-user", "watcher", "-passwd", "secret", "mkflash", "1260:1360")
    assert looker.returncode == 4
    script = tmp_path / "script"
    script.write_text("lssi -hdr off\nrmfbvol -quiet 1299  # not there\nlsfbvol\n")
    ran = dscli.at(a, "-script", str(script))
    assert ran.returncode == 4
    assert "CMUC00234I lsfbvol: No FB Volume found." in ran.stdout
    profile = tmp_path / "dscli.profile"
    profile.write_text(f"hmc1: {a}\nusername: admin\npwfile: {dscli.pwfile}\ndevid: {A}\nbanner: off\nformat: stanza\n")
    shown = dscli.call("-cfg", str(profile), "lssi")
    assert re.search(rf"^ID +{A}$", shown.stdout, re.M), shown


def write_in_thread(box: Box, text: bytes) -> threading.Thread:
    """Write with FUA from a thread of its own; it ends when the write is acknowledged."""

    def write() -> None:
        with box.open() as client:
            client.pwrite(text.ljust(512, b"."), 0, fua=True)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_a_frozen_flash_copy_holds_writes_until_it_is_thawed(lab: Lab, dscli: Dscli) -> None:
    a = lab.a.management
    lab.a.create("1260", "1261", "1360", "1361")
    made = dscli.ok(a, "mkflash", "-dev", A, "-record", "-persist", "-freeze", "1260-1261:1360-1361")
    assert len([line for line in made if line.startswith("CMUC00137I")]) == 2
    before = lab.a.digest("1360")
    thread = write_in_thread(lab.a, b"held")
    thread.join(0.7)
    assert thread.is_alive(), "a write to the frozen subsystem waits"
    lab.a.create("2000")
    with lab.a.open(volume="2000") as other:
        other.pwrite(b"not held".ljust(512, b"."), 0)
    thawed = dscli.ok(a, "unfreezeflash", "-dev", A, "12")
    assert thawed[-1] == "CMUC00172I unfreezeflash: FlashCopy consistency group 12 successfully thawed."
    thread.join(10)
    assert not thread.is_alive()
    assert lab.a.digest("1360") == before
    assert lab.a.digest("1260") != before
    again = dscli.at(a, "unfreezeflash", "-dev", A, "12")
    assert (again.returncode, again.stderr[:10]) == (4, "CMUN03945E")


def test_freezepprc_suspends_a_subsystem_at_one_point_in_time(lab: Lab, dscli: Dscli) -> None:
    a = lab.a.management
    lab.mirror()
    frozen = dscli.ok(a, "freezepprc", "-dev", A, "-remotedev", B, "12:12")
    assert frozen[-1].startswith("CMUC00161I freezepprc:")
    assert lab.a.pair()["state"] == "Suspended"
    same = lab.b.digest()
    thread = write_in_thread(lab.a, b"after the freeze")
    thread.join(0.7)
    assert thread.is_alive()
    assert dscli.ok(a, "unfreezepprc", "-dev", A, "-remotedev", B, "12:12")[-1].startswith("CMUC00198I")
    thread.join(10)
    assert not thread.is_alive()
    assert lab.b.digest() == same
    assert lab.a.digest() != same
    without = dscli.at(a, "resumepprc", "-dev", A, "-remotedev", B, "-type", "mmir", "1260:1260")
    assert without.returncode == 4
    assert "make it with mkpprcpath" in without.stderr
    path = ("-remotewwnn", "5005", "-srclss", "12", "-tgtlss", "12", "I0102:I0137")
    dscli.ok(a, "mkpprcpath", "-dev", A, "-remotedev", B, *path)
    listed = dscli.ok(a, "lspprcpath", "-dev", A, "-fmt", "delim", "-hdr", "off", "12")
    assert listed[-1].split(",")[:6] == ["12", "12", "Success", "FF12", "I0102", "I0137"]
    dscli.ok(a, "resumepprc", "-dev", A, "-remotedev", B, "-type", "mmir", "-wait", "1260:1260")
    assert lab.a.digest() == lab.b.digest()
    wrong = dscli.at(a, "freezepprc", "-dev", A, "-remotedev", B, "12:13")
    assert wrong.returncode == 4
    assert "no pair has its source in 12" in wrong.stderr


def test_a_copy_is_turned_round_and_only_what_differs_travels_back(lab: Lab, dscli: Dscli) -> None:
    a = lab.a.management
    lab.a.create("1260", "1360")
    with lab.a.open() as client:
        client.pwrite(b"good data".ljust(512, b"."), 0)
    dscli.ok(a, "mkflash", "-dev", A, "-record", "-persist", "1260:1360")
    until(lambda: lab.a.client.run("flashes").rows[0]["out_of_sync_tracks"] == 0, what="the copy complete")
    good = lab.a.digest("1360")
    with lab.a.open() as client:
        client.pwrite(b"a mistake".ljust(512, b"."), 5 << 20)
    turned = dscli.ok(a, "reverseflash", "-dev", A, "-record", "-persist", "1260:1360")
    assert turned[-1].startswith("CMUC00169I reverseflash: FlashCopy volume pair 1260:1360")
    assert lab.a.digest("1260") == good, "at once, before anything was copied"
    (row,) = lab.a.client.run("flashes").rows
    assert (row["id"], row["tracks_to_copy"]) == ("1360:1260", 1)
    gone = dscli.at(a, "resyncflash", "-dev", A, "-record", "-persist", "1260:1360")
    assert gone.returncode == 4
    assert "no FlashCopy pair 1260:1360" in gone.stderr
