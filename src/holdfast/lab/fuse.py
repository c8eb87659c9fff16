"""FUSE connections of dead hosts: ends the requests that nobody will answer any more.

A killed nbdfuse that is the last to hold a mount of its own volume waits, while it dies, for its own answers, and no
signal ends that. On a real machine the power goes with it; in the lab the kernel lives on, so the connection is ended
by hand, through the kernel's control file system. The kernel uses connection numbers again, so one is only ended while
the very nbdfuse that a lab's record names is still there, known by the moment of its start.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from holdfast.replication.service.attach import RECORD, started

_TIMEOUT_S = 10.0
_ABORT = """
mount -t fusectl none /sys/fs/fuse/connections || exit 1
for number; do
    connection=/sys/fs/fuse/connections/$number
    [ -e $connection/waiting ] && [ "$(cat $connection/waiting)" != 0 ] && echo 1 > $connection/abort
done
exit 0
"""


def give_up(directory: Path) -> None:
    """End every request that waits on a volume attached below ``directory``. Only for hosts that are being killed."""
    numbers = [str(number) for number in _connections(directory)]
    if not numbers:
        return
    command = ["unshare", "--mount", "sh", "-c", _ABORT, "sh", *numbers]
    try:
        subprocess.run(command, check=False, timeout=_TIMEOUT_S, capture_output=True)
    except subprocess.TimeoutExpired:
        return


def _connections(directory: Path) -> Iterator[int]:
    living = {started(int(entry)) for entry in os.listdir("/proc") if entry.isdigit() and _is_nbdfuse(entry)}
    for top, _, files in os.walk(directory):
        if RECORD not in files:
            continue
        try:
            _, _, _, number, start = json.loads(Path(top, RECORD).read_bytes())
        except (OSError, ValueError):
            continue
        if start in living:
            yield int(number)


def _is_nbdfuse(pid: str) -> bool:
    try:
        return Path("/proc", pid, "comm").read_text() == "nbdfuse\n"
    except OSError:
        return False
