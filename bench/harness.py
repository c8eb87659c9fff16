"""The harness of every benchmark: peer and Holdfast in turn, a warm-up, at least five counted runs, medians.

Absolute times drift on a shared machine; turns cancel the drift, and the ratio is what is kept. Each row says what
reach was promised (``ratio`` at most ``reach``) and whether it was met. Results lie in ``bench/results/NAME.json``.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
MINIMUM_RUNS = 5
Measure = Callable[[], float]
"""Runs once, returns the figure (smaller is better). What must be prepared or cleaned up is done untimed inside."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. ``ratio`` is Holdfast over peer; ``met`` is ``ratio <= reach``; true without a promise."""

    what: str
    unit: str
    holdfast: float
    peer: float
    peer_name: str
    ratio: float
    reach: float | None
    met: bool


def compare(
    what: str, unit: str, holdfast: Measure, peer: Measure, peer_name: str, reach: float, runs: int = MINIMUM_RUNS
) -> Row:
    """Measure both in turn and return the row of medians."""
    assert runs >= MINIMUM_RUNS, "too few runs mean nothing"
    figures: dict[str, list[float]] = {"holdfast": [], "peer": []}
    for turn in range(runs + 1):
        for name, measure in (("peer", peer), ("holdfast", holdfast)):
            value = measure()
            label = "warm-up" if turn == 0 else f"run {turn}"
            sys.stderr.write(f"{what}: {label}: {name} {value:.3f} {unit}\n")
            if turn:
                figures[name].append(value)
    return median_row(what, unit, figures["holdfast"], figures["peer"], peer_name, reach)


def median_row(
    what: str, unit: str, holdfast: list[float], peer: list[float], peer_name: str, reach: float | None = None
) -> Row:
    """Return the row of medians of figures that were measured in turn."""
    ours, theirs = statistics.median(holdfast), statistics.median(peer)
    ratio = round(ours / theirs, 3)
    return Row(what, unit, round(ours, 3), round(theirs, 3), peer_name, ratio, reach, reach is None or ratio <= reach)


def publish(name: str, rows: list[Row]) -> int:
    """Print the table, write the result file (unless it has no name); return 0 when every reach was met, otherwise
    1."""
    if name:
        RESULTS.mkdir(exist_ok=True)
        date = datetime.date.today().isoformat()
        document = {"machine": machine(), "date": date, "rows": [asdict(row) for row in rows]}
        (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    headings = ("what", "unit", "holdfast", "peer", "peer_name", "ratio", "reach", "met")
    table = [headings, *(tuple(str(value) for value in asdict(row).values()) for row in rows)]
    widths = [max(len(line[n]) for line in table) for n in range(len(headings))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0 if all(row.met for row in rows) else 1


def machine() -> str:
    """Return what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory} GiB, {system}"
