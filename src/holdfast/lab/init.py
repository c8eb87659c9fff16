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

from holdfast.lab import rootfs


def main(arguments: list[str]) -> int:
    """Prepare the host, say ``ready``, then reap until the program (if any) ends; return its exit code."""
    host = json.loads(arguments[0])
    program = arguments[1:]
    root = Path(host.get("root", "/"))
    if "root" in host:
        rootfs.build(root, tuple(host["mount_points"]), host["links"])
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
