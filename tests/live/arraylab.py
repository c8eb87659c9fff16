"""Two arrays as real processes on loopback addresses, with one embedded store: the ground of the live array tests."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.kernel.errors import HoldfastError
from holdfast.replication.drivers.nbdclient import NbdClient
from holdfast.replication.drivers.softarray import SoftArray
from holdfast.replication.model.pairs import PairRecord
from holdfast.replication.service.users import add_user
from holdfast.replication.service.witness import StoreWitness
from holdfast.runtime.authority import create_authority, issue
from holdfast.runtime.identity import save_identity
from holdfast.store.drivers.embedded import EmbeddedStore

A, B = "IBM.2107-75FA120", "IBM.2107-75FA150"
VOLUME = "1260"
KEY = f"replication/pairs/{A}/{VOLUME}|{B}/{VOLUME}"


def free_port(host: str) -> int:
    """Return a port that is free on ``host`` now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], limit_s: float = 15.0, what: str = "") -> Any:
    """Wait until the condition holds and return its value."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.03)
    raise AssertionError(f"did not happen within {limit_s} s: {what}")


class Box:
    """One array process and its client."""

    def __init__(self, lab: Lab, image: str, host: str) -> None:
        self.lab, self.image, self.host = lab, image, host
        self.management, self.nbd, self.mirror = (f"{host}:{free_port(host)}" for _ in range(3))
        self.directory = lab.directory / image
        self.config = lab.directory / f"{image}.toml"
        self.process: subprocess.Popen[bytes] | None = None
        save_identity(issue(lab.directory / "ca", f"array:{image}"), lab.directory / f"{image}.tls")

    def write_config(self, peer: Box) -> None:
        self.config.write_text(
            f'storage_image = "{self.image}"\ndirectory = "{self.directory}"\nmanagement = "{self.management}"\n'
            f'nbd = "{self.nbd}"\nmirror = "{self.mirror}"\nidentity = "{self.image}.tls"\nusers = "users"\n'
            f'store = "embedded://{self.lab.store_path}"\n[peers]\n"{peer.image}" = "{peer.mirror}"\n'
        )

    def start(self) -> None:
        log = (self.lab.directory / f"{self.image}.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "holdfast.app.main", "array", "serve", "--config", str(self.config)],
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", self.log()
        self.client = SoftArray(self.management, self.lab.identity, self.image)

    def log(self) -> str:
        return (self.lab.directory / f"{self.image}.log").read_text()

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()
        self.client.close()

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.process.wait(15)

    def pair(self, volume: str = VOLUME) -> dict[str, Any]:
        return next(row for row in self.client.run("pairs").rows if row["local"] == volume)

    def wait_state(self, state: str, volume: str = VOLUME, limit_s: float = 20.0) -> dict[str, Any]:
        return until(lambda: (row := self.pair(volume))["state"] == state and row, limit_s, f"{self.image} {state}")

    def digest(self, volume: str = VOLUME) -> str:
        return str(self.client.run("digest", [volume]).rows[0]["blake3"])

    def open(self, host: str = "hosta", key: int = 1, volume: str = VOLUME, timeout_s: float = 20.0) -> NbdClient:
        return NbdClient.open(self.client.nbd_uri(volume, host, key), timeout_s)

    def create(self, *volumes: str, size_bytes: int = 16 << 20) -> None:
        self.client.change("mkvolume", list(volumes), size_bytes=size_bytes)


class Lab:
    """Authority, store, users and two arrays."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store_path = directory / "store" / "store.db"
        self.store_path.parent.mkdir()
        create_authority(directory / "ca")
        self.identity = directory / "operator.tls"
        save_identity(issue(directory / "ca", "operator:test"), self.identity)
        add_user(directory / "users", "admin", "secret")
        add_user(directory / "users", "watcher", "secret", "monitor")
        self.a, self.b = Box(self, A, "127.0.0.11"), Box(self, B, "127.0.0.12")
        self.a.write_config(self.b)
        self.b.write_config(self.a)

    def start(self) -> None:
        self.a.start()
        self.b.start()
        for box in (self.a, self.b):
            until(lambda box=box: box.client.run("paths").rows[0]["state"] == "Success", what="paths up")

    def mirror(self, size_bytes: int = 16 << 20) -> None:
        for box in (self.a, self.b):
            box.create(VOLUME, size_bytes=size_bytes)
        self.a.client.change("mkpair", [f"{VOLUME}:{VOLUME}"], remote=B)
        self.a.wait_state("Full Duplex")
        self.b.wait_state("Target Full Duplex")

    def record(self) -> PairRecord | None:
        async def read() -> PairRecord | None:
            witness = StoreWitness(EmbeddedStore(self.store_path))
            try:
                return (await witness.read([KEY]))[KEY].record
            finally:
                await witness.close()

        return asyncio.run(read())

    def stop(self) -> None:
        for box in (self.a, self.b):
            if box.process is not None:
                try:
                    box.stop()
                except (HoldfastError, subprocess.TimeoutExpired):
                    box.process.kill()
                    box.process.wait()
