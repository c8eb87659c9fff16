"""A private PostgreSQL on a socket, run by an unprivileged user: started once per test process, ended with it."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

_HOME = Path("/usr/lib/postgresql")


@functools.cache
def _cluster() -> Path:
    if os.geteuid() != 0 or not _HOME.is_dir():
        pytest.skip("needs root and Debian's postgresql")
    binaries = max(_HOME.iterdir(), key=lambda path: float(path.name)) / "bin"
    data = Path(tempfile.mkdtemp(prefix="hfpg-"))
    shutil.chown(data, "postgres", "postgres")
    data.chmod(0o755)
    inner = data / "data"

    def run(command: str) -> None:
        subprocess.run(["su", "postgres", "-s", "/bin/sh", "-c", command], check=True, stdout=subprocess.DEVNULL)

    run(f"{binaries}/initdb -D {inner} -A trust -E UTF8 --locale=C --no-sync")
    run(
        f"{binaries}/pg_ctl -D {inner} -w -l {data}/log start "
        f"-o \"-c listen_addresses='' -c unix_socket_directories={data} -c max_connections=200\""
    )

    def stop() -> None:
        run(f"{binaries}/pg_ctl -D {inner} -m immediate -w stop")
        shutil.rmtree(data, ignore_errors=True)

    atexit.register(stop)
    return data


def new_database() -> str:
    """Return the URL of an empty database of its own."""
    data, name = _cluster(), f"hf{uuid.uuid4().hex[:12]}"
    command = ["psql", "-h", str(data), "-U", "postgres", "-q", "-c", f"CREATE DATABASE {name}"]
    subprocess.run(command, check=True)
    return f"postgresql://postgres@/{name}?host={data}"
