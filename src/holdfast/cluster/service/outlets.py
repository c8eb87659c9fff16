"""What the commands of a workload print: taken off them by the workload, so that it can harm nobody.

A command writes into a pipe; the workload copies the head of it to the memory file that the daemon asked for and drops
the rest, or, for a service and for a start that may leave one, all of it to a log that stays short. It is the workload
that reads because it lives as long as what runs in it: a service that its start program left with the pipe in hand may
print as long as it lives, and neither fills memory or disk nor is ended by SIGPIPE when a daemon goes. Nobody waits for
the end of a pipe: a command has ended when its process has.

One that floods is slowed down to :data:`_QUOTA_BYTES` in :data:`_WINDOW_S`: it waits for the reader, not the others for
their turn. Logs are written by a thread of their own, for a disk may stand still, and then only those who print wait.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import threading
import time

_CHUNK_BYTES = 64 * 1024
_QUOTA_BYTES = 1024 * 1024
_WINDOW_S = 0.1
_LAST_CHUNKS = 32
"""How much is still taken when the command has ended; a pipe holds less, unless somebody goes on printing."""
LOG_LIMIT_BYTES = 8 * 1024 * 1024
_GONE = b"--- this log grew beyond its limit; what was here is gone\n"


class _Outlet:
    """One pipe: its reading end, the file for the head of what comes, how much of it that file still takes.

    With ``anew`` the file is a log, which begins anew when it is full.
    """

    def __init__(self, reader: int, target: int, room_bytes: int, anew: bool = False) -> None:
        self.reader, self.target, self.room_bytes, self._anew = reader, target, room_bytes, anew
        self.window_at = self.taken_bytes = 0.0
        self.rests_until = 0.0

    def take(self) -> int:
        """Take one chunk; return its size, 0 at the end, -1 when nothing is there now."""
        try:
            data = os.read(self.reader, _CHUNK_BYTES)
        except BlockingIOError:
            return -1
        if self._anew:
            self._log(data)
            return len(data)
        kept = data[: self.room_bytes] if self.target >= 0 else b""
        if kept:
            self.room_bytes -= os.write(self.target, kept)
        return len(data)

    def _log(self, data: bytes) -> None:
        """A disk that is full, or fails, costs the lines, not the service."""
        with contextlib.suppress(OSError):
            if data and os.fstat(self.target).st_size + len(data) > self.room_bytes:
                os.ftruncate(self.target, 0)
                os.write(self.target, _GONE)
            os.write(self.target, data)

    def let_go(self) -> None:
        """Keep nothing any more."""
        if self.target >= 0:
            os.close(self.target)
            self.target = -1


class Outlets:
    """The pipes of one workload, read when ``poll`` says that something is there."""

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._outlets: dict[int, _Outlet] = {}
        self._resting: set[int] = set()

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._outlets

    def add(self, target: int, room_bytes: int) -> tuple[int, int]:
        """Make a pipe whose first ``room_bytes`` go to ``target``; return its name here and its writing end, which the
        caller closes."""
        reader, writer = _pipe()
        self.take_over(_Outlet(reader, os.dup(target), room_bytes))
        return reader, writer

    def take_over(self, outlet: _Outlet) -> None:
        """Read an outlet from now on."""
        self._outlets[outlet.reader] = outlet
        self._poll.register(outlet.reader, select.POLLIN)

    def ready(self, descriptor: int) -> None:
        """Take what is there, within the quota."""
        outlet, now = self._outlets[descriptor], time.monotonic()
        size = outlet.take()
        if size == 0:
            self._close(descriptor)
            return
        if now - outlet.window_at > _WINDOW_S:
            outlet.window_at, outlet.taken_bytes = now, 0
        outlet.taken_bytes += max(0, size)
        if outlet.taken_bytes >= _QUOTA_BYTES:
            outlet.rests_until = outlet.window_at + _WINDOW_S
            self._resting.add(descriptor)
            self._poll.unregister(descriptor)

    def patience_ms(self) -> int | None:
        """How long the poll may wait, or None: until the first one that rests is read again."""
        if not self._resting:
            return None
        until = min(self._outlets[descriptor].rests_until for descriptor in self._resting)
        return max(1, int((until - time.monotonic()) * 1000) + 1)

    def wake(self) -> None:
        """Read those again whose rest is over."""
        now = time.monotonic()
        for descriptor in [one for one in self._resting if self._outlets[one].rests_until <= now]:
            self._resting.discard(descriptor)
            self._poll.register(descriptor, select.POLLIN)

    def ended(self, descriptor: int) -> None:
        """The command of this pipe has ended: take what it had printed, and keep nothing of what others print."""
        outlet = self._outlets.get(descriptor)
        if outlet is None:
            return
        for _ in range(_LAST_CHUNKS):
            size = outlet.take()
            if size == 0:
                self._close(descriptor)
                return
            if size < 0 or not outlet.room_bytes:
                break
        outlet.let_go()

    def _close(self, descriptor: int) -> None:
        if descriptor in self._resting:
            self._resting.discard(descriptor)
        else:
            self._poll.unregister(descriptor)
        self._outlets.pop(descriptor).let_go()
        os.close(descriptor)


class Scribe:
    """Writes what services print to their logs, in a thread that begins with the first of them."""

    def __init__(self) -> None:
        self._fresh: collections.deque[_Outlet] = collections.deque()
        self._bell = -1

    def add(self, target: int) -> int:
        """Make a pipe that is written to the log ``target``; return its writing end, which the caller closes."""
        if self._bell < 0:
            heard, self._bell = _pipe()
            threading.Thread(target=self._write, args=(heard,), daemon=True).start()
        reader, writer = _pipe()
        self._fresh.append(_Outlet(reader, os.dup(target), LOG_LIMIT_BYTES, anew=True))
        os.write(self._bell, b".")
        return writer

    def _write(self, heard: int) -> None:
        poll = select.poll()
        poll.register(heard, select.POLLIN)
        outlets = Outlets(poll)
        while True:
            for descriptor, _ in poll.poll(outlets.patience_ms()):
                if descriptor in outlets:
                    outlets.ready(descriptor)
                    continue
                os.read(heard, _CHUNK_BYTES)
                while self._fresh:
                    outlets.take_over(self._fresh.popleft())
            outlets.wake()


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reader, False)
    return reader, writer
