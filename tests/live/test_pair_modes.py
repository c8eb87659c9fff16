"""Metro Mirror's finer commands between two real arrays: freeze, consistency groups, critical mode, paths, either end's
pause and removal, a FlashCopy onto a source, and what travels on a failback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from arraylab import VOLUME, A, B, Box, Lab, until

from holdfast.kernel.errors import Refused
from holdfast.replication.drivers.nbdclient import NbdClient

PAIR = [f"{VOLUME}:{VOLUME}"]
MIB = 1 << 20


class Attempt(threading.Thread):
    """One write in a thread; ``error`` is what it ended with, if it failed."""

    def __init__(self, client: NbdClient, text: bytes, offset: int = 0) -> None:
        super().__init__(daemon=True)
        self.error: OSError | None = None
        self._work: Callable[[], None] = lambda: client.pwrite(text.ljust(4096, b"."), offset, fua=True)
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except OSError as error:
            self.error = error

    def waits(self, for_s: float = 0.7) -> bool:
        self.join(for_s)
        return self.is_alive()

    def end(self, limit_s: float = 15.0) -> OSError | None:
        self.join(limit_s)
        assert not self.is_alive(), "the write did not end"
        return self.error


def code(box: Box, verb: str, objects: list[str], **options: object) -> str:
    """Run a command that must be refused; return the code."""
    with pytest.raises(Refused) as refused:
        box.client.change(verb, objects, **options)
    assert refused.value.refusal.remedy, "a refusal says what to do"
    return refused.value.refusal.code


def linked(box: Box) -> None:
    until(lambda: box.client.run("paths").rows[0]["state"] == "Success", what=f"{box.image} linked")


def in_sync(lab: Lab) -> bool:
    record = lab.record()
    assert record is not None
    return record.in_sync


def configure(box: Box, line: str) -> None:
    """Add a line to a box's configuration and start it again."""
    box.stop()
    box.config.write_text(box.config.read_text().replace("[peers]", f"{line}\n[peers]"))
    box.start()
    linked(box)


# --- freeze ----------------------------------------------------------------------------------------------------------


def test_a_frozen_subsystem_can_be_taken_over_and_failed_back(lab: Lab) -> None:
    lab.mirror()
    with lab.a.open() as client:
        client.pwrite(b"before".ljust(4096), 0, fua=True)
        lab.a.client.change("freeze", ["12:12"], remote=B)
        frozen = lab.a.pair()
        assert (frozen["state"], frozen["reason"]) == ("Suspended", "Freeze")
        assert lab.b.pair()["state"] == "Target Full Duplex", "the target is told nothing"
        assert in_sync(lab)
        held = Attempt(client, b"held")
        assert held.waits()
        lab.b.client.change("failover", PAIR, remote=A)
        lab.a.client.change("thaw", ["12"])
        refused = held.end()
        assert refused is not None
        assert refused.errno == errno.EPERM
    assert code(lab.a, "resume", PAIR, remote=B) == "no-path"
    lab.b.client.change("failback", PAIR, remote=A)
    lab.b.wait_state("Full Duplex")
    lab.a.wait_state("Target Full Duplex")
    assert lab.a.digest() == lab.b.digest()


