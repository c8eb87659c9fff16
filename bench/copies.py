"""Copies: what hosts get of a volume, plain and mirrored, and what resynchronising, flash copies and lists cost.

``make bench-copies``. Two real arrays on loopback addresses with one store, on a file system of their own. The peer of
plain volumes is nbdkit's file plugin, serving a file on the same file system through the same clients: ``nbdfuse`` for
what goes through an attached device, ``fio`` with its NBD engine for queue depth. A mirrored volume is compared with a
plain one, a resynchronisation with the full copy. Smaller is better in every row: seconds and microseconds, so a
throughput of at least 0.7 is a ratio of at most 1.43.

``python -m bench.copies ROW …`` measures only those: serving, terabyte, listing, resynchronising.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.first_backup import workplace
from bench.harness import Row, compare, median_row, publish

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "live"))

from arraylab import A, B, Lab, until

MIB = 1 << 20
PLAIN, MIRRORED, COPY, TERABYTE = "1260", "1261", "1262", "1300"
STREAM_MIB, DEPTH_RUN_S, SIZE_MIB = 256, 3, 1024
PAIRS, WORKPLACE_GIB = 1000, 8
HOSTS_KEY = ("benchhost", 1)


def uri_of(lab: Lab, volume: str) -> str:
    """Return where a host finds a volume of the first array."""
    return lab.a.client.nbd_uri(volume, *HOSTS_KEY)


@contextlib.contextmanager
def nbdkit(path: Path) -> Iterator[str]:
    """Serve a file by nbdkit's file plugin; yield its address."""
    with path.open("wb") as file:
        file.truncate(SIZE_MIB * MIB)
    server = subprocess.Popen(["nbdkit", "-f", "-i", "127.0.0.13", "-p", "10809", "file", str(path)])
    try:
        time.sleep(1.0)
        yield "nbd://127.0.0.13:10809/"
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def attached(uri: str, directory: Path) -> Iterator[int]:
    """Attach as ``holdfast volume attach`` does; yield an open file."""
    mount = Path(tempfile.mkdtemp(dir=directory))
    server = subprocess.Popen(["nbdfuse", str(mount / "volume"), uri])
    try:
        until(lambda: (mount / "volume").exists(), 10.0, "attached")
        descriptor = os.open(mount / "volume", os.O_RDWR)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    finally:
        subprocess.run(["fusermount3", "-u", str(mount)], check=False)
        server.wait(20)
        mount.rmdir()


def stream(uri: str, directory: Path, writes: bool, block: bytes) -> float:
    """Return the seconds that ``STREAM_MIB`` take in blocks of 1 MiB; writes are durable in the end."""
    with attached(uri, directory) as descriptor:
        began = time.perf_counter()
        for number in range(STREAM_MIB):
            if writes:
                os.pwrite(descriptor, block, number * MIB)
            else:
                assert len(os.pread(descriptor, MIB, number * MIB)) == MIB
        if writes:
            os.fsync(descriptor)
        return time.perf_counter() - began


