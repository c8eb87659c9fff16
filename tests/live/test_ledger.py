"""The example service: what it acknowledged outlives every death, and it does not go on on a disk that fails."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from arraylab import VOLUME, Lab, free_port, until

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "two-sites" / "ledger.py"
HOST = "127.0.0.14"
RECORD = b"one record of the ledger".hex()


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ledger", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LEDGER = _module()


class Service:
    """The ledger as a process on the log that ``where`` names."""

    def __init__(self, *where: str, prefix: tuple[str, ...] = ()) -> None:
        self.port = free_port(HOST)
        command = [*prefix, sys.executable, str(PROGRAM), "serve", "--listen", f"{HOST}:{self.port}", *where]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def ask(self, *lines: str) -> list[str]:
        """Say lines on one connection and return every answer line until each was answered, or the service left."""
        with socket.create_connection((HOST, self.port), timeout=10) as connection:
            stream = connection.makefile("rwb")
            answers = []
            for line in lines:
                stream.write(f"{line}\n".encode())
                stream.flush()
                answers.append(stream.readline().decode().strip())
                while line == "DUMP" and answers[-1] != "END":
                    answers.append(stream.readline().decode().strip())
            return answers

    def records(self) -> list[str]:
        return self.ask("DUMP")[:-1]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(5)


class Writers:
    """Several clients that append until the service dies; ``acknowledged`` is what they were told is durable."""

    def __init__(self, service: Service, count: int = 4) -> None:
        self.service, self.acknowledged = service, set[str]()
        self.threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def _write(self, number: int) -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((HOST, self.service.port), timeout=10) as connection,
        ):
            stream = connection.makefile("rwb")
            for turn in range(1_000_000):
                record = (f"{number}:{turn}:".encode() + os.urandom(8 + turn * 37 % 700)).hex()
                stream.write(f"APPEND {record}\n".encode())
                stream.flush()
                if not stream.readline().startswith(b"OK "):
                    return
                self.acknowledged.add(record)

    def until(self, count: int) -> None:
        until(lambda: len(self.acknowledged) >= count, what=f"{count} acknowledged records")

    def join(self) -> None:
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def services() -> Iterator[list[Service]]:
    """Services to be ended with the test."""
    made: list[Service] = []
    yield made
    for service in made:
        service.kill()


def started(services: list[Service], *where: str, prefix: tuple[str, ...] = ()) -> Service:
    services.append(Service(*where, prefix=prefix))
    return services[-1]


def killed_under_load(services: list[Service], *where: str, count: int = 200) -> set[str]:
    """Start, load, kill -9 in the middle of it; return what was acknowledged."""
    service = started(services, *where)
    writers = Writers(service)
    writers.until(count)
    service.kill()
    writers.join()
    return writers.acknowledged


def test_acknowledged_records_survive_kill_9_again_and_again(tmp_path: Path, services: list[Service]) -> None:
    where = ("--data", str(tmp_path / "data"))
    acknowledged: set[str] = set()
    for _ in range(3):
        acknowledged |= killed_under_load(services, *where)
    found = started(services, *where).records()
    assert acknowledged <= set(found)
    assert len(found) == len(set(found)), "no record twice"
    assert len(found) <= len(acknowledged) + 3 * 4, "at most one record under way per writer"


@pytest.mark.parametrize("torn", [1, 7, 8, 20, 31], ids=lambda size: f"{size} bytes")
def test_a_torn_tail_is_cut_off(tmp_path: Path, services: list[Service], torn: int) -> None:
    where = ("--data", str(tmp_path))
    service = started(services, *where)
    assert service.ask(f"APPEND {RECORD}", "APPEND 00ff") == ["OK 1", "OK 2"]
    service.kill()
    with (tmp_path / "ledger.log").open("ab") as log:
        log.write(LEDGER.encode(bytes.fromhex(RECORD))[:torn])
    service = started(services, *where)
    assert service.ask("COUNT", "APPEND abcd") == ["OK 2", "OK 3"]
    service.kill()
    assert started(services, *where).records() == [RECORD, "00ff", "abcd"]


def test_a_tail_with_a_wrong_checksum_is_cut_off(tmp_path: Path, services: list[Service]) -> None:
    where = ("--data", str(tmp_path))
    service = started(services, *where)
    service.ask("APPEND 01", f"APPEND {RECORD}")
    service.kill()
    log = tmp_path / "ledger.log"
    content = bytearray(log.read_bytes())
    content[-1] ^= 1
    log.write_bytes(content)
    assert started(services, *where).records() == ["01"]
    assert log.stat().st_size == LEDGER.HEADER_BYTES + 1


def test_a_disk_that_fails_ends_the_service_and_keeps_what_was_acknowledged(
    tmp_path: Path, services: list[Service]
) -> None:
    where = ("--data", str(tmp_path / "data"))
    service = started(services, *where, prefix=("prlimit", "--fsize=20000"))
    writers = Writers(service)
    assert service.process.wait(10) != 0, "it must not go on, and not end as if all were well"
    writers.join()
    assert writers.acknowledged
    assert sum(len(record) // 2 + LEDGER.HEADER_BYTES for record in writers.acknowledged) <= 20000
    assert writers.acknowledged <= set(started(services, *where).records())


def test_bad_requests_are_answered_and_change_nothing(tmp_path: Path, services: list[Service]) -> None:
    service = started(services, "--data", str(tmp_path))
    said = service.ask("APPEND", "NONSENSE", f"APPEND {'00' * (LEDGER.RECORD_LIMIT_BYTES + 1)}", "COUNT")
    assert [answer.split()[0] for answer in said] == ["ERROR", "ERROR", "ERROR", "OK"]
    assert said[-1] == "OK 0"


def test_start_and_stop_as_the_cluster_calls_them(tmp_path: Path) -> None:
    pid_file, listen = tmp_path / "pid", f"{HOST}:{free_port(HOST)}"
    base = [sys.executable, str(PROGRAM)]
    words = ["--listen", listen, "--data", str(tmp_path / "data"), "--pid-file", str(pid_file)]
    assert subprocess.run([*base, "start", *words], timeout=10, check=False).returncode == 0
    pid = int(pid_file.read_text())
    try:
        assert b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()
        again = subprocess.run([*base, "start", *words], timeout=10, check=False, capture_output=True)
        assert again.returncode == 1, "the address is taken: it must not claim to have started"
        assert int(pid_file.read_text()) == pid
    finally:
        assert subprocess.run([*base, "stop", "--pid-file", str(pid_file)], timeout=10, check=False).returncode == 0
    assert not Path(f"/proc/{pid}").exists()
    assert not pid_file.exists()
    assert subprocess.run([*base, "stop", "--pid-file", str(pid_file)], timeout=10, check=False).returncode == 0


def test_the_same_on_a_raw_volume(lab: Lab, services: list[Service]) -> None:
    lab.a.create(VOLUME)
    where = ("--volume", lab.a.client.nbd_uri(VOLUME, "hosta", 1))
    acknowledged = killed_under_load(services, *where)
    service = started(services, *where)
    found = service.records()
    assert acknowledged <= set(found)
    service.kill()
    end = sum(len(record) // 2 + LEDGER.HEADER_BYTES for record in found)
    with lab.a.open() as volume:
        volume.pwrite(LEDGER.encode(os.urandom(9000))[:5000], end, fua=True)
    service = started(services, *where)
    assert service.records() == found, "the torn tail is cut off"
    assert service.ask(f"APPEND {RECORD}") == [f"OK {len(found) + 1}"]
    lab.a.kill()
    began = time.monotonic()
    with contextlib.suppress(OSError):
        assert not service.ask("APPEND 0bad")[0].startswith("OK")
    assert service.process.wait(10) != 0
    assert time.monotonic() - began < 5, "a lost array ends the service at once"
    lab.a.start()
    where = ("--volume", lab.a.client.nbd_uri(VOLUME, "hosta", 1))
    assert started(services, *where).records() == [*found, RECORD]
    lab.a.client.revoke("hosta", 1)
    assert services[-1].ask("COUNT")[0] == f"OK {len(found) + 1}"
    with contextlib.suppress(OSError):
        assert not services[-1].ask("APPEND 0bad")[0].startswith("OK")
    assert services[-1].process.wait(10) != 0, "a barred host stops"
