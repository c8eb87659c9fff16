"""How a backup grows, where its time goes, and eight clients at once: the second half of ``bench.backup``.

``python -m bench.backup_scale PART …`` (all without one): ``clients`` has eight clients back up an eighth each at the
same time, against one client that backs up all eight; ``growth`` measures time and memory from ten thousand files to a
million and from one file of 16 MB to one of 1 GB, and draws ``results/backup_growth.svg``; ``stages`` adds the stages
of a first backup one at a time, so that each one is seen.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import zstandard

from bench.backupdata import generate
from bench.backuptools import HOLDFAST, Holdfast
from bench.chart import Line, chart
from bench.first_backup import workplace
from bench.harness import RESULTS, Row, publish
from holdfast.backup.model.objects import Kind
from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.client.content import Reader
from holdfast.backup.service.client.scan import Scanner, facts, kind_of
from holdfast.backup.service.client.uploader import GROUP_BYTES, LEVEL

CLIENTS, SCALE, RUNS = 8, 0.08, 3
FILES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
MIB_SIZES = (16, 64, 256, 1024)
FLAT = 1.25


def clients(base: Path) -> list[Row]:
    """Eight clients at once against one, over the same data."""
    tool = Holdfast(base)
    trees = [base / f"part{number}" for number in range(CLIENTS)]
    for number, tree in enumerate(trees):
        generate(tree, random.Random(number), SCALE)
    one, eight = [], []
    for _ in range(RUNS):
        tool.fresh()
        one.append(tool.timed(*HOLDFAST, "backup", "incremental", *map(str, trees), "--optfile", tool.optfile))
        tool.close()
        tool.fresh()
        optfiles = [tool.another_node(f"client{number}") for number in range(CLIENTS)]
        os.sync()
        began = time.monotonic()
        running = [
            subprocess.Popen(
                [*HOLDFAST, "backup", "incremental", str(tree), "--optfile", optfile], stdout=subprocess.DEVNULL
            )
            for tree, optfile in zip(trees, optfiles, strict=True)
        ]
        assert all(process.wait() == 0 for process in running)
        eight.append(time.monotonic() - began)
        tool.close()
    for tree in trees:
        shutil.rmtree(tree)
    here, there = statistics.median(eight), statistics.median(one)
    ratio = round(here / there, 3)
    return [Row("eight clients at once", "s", round(here, 3), round(there, 3), "one client", ratio, 1.0, ratio <= 1.0)]


def growth(base: Path) -> list[Row]:
    """Time and memory of a first and of an unchanged run, by number of files and by bytes."""
    tool = Holdfast(base)
    tree = base / "grown"
    first: list[tuple[float, float]] = []
    again: list[tuple[float, float]] = []
    peaks: list[tuple[float, float]] = []
    made = 0
    for count in FILES:
        for number in range(made, count):
            if number % 100 == 0:
                directory = tree / f"{number // 10_000:03d}" / f"{number // 100:05d}"
                directory.mkdir(parents=True)
            (directory / f"file{number}").write_bytes(b"%d " % number * 40)
        made = count
        tool.fresh()
        first.append((count, tool.backup(tree)))
        again.append((count, tool.backup(tree)))
        peaks.append((count, tool.peak_mib()))
        tool.close()
        sys.stderr.write(f"{count} files: {first[-1][1]:.2f} s, again {again[-1][1]:.2f} s, {peaks[-1][1]:.0f} MiB\n")
    shutil.rmtree(tree)
    sizes = _by_bytes(tool, base)
    lines = (Line("first backup, s", first), Line("nothing changed, s", again), Line("peak memory, MiB", peaks))
    RESULTS.joinpath("backup_growth.svg").write_text(
        chart("Backup by number of files", "files", lines, Line("one file: s by MiB", sizes))
    )
    small, large = dict(peaks)[100_000], dict(peaks)[1_000_000]
    ratio = round(large / small, 3)
    what = "peak memory at a million files"
    return [Row(what, "MiB", round(large, 1), round(small, 1), "100,000 files", ratio, FLAT, ratio <= FLAT)]


def _by_bytes(tool: Holdfast, base: Path) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for mib in MIB_SIZES:
        tree = base / "bytes"
        tree.mkdir()
        with open(tree / "one", "wb") as file:
            for _ in range(mib * 2):
                file.write(random.Random(file.tell()).randbytes(256 * 1024) + b"half of it is text " * 13_797)
        tool.fresh()
        found.append((mib, tool.backup(tree)))
        sys.stderr.write(f"{mib} MiB: {found[-1][1]:.2f} s, {tool.peak_mib():.0f} MiB\n")
        tool.close()
        shutil.rmtree(tree)
    return found


def stages(base: Path) -> list[Row]:
    """Add the stages of a first backup one at a time; each row is the seconds of CPU this process has used by then."""
    tree = base / "tree"
    generate(tree, random.Random(5), 1.0)
    found = []
    before = 0.0
    for what, run in (
        ("scan: list and lstat", _scan),
        ("and read, cut, hash", _read),
        ("and compress", _compress),
    ):
        began = time.process_time()
        run(tree)
        used = time.process_time() - began
        found.append(Row(f"CPU, {what}", "s", round(used, 2), round(before, 2), "the stages before", 1.0, None, True))
        before = used
    tool = Holdfast(base)
    tool.fresh()
    wall = tool.backup(tree)
    client, server = tool.cpu_s()
    tool.close()
    found.append(Row("CPU, whole client", "s", client, round(before, 2), "the stages above", 1.0, None, True))
    found.append(Row("CPU, server", "s", server, client, "client", 1.0, None, True))
    found.append(Row("wall time", "s", round(wall, 2), round(client + server, 2), "all CPU", 1.0, None, True))
    shutil.rmtree(tree)
    return found


def _scan(tree: Path) -> None:
    for _ in _scanner(tree).directories():
        pass


def _scanner(tree: Path) -> Scanner:
    return Scanner(os.fsencode(tree), "/fs", Rules([]), "", sys.stderr.write)  # type: ignore[arg-type]


def _read(tree: Path, keep: Callable[[bytes, bytes | memoryview], None] = lambda name, data: None) -> None:
    reader = Reader(bytes(32), keep, 1)
    scanner = _scanner(tree)
    for listing in scanner.directories():
        for name, found in listing.items:
            stat = facts(found)
            if kind_of(found.st_mode) is Kind.FILE:
                reader.read(listing.descriptor, name, stat)


def _compress(tree: Path) -> None:
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    parts: list[bytes] = []
    size = 0

    def keep(_name: bytes, data: bytes | memoryview) -> None:
        nonlocal size
        parts.append(bytes(data))
        size += len(data)
        if size >= GROUP_BYTES:
            compressor.compress(b"".join(parts))
            parts.clear()
            size = 0

    _read(tree, keep)


PARTS: dict[str, Callable[[Path], list[Row]]] = {"clients": clients, "growth": growth, "stages": stages}


def main() -> int:
    """Measure the parts that are named, or all; only all of them are kept."""
    chosen = sys.argv[1:] or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        sys.stderr.write(f"no such part: {' '.join(unknown)}; there are {' '.join(PARTS)}\n")
        return 2
    rows: list[Row] = []
    for name in chosen:
        with workplace(24) as (base, _):
            rows += PARTS[name](base)
    return publish("backup_scale" if len(chosen) == len(PARTS) else "", rows)


if __name__ == "__main__":
    sys.exit(main())
