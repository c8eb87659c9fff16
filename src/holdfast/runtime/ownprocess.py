"""What a process says of itself to the rest of the machine: its command line, and that it ends with its parent.

Cluster agents, init scripts and people find daemons by their command line. A daemon of ours is an interpreter that runs
a module, which says nothing; so it writes over the memory from which the kernel shows its arguments. What is written
cannot be longer than what stood there: start the process with arguments to spare.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from holdfast.kernel.errors import HoldfastError

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_ARG_START, _ARG_END = 45, 46  # fields behind the program's name in /proc/self/stat
SPARE = "-" + " " * 1024
"""An argument to spare, for those who start a process that will name itself."""
_libc = ctypes.CDLL(None, use_errno=True)


def set_command_line(words: Sequence[str]) -> None:
    """Show ``words`` as this process's command line and the first as its name. Raises ``HoldfastError``: no room."""
    fields = Path("/proc/self/stat").read_text("utf-8", "surrogateescape").rpartition(")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    line = b"\0".join(os.fsencode(word) for word in words) + b"\0"
    if len(line) >= end - start:
        raise HoldfastError("the command line leaves no room for another one", "start it with a spare argument")
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, line, len(line))
    _libc.prctl(_PR_SET_NAME, os.fsencode(os.path.basename(words[0]))[:15], 0, 0, 0)


def end_with_parent() -> None:
    """Have this process killed when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
