"""Starting, finding and ending the lab's processes. Every process of a host carries the host's mark in its environment.

The mark is inherited by all that a host starts, also by daemons that leave their session, so a host can be stopped,
continued or killed as a whole in either mode. Only processes that carry this lab's own mark are ever signalled.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "HOLDFAST_LAB_HOST"


def mark_of(directory: Path, host: str) -> str:
    """Return the mark of a host of the lab in ``directory``."""
    return f"{directory.name}/{host}"


def marked(mark: str) -> Iterator[int]:
    """Yield the ids of living processes whose environment carries ``mark``."""
    wanted = f"{MARK}={mark}".encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            found = wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if found and state(int(entry)) not in ("Z", "X", ""):
            yield int(entry)


def state(pid: int) -> str:
    """Return the kernel's one-letter state of a process (``T`` stopped, ``Z`` ended), or nothing if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def signal_all(mark: str, number: signal.Signals, patience_s: float = 5.0) -> int:
    """Send a signal to every process of a host until none is left that has not taken it; return how many there were.

    SIGSTOP and SIGKILL are repeated for processes that were started meanwhile; anything else is sent once.
    """
    reached: set[int] = set()
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        fresh = [pid for pid in marked(mark) if not _taken(pid, number, reached)]
        if not fresh:
            break
        for pid in fresh:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        reached.update(fresh)
        if number not in (signal.SIGSTOP, signal.SIGKILL):
            break
        time.sleep(0.005)
    return len(reached)


def child_of(pid: int, patience_s: float = 5.0) -> int:
    """Return the first child of a process, waiting until it has one."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            break
        if children:
            return int(children[0])
        time.sleep(0.002)
    raise ProcessLookupError(f"process {pid} has no child")


def _taken(pid: int, number: signal.Signals, reached: set[int]) -> bool:
    if number is signal.SIGSTOP:
        return state(pid) in ("T", "t")
    return pid in reached and number is not signal.SIGKILL
