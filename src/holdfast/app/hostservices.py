"""Starts and stops what a system runs: by systemd where that runs, else as processes of their own session.

Without systemd (a container, a small image) a process is known by its file in the run directory; one whose file names
a process that is gone, or that is another program by now, is started anew.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.app.hostfiles import ETCD, SYSTEM, TIMER_SLACK_NS, Places, system_command
from holdfast.kernel.errors import HoldfastError, InputError

_STOP_LIMIT_S = {ETCD: 10.0, SYSTEM: 120.0}
_POLL_S = 0.05


class HostServices:
    """The services of one machine: ``start``, ``stop`` and whether one runs."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._systemd = places.root == Path("/") and Path("/run/systemd/system").is_dir()

    def start_etcd(self) -> None:
        """Start the etcd member unless it runs."""
        etcd = shutil.which("etcd")
        if etcd is None:
            raise InputError("etcd is not installed", remedy="install the package etcd-server, then ask again")
        lines = self._places.etcd_env.read_text("utf-8").splitlines()
        self._places.etcd_data.mkdir(parents=True, exist_ok=True)
        self._places.etcd_data.chmod(0o700)
        late = f"echo {TIMER_SLACK_NS} >/proc/self/timerslack_ns 2>/dev/null; exec {shlex.quote(etcd)}"
        self._start(ETCD, ["/bin/sh", "-c", late], dict(line.split("=", 1) for line in lines))

    def start_system(self) -> None:
        """Start guard and daemon unless they run."""
        self._places.log.mkdir(parents=True, exist_ok=True)
        self._start(SYSTEM, system_command(self._places), {})

    def start_beside(self, name: str, words: Sequence[str]) -> None:
        """Start a helper that ends by itself, unless it runs."""
        if not self.pid(name):
            self._spawn(name, words, {})

    def _start(self, unit: str, words: Sequence[str], environment: Mapping[str, str]) -> None:
        if self._systemd:
            _systemctl("daemon-reload")
            _systemctl("enable", "--now", unit)
        elif not self.pid(unit):
            self._spawn(unit, words, environment)

    def _spawn(self, name: str, words: Sequence[str], environment: Mapping[str, str]) -> None:
        for directory in (self._places.run, self._places.log):
            directory.mkdir(parents=True, exist_ok=True)
        with (self._places.log / f"{name.removesuffix('.service')}.log").open("ab") as log:
            started = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                env={**os.environ, **environment},
            )  # fmt: skip
        self._pid_file(name).write_text(f"{started.pid} {_born(started.pid)}", "utf-8")

    def stop(self, unit: str) -> None:
        """Stop a service, and see that it does not start at the next boot."""
        if self._systemd:
            _systemctl("disable", "--now", unit)
        else:
            self.stop_beside(unit)

    def stop_beside(self, unit: str) -> None:
        """Stop what was started without systemd, if it runs. Raises ``HoldfastError`` when it does not end."""
        pid, end = self.pid(unit), time.monotonic() + _STOP_LIMIT_S.get(unit, 10.0)
        if pid:
            os.kill(pid, signal.SIGTERM)
        while self.pid(unit):
            if time.monotonic() > end:
                raise HoldfastError(f"{unit} does not end (process {pid})", "look into its log, then ask again")
            time.sleep(_POLL_S)
        self._pid_file(unit).unlink(missing_ok=True)

    def pid(self, name: str) -> int:
        """Return the process of a service that was started without systemd, or 0."""
        with contextlib.suppress(OSError, ValueError):
            pid, born = self._pid_file(name).read_text("utf-8").split()
            if _born(int(pid)) == born:
                return int(pid)
        return 0

    def _pid_file(self, name: str) -> Path:
        return self._places.run / f"{name.removesuffix('.service')}.pid"


def _born(pid: int) -> str:
    """When a process was started, in the kernel's ticks: pid and birth name it for good. Empty for one that ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in "ZX" else words[19]


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HoldfastError(f"systemctl {' '.join(words)}: {done.stderr.strip()}", "see journalctl -xe, then ask again")
