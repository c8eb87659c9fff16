"""Runs a drill in a process (as root: in namespaces) of its own, so that whatever happens nothing of it stays behind.

The supervisor makes the directory, starts the drill, waits, and then looks with its own eyes for processes, mounts,
loop devices and files of the lab. With root the drill's first process is PID 1 of a namespace: when it ends, the kernel
ends all that it started. A parent that dies takes the drill along (``PR_SET_PDEATHSIG``).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdfast.continuity.model.report import INTERRUPTED, Failure, Report, StepResult
from holdfast.lab import fuse, processes
from holdfast.lab.sites import remove_directory

PREFIX = "holdfast-drill-"
CLEAN_TIMEOUT_S = 10.0
END_TIMEOUT_S = 20.0
"""How long a drill that got a signal, or has written its report, may take to end by itself."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REPORT = "report.json"
FIRST_PROCESS = "first.pid"
"""Holds the id, as the machine counts, of the process that is PID 1 inside: through it one enters the lab."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the drill ended: its report, if it could write one, and whether it was interrupted."""

    report: Report
    interrupted: bool


def supervise(arguments: Sequence[str], root: bool, keep_files_on_failure: bool) -> Ended:
    """Run ``holdfast drill --inside DIRECTORY`` with more arguments, clean up after it, return its report."""
    sweep()
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    directory.chmod(0o711)
    (directory / "owner").write_text(str(os.getpid()))
    signalled = _run(directory, arguments, root)
    report = _read(directory, root, signalled)
    interrupted = report.failure is not None and report.failure.seen == INTERRUPTED
    began = time.monotonic()
    left = clean(directory)
    if report.failure and keep_files_on_failure and not interrupted:
        left += keep_logs(directory)
    else:
        left += _remove(directory)
        if report.failure:
            report.failure.logs = []
    seconds = round(time.monotonic() - began, 2)
    report.steps.append(StepResult("cleanup", not left, seconds, {"left": len(left)}))
    if left and report.failure is None:
        report.verdict = "fail"
        report.failure = Failure("cleanup", "nothing left of the lab", "; ".join(left))
    return Ended(report, interrupted)


def clean(directory: Path) -> list[str]:
    """Kill what is left of a lab's processes and wait for its mounts and loop devices to go; return what stays."""
    deadline = time.monotonic() + CLEAN_TIMEOUT_S
    while True:
        left = _leftovers(directory)
        if not left or time.monotonic() > deadline:
            return left
        for pid in _processes_of(directory):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def keep_logs(directory: Path) -> list[str]:
    """Remove everything of a lab but its logs: keys, passwords and volumes do not outlive it."""
    try:
        for top, folders, files in os.walk(directory, topdown=False):
            for name in files:
                if not name.endswith(".log") or os.path.islink(os.path.join(top, name)):
                    os.unlink(os.path.join(top, name))
            for name in folders:
                path = os.path.join(top, name)
                if os.path.islink(path):
                    os.unlink(path)
                elif not os.listdir(path):
                    os.rmdir(path)
    except OSError as error:
        return [f"file {error.filename}: {error.strerror}"]
    return []


def sweep() -> None:
    """Remove what earlier drills left whose supervisor was killed."""
    for directory in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        owner = directory / "owner"
        try:
            alive = processes.state(int(owner.read_text())) not in ("", "Z")
        except (OSError, ValueError):
            continue
        if not alive and os.access(directory, os.W_OK) and not clean(directory):
            _remove(directory)


def _run(directory: Path, arguments: Sequence[str], root: bool) -> bool:
    command = [sys.executable, "-m", "holdfast", "drill", "--inside", str(directory), *arguments]
    if root:
        command = [sys.executable, "-m", "holdfast.lab.init", "{}", *command]
    drill = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command])
    if root:
        (directory / FIRST_PROCESS).write_text(str(processes.child_of(drill.pid)))
    interrupted = False

    def passed_on(number: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        drill.send_signal(number)

    before = [(number, signal.signal(number, passed_on)) for number in SIGNALS]
    try:
        patience_s, stuck_s = END_TIMEOUT_S, 0.0
        while True:
            try:
                drill.wait(timeout=0.5)
                return interrupted
            except subprocess.TimeoutExpired:
                patience_s -= 0.5 if interrupted else 0.0
                if patience_s <= 0:
                    drill.kill()
                stuck_s += 0.5 if (directory / REPORT).exists() else 0.0
                if stuck_s == CLEAN_TIMEOUT_S and root:
                    fuse.give_up(directory)
                if stuck_s > END_TIMEOUT_S:
                    drill.kill()
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _read(directory: Path, root: bool, interrupted: bool) -> Report:
    try:
        return msgspec.json.decode((directory / REPORT).read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        report = Report(mode="root" if root else "user", seed=0)
        seen = INTERRUPTED if interrupted else "it ended without one"
        report.failure = Failure("drill", "the drill to end with a report", seen)
        return report


def _leftovers(directory: Path) -> list[str]:
    left = [f"process {pid}" for pid in _processes_of(directory)]
    left += [f"mount {line.split()[4]}" for line in _lines("/proc/self/mountinfo") if f"{directory}/" in line]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        left += [f"loop device of {line}" for line in _lines(str(backing)) if str(directory) in line]
    return left


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _processes_of(directory: Path) -> list[int]:
    wanted = f"{processes.MARK}={processes.mark_of(directory, '')}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        marked = any(word.startswith(wanted) for word in environment)
        if marked and processes.state(int(entry.name)) not in ("Z", "X", ""):
            found.append(int(entry.name))
    return found


def _remove(directory: Path) -> list[str]:
    try:
        remove_directory(directory)
    except OSError as error:
        return [f"file {error.filename}: {error.strerror}"]
    return []
