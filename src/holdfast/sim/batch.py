"""Many seeds on all cores, with what they amount to; or one seed with its whole story.

    python -m holdfast.sim --seeds 10000            count: simulated hours, faults by kind, violations
    python -m holdfast.sim --seed 4711              the readable timeline of one seed, the same each time

Exit code 1 when a promise was broken. Each broken seed names the command that tells its story.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter

from holdfast.sim.run import FAULTY_S, Report, run

_SHOWN = 5


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.sim", description="The cluster on simulated time.")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds (default 100)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--seed", type=int, help="tell the story of this one seed")
    parser.add_argument("--faulty", type=float, default=FAULTY_S, help="simulated seconds in which things go wrong")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    given = parser.parse_args(arguments)
    _same_hashes()
    if given.seed is not None:
        return _tell(given.seed, given.faulty)
    return _count(range(given.first, given.first + given.seeds), given.faulty, given.jobs)


def _same_hashes() -> None:
    """Sets of words come in an order of their own in each process, unless their hashes are fixed before it begins."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "holdfast.sim", *sys.argv[1:]])


def _tell(seed: int, faulty_s: float) -> int:
    report = run(seed, faulty_s, print)
    told = f"{report.simulated_s:.0f} simulated seconds, {report.handled} steps, digest {report.digest:08x}"
    print(f"seed {seed}: {told}")
    print(f"VIOLATION {report.violation}" if report.violation else "every promise was kept")
    return 1 if report.violation else 0


def _one(task: tuple[int, float]) -> Report:
    return run(*task)


def _count(seeds: range, faulty_s: float, jobs: int) -> int:
    began, faults, broken = time.monotonic(), Counter[str](), list[Report]()
    hours = asked = decisions = done = 0.0
    tasks = ((seed, faulty_s) for seed in seeds)
    with multiprocessing.Pool(jobs, gc.freeze) as pool:
        for report in pool.imap_unordered(_one, tasks, chunksize=4):
            done += 1
            hours += report.simulated_s / 3600
            asked, decisions = asked + report.asked, decisions + report.decisions
            faults.update(report.faults)
            if report.violation:
                broken.append(report)
                print(f"seed {report.seed}: {report.violation}", flush=True)
            if not done % max(1, len(seeds) // 10):
                print(f"{done:.0f} seeds, {hours:.1f} simulated hours, {len(broken)} violations", flush=True)
    took_s = time.monotonic() - began
    injected = f"{hours:.1f} simulated hours, {sum(faults.values())} faults injected"
    print(f"\n{len(seeds)} seeds in {took_s:.0f} s: {injected},")
    print(f"{asked:.0f} requests of people, {decisions:.0f} decisions replayed, {len(broken)} violations")
    for name, count in sorted(faults.items(), key=lambda item: -item[1]):
        print(f"  {count:8d}  {name}")
    for report in sorted(broken, key=lambda each: each.seed)[:_SHOWN]:
        print(f"\nseed {report.seed}: {report.violation}")
        print("\n".join(f"  {line}" for line in report.lines[-25:]))
        print(f"  the whole story: python -m holdfast.sim --seed {report.seed} --faulty {faulty_s:g}")
    return 1 if broken else 0
