"""Faults in a row on three real systems with three etcd members: ``make chaos``. As root; half an hour for 200 faults.

One fault after another, of kinds and at moments drawn from a printed seed; each is healed, and then the service has to
answer again within a bound, and the cluster has to be whole before the next. All the time it is watched that the
application never runs on two systems at once, that what the store has acknowledged stays, and that no intent goes back.
What a lease alone cannot promise is left out: a guard that is stopped while its services run on needs a fence.

``python -m bench.chaos --faults 200 --seed 7``. Exit 1 on a violation.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.netns import Node, Prober, run, wait_for
from bench.ourcluster import HOLDFAST, Ours
from bench.peers.pacemaker import HTTPD

BOUND_S = 30.0
"""The service answers again within this after a fault is healed; generous, for machines busy with other work."""
WHOLE_S = 60.0
LOOK_S = 0.005
ONE_WAY = "add table inet chaos; add chain inet chaos c {{ type filter hook {0} priority 0; policy drop; }}; \
add rule inet chaos c {1} lo accept"


@dataclass
class Report:
    """What a run found."""

    seed: int
    faults: collections.Counter[str] = field(default_factory=collections.Counter)
    worst_s: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    acknowledged: int = 0
    looks: int = 0

    def text(self) -> str:
        """The table for people."""
        rows = [
            f"{kind:24} {count:4}   {self.worst_s.get(kind, 0.0):6.2f}" for kind, count in sorted(self.faults.items())
        ]
        total = f"{sum(self.faults.values())} faults, {self.looks} looks, {self.acknowledged} acknowledged writes"
        return "\n".join([f"seed {self.seed}", f"{'fault':24} {'n':>4}   worst recovery, s", *rows, total,
                          f"violations: {len(self.violations)}", *self.violations])  # fmt: skip


class Watch(threading.Thread):
    """Looks every few milliseconds for the application in more than one node's network."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.looks, self.twice, self._over = 0, list[str](), threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self._over.wait(LOOK_S):
            found = self._running()
            if len({net for _, net in found}) > 1:
                living = [(pid, net) for pid, net in found if _state(pid) not in ("", "Z", "X")]
                if len({net for _, net in living}) > 1:
                    self.twice.append(f"{time.monotonic():.3f}: the application runs twice: {living}")
            self.looks += 1

    def stop(self) -> None:
        """End it."""
        self._over.set()
        self.join()

    @staticmethod
    def _running() -> list[tuple[int, str]]:
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    if str(HTTPD).encode() in Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[:5]:
                        found.append((int(entry), os.readlink(f"/proc/{entry}/ns/net")))
        return found


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


