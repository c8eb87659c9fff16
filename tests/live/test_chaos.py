"""kill -9 of any part, at random moments, in random order, under load: nothing acknowledged is lost, never two writers.

The seed is printed; ``HOLDFAST_SEED`` makes the same choices again.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chaoslab import Watch

from holdfast.continuity.model.sites import Role, layout
from holdfast.lab.provision import EXAMPLES, loopback_of
from holdfast.lab.supervisor import clean

SCRIPT = Path(__file__).with_name("chaoslab.py")
LIMIT_S = 300


def free_directory(parent: Path) -> Path:
    """Return a new directory whose name stands for loopback addresses that no other lab uses now."""
    for number in range(64):
        directory = parent / f"chaos-{os.getpid()}-{number}"
        addresses = layout(False, loopback_of(directory))
        with socket.socket() as probe:
            if probe.connect_ex((addresses.host("witness").address, addresses.store_port)) != 0:
                directory.mkdir()
                return directory
    raise AssertionError("every part of the loopback network is in use")


def test_the_watch_sees_the_application_on_two_systems(tmp_path: Path) -> None:
    directory = free_directory(tmp_path)
    addresses = layout(False, loopback_of(directory))
    watch = Watch(addresses)
    watch.start()
    ledgers = []
    try:
        for system in addresses.of(Role.SYSTEM)[:2]:
            listen = f"{system.address}:{addresses.ledger_port}"
            data = str(tmp_path / system.name)
            command = [sys.executable, str(EXAMPLES / "ledger.py"), "serve", "--listen", listen, "--data", data]
            ledgers.append(subprocess.Popen(command, stdout=subprocess.PIPE))
            assert ledgers[-1].stdout is not None
            assert ledgers[-1].stdout.readline() == b"ready\n"
            time.sleep(0.5)
            assert bool(watch.violations) == (len(ledgers) == 2)
    finally:
        for ledger in ledgers:
            ledger.kill()
            ledger.communicate()
        assert watch.is_alive()
        watch.stop()


@pytest.mark.slow
def test_parts_killed_at_random_lose_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("HOLDFAST_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    print(f"HOLDFAST_SEED={seed}")
    lab = free_directory(tmp_path)
    lab.chmod(0o711)
    try:
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, str(SCRIPT), str(lab), str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    finally:
        left = clean(lab)
    assert done.stdout, done.stderr[-3000:]
    found = json.loads(done.stdout)
    print(json.dumps(found, indent=1), done.stderr[-3000:], sep="\n")
    assert "failed" not in found
    assert done.returncode == 0
    assert left == []
    assert found["lost"] == 0
    assert found["equal_bytes"]
    assert found["watched_to_the_end"]
    assert found["violations"] == []
    assert found["looks"] > 100
    assert found["acknowledged"] > 100
    assert found["objects"] >= 40
    assert found["differences"] == []