def at_depth(uri: str, how: str) -> float:
    """Return the microseconds per request of 4 KiB, 16 of them in flight, at random over 512 MiB."""
    job = ["--bs=4k", "--iodepth=16", "--size=512m", f"--runtime={DEPTH_RUN_S}", "--time_based", "--randrepeat=1"]
    command = ["fio", "--name=depth", "--ioengine=nbd", f"--uri={uri}", f"--rw={how}", *job, "--output-format=json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(done[done.index("{") :])["jobs"][0]["write" if "write" in how else "read"]
    return 1e6 / float(found["iops"])


def serving(lab: Lab, directory: Path) -> list[Row]:
    """Compare what hosts get."""
    rows: list[Row] = []
    block = random.Random(7).randbytes(MIB)
    plain, mirrored = uri_of(lab, PLAIN), uri_of(lab, MIRRORED)
    with nbdkit(directory / "plain.img") as peer:
        name = "nbdkit file"
        for what, writes in (("write", True), ("read", False)):
            ours, theirs = _streams(directory, plain, writes, block), _streams(directory, peer, writes, block)
            rows.append(compare(f"attached, {what} {STREAM_MIB} MiB in 1 MiB, plain", "s", ours, theirs, name, 1.43))
        for how in ("randread", "randwrite"):
            rows.append(
                compare(f"{how} 4 KiB, depth 16, plain", "µs", _depth(plain, how), _depth(peer, how), name, 2.0)
            )
    for what, writes in (("write", True), ("read", False)):
        ours, theirs = _streams(directory, mirrored, writes, block), _streams(directory, plain, writes, block)
        rows.append(compare(f"attached, {what} {STREAM_MIB} MiB in 1 MiB, mirrored", "s", ours, theirs, "plain", 2.0))
    ours, theirs = _depth(mirrored, "randwrite"), _depth(plain, "randwrite")
    rows.append(compare("randwrite 4 KiB, depth 16, mirrored", "µs", ours, theirs, "plain", 2.5))
    return rows


def _streams(directory: Path, uri: str, writes: bool, block: bytes) -> Callable[[], float]:
    return lambda: stream(uri, directory, writes, block)


def _depth(uri: str, how: str) -> Callable[[], float]:
    return lambda: at_depth(uri, how)


def fill(lab: Lab, volume: str, tracks: list[int], seed: int) -> None:
    """Write other bytes into tracks of 64 KiB."""
    data = random.Random(seed).randbytes(65536)
    with lab.a.open(*HOSTS_KEY, volume=volume, timeout_s=60.0) as host:
        for track in tracks:
            host.pwrite(data, track * 65536)
        host.flush()


def resynchronising(lab: Lab, _directory: Path) -> list[Row]:
    """Compare what changed in 1 % of the tracks costs with the full copy; the tracks copied must be those changed."""
    whole = SIZE_MIB * 16
    changed = sorted(random.Random(11).sample(range(whole), whole // 100))
    pair, flash = [f"{MIRRORED}:{MIRRORED}"], [f"{PLAIN}:{COPY}"]
    options = {"record": True, "persist": True, "copy": True}
    for volume in (PLAIN, MIRRORED):
        fill(lab, volume, list(range(whole)), 1)
    figures: dict[str, list[float]] = {name: [] for name in ("pair", "pair full", "flash", "flash full")}
    for turn in range(5):
        lab.a.client.change("pause", pair, remote=B)
        fill(lab, MIRRORED, changed, turn + 2)
        time.sleep(4)
        figures["pair"].append(_timed(lambda: lab.a.client.change("resume", pair, remote=B), lambda: _duplex(lab)))
        copied = int(lab.a.pair(MIRRORED)["tracks_to_copy"])
        assert copied == len(changed), f"{copied} tracks copied, {len(changed)} changed"
        lab.a.client.change("rmpair", pair, remote=B)
        figures["pair full"].append(_timed(lambda: lab.a.client.change("mkpair", pair, remote=B), lambda: _duplex(lab)))
        begun = _timed(lambda: lab.a.client.change("mkflash", flash, **options), lambda: _copied(lab))
        figures["flash full"].append(begun)
        time.sleep(4)
        fill(lab, PLAIN, changed, turn + 20)
        again = _timed(lambda: lab.a.client.change("resyncflash", flash, **options), lambda: _copied(lab))
        figures["flash"].append(again)
        found = lab.a.client.run("flashes").rows[0]
        assert found["tracks_to_copy"] == len(changed), f"{found['tracks_to_copy']} copied, {len(changed)} changed"
        lab.a.client.change("rmflash", flash)
    return [
        median_row("failback, 1 % changed", "s", figures["pair"], figures["pair full"], "full copy", 0.03),
        median_row("flash resync, 1 % changed", "s", figures["flash"], figures["flash full"], "full copy", 0.03),
    ]


def _timed(begin: Callable[[], object], ended: Callable[[], object]) -> float:
    began = time.perf_counter()
    begin()
    while not ended():
        time.sleep(0.002)
    return time.perf_counter() - began


def _duplex(lab: Lab) -> bool:
    return str(lab.a.pair(MIRRORED)["state"]) == "Full Duplex"


def _copied(lab: Lab) -> bool:
    return all(row["out_of_sync_tracks"] == 0 for row in lab.a.client.run("flashes").rows)


def terabyte(lab: Lab, _directory: Path) -> list[Row]:
    """Establish flash copies of a sparse volume of 1 TiB; there is no peer, only the promise of 100 ms."""
    targets = [f"13{number:02x}".upper() for number in range(1, 7)]
    lab.a.create(TERABYTE, *targets, size_bytes=1 << 40)
    before = _resident(lab)
    figures = []
    for target in targets:
        began = time.perf_counter()
        lab.a.client.change("mkflash", [f"{TERABYTE}:{target}"], persist=True, copy=False)
        figures.append((time.perf_counter() - began) * 1000)
    grown = (_resident(lab) - before) / len(targets)
    sys.stderr.write(f"flash copy of 1 TiB: {', '.join(f'{one:.1f}' for one in figures)} ms, {grown:.1f} MiB each\n")
    median = statistics.median(figures[1:])
    lab.a.client.change("rmflash", [f"{TERABYTE}:{target}" for target in targets])
    return [
        median_row("flash copy of a sparse volume of 1 TiB", "ms", [median], [100.0], "promise", 1.0),
        median_row("memory of such a relation", "MiB", [max(grown, 0.0)], [8.0], "promise", 1.0),
    ]


def _resident(lab: Lab) -> float:
    assert lab.a.process is not None
    text = Path(f"/proc/{lab.a.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) / 1024


def listing(lab: Lab, directory: Path) -> list[Row]:
    """Type ``lspprc`` for a thousand pairs."""
    volumes = [f"{0x20 + number // 256:02X}{number % 256:02X}" for number in range(PAIRS)]
    batches = [volumes[start : start + 50] for start in range(0, PAIRS, 50)]
    for batch in batches:
        for box in (lab.a, lab.b):
            box.create(*batch, size_bytes=MIB)
    until(lambda: lab.a.client.run("paths").rows[0]["state"] == "Success", 30.0, "path up")
    for batch in batches:
        lab.a.client.change("mkpair", [f"{one}:{one}" for one in batch], remote=B)
    until(lambda: all(row["state"] == "Full Duplex" for row in lab.a.client.run("pairs").rows), 120.0, "all pairs")
    secret = directory / "pwfile"
    environment = {**os.environ, "HOME": str(directory), "HOLDFAST_IDENTITY": str(lab.identity)}
    command = [sys.executable, "-m", "holdfast.app.main", "dscli", "-hmc1", lab.a.management, "-user", "admin"]
    subprocess.run(
        [sys.executable, "-m", "holdfast.app.main", "dscli", "managepwfile", "-action", "add", "-name", "admin",
         "-mc1", lab.a.management, "-pw", "-", "-pwfile", str(secret)],
        input="secret\n", text=True, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    command += ["-pwfile", str(secret), "lspprc", "-dev", A, "2000-23E7"]
    figures = []
    for _ in range(6):
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        figures.append((time.perf_counter() - began) * 1000)
        assert done.stdout.count("Full Duplex") == PAIRS, done.stdout[:400]
    return [median_row(f"lspprc of {PAIRS} pairs", "ms", figures[1:], [300.0] * 5, "promise", 1.0)]


PARTS: dict[str, Callable[[Lab, Path], list[Row]]] = {
    "serving": serving,
    "terabyte": terabyte,
    "listing": listing,
    "resynchronising": resynchronising,
}


def main() -> int:
    """Measure the parts that are named, or all; return 0 when every reach was met. Only all of them are kept."""
    chosen = sys.argv[1:] or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        sys.stderr.write(f"no such part: {' '.join(unknown)}; there are {' '.join(PARTS)}\n")
        return 2
    missing = [name for name in ("nbdkit", "nbdfuse", "fio") if shutil.which(name) is None]
    if missing:
        sys.stderr.write(f"bench-copies needs {' '.join(missing)}: make peer-packages, as root\n")
        return 2
    with workplace(WORKPLACE_GIB) as (directory, _):
        (directory / "lab").mkdir()
        lab = Lab(directory / "lab")
        try:
            lab.start()
            lab.a.create(PLAIN, MIRRORED, COPY, size_bytes=SIZE_MIB * MIB)
            lab.b.create(MIRRORED, size_bytes=SIZE_MIB * MIB)
            lab.a.client.change("mkpair", [f"{MIRRORED}:{MIRRORED}"], remote=B)
            until(lambda: _duplex(lab), 120.0, "the pair is in sync")
            rows = [row for name in chosen for row in PARTS[name](lab, directory)]
        finally:
            lab.stop()
    return publish("copies" if len(chosen) == len(PARTS) else "", rows)


if __name__ == "__main__":
    sys.exit(main())
