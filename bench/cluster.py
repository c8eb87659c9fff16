"""Holdfast against Pacemaker on three nodes, taking turns: ``make bench-cluster``. As root; about fifteen minutes.

Both run the same group (a resource that is only a file, an address, a small HTTP service) on nodes of namespaces on
one bridge. What is timed is what a client sees: from the command, the kill or the cut cable to the next answer. The
service's own start is measured apart and subtracted on both sides. Kills and cuts come at moments drawn from a printed
seed (``HOLDFAST_BENCH_SEED`` repeats one), so that no side is met always at the same point of its monitor interval.

``python -m bench.cluster ROW …`` measures only those: switch, restart, lost, idle, status, decision.
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import decision
from bench.harness import Row, median_row, publish
from bench.netns import PORT, Node, Prober, wait_for
from bench.ourcluster import Ours
from bench.peers.pacemaker import HTTPD, Pacemaker

RUNS, LOSSES, IDLE_S = 9, 7, 30.0
Cluster = Ours | Pacemaker
PEER = "pacemaker 2.1, corosync 3.1"


class Side:
    """One cluster and the client that watches it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.prober = Prober(cluster.net)

    def owner(self) -> Node:
        """The node that runs the group."""
        wait_for(lambda: self.cluster.owner() != "", "an owner")
        return self.cluster.node(self.cluster.owner())

    def other(self, owner: Node) -> Node:
        """The node that gets the group next."""
        nodes = self.cluster.nodes
        return nodes[(nodes.index(owner) + 1) % len(nodes)]


@contextlib.contextmanager
def running(cluster: Cluster) -> Iterator[Side]:
    """Start a cluster, wait until its service answers, and end it whatever happens."""
    try:
        cluster.start()
        side = Side(cluster)
        try:
            side.prober.await_answer("*", 0.0)
            cluster.settle()
            yield side
        finally:
            side.prober.stop()
    finally:
        cluster.stop()


def switch(side: Side, _rng: random.Random) -> float:
    """Seconds from the command to the first answer of the other node."""
    owner = side.owner()
    target = side.other(owner)
    began = time.monotonic()
    subprocess.run(side.cluster.switch(target.name, owner), check=True, capture_output=True)
    took = side.prober.await_answer(target.name, began) - began
    side.cluster.settle()
    return took


def restart(side: Side, rng: random.Random) -> float:
    """Seconds from the kill of the service to its next answer."""
    owner = side.owner()
    pid = side.cluster.application(owner)
    time.sleep(rng.random())
    began = time.monotonic()
    os.kill(pid, 9)
    gone = side.prober.await_answer("", began)
    took = side.prober.await_answer("*", gone) - began
    side.cluster.settle()
    return took


def lost(side: Side, rng: random.Random) -> float:
    """Seconds from the cut cable of the node that runs the group to the first answer of another."""
    owner = side.owner()
    time.sleep(rng.random())
    cut = owner.lose()
    gone = side.prober.await_answer("", cut)
    took = side.prober.await_answer("*", gone) - cut
    side.cluster.boot(owner)
    time.sleep(8.0)
    side.cluster.settle()
    return took


def in_turn(
    what: str, measure: Callable[[Side, random.Random], float], sides: list[Side], runs: int, seed: int
) -> list[list[float]]:
    """Measure every side in turn, a warm-up first; return each side's figures in milliseconds."""
    rng = random.Random(f"{seed} {what}")
    figures: list[list[float]] = [[] for _ in sides]
    for turn in range(runs + 1):
        for side, found in zip(sides, figures, strict=True):
            value = measure(side, rng) * 1000
            sys.stderr.write(f"{what}: run {turn}: {side.cluster.name} {value:.0f} ms\n")
            if turn:
                found.append(value)
    return figures


def service_start(side: Side) -> float:
    """Milliseconds that the service itself needs from its start to its first answer; median of nine."""
    node = side.other(side.owner())
    script = (
        "import os, socket, subprocess, sys, tempfile, time\n"
        "pidfile = os.path.join(tempfile.mkdtemp(), 'pid')\n"
        "began = time.monotonic()\n"
        f"subprocess.run([sys.executable, '-S', '-E', {str(HTTPD)!r}, '127.0.0.9', '{PORT}', pidfile])\n"
        f"socket.create_connection(('127.0.0.9', {PORT}), 1).close()\n"
        "print(time.monotonic() - began)\n"
        "while not os.path.exists(pidfile): time.sleep(0.01)\n"
        "os.kill(int(open(pidfile).read()), 9)\n"
    )
    figures = [float(node.run(sys.executable, "-c", script)) * 1000 for _ in range(RUNS)]
    return statistics.median(figures)


