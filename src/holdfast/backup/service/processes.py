"""The processes of one server: numbered, with a status that others can read and a request to end that they can make.

A process says how far it is and asks at every safe point whether it should end (``check``); whoever lists or cancels
processes needs nothing but this table. A process that was cancelled has kept every promise it made so far.
"""

from __future__ import annotations

import itertools
import threading

from holdfast.kernel.errors import Refusal, Refused

CANCELLED = "cancelled"


class Process:
    """One running process. ``done`` and ``total`` count ``unit``; ``total`` is 0 while it is not known."""

    def __init__(self, number: int, name: str, started_ns: int) -> None:
        self.number, self.name, self.started_ns = number, name, started_ns
        self.status = ""
        self.unit = "groups"
        self.done = self.total = 0
        self.done_bytes = 0
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked this process to end."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ask the process to end at its next safe point. Idempotent."""
        self._cancelled.set()

    def begin(self, total: int, status: str, unit: str = "groups") -> None:
        """Say what is to be done now, and how much of it; counting starts again."""
        self.status, self.unit, self.total, self.done = status, unit, total, 0

    def advance(self, count: int = 1, bytes: int = 0) -> None:
        """Count what is done."""
        self.done += count
        self.done_bytes += bytes

    def check(self) -> None:
        """Raise ``Refused`` (code ``cancelled``) when the process should end; call where nothing is half done."""
        if self.cancelled:
            raise Refused(Refusal(CANCELLED, f"process {self.number} was cancelled", "start it again when it suits"))

    def describe(self) -> str:
        """Return the status as one line for people."""
        counted = f"{self.done} of {self.total} {self.unit}" if self.total else f"{self.done} {self.unit}"
        moved = f", {self.done_bytes} bytes" if self.done_bytes else ""
        return f"{self.status}: {counted}{moved}" if self.status else f"{counted}{moved}"


class ProcessTable:
    """The running processes of a server, by number."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._running: dict[int, Process] = {}

    def begin(self, name: str, now_ns: int) -> Process:
        """Enter a new process under the next number."""
        with self._lock:
            process = Process(next(self._numbers), name, now_ns)
            self._running[process.number] = process
            return process

    def end(self, process: Process) -> None:
        """Take a process off the table. Idempotent."""
        with self._lock:
            self._running.pop(process.number, None)

    def running(self) -> list[Process]:
        """Return the running processes in the order of their numbers."""
        with self._lock:
            return [self._running[number] for number in sorted(self._running)]

    def cancel(self, number: int) -> Process:
        """Ask a process to end. Raises ``Refused`` when no such process runs."""
        with self._lock:
            process = self._running.get(number)
        if process is None:
            raise Refused(Refusal("not-found", f"process {number} does not run", "QUERY PROCESS"))
        process.cancel()
        return process
