"""Mirroring while hosts write without pause: copies end, both ends agree, all pairs of a path part together."""

from __future__ import annotations

import os
import threading
import time

from arraylab import A, B, Lab, until

from holdfast.replication.drivers.nbdclient import NbdClient

VOLUMES = ("1260", "1261")
PAIRS = [f"{name}:{name}" for name in VOLUMES]


class Load:
    """One writer per volume over a small hot area, until stopped or refused."""

    def __init__(self, clients: list[NbdClient]) -> None:
        self.go = True
        self.count = 0
        self.threads = [threading.Thread(target=self._run, args=(client,), daemon=True) for client in clients]
        for thread in self.threads:
            thread.start()

    def _run(self, client: NbdClient) -> None:
        number = 0
        try:
            while self.go:
                client.pwrite(os.urandom(8192), (number * 37 % 700) * 4096 + (number % 7) * 512, fua=number % 50 == 0)
                number += 1
                self.count += 1
        except OSError:
            return

    def stop(self) -> None:
        self.go = False
        for thread in self.threads:
            thread.join(10)


def test_copies_end_under_load_and_both_ends_agree(lab: Lab) -> None:
    for box in (lab.a, lab.b):
        box.create(*VOLUMES, size_bytes=32 << 20)
    load = Load([lab.a.open(volume=name) for name in VOLUMES])
    time.sleep(0.2)
    lab.a.client.change("mkpair", PAIRS, remote=B)
    for name in VOLUMES:
        lab.a.wait_state("Full Duplex", name)
    before = load.count
    until(lambda: load.count > before + 50, what="writes go on")
    lab.b.kill()
    until(lambda: lab.a.pair("1260")["state"] == "Suspended", what="diverged")
    assert lab.a.pair("1261")["state"] == "Suspended", "all pairs of a path part in one step"
    before = load.count
    until(lambda: load.count > before + 50, what="writes go on alone")
    lab.b.start()
    until(lambda: lab.a.client.run("paths").rows[0]["state"] == "Success", what="path")
    lab.a.client.change("resume", PAIRS, remote=B)
    for name in VOLUMES:
        done = lab.a.wait_state("Full Duplex", name)
        assert done["tracks_to_copy"] < done["tracks_total"]
        lab.b.wait_state("Target Full Duplex", name)
    load.stop()
    for name in VOLUMES:
        assert lab.a.digest(name) == lab.b.digest(name)
    # a takeover of both pairs while the old source writes: each write is refused there or present here
    load = Load([lab.a.open(volume=name) for name in VOLUMES])
    lab.b.client.change("failover", PAIRS, remote=A)
    load.stop()
    lab.b.client.change("failback", PAIRS, remote=A)
    for name in VOLUMES:
        lab.b.wait_state("Full Duplex", name)
        lab.a.wait_state("Target Full Duplex", name)
        assert lab.a.digest(name) == lab.b.digest(name)
