#!/usr/bin/env python3
"""A small ledger service: appends records and acknowledges each only once it is durable.

It is what a drill puts under load, and an example of a program that a cluster runs: it stops when its disk fails,
survives kill -9 with every acknowledged record, and cuts off a torn record at its next start.

    ledger.py start --listen 10.77.0.100:7000 --data /VCS/ledger --pid-file /run/ledger.pid
    ledger.py stop --pid-file /run/ledger.pid

Protocol, one line each way: ``APPEND <hex>`` → ``OK <records>`` after fsync; ``COUNT`` → ``OK <records>``;
``DUMP`` → every record in hex, then ``END``. The log lies in a file, or on a raw volume of an array (``--volume`` with
an NBD address). A record is kept as length, CRC-32 and content.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Protocol

HEADER_BYTES = 8
BLOCK_BYTES = 4096
RECORD_LIMIT_BYTES = 65536


class Log(Protocol):
    """Where the bytes of the log lie."""

    def read_all(self) -> bytes: ...

    def append(self, content: bytes) -> None:
        """Write ``content`` after what is there and return once it is durable."""

    def truncate(self, size_bytes: int) -> None: ...


class FileLog:
    """The log as a file of a mounted file system."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._file = os.open(directory / "ledger.log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        parent = os.open(directory, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)

    def read_all(self) -> bytes:
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            return file.read()

    def append(self, content: bytes) -> None:
        if os.write(self._file, content) != len(content):
            raise OSError("short write")
        os.fdatasync(self._file)

    def truncate(self, size_bytes: int) -> None:
        os.ftruncate(self._file, size_bytes)
        os.fsync(self._file)


class VolumeLog:
    """The log on a raw volume: whole blocks from the start of the volume, ended by a zero length."""

    def __init__(self, address: str) -> None:
        from holdfast.replication.drivers.nbdclient import NbdClient

        self._volume = NbdClient.open(address)
        self._end = 0
        self._tail = b""

    def read_all(self) -> bytes:
        content = bytearray()
        while len(content) < self._volume.size_bytes:
            content += self._volume.pread(min(1 << 20, self._volume.size_bytes - len(content)), len(content))
            if not any(content[-BLOCK_BYTES:]):
                break
        return bytes(content)

    def append(self, content: bytes) -> None:
        start = self._end - len(self._tail)
        whole = self._tail + content
        padding = -len(whole) % BLOCK_BYTES
        self._volume.pwrite(whole + bytes(padding), start)
        self._volume.flush()
        self._end += len(content)
        self._tail = whole[len(whole) - (self._end % BLOCK_BYTES) :] if self._end % BLOCK_BYTES else b""

    def truncate(self, size_bytes: int) -> None:
        start = size_bytes - size_bytes % BLOCK_BYTES
        self._tail = self._volume.pread(size_bytes - start, start) if size_bytes > start else b""
        self._end = size_bytes
        self._volume.pwrite(self._tail + bytes(BLOCK_BYTES - len(self._tail)), start)
        self._volume.flush()


def decode(content: bytes) -> tuple[list[bytes], int, int]:
    """Return the whole records at the start of ``content``, the size that they take, and the last check number."""
    records, place, chain = [], 0, 0
    while place + HEADER_BYTES <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        check = int.from_bytes(content[place + 4 : place + 8], "big")
        body = content[place + HEADER_BYTES : place + HEADER_BYTES + size]
        if size == 0 or len(body) != size or zlib.crc32(body, chain) != check:
            break
        records.append(body)
        place, chain = place + HEADER_BYTES + size, check
    return records, place, chain


def encode(record: bytes, chain: int = 0) -> bytes:
    """Return a record as it stands in the log after one whose check number is ``chain``.

    Each check covers the one before it, so what an earlier life wrote further on is never taken for a record.
    """
    return len(record).to_bytes(4, "big") + zlib.crc32(record, chain).to_bytes(4, "big") + record


