"""The first process of a lab host: makes its root directory, reaps orphans, and by ending ends the whole host.

It is PID 1 of a namespace, so when it ends, for whatever reason, the kernel ends every process in there; mounts and
network devices go with them. That is what makes the lab leave nothing behind.

    python -m holdfast.lab.init '{"root": …, "mount_points": […], "links": {…}}'   hold a host until killed
    python -m holdfast.lab.init '{}' PROGRAM ARGUMENT...                            run one program, end with it
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from holdfast.lab import rootfs


def main(arguments: list[str]) -> int:
    """Make the namespaces, go on in them as PID 1, end with its exit code."""
    rootfs.leave_namespaces()
    first = os.fork()
    if first == 0:
        rootfs.die_with_parent()
        code = hold(json.loads(arguments[0]), arguments[1:])
        os._exit(code)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: os.kill(first, received))
    return exit_code(os.waitpid(first, 0)[1])


def hold(host: dict[str, Any], program: list[str]) -> int:
    """Prepare the host, say ``ready``, then reap until the program (if any) ends; return its exit code."""
    root = Path(host.get("root", "/"))
    if "root" in host:
        rootfs.build(root, tuple(host["mount_points"]), host["links"], host["binds"])
    rootfs.mount("proc", root / "proc", "proc")
    if "root" in host:
        os.chroot(root)
        os.chdir("/")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT})
    child = _start(program) if program else 0
    if not program:
        os.write(1, b"ready\n")
    while True:
        received = signal.sigwait({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT})
        if received != signal.SIGCHLD and child:
            os.kill(child, received)
        for pid, status in _ended():
            if pid == child:
                return exit_code(status)


def exit_code(status: int) -> int:
    """Return a wait status as a shell shows it: 128 and the signal's number for one that a signal ended."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _start(program: list[str]) -> int:
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.execvp(program[0], program)
    return child


def _ended() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
