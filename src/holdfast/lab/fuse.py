"""FUSE connections of dead hosts: ends the requests that nobody will answer any more.

A killed nbdfuse that is the last to hold a mount of its own volume waits, while it dies, for its own answers, and no
signal ends that. On a real machine the power goes with it; in the lab the kernel lives on, so the connection is ended
by hand, through the kernel's control file system. Which connections are a lab's own says what its attached devices
recorded; a record goes as soon as its host is known to be dead, because the kernel uses numbers again.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from holdfast.replication.service.attach import RECORD

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
    if numbers:
        command = ["unshare", "--mount", "sh", "-c", _ABORT, "sh", *numbers]
        subprocess.run(command, check=False, timeout=_TIMEOUT_S, capture_output=True)


def forget(directory: Path) -> None:
    """Remove the records below ``directory``: its host is dead, and with it its connections."""
    for record in directory.rglob(RECORD):
        record.unlink(missing_ok=True)


def _connections(directory: Path) -> Iterator[int]:
    for record in directory.rglob(RECORD):
        try:
            yield int(json.loads(record.read_bytes())[3])
        except (OSError, ValueError, IndexError):
            continue