class Chaos:
    """The cluster, the chance, and one generator for each kind of fault: it injects, waits at its ``yield``, heals."""

    def __init__(self, cluster: Ours, seed: int) -> None:
        self.cluster, self.rng, self.report = cluster, random.Random(seed), Report(seed)
        self.kinds: dict[str, Callable[[Node], Iterator[None]]] = {
            "cable cut": self._cable, "one way: deaf": lambda node: self._one_way(node, "input", "iifname"),
            "one way: mute": lambda node: self._one_way(node, "output", "oifname"),
            "daemon killed": lambda node: self._killed(node, "holdfast.app.system"),
            "daemon stopped": lambda node: self._stopped(node, "holdfast.app.system"),
            "guard killed": self._guard, "etcd killed": self._etcd_killed,
            "etcd stopped": lambda node: self._stopped(node, "--data-dir"),
            "application killed": lambda node: self._killed(node, str(HTTPD)), "system lost": self._lost,
        }  # fmt: skip

    # --- the kinds

    def _cable(self, node: Node) -> Iterator[None]:
        self.cluster.net.ip("link", "set", f"v{node.number}", "down")
        yield
        self.cluster.net.ip("link", "set", f"v{node.number}", "up")

    def _one_way(self, node: Node, hook: str, device: str) -> Iterator[None]:
        run("ip", "netns", "exec", node.namespace, "nft", ONE_WAY.format(hook, device))
        yield
        run("ip", "netns", "exec", node.namespace, "nft", "delete", "table", "inet", "chaos")

    def _killed(self, node: Node, word: str) -> Iterator[None]:
        self._signal(node, word, signal.SIGKILL)
        yield

    def _stopped(self, node: Node, word: str) -> Iterator[None]:
        pids = self._signal(node, word, signal.SIGSTOP)
        yield
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _guard(self, node: Node) -> Iterator[None]:
        guards = self._pids(node, "holdfast.cluster.service.guard")
        if guards:
            os.kill(guards[0], signal.SIGKILL)
        yield
        self._spawn(node, f"{' '.join(HOLDFAST)} system run --config {node.directory}/system.toml")

    def _etcd_killed(self, node: Node) -> Iterator[None]:
        self._signal(node, "--data-dir", signal.SIGKILL)
        yield
        self._spawn(node, self.cluster.etcd_line(node))

    def _lost(self, node: Node) -> Iterator[None]:
        node.lose()
        yield
        self.cluster.boot(node)

    def _pids(self, node: Node, word: str) -> list[int]:
        """The processes of a node that have ``word`` in their command line, oldest first."""
        found = []
        for pid in node.processes():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if word.encode() in words and _state(pid) not in ("Z", "X"):
                    found.append((int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]), pid))
        return [pid for _, pid in sorted(found)]

    def _signal(self, node: Node, word: str, number: int) -> list[int]:
        pids = self._pids(node, word)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def _spawn(self, node: Node, line: str) -> None:
        """Run a line in the background of a node. Its parent must be inside: one outside that is stopped with its child
        would not reap it, and the node could not end."""
        with (node.directory / "init.log").open("ab") as log:
            words = node.command("sh", "-c", f"{{ {line}; }} &")
            subprocess.run(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, check=True)

    # --- one fault

    def fault(self, prober: Prober) -> None:
        """Inject one, heal it, and wait for the service."""
        kind = self.rng.choice(sorted(self.kinds))
        owner = self.cluster.owner()
        nodes = self.cluster.nodes
        node = self.cluster.node(owner) if owner and self.rng.random() < 0.6 else self.rng.choice(nodes)
        lasts_s = self.rng.choice((0.3, 1.5, 3.5, 6.0)) + self.rng.random()
        self.report.faults[kind] += 1
        sys.stderr.write(f"{sum(self.report.faults.values()):4} {kind} on {node.name} for {lasts_s:.1f} s\n")
        heal = self.kinds[kind](node)
        next(heal)
        time.sleep(lasts_s)
        next(heal, None)
        healed = time.monotonic()
        try:
            wait_for(lambda: prober.now() != "", f"after {kind} on {node.name}: the service", BOUND_S)
            self.report.worst_s[kind] = max(self.report.worst_s.get(kind, 0.0), time.monotonic() - healed)
            wait_for(self._whole, f"after {kind} on {node.name}: the cluster whole", WHOLE_S)
        except RuntimeError as error:
            self.report.violations.append(str(error))

    def _whole(self) -> bool:
        """Whether every system runs and the group is online; what faulted is cleared, as a person would."""
        for node in self.cluster.nodes:
            done = subprocess.run(self.cluster.summary(node), capture_output=True, text=True, check=False)
            running = [line for line in done.stdout.splitlines() if line.startswith("A ") and " RUNNING " in f"{line} "]
            if done.returncode or len(running) < len(self.cluster.nodes):
                return False
            if "FAULTED" in done.stdout:
                subprocess.run(self.cluster.command(node, "hagrp", "-clear", "grp"), capture_output=True, check=False)
                return False
        return self.cluster.owner() != ""


def chaos(faults: int, seed: int, directory: Path) -> Report:
    """Run ``faults`` faults in ``directory`` and return what was found."""
    cluster = Ours(directory)
    watch, told, writer = Watch(), directory / "acknowledged", None
    try:
        cluster.start()
        made, prober = Chaos(cluster, seed), Prober(cluster.net)
        wait_for(lambda: prober.now() != "", "the service", WHOLE_S)
        wait_for(made._whole, "the cluster whole", WHOLE_S)
        client = ["ip", "netns", "exec", cluster.net.client, sys.executable, "-m", "bench.chaoswriter", cluster.store]
        with told.open("wb") as output:
            writer = subprocess.Popen(client, stdout=output, cwd=Path(__file__).resolve().parents[1])
        watch.start()
        for _ in range(faults):
            made.fault(prober)
        watch.stop()
        writer.kill()
        writer.wait()
        prober.stop()
        _settle_accounts(made.report, told, client)
        made.report.looks, made.report.violations = watch.looks, made.report.violations + watch.twice[:5]
        return made.report
    finally:
        if writer is not None:
            writer.kill()
        cluster.stop()


def _settle_accounts(report: Report, told: Path, client: list[str]) -> None:
    lines = [json.loads(line) for line in told.read_text().splitlines() if line.endswith("}")]
    keys = [line["key"] for line in lines if "key" in line]
    report.violations += [f"an intent went back: {line['back']}" for line in lines if "back" in line]
    report.acknowledged = len(keys)
    told.with_suffix(".json").write_text(json.dumps(keys))
    lost = json.loads(run(*client, str(told.with_suffix(".json"))))
    report.violations += [f"acknowledged and gone: {key}" for key in lost[:5]]


def main() -> int:
    """Run as told; print the table."""
    parser = argparse.ArgumentParser(description="Faults on a real cluster, with its promises watched.")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    sys.stderr.write(f"seed {given.seed}\n")
    with tempfile.TemporaryDirectory(prefix="holdfast-chaos-") as directory:
        report = chaos(given.faults, given.seed, Path(directory))
    print(report.text())
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