def test_native_commands_freeze_thaw_and_make_the_path_again(lab: Lab) -> None:
    def pair(*words: str) -> str:
        command = [sys.executable, "-m", "holdfast.app.main", "pair", *words, "--array", lab.a.management]
        environment = {**os.environ, "HOLDFAST_IDENTITY": str(lab.identity)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    lab.mirror()
    pair("freeze", "12:12", "--remote", B)
    assert lab.a.pair()["reason"] == "Freeze"
    assert B not in pair("paths")
    pair("thaw", "12")
    pair("open-path", "12:12", "--consistency-group")
    assert lab.a.client.run("lsspaths").rows[0]["consistgrp"] is True
    assert B in pair("paths", "12")
    pair("resume", *PAIR)
    lab.a.wait_state("Full Duplex")
    pair("close-path", "12:12", "--force")
    lab.a.wait_state("Suspended")


def test_a_freeze_ends_by_its_timeout_and_the_target_is_then_stale(lab: Lab) -> None:
    configure(lab.a, "long_busy_s = 2")
    lab.mirror()
    with lab.a.open() as client:
        lab.a.client.change("freeze", ["12:12"], remote=B)
        began = time.monotonic()
        assert Attempt(client, b"held").end() is None
        assert time.monotonic() - began > 1.0
    assert not in_sync(lab)
    assert code(lab.b, "failover", PAIR, remote=A) == "stale"


# --- losing the target -----------------------------------------------------------------------------------------------


def test_critical_mode_refuses_writes_and_keeps_the_target_a_candidate(lab: Lab) -> None:
    for box in (lab.a, lab.b):
        box.create(VOLUME)
    lab.a.client.change("mkpair", PAIR, remote=B, critmode=True)
    lab.a.wait_state("Full Duplex")
    with lab.a.open() as client:
        client.pwrite(b"both".ljust(4096), 0, fua=True)
        lab.b.signal(signal.SIGSTOP)
        refused = Attempt(client, b"alone").end()
        assert refused is not None
        assert refused.errno == errno.EPERM
        assert lab.a.pair()["reason"] == "Internal Conditions Target"
        assert in_sync(lab)
        lab.b.signal(signal.SIGCONT)
        linked(lab.a)
        lab.a.client.change("resume", PAIR, remote=B)
        lab.a.wait_state("Full Duplex")
        assert lab.a.pair()["critmode"], "a resume keeps the mode"
        client.pwrite(b"again".ljust(4096), 0, fua=True)
    assert lab.a.digest() == lab.b.digest()


def test_a_consistency_group_holds_the_whole_subsystem(lab: Lab) -> None:
    volumes = (VOLUME, "1261", "1300")
    for box in (lab.a, lab.b):
        box.create(*volumes)
    for subsystems in ("12:12", "13:13"):
        lab.a.client.change("mkpath", [subsystems], remote=B, consistgrp=subsystems == "12:12")
    lab.a.client.change("mkpair", [f"{name}:{name}" for name in volumes], remote=B)
    for name in volumes:
        lab.a.wait_state("Full Duplex", name)
    clients = [lab.a.open(volume=name, timeout_s=60.0) for name in volumes]
    lab.b.signal(signal.SIGSTOP)
    first = Attempt(clients[0], b"one")
    until(lambda: lab.a.pair(VOLUME)["state"] == "Suspended", what="suspended")
    second, other = Attempt(clients[1], b"two"), Attempt(clients[2], b"three")
    assert other.end() is None, "a subsystem without consistency group goes on"
    assert first.waits()
    assert second.waits(0.1)
    lab.a.client.change("thaw", ["12"])
    assert (first.end(), second.end()) == (None, None)
    lab.b.signal(signal.SIGCONT)


def test_either_end_can_pause_or_leave(lab: Lab) -> None:
    lab.mirror()
    assert code(lab.b, "pause", PAIR, remote=A) == "not-source"
    lab.b.client.change("pause", PAIR, remote=A, at="tgt")
    assert (lab.b.pair()["state"], lab.b.pair()["reason"]) == ("Target Suspended", "Host Target")
    paused = lab.a.wait_state("Suspended")
    assert paused["reason"] == "Host Target"
    lab.a.client.change("resume", PAIR, remote=B)
    lab.a.wait_state("Full Duplex")
    assert code(lab.b, "rmpair", PAIR, remote=A, at="src", unconditional=True) == "wrong-end"
    lab.b.client.change("rmpair", PAIR, remote=A, at="tgt", unconditional=True)
    assert lab.b.client.run("pairs").rows == []
    with lab.a.open() as client:
        client.pwrite(b"x".ljust(4096), 0, fua=True)
    gone = lab.a.pair()
    assert (gone["state"], gone["reason"]) == ("Suspended", "Simplex Target")
    assert code(lab.a, "resume", PAIR, remote=B) == "no-pair"
    lab.a.client.change("rmpair", PAIR, remote=B, at="src", unconditional=True)
    assert lab.record() is None
    lab.a.client.change("mkpair", PAIR, remote=B)
    lab.a.wait_state("Full Duplex")
    assert lab.a.digest() == lab.b.digest()


def test_a_target_may_be_read_where_the_pair_permits_it(lab: Lab) -> None:
    lab.mirror()
    with pytest.raises(Refused, match="target"):
        lab.b.open("hostc")
    lab.a.client.change("pause", PAIR, remote=B)
    lab.a.client.change("resume", PAIR, remote=B, tgtread=True)
    lab.a.wait_state("Full Duplex")
    lab.b.wait_state("Target Full Duplex")
    with lab.a.open() as source, lab.b.open("hostc") as reader:
        source.pwrite(b"seen".ljust(4096), 0, fua=True)
        assert reader.pread(4, 0) == b"seen"
        with pytest.raises(PermissionError):
            reader.pwrite(b"no".ljust(4096), 0)


def test_a_pair_needs_a_path(lab: Lab) -> None:
    configure(lab.a, 'paths = "explicit"')
    for box in (lab.a, lab.b):
        box.create(VOLUME)
    assert code(lab.a, "mkpair", PAIR, remote=B) == "no-path"
    assert code(lab.a, "mkpath", ["12:12"], remote="IBM.2107-75FA190") == "no-peer"
    lab.a.client.change("mkpath", ["12:12"], remote=B, ports=["I0102:I0137"])
    (path,) = lab.a.client.run("lsspaths").rows
    assert (path["source_lss"], path["state"], path["ports"]) == ("12", "Success", ["I0102:I0137"])
    lab.a.client.change("mkpair", PAIR, remote=B, suspend=True)
    assert lab.a.pair()["state"] == "Suspended"
    until(lambda: lab.b.pair()["state"] == "Target Suspended", what="target suspended")
    lab.a.client.change("resume", PAIR, remote=B)
    assert lab.a.wait_state("Full Duplex")["tracks_copied"] == 256, "a pair that began suspended copies everything"
    assert code(lab.a, "rmpath", ["12:12"], remote=B) == "in-use"
    lab.a.client.change("rmpath", ["12:12"], remote=B, force=True)
    lab.a.wait_state("Suspended")
    assert lab.a.client.run("lsspaths").rows == []
    assert code(lab.a, "resume", PAIR, remote=B) == "no-path"


# --- FlashCopy onto a source -----------------------------------------------------------------------------------------


def test_a_flash_copy_onto_a_source_reaches_the_other_array(lab: Lab) -> None:
    lab.mirror()
    lab.a.create("1360")
    with lab.a.open(volume="1360") as client:
        for place in range(16):
            client.pwrite(bytes([place + 1]) * MIB, place * MIB)
    onto = [f"1360:{VOLUME}"]
    assert code(lab.a, "mkflash", onto, persist=True) == "target-paired"
    assert code(lab.a, "mkflash", onto, persist=True, tgtpprc=True, pmir="required") == "pmir"
    assert in_sync(lab)
    lab.b.create("1360")
    assert code(lab.b, "mkflash", onto, persist=True, tgtpprc=True) == "target-secondary"
    lab.a.client.change("mkflash", onto, record=True, persist=True, copy=False, tgtpprc=True, pmir="preferred")
    with lab.a.open() as client:
        assert client.pread(4, 3 * MIB) == b"\x04" * 4
        client.pwrite(b"after".ljust(4096), 5 * MIB, fua=True)
    done = lab.a.wait_state("Full Duplex")
    lab.b.wait_state("Target Full Duplex")
    assert in_sync(lab)
    assert done["tracks_copied"] >= 256
    assert lab.a.digest() == lab.b.digest()
    with lab.a.open(volume="1360") as client:
        client.pwrite(b"changed".ljust(65536), 9 * MIB, fua=True)
    lab.a.client.change("resyncflash", onto, record=True, persist=True, copy=False, tgtpprc=True)
    lab.a.wait_state("Full Duplex")
    lab.b.wait_state("Target Full Duplex")
    assert lab.a.digest() == lab.b.digest() == lab.a.digest("1360")


# --- what travels ----------------------------------------------------------------------------------------------------


def write_tracks(box: Box, tracks: range, host: str) -> None:
    with box.open(host) as client:
        for track in tracks:
            client.pwrite(bytes([track % 255 + 1]) * 4096, track * 65536)
        client.flush()


def test_a_failback_sends_what_either_side_changed(lab: Lab) -> None:
    lab.mirror()
    write_tracks(lab.a, range(0, 40), "hosta")
    time.sleep(2.5)
    # the old source has no changed tracks: only what the new one wrote
    lab.b.client.change("failover", PAIR, remote=A)
    write_tracks(lab.b, range(100, 110), "hostb")
    lab.b.client.change("failback", PAIR, remote=A)
    assert lab.b.wait_state("Full Duplex")["tracks_to_copy"] == 10
    lab.a.wait_state("Target Full Duplex")
    time.sleep(2.5)
    # both went on alone: the union, and the old source's work is overwritten
    lab.b.client.change("pause", PAIR, remote=A)
    write_tracks(lab.b, range(0, 20), "hostb")
    lab.a.client.change("failover", PAIR, remote=B, force=True)
    write_tracks(lab.a, range(10, 30), "hosta")
    lab.a.client.change("failback", PAIR, remote=B)
    assert lab.a.wait_state("Full Duplex")["tracks_to_copy"] == 30
    lab.b.wait_state("Target Full Duplex")
    assert lab.a.digest() == lab.b.digest()
    # the other end is simplex: everything
    lab.b.client.change("rmpair", PAIR, remote=A, at="tgt", unconditional=True)
    lab.a.client.change("failover", PAIR, remote=B) if lab.a.pair()["state"] == "Suspended" else lab.a.client.change(
        "pause", PAIR, remote=B
    )
    lab.a.client.change("failback", PAIR, remote=B)
    assert lab.a.wait_state("Full Duplex")["tracks_to_copy"] == 256
    assert lab.a.digest() == lab.b.digest()


def test_an_array_that_is_not_source_may_not_overwrite_the_one_that_is(lab: Lab) -> None:
    lab.mirror()
    lab.a.client.change("pause", PAIR, remote=B)
    lab.b.client.change("failover", PAIR, remote=A, force=True)
    until(lambda: lab.a.pair()["write_inhibited"], what="the old source knows")
    with pytest.raises(Refused, match="the store names") as refused:
        lab.a.client.change("failback", PAIR, remote=B)
    assert "failoverpprc" in refused.value.refusal.remedy
    lab.b.client.change("failover", PAIR, remote=A)
    assert lab.b.pair()["state"] == "Suspended", "a second failover changes nothing"
