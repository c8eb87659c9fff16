"""Backup: Holdfast against restic and borg, with ``tar | zstd -1`` and ``rsync -a`` as the physical yardsticks.

``make bench-backup``. Same data, same machine, same run, encryption on; each turn every tool makes a first backup, runs
again with nothing changed, runs again with 1 % of the files changed, and restores all of it. The data is made here from
a printed seed: what this system has unpacked of its packages, fifty thousand small files and a file of 512 MB that
compresses by half like a database. As root it all lies on an ext4 file system of its own on a loop device.

Times are of whole commands, results durable; memory is the peak of client and server together. The peers run at their
defaults, borg also with zstd,3. ``python -m bench.backup --scale 0.1`` is quick and keeps no result.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from bench.backupdata import change, generate
from bench.backuptools import Borg, Holdfast, Restic, Rsync, Tar, Tool
from bench.first_backup import workplace
from bench.harness import Row, median_row, publish

TURNS = 3
WORKPLACE_GIB = 24
Figures = dict[str, dict[str, list[float]]]
"""Step → tool → figures, one a turn."""


def turn(tools: list[Tool], tree: Path, target: Path, rng: random.Random, figures: Figures) -> None:
    """Let every tool take its turn, and note what it took."""

    def note(step: str, tool: Tool, value: float) -> None:
        figures[step][tool.name].append(value)
        sys.stderr.write(f"{step}: {tool.name} {value:.3f}\n")

    for tool in tools:
        tool.fresh()
        note("first", tool, tool.backup(tree))
        note("stored", tool, tool.stored_mib())
        note("memory", tool, tool.peak_mib())
        if tool.incremental:
            note("unchanged", tool, tool.backup(tree))
    change(tree, rng)
    for tool in tools:
        if tool.incremental:
            note("changed", tool, tool.backup(tree))
    for tool in tools:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        os.sync()
        note("restore", tool, tool.restore(tree, target))
        tool.close()


def differences(tree: Path, restored: Path) -> str:
    """Return what differs between the tree and what came back, by rsync with checksums; nothing is copied."""
    command = ["rsync", "-anc", "--delete", "--itemize-changes", f"{tree}/", f"{restored}/"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


_STEPS = (
    ("first", "s", 0.5, ("tar | zstd -1", 1.3)),
    ("unchanged", "s", 0.25, None),
    ("changed", "s", 0.4, None),
    ("restore", "s", 0.7, ("tar | zstd -1", 1.0)),
    ("stored", "MiB", 0.9, None),
    ("memory", "MiB", 1.5, None),
)


def rows_of(figures: Figures) -> list[Row]:
    """Return the rows of the promises: each against the better of restic and borg, two also against tar."""
    rows = []
    for step, unit, reach, beside in _STEPS:
        found = figures[step]
        peers = {name: statistics.median(found[name]) for name in found if name.startswith(("restic", "borg"))}
        best = min(peers, key=lambda name: peers[name])
        rows.append(median_row(step, unit, found["holdfast"], found[best], best, reach))
        if beside is not None:
            rows.append(median_row(step, unit, found["holdfast"], found[beside[0]], beside[0], beside[1]))
    return rows


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the data; less than 1 keeps no result")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--only", default="", help="comma-separated tools")
    chosen = parser.parse_args()
    seed = int(os.environ.get("HOLDFAST_BENCH_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with workplace(WORKPLACE_GIB) as (base, where):
        tree, target = base / "tree", base / "restored"
        files, size = generate(tree, random.Random(seed), chosen.scale)
        print(f"{files} files, {size / 2**20:.0f} MiB, {where}; seed {seed} (HOLDFAST_BENCH_SEED={seed} repeats it)")
        tools = [Holdfast(base), Restic(base), Borg(base, "lz4"), Borg(base, "zstd,3"), Tar(base), Rsync(base)]
        if chosen.only:
            tools = [tool for tool in tools if tool.name in chosen.only.split(",")]
        for number in range(chosen.turns):
            turn(tools, tree, target, random.Random(seed + number), figures)
        tools[0].check(tree, target, differences)
    if chosen.only:
        return 0
    return publish("backup" if chosen.scale == 1 and chosen.turns >= TURNS else "", rows_of(figures))


if __name__ == "__main__":
    sys.exit(main())
