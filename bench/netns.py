"""Nodes for the cluster benchmarks: network namespaces on a bridge, a client beside them, a way to end a node at once.

Each node is a process tree in mount, PID, IPC, UTS and network namespaces of its own; what it runs is the caller's.
Losing a node means: its cable is cut first (the kernel of killed processes would go on answering for their addresses),
then the first process is killed and the kernel ends the rest. As root only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

CLIENT = "10.77.0.100"
SERVICE = "10.77.0.50"
PORT = 8080


def address(number: int) -> str:
    """The address of node ``number``, from 1."""
    return f"10.77.0.{number}"


def run(*words: str, quiet: bool = False) -> str:
    """Run a command that must succeed; return what it printed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode and not quiet:
        raise RuntimeError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Net:
    """The bridge in the client's namespace."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.client = f"hb{os.getpid()}{mark}c"

    def make(self) -> None:
        """Make the client's namespace with the bridge that all nodes hang on."""
        run("ip", "netns", "add", self.client)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self.ip("addr", "add", f"{CLIENT}/24", "dev", "br0")
        self.ip("link", "set", "br0", "up")
        # A lost neighbour must not hide the result: ask again at once where the service's address is.
        for setting in ("retrans_time_ms=50", "base_reachable_time_ms=200", "delay_first_probe_time=0"):
            self.enter("sysctl", "-qw", f"net.ipv4.neigh.br0.{setting}")

    def ip(self, *words: str) -> None:
        """Run ``ip`` in the client's namespace."""
        run("ip", "-n", self.client, *words)

    def enter(self, *words: str) -> str:
        """Run a command in the client's namespace."""
        return run("ip", "netns", "exec", self.client, *words)

    def remove(self) -> None:
        """Remove the namespace and with it the bridge."""
        run("ip", "netns", "del", self.client, quiet=True)


class Node:
    """One node; :meth:`start` gives it power, :meth:`lose` takes it away at once."""

    def __init__(self, net: Net, number: int, directory: Path) -> None:
        self.net, self.number, self.directory = net, number, directory
        self.name, self.address = f"n{number}", address(number)
        self.namespace = f"hb{os.getpid()}{net.mark}{number}"
        self._outer: subprocess.Popen[bytes] | None = None
        self.pid = 0
        directory.mkdir(parents=True, exist_ok=True)

    def start(self, script: str) -> None:
        """Make the namespaces and run ``script`` (sh) as the node's first process."""
        cable = f"v{self.number}"
        run("ip", "netns", "add", self.namespace)
        peer = ("peer", "name", "eth0", "netns", self.namespace)
        run("ip", "-n", self.net.client, "link", "add", cable, "type", "veth", *peer)
        self.net.ip("link", "set", cable, "master", "br0", "up")
        for words in (("addr", "add", f"{self.address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            run("ip", "-n", self.namespace, *words)
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        path = self.directory / "init.sh"
        path.write_text(f"hostname {self.name}\n{script}\nwhile :; do sleep 3600 & wait $!; done\n")
        log = (self.directory / "init.log").open("ab")
        words = ["ip", "netns", "exec", self.namespace, "unshare", "-m", "-p", "-u", "-i", "--fork", "--mount-proc"]
        self._outer = subprocess.Popen([*words, "sh", str(path)], stdout=log, stderr=log, start_new_session=True)
        log.close()
        self.pid = self._first_process()

    def _first_process(self) -> int:
        assert self._outer is not None
        end = time.monotonic() + 10
        while time.monotonic() < end:
            children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
            if children:
                return int(children[0])
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} did not start")

    def command(self, *words: str) -> list[str]:
        """The command line that runs ``words`` on the node."""
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "--", *words]

    def run(self, *words: str, quiet: bool = False) -> str:
        """Run a command on the node to its end; return what it printed."""
        return run(*self.command(*words), quiet=quiet)

    def processes(self) -> list[int]:
        """Every process of the node, as this machine counts them."""
        mine = os.stat(f"/proc/{self.pid}/ns/pid").st_ino
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                inside = os.stat(entry / "ns/pid").st_ino
            except OSError:
                continue
            if inside == mine or _below(int(entry.name), self.pid):
                found.append(int(entry.name))
        return found

    def lose(self) -> float:
        """Cut the cable, then kill everything; return when the cable was cut, in monotonic seconds."""
        at = time.monotonic()
        self.net.ip("link", "set", f"v{self.number}", "down")
        self.end()
        return at

    def end(self) -> None:
        """Kill everything and remove the network namespace."""
        if self._outer is None:
            return
        os.kill(self.pid, signal.SIGKILL)
        self._outer.wait(timeout=20)
        self._outer = None
        run("ip", "netns", "del", self.namespace, quiet=True)
        run("ip", "-n", self.net.client, "link", "del", f"v{self.number}", quiet=True)


def _below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return False
    return False


class Prober:
    """Asks the service every 5 ms from the client's namespace and notes each change of the answer."""

    def __init__(self, net: Net) -> None:
        self._file = tempfile.NamedTemporaryFile("r", prefix="holdfast-prober-")  # noqa: SIM115
        with open(self._file.name, "wb") as output:
            words = ["ip", "netns", "exec", net.client, sys.executable, "-m", "bench.prober", SERVICE, str(PORT)]
            self._process = subprocess.Popen(words, stdout=output, cwd=Path(__file__).resolve().parents[1])
        self._changes: list[tuple[float, str]] = []

    def changes(self) -> list[tuple[float, str]]:
        """Every change so far: monotonic seconds, and who answers (empty: nobody)."""
        self._changes += [(at, who) for at, who in map(json.loads, self._file)]
        return self._changes

    def await_answer(self, who: str, since: float, limit_s: float = 60.0) -> float:
        """Return the first moment at or after ``since`` at which ``who`` ("*": anybody) answers, having not before."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            for at, found in self.changes():
                if at >= since and (found == who or (who == "*" and found)):
                    return at
            time.sleep(0.002)
        raise RuntimeError(f"{who} did not answer within {limit_s} s: {self._changes[-6:]}")

    def now(self) -> str:
        """Who answers now."""
        changes = self.changes()
        return changes[-1][1] if changes else ""

    def stop(self) -> None:
        """End the prober."""
        self._process.kill()
        self._process.wait()
        self._file.close()


def wait_for(check: Sequence[object] | object, what: str, limit_s: float = 60.0) -> None:
    """Wait until the callable ``check`` is true; raise naming ``what`` when it never is."""
    assert callable(check)
    end = time.monotonic() + limit_s
    while not check():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {limit_s} s")
        time.sleep(0.05)