@dataclass(frozen=True, slots=True)
class Idle:
    """Per node, when nothing happens: shares of a core in percent, of everything and of all but etcd; PSS in MiB."""

    cpu: list[float]
    own_cpu: list[float]
    pss: list[float]


def idle(side: Side) -> Idle:
    """Watch a quiet cluster for :data:`IDLE_S` seconds."""
    nodes = side.cluster.nodes
    before = [(_cpu_s(node), _cpu_s(node, besides=b"etcd")) for node in nodes]
    time.sleep(IDLE_S)
    after = [(_cpu_s(node), _cpu_s(node, besides=b"etcd")) for node in nodes]
    used = [
        [(late[kind] - early[kind]) / IDLE_S * 100 for early, late in zip(before, after, strict=True)]
        for kind in (0, 1)
    ]
    return Idle(used[0], used[1], [_pss_mib(node) for node in nodes])


def _cpu_s(node: Node, besides: bytes = b"") -> float:
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in node.processes():
        with contextlib.suppress(OSError):
            if besides and Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].endswith(besides):
                continue
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(fields[n]) for n in (11, 12, 13, 14))
    return total / ticks


def _pss_mib(node: Node) -> float:
    total = 0
    for pid in node.processes():
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def status(side: Side) -> float:
    """Seconds that the summary takes on a node, from outside it."""
    node = side.owner()
    words = side.cluster.summary(node)
    began = time.monotonic()
    subprocess.run(words, check=True, capture_output=True)
    return time.monotonic() - began


def _rows_of(ours: Side, peer: Side, wanted: set[str], seed: int) -> list[Row]:
    rows: list[Row] = []
    own_start = service_start(ours)
    sys.stderr.write(f"the service's own start: {own_start:.0f} ms\n")
    for name, what, measure, reach in (
        ("switch", "planned switch, command to answer; own start subtracted", switch, 0.5),
        ("restart", "service killed to answer, in place; own start subtracted", restart, 0.2),
    ):
        if name in wanted:
            mine, theirs = in_turn(name, measure, [ours, peer], RUNS, seed)
            net = [[value - own_start for value in figures] for figures in (mine, theirs)]
            rows.append(median_row(what, "ms", *net, PEER, reach))
    if "idle" in wanted:
        quiet, peers = idle(ours), idle(peer)
        rows.append(median_row("idle, share of a core, etcd included", "%", quiet.cpu, peers.cpu, PEER, 1.5))
        rows.append(median_row("idle, the system's own processes", "%", quiet.own_cpu, peers.cpu, PEER, 1.5))
        rows.append(median_row("PSS of a system, etcd included", "MiB", quiet.pss, peers.pss, PEER, 0.7))
    if "status" in wanted:
        figures = [[value * 1000 for value in (status(side) for _ in range(RUNS))] for side in (ours, peer)]
        rows.append(median_row("hastatus -sum against crm_mon -1", "ms", *figures, "crm_mon -1", 5))
    if "lost" in wanted:
        mine, theirs = in_turn("lost", lost, [ours, peer], LOSSES, seed)
        rows.append(
            median_row("system lost to answer elsewhere, defaults", "ms", mine, theirs, f"{PEER}, default token", 0.4)
        )
    return rows


def main() -> int:
    """Run the benchmark."""
    wanted = set(sys.argv[1:]) or {"switch", "restart", "lost", "idle", "status", "decision"}
    seed = int(os.environ.get("HOLDFAST_BENCH_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    print(f"seed {seed} (repeat with HOLDFAST_BENCH_SEED={seed})")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", ignore_cleanup_errors=True) as name:
        base = Path(name)
        if wanted - {"decision"}:
            with running(Ours(base / "ours")) as ours:
                with running(Pacemaker(base / "peer")) as peer:
                    rows += _rows_of(ours, peer, wanted, seed)
                if "lost" in wanted:
                    with running(Pacemaker(base / "quick", token_ms=1000)) as quick:
                        mine, theirs = in_turn("lost, token 1000", lost, [ours, quick], LOSSES, seed)
                    what = "system lost to answer elsewhere, Holdfast's defaults, peer tuned"
                    rows.append(median_row(what, "ms", mine, theirs, f"{PEER}, token 1000", 1.0))
    if "decision" in wanted:
        rows += decision.rows(decision.GROUPS)
    return publish("cluster", rows)


if __name__ == "__main__":
    sys.exit(main())
