"""Pools, volume groups and hosts by the native commands; many volumes at once while hosts go on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from arraylab import VOLUME, Lab, until

from holdfast.kernel.errors import HoldfastError

MANY = [f"{0x20 + number // 256:02X}{number % 256:02X}" for number in range(600)]


def typed(lab: Lab, *words: str) -> tuple[int, Any]:
    environment = {**os.environ, "HOLDFAST_IDENTITY": str(lab.identity), "HOLDFAST_ARRAY": lab.a.management}
    command = [sys.executable, "-m", "holdfast", *words, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_pools_groups_and_hosts_are_managed_natively(lab: Lab) -> None:
    assert typed(lab, "array", "create-pool", "P1", "--size", "48M")[0] == 0
    assert typed(lab, "volume", "create", VOLUME, "--size", "32M", "--pool", "P1", "--standard")[0] == 0
    code, said = typed(lab, "volume", "create", "1261", "--size", "32M", "--pool", "P1", "--standard")
    assert (code, "pool P1 has 16777216 bytes left" in str(said)) == (3, True)
    assert typed(lab, "array", "resize-pool", "P1", "--size", "96M")[0] == 0
    assert typed(lab, "volume", "create", "1261", "--size", "32M", "--pool", "P1", "--standard")[0] == 0
    assert typed(lab, "volume", "change", "1261", "--size", "40M", "--name", "logs")[0] == 0
    pools = typed(lab, "array", "pools")[1]
    assert pools == [{"id": "P1", "limit_bytes": 96 << 20, "used_bytes": 72 << 20, "volumes": 2}]
    group = typed(lab, "array", "create-volume-group", "database", "--volume", VOLUME)[1]["id"]
    assert typed(lab, "array", "change-volume-group", group, "--add", "1261", "--remove", VOLUME)[0] == 0
    assert typed(lab, "array", "volume-groups")[1] == [{"id": group, "name": "database", "volumes": ["1261"]}]
    host = typed(lab, "array", "connect-host", "hosta", "--volume-group", group)[1]["id"]
    assert typed(lab, "array", "hosts")[1] == [{"id": host, "host": "hosta", "volgroup": group}]
    assert typed(lab, "array", "remove-volume-group", group)[0] == 3, "a host is connected to it"
    with lab.a.open("hosta", volume="1261"):
        assert typed(lab, "array", "connections")[1] == [{"export": "hosta.1/1261"}]
    assert typed(lab, "array", "disconnect-host", host)[0] == 0
    assert typed(lab, "array", "remove-volume-group", group)[0] == 0
    assert typed(lab, "volume", "remove", VOLUME, "1261")[0] == 0
    assert typed(lab, "array", "remove-pool", "P1")[0] == 0


def test_a_host_reads_and_writes_while_hundreds_of_volumes_are_made(lab: Lab) -> None:
    lab.mirror()
    done = threading.Event()
    answered = 0

    def make() -> None:
        lab.a.client.change("mkvolume", MANY, timeout_s=60.0, size_bytes=1 << 20)
        done.set()

    thread = threading.Thread(target=make)
    with lab.a.open() as host:
        thread.start()
        while not done.is_set():
            host.pwrite(os.urandom(4096), answered % 4096 * 4096)
            answered += 1
        thread.join()
    assert answered > 10, "between one batch and the next the host is served"
    assert lab.a.pair()["attached"], "and the mirror link lives"
    assert len(lab.a.client.run("volumes").rows) == len(MANY) + 1
    assert lab.a.digest() == lab.b.digest()


def test_a_kill_while_volumes_are_made_leaves_whole_ones(lab: Lab, rng: random.Random) -> None:
    def make() -> None:
        with contextlib.suppress(HoldfastError):  # it is killed in the middle
            lab.a.client.change("mkvolume", MANY, timeout_s=60.0, size_bytes=1 << 20)

    thread = threading.Thread(target=make)
    thread.start()
    image: Path = lab.a.directory / "volumes"
    wanted = rng.randrange(1, len(MANY))
    until(lambda: sum(1 for _ in image.iterdir()) >= wanted, what="some were made")
    lab.a.kill()
    thread.join()
    lab.a.start()
    found = {str(row["id"]): row["size_bytes"] for row in lab.a.client.run("volumes").rows}
    assert set(found.values()) <= {1 << 20}
    left = [name for name in MANY if name not in found]
    lab.a.client.change("mkvolume", left, timeout_s=60.0, size_bytes=1 << 20)
    with lab.a.open(volume=MANY[-1]) as host:
        host.pwrite(b"usable".ljust(4096), 0, fua=True)
