"""``dsmsched.log``: every line dated, pruned by age, never a reason for a backup to fail.

``StampedLines`` takes text as a stream takes it and dates every line, so that whatever a command prints goes into the
log as it is. A log that cannot be written is told on standard error once, and the work goes on.
"""

from __future__ import annotations

import datetime
import io
import os
import sys
import time
from pathlib import Path

from holdfast.backup.model.clientmessages import text
from holdfast.backup.plan.clientschedule import Disposal, Retention, prune
from holdfast.backup.service.client.dates import FORMATS

_DAY_S = 86_400
_STAMP_CHARACTERS = 19


class StampedLines(io.TextIOBase):
    """A stream whose lines go to a file, each with date and time in the layout of DATEFORMAT."""

    def __init__(self, path: Path, dateformat: str = "1") -> None:
        self.path = path
        self._layout = f"{FORMATS.get(dateformat, FORMATS['1'])} %H:%M:%S"
        self._rest = ""
        self._complained = False

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, piece: str) -> int:
        """Take text; whole lines go to the file."""
        *lines, self._rest = (self._rest + piece).split("\n")
        if lines:
            self._append(lines)
        return len(piece)

    def line(self, *lines: str) -> None:
        """Write whole lines."""
        self._append([part for line in lines for part in line.split("\n")])

    def _append(self, lines: list[str]) -> None:
        now = datetime.datetime.now().strftime(self._layout)
        data = "".join(f"{now} {line}\n" for line in lines).encode("utf-8", "backslashreplace")
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._complained:
                sys.stderr.write(f"{self.path} cannot be written: {error.strerror}\n")
            self._complained = True

    def prune(self, retention: Retention) -> None:
        """Drop what is older than ``retention``, or move it to ``dsmsched.pru`` beside the log; a copy replaces it."""
        if retention.days is None or not self.path.exists():
            return
        oldest_s = time.time() - retention.days * _DAY_S
        lines = self.path.read_text("utf-8", "backslashreplace").splitlines(keepends=True)
        kept, gone = prune(lines, self._dated, oldest_s)
        if not gone:
            return
        if retention.disposal is Disposal.SAVE:
            with self.path.with_suffix(".pru").open("a", encoding="utf-8") as saved:
                saved.writelines(gone)
        fresh = self.path.with_name(f"{self.path.name}.new")
        fresh.write_text("".join(kept), "utf-8")
        fresh.replace(self.path)
        self.line(text("ANS1483I"), text("ANS1484I", lines=len(gone)))

    def _dated(self, line: str) -> float | None:
        try:
            return datetime.datetime.strptime(line[:_STAMP_CHARACTERS], self._layout).timestamp()
        except ValueError:
            return None
