"""Metro Mirror between two real array processes, and everything that may go wrong between them."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from arraylab import KEY, VOLUME, A, B, Box, Lab, until

from holdfast.kernel.errors import Refused
from holdfast.replication.drivers.nbdclient import NbdClient
from holdfast.replication.service.media import Media

PAIR = [f"{VOLUME}:{VOLUME}"]


class Writer(threading.Thread):
    """Writes numbered blocks until the volume fails; remembers what was acknowledged."""

    def __init__(self, client: NbdClient) -> None:
        super().__init__(daemon=True)
        self.client, self.acknowledged, self.error = client, {}, None
        self.attempted: dict[int, bytes] = {}
        self.go = True

    def run(self) -> None:
        number = 0
        try:
            while self.go:
                block = os.urandom(4096)
                offset = (number * 7919 % 4096) * 4096
                self.attempted[offset] = block
                self.client.pwrite(block, offset, fua=number % 5 == 0)
                self.acknowledged[offset] = block
                number += 1
        except (OSError, ConnectionError) as error:
            self.error = error


def check(client: NbdClient, acknowledged: dict[int, bytes], attempted: dict[int, bytes] | None = None) -> None:
    """Every acknowledged block is there, unless a later write to its place was under way at the end."""
    later = attempted or {}
    lost = [o for o, block in acknowledged.items() if client.pread(4096, o) not in (block, later.get(o))]
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes are lost"


def test_every_acknowledged_write_survives_the_death_of_the_source(lab: Lab) -> None:
    lab.mirror(64 << 20)
    writer = Writer(lab.a.open())
    writer.start()
    time.sleep(0.7)
    lab.a.kill()
    writer.join(10)
    assert len(writer.acknowledged) > 50
    lab.b.client.change("failover", PAIR, remote=A)
    assert lab.b.pair()["state"] == "Suspended"
    assert lab.b.pair()["reason"] == "Host Source"
    with lab.b.open("hostc") as client:
        check(client, writer.acknowledged, writer.attempted)
        client.pwrite(b"after takeover".ljust(4096, b"."), 8 << 20, fua=True)
        # the old source returns: it must find out before it takes a write
        lab.a.start()
        with lab.a.open() as stale:
            stale._socket.settimeout(5)
            with pytest.raises(PermissionError):
                stale.pwrite(b"never", 0)
        until(lambda: lab.a.pair()["write_inhibited"], what="old source inhibits writes")
        # fail back: only changed tracks travel, and both ends are the same afterwards
        until(lambda: lab.b.client.run("paths").rows[0]["state"] == "Success", what="path back")
        lab.b.client.change("failback", PAIR, remote=A)
        done = lab.b.wait_state("Full Duplex")
        lab.a.wait_state("Target Full Duplex")
        assert 1 <= done["tracks_copied"] < done["tracks_total"]
        assert lab.a.digest() == lab.b.digest()
        check(client, writer.acknowledged, writer.attempted)
    record = lab.record()
    assert record is not None
    assert (record.source.image, record.in_sync) == (B, True)


def test_a_silent_peer_diverges_and_is_no_candidate(lab: Lab) -> None:
    lab.mirror()
    with lab.a.open() as client:
        client.pwrite(b"both".ljust(4096), 0, fua=True)
        lab.b.signal(signal.SIGSTOP)
        began = time.monotonic()
        client.pwrite(b"only here".ljust(4096), 1 << 20, fua=True)
        assert time.monotonic() - began < 3
        assert lab.a.pair()["state"] == "Suspended"
        assert lab.a.pair()["reason"] == "Internal Conditions Target"
        record = lab.record()
        assert record is not None
        assert not record.in_sync
        lab.b.signal(signal.SIGCONT)
        assert lab.b.pair()["state"] == "Target Full Duplex"
        with pytest.raises(Refused) as refused:
            lab.b.client.change("failover", PAIR, remote=A)
        assert refused.value.refusal.code == "stale"
        until(lambda: lab.a.client.run("paths").rows[0]["state"] == "Success", what="link back")
        assert lab.a.pair()["state"] == "Suspended", "nothing automatic after a divergence"
        lab.a.client.change("resume", PAIR, remote=B)
        done = lab.a.wait_state("Full Duplex")
        assert done["tracks_copied"] <= 48
    assert lab.a.digest() == lab.b.digest()


def test_without_peer_and_store_nothing_is_acknowledged(lab: Lab) -> None:
    lab.mirror()
    writer = lab.a.open(timeout_s=None)
    writer.pwrite(b"one".ljust(4096), 0, fua=True)
    parked = lab.store_path.parent.with_name("parked")
    lab.store_path.parent.rename(parked)
    lab.store_path.parent.write_text("the store is away")
    lab.b.signal(signal.SIGSTOP)
    answered = threading.Event()

    def write() -> None:
        writer.pwrite(b"two".ljust(4096), 4096)
        answered.set()

    threading.Thread(target=write, daemon=True).start()
    if answered.wait(4):
        pytest.skip("this store driver keeps its file open: it cannot be taken away by a rename")
    lab.store_path.parent.unlink()
    parked.rename(lab.store_path.parent)
    assert answered.wait(8), "the write goes on once the divergence is committed"
    record = lab.record()
    assert record is not None
    assert not record.in_sync
    lab.b.signal(signal.SIGCONT)


def test_a_source_that_was_frozen_cannot_write_after_a_takeover(lab: Lab) -> None:
    lab.mirror(64 << 20)
    writer = Writer(lab.a.open())
    writer.start()
    time.sleep(0.4)
    lab.a.signal(signal.SIGSTOP)
    lab.b.client.change("failover", PAIR, remote=A)
    with lab.b.open("hostc") as client:
        check(client, dict(writer.acknowledged), writer.attempted)
        client.pwrite(b"new owner".ljust(4096), 40 << 20, fua=True)
        seen = len(writer.acknowledged)
        lab.a.signal(signal.SIGCONT)
        writer.join(10)
        assert isinstance(writer.error, PermissionError)
        assert len(writer.acknowledged) <= seen + 1, "an answer may have been on its way, nothing more"
        until(lambda: lab.a.pair()["write_inhibited"], what="inhibits")
        until(lambda: lab.b.client.run("paths").rows[0]["state"] == "Success", what="path")
        lab.b.client.change("failback", PAIR, remote=A)
        done = lab.b.wait_state("Full Duplex")
        assert done["tracks_copied"] < done["tracks_total"]
        check(client, writer.acknowledged, writer.attempted)
    lab.a.wait_state("Target Full Duplex")
    assert lab.a.digest() == lab.b.digest()


def test_an_idle_source_stays_in_sync_when_its_link_fails(lab: Lab) -> None:
    lab.mirror()
    lab.b.kill()
    time.sleep(1.0)
    record = lab.record()
    assert record is not None
    assert record.in_sync
    lab.b.start()
    until(lambda: lab.a.pair()["attached"], what="the pair attaches again by itself")
    with lab.a.open() as client:
        client.pwrite(b"x" * 4096, 0, fua=True)
    assert lab.a.pair()["state"] == "Full Duplex"
    assert lab.a.digest() == lab.b.digest()


def test_targets_refuse_hosts_and_roles_swap_both_ways(lab: Lab) -> None:
    lab.mirror()
    with pytest.raises(Refused, match="target"):
        lab.b.open("hostc")
    open_at_a = lab.a.open()
    open_at_a.pwrite(b"planned".ljust(4096), 0, fua=True)
    lab.b.client.change("failover", PAIR, remote=A)
    with pytest.raises(PermissionError):
        open_at_a.pwrite(b"late".ljust(4096), 0)
    lab.b.client.change("failback", PAIR, remote=A)
    lab.b.wait_state("Full Duplex")
    lab.a.wait_state("Target Full Duplex")
    with pytest.raises(PermissionError):
        open_at_a.pread(4096, 0)
    with lab.b.open("hostc") as client:
        assert client.pread(7, 0) == b"planned"
        client.pwrite(b"at two".ljust(4096), 0, fua=True)
    lab.a.client.change("failover", PAIR, remote=B)
    lab.a.client.change("failback", PAIR, remote=B)
    lab.a.wait_state("Full Duplex")
    with lab.a.open() as client:
        assert client.pread(6, 0) == b"at two"
    assert KEY.startswith("replication/pairs/")


def test_killing_both_arrays_at_random_loses_no_bit(lab: Lab) -> None:
    lab.mirror()
    acknowledged: dict[int, bytes] = {}
    attempted: dict[int, bytes] = {}
    for box in (lab.b, lab.a, lab.b):
        writer = Writer(lab.a.open())
        writer.start()
        time.sleep(0.3)
        box.kill()
        time.sleep(0.4)
        writer.go = False
        writer.join(10)
        acknowledged.update(writer.acknowledged)
        attempted.update(writer.attempted)
        box.start()
        until(lambda: lab.a.pair()["settled"], what="settled")
        until(lambda: lab.a.client.run("paths").rows[0]["state"] == "Success", what="paths up")
        if lab.a.pair()["state"] == "Suspended":
            lab.a.client.change("resume", PAIR, remote=B)
        lab.a.wait_state("Full Duplex")
        until(lambda: lab.a.pair()["attached"], what="attached")
        with lab.a.open() as client:
            check(client, acknowledged, attempted)
            for offset in attempted:
                acknowledged[offset] = client.pread(4096, offset)
            attempted.clear()
        assert lab.a.digest() == lab.b.digest()


def test_a_killed_source_copies_nothing_again_that_was_acknowledged(lab: Lab) -> None:
    """Writes far apart touch many regions; after a kill of the process only what was on its way is in doubt."""
    size = 512 << 20
    lab.mirror(size)
    with lab.a.open() as client:
        for number in range(100):
            client.pwrite(os.urandom(4096), number * 5 << 20)
    lab.a.kill()
    lab.a.start()
    assert lab.a.pair()["out_of_sync_tracks"] == 0, "both ends have what was acknowledged"
    until(lambda: lab.a.pair()["attached"], what="attached again")
    lab.b.kill()
    lab.b.start()
    until(lambda: lab.a.client.run("paths").rows[0]["state"] == "Success" and lab.a.pair()["attached"], what="again")
    with lab.a.open() as client:
        client.pwrite(b"goes on".ljust(4096), 0, fua=True)
    assert lab.a.digest() == lab.b.digest()


def unflushed(lab: Lab, text: bytes, offset: int) -> None:
    """Write a block that the target confirmed and has not flushed, and kill both arrays."""
    for _ in range(5):
        with lab.a.open() as client:
            client.pwrite(text.ljust(4096), offset)
            lab.a.kill()
        lab.b.kill()
        media = Media(lab.a.directory)
        hot = media.load(A)[2][VOLUME]
        media.close()
        if hot:
            return
        lab.a.start()
        lab.b.start()
        until(lambda: lab.a.pair()["attached"], what="attached")
    raise AssertionError("the array flushed each time")


def lose_power(box: Box, offset: int) -> None:
    """What a power failure does to an array that is down: a block that was not flushed is gone, the machine's boot is
    another."""
    with (box.directory / "volumes" / f"{VOLUME}.img").open("r+b") as file:
        file.seek(offset)
        file.write(bytes(4096))
    (box.directory / "boot").write_text("an earlier boot")


def test_a_target_that_lost_power_while_its_source_ran_gets_what_it_lost(lab: Lab) -> None:
    lab.mirror()
    with lab.a.open() as client:
        client.pwrite(b"confirmed".ljust(4096), 3 << 20)
        lab.b.kill()
        lose_power(lab.b, 3 << 20)
        lab.b.start()
        until(lambda: lab.a.pair()["attached"], what="attached again")
        assert lab.a.digest() == lab.b.digest()
        client.pwrite(b"next".ljust(4096), 7 << 20, fua=True)
    lab.b.kill()
    lab.b.start()
    until(lambda: lab.a.pair()["attached"], what="attached once more")
    assert (lab.a.pair()["out_of_sync_tracks"], lab.b.pair()["out_of_sync_tracks"]) == (0, 0)


def test_a_target_that_lost_power_gets_all_that_it_had_not_flushed(lab: Lab) -> None:
    lab.mirror()
    unflushed(lab, b"confirmed", 3 << 20)
    lose_power(lab.b, 3 << 20)
    lab.b.start()
    lab.a.start()
    until(lambda: lab.a.pair()["attached"], what="attached again")
    assert lab.a.digest() == lab.b.digest()
    with lab.a.open() as client:
        assert client.pread(9, 3 << 20) == b"confirmed"