class Ledger:
    """Serves one log. Appends that arrive together share one fsync."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._records, size, self._chain = decode(log.read_all())
        log.truncate(size)
        self._pending: list[tuple[bytes, asyncio.Future[int]]] = []
        self._work = asyncio.Event()

    async def commit_forever(self) -> None:
        """Make pending records durable, then acknowledge them. A write error ends the service."""
        while True:
            await self._work.wait()
            self._work.clear()
            batch, self._pending = self._pending, []
            if batch:
                await asyncio.to_thread(self._log.append, b"".join(self._chained(record) for record, _ in batch))
                for record, waiter in batch:
                    self._records.append(record)
                    if not waiter.done():
                        waiter.set_result(len(self._records))

    def _chained(self, record: bytes) -> bytes:
        encoded = encode(record, self._chain)
        self._chain = int.from_bytes(encoded[4:HEADER_BYTES], "big")
        return encoded

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it leaves."""
        try:
            while line := await reader.readline():
                for answer in await self._answer(line.decode("ascii", "replace").split()):
                    writer.write(answer.encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            return
        finally:
            writer.close()

    async def _answer(self, words: list[str]) -> list[str]:
        match words:
            case ["APPEND", text]:
                record = bytes.fromhex(text)
                if not 0 < len(record) <= RECORD_LIMIT_BYTES:
                    return ["ERROR a record has 1 to 65536 bytes"]
                waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
                self._pending.append((record, waiter))
                self._work.set()
                return [f"OK {await waiter}"]
            case ["COUNT"]:
                return [f"OK {len(self._records)}"]
            case ["DUMP"]:
                return [*(record.hex() for record in self._records), "END"]
            case _:
                return ["ERROR say APPEND <hex>, COUNT or DUMP"]


async def run(log: Log, host: str, port: int) -> None:
    """Serve until SIGTERM, or until the log cannot be written."""
    ledger = Ledger(log)
    server = await asyncio.start_server(ledger.serve, host, port, limit=2 * RECORD_LIMIT_BYTES + 64)
    committer = asyncio.create_task(ledger.commit_forever())
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ending = asyncio.create_task(stopped.wait())
    await asyncio.wait([committer, ending], return_when=asyncio.FIRST_COMPLETED)
    server.close()
    if committer.done():
        committer.result()


def start(arguments: argparse.Namespace) -> int:
    """Start the service in the background, wait until it answers, write its process id."""
    command = [sys.executable, __file__, "serve", "--listen", arguments.listen]
    command += ["--data", arguments.data] if arguments.data else ["--volume", volume_address(arguments)]
    with open(arguments.log or os.devnull, "ab") as errors:
        service = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
    assert service.stdout is not None
    if service.stdout.readline() != b"ready\n":
        sys.stderr.write("the ledger did not start\n")
        return 1
    temporary = Path(arguments.pid_file + ".new")
    temporary.write_text(f"{service.pid}\n")
    temporary.replace(arguments.pid_file)
    return 0


def volume_address(arguments: argparse.Namespace) -> str:
    """Return the NBD address of the raw volume: as given, or as ``holdfast volume uri`` prints it for a volume id."""
    if "://" in arguments.volume:
        return str(arguments.volume)
    program = Path(sys.executable).with_name("holdfast")
    found = subprocess.run([program, "volume", "uri", arguments.volume], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def stop(arguments: argparse.Namespace) -> int:
    """End the service: SIGTERM, then SIGKILL after five seconds."""
    try:
        pid = int(Path(arguments.pid_file).read_text())
    except (OSError, ValueError):
        return 0
    for number, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 2.0)):
        if ended(pid, number, patience_s):
            Path(arguments.pid_file).unlink(missing_ok=True)
            return 0
    return 1


def ended(pid: int, number: int, patience_s: float) -> bool:
    """Send a signal and wait until the process is gone; False when it is still there after ``patience_s``."""
    deadline = time.monotonic() + patience_s
    try:
        os.kill(pid, number)
        while time.monotonic() < deadline:
            time.sleep(0.02)
            os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "stop", "serve"])
    parser.add_argument("--listen", default=os.environ.get("LEDGER_LISTEN"), help="HOST:PORT [env: LEDGER_LISTEN]")
    parser.add_argument("--data", help="directory of the log")
    parser.add_argument("--volume", help="raw volume: an NBD address, or a volume id")
    parser.add_argument("--pid-file", default=os.environ.get("LEDGER_PID_FILE"))
    parser.add_argument("--log", help="file for error output")
    arguments = parser.parse_args()
    if arguments.action == "stop":
        return stop(arguments)
    if not arguments.listen or bool(arguments.data) == bool(arguments.volume):
        parser.error("give --listen and one of --data and --volume")
    if arguments.action == "start":
        return start(arguments)
    host, _, port = arguments.listen.rpartition(":")
    log: Log = FileLog(Path(arguments.data)) if arguments.data else VolumeLog(arguments.volume)
    asyncio.run(run(log, host, int(port)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
