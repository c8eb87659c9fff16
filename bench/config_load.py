"""How long a configuration of five thousand resources takes to be read and checked: ``make bench-config-load``.

The promise is a second on this machine for parsing and verifying; there is no peer, so the figures are absolute and
drift with the machine's load. What follows a load (a dump, a difference, command lines) is measured beside it. Each
figure is the median of the counted runs, each run with fresh texts read from disk.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.cluster.config.builder import build
from holdfast.cluster.config.difference import differences
from holdfast.cluster.config.files import load, read_files
from holdfast.cluster.config.writer import dump
from holdfast.dialects.vcs.commandlines import command_lines

RESOURCES, PER_GROUP, SYSTEMS, RUNS = 5000, 10, 32, 7
REACH_S = 1.0


def text(groups: int = RESOURCES // PER_GROUP) -> str:
    """Return a main.cf of ``groups`` groups with ten resources each, chained, over 32 systems."""
    lines = ['include "types.cf"', "cluster large (", "\t)", *(f"system s{n} ( )" for n in range(SYSTEMS))]
    for group in range(groups):
        systems = [f"s{(group + n) % SYSTEMS}" for n in range(4)]
        numbered = ", ".join(f"{name} = {place}" for place, name in enumerate(systems))
        lines += [
            f"group g{group} (",
            f"\tSystemList = {{ {numbered} }}",
            f"\tAutoStartList = {{ {systems[0]} }}",
            "\t)",
        ]
        for each in range(PER_GROUP):
            lines += [
                f"\tApplication g{group}r{each} (",
                f'\t\tStartProgram = "/opt/app{group}/bin/start {each}"',
                f'\t\tStopProgram = "/opt/app{group}/bin/stop {each}"',
                f'\t\tMonitorProcesses = {{ "/opt/app{group}/bin/serve {each}" }}',
                f"\t\tUser@{systems[1]} = app{each}",
                "\t\t)",
            ]
        lines += [f"\tg{group}r{each} requires g{group}r{each - 1}" for each in range(1, PER_GROUP)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, print the table; return 0 when reading and checking kept the promise."""
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        file = Path(name) / "main.cf"
        file.write_text(text(), "utf-8")
        found = load(file)
        other = build({**read_files(file), "main.cf": text().replace("bin/stop 3", "bin/halt 3")})
        measured: dict[str, Callable[[], object]] = {
            "read and verify": lambda: load(file),
            "dump": lambda: dump(found),
            "difference": lambda: differences(found, other),
            "command lines": lambda: command_lines(found),
        }
        size = file.stat().st_size
        figures = {what: _median(work) for what, work in measured.items()}
    sys.stdout.write(f"{RESOURCES} resources, {size} bytes, median of {RUNS}\n")
    for what, seconds in figures.items():
        sys.stdout.write(f"{what:<20} {seconds:.3f} s\n")
    return 0 if figures["read and verify"] <= REACH_S else 1


def _median(work: Callable[[], object]) -> float:
    runs = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        work()
        runs.append(time.perf_counter() - start)
    return statistics.median(runs[1:])


if __name__ == "__main__":
    sys.exit(main())
