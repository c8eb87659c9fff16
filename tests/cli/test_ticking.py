"""The line that tells how far long work is: on a terminal only, drawn over itself, gone at the end."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

PROGRAM = """
import sys, time
from types import SimpleNamespace
from holdfast.cli.ticking import ticking
figures = SimpleNamespace(objects_inspected=1234, bytes_inspected=5 << 20, objects=7, bytes=2048, objects_failed=0)
with ticking() as begun:
    if begun is None:
        sys.exit("nobody watches")
    begun("/data", figures)
    time.sleep(1.5)
"""


def test_a_terminal_sees_the_line_and_then_nothing_of_it() -> None:
    mine, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(mine, 4096):
            seen += part
    except OSError:  # how a terminal ends on Linux
        pass
    assert process.wait(20) == 0
    os.close(mine)
    assert b"/data: 1,234 objects seen (5.0 MiB), 7 stored (2.0 KiB), 0 failed" in seen
    assert seen.endswith(b"\r\x1b[K")


def test_a_pipe_sees_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, timeout=30)
    assert done.stderr == b"nobody watches\n"
