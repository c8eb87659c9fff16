"""One host of the lab: made of namespaces with root, of plain processes without. Both start, run and die alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from holdfast.continuity.model.sites import MOUNT_POINTS, Host, Role
from holdfast.continuity.ports import Output
from holdfast.kernel.errors import HoldfastError
from holdfast.lab import fuse, network, processes

READY_TIMEOUT_S = 20.0


class Machine(Protocol):
    """A host that can be given power and programs."""

    host: Host
    directory: Path
    mark: str

    @property
    def pid(self) -> int:
        """The first process of the host, 0 while it has no power (always 0 without namespaces)."""

    def power_on(self) -> None:
        """Make the host."""

    def power_off(self) -> None:
        """End everything on it at once."""

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs ``argv`` on the host."""


class PlainMachine:
    """A host that is only a mark in the environment of its processes."""

    def __init__(self, host: Host, directory: Path, mark: str) -> None:
        self.host, self.directory, self.mark = host, directory, mark
        self.pid = 0

    def power_on(self) -> None:
        """Nothing to make."""

    def power_off(self) -> None:
        """Kill every process that carries the mark."""
        processes.signal_all(self.mark, signal.SIGKILL)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Run it as it is, but let it die with whoever started it."""
        return ["setpriv", "--pdeathsig", "KILL", *argv]


class NamespaceMachine:
    """A host with mount, PID and network namespaces of its own; a system also has a root directory of its own."""

    def __init__(self, host: Host, directory: Path, mark: str, number: int, links: Mapping[str, str]) -> None:
        self.host, self.directory, self.mark = host, directory, mark
        self._number, self._links = number, dict(links)
        self._outer: subprocess.Popen[str] | None = None
        self._mounts = -1
        self.pid = 0

    def power_on(self) -> None:
        """Make the namespaces, the root directory and the network devices."""
        settings: dict[str, object] = {}
        if self.host.role is Role.SYSTEM:
            root = str(self.directory / "root")
            binds = {"/local": str(self.directory / "local")}
            settings = {"root": root, "mount_points": MOUNT_POINTS, "links": self._links, "binds": binds}
        self._outer = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "holdfast.lab.init", json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, processes.MARK: self.mark},
        )
        assert self._outer.stdout is not None
        if self._outer.stdout.readline() != "ready\n":
            raise HoldfastError(f"the namespaces of {self.host.name} cannot be made", "are namespaces allowed here?")
        self.pid = processes.child_of(self._outer.pid)
        self._mounts = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        network.connect(self.host, self.pid, self._number)

    def power_off(self) -> None:
        """Cut the network, then kill the first process: the kernel kills the rest, however deep it hides."""
        if self._outer is None:
            return
        network.disconnect(self.host, self._number)
        os.kill(self.pid, signal.SIGKILL)
        try:
            self._outer.wait(timeout=3)
        except subprocess.TimeoutExpired:
            fuse.give_up(self.directory)
            self._outer.wait(timeout=10)
        assert self._outer.stdout is not None
        self._outer.stdout.close()
        os.close(self._mounts)
        self._outer, self.pid = None, 0

    def command(self, argv: Sequence[str]) -> list[str]:
        """Enter the host's namespaces first."""
        inside = ["nsenter", "-t", str(self.pid), "-m", "-p", "-n"]
        return [*inside, *(["-r", "-w"] if self.host.role is Role.SYSTEM else []), "--", *argv]


class Service:
    """The long-running program of a host, its log, and whether it said that it is ready."""

    def __init__(
        self, machine: Machine, argv: Sequence[str], env: Mapping[str, str], log: Path, says_ready: bytes = b"ready\n"
    ) -> None:
        self._machine, self._argv, self._env, self.log = machine, list(argv), dict(env), log
        self._says_ready, self._place = says_ready, 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the program. To be called by the lab's first thread: what it starts may die with the thread."""
        with self.log.open("ab") as log:
            self._place = log.tell()
            self._process = subprocess.Popen(
                self._machine.command(self._argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        """Wait for the line ``ready``, if the program is one that says so."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while self._says_ready and time.monotonic() < deadline:
            with self.log.open("rb") as log:
                log.seek(self._place)
                if any(line.startswith(self._says_ready) or b'"' + self._says_ready + b'"' in line for line in log):
                    return
            if not self.running:
                break
            time.sleep(0.01)
        if self._says_ready:
            raise HoldfastError(f"{self._machine.host.name} did not become ready", f"see {self.log}")

    def start(self) -> None:
        """Start the program and wait until it is ready."""
        self.launch()
        self.await_ready()

    def crash(self) -> None:
        """SIGKILL the program itself, not what it started."""
        if self._process is None or not self.running:
            return
        inner = self._machine.pid and processes.child_of(self._process.pid)
        os.kill(inner or self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=10)

    def wake(self) -> None:
        """Let the command that entered the host go on: it stops itself when the program on the host is stopped, and a
        host whose processes nobody buries is never gone."""
        if self._process is not None and self.running:
            os.kill(self._process.pid, signal.SIGCONT)

    def reap(self) -> None:
        """Collect the program after its host lost power."""
        if self._process is not None:
            self._process.wait(timeout=10)


def run_on(
    machine: Machine, argv: Sequence[str], env: Mapping[str, str], timeout_s: float, stdin: bytes = b""
) -> Output:
    """Run a command on a host, return what it printed. Ends with code 124 when it takes longer than ``timeout_s``."""
    try:
        done = subprocess.run(
            machine.command(argv),
            input=stdin,
            capture_output=True,
            env=dict(env),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        said = (expired.stderr or b"").decode(errors="replace")
        return Output(tuple(argv), 124, "", f"no end within {timeout_s} s. {said}")
    return Output(
        tuple(argv), done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
