"""What the commands of a workload print: taken off them by the workload, so that it can harm nobody.

A command writes into a pipe; the workload copies the head of it to the file that the daemon asked for and drops the
rest. It is the workload that reads because it lives as long as what runs in it: a service that its start program left
with the pipe in hand may print as long as it lives, into nothing, and neither fills the memory nor is ended by SIGPIPE
when a daemon goes. Nobody waits for the end of a pipe: a command has ended when its process has.

One that floods is slowed down to :data:`_QUOTA_BYTES` in :data:`_WINDOW_S`: it waits for the reader, not the others for
their turn. The targets are memory files, so that a write to them never waits for a disk.
"""

from __future__ import annotations

import os
import select
import time

_CHUNK_BYTES = 64 * 1024
_QUOTA_BYTES = 1024 * 1024
_WINDOW_S = 0.1
_LAST_CHUNKS = 32
"""How much is still taken when the command has ended; a pipe holds less, unless somebody goes on printing."""


class _Outlet:
    """One pipe: its reading end, the file for the head of what comes, how much of it that file still takes."""

    def __init__(self, reader: int, target: int, room_bytes: int) -> None:
        self.reader, self.target, self.room_bytes = reader, target, room_bytes
        self.window_at = self.taken_bytes = 0.0
        self.rests_until = 0.0

    def take(self) -> int:
        """Take one chunk; return its size, 0 at the end, -1 when nothing is there now."""
        try:
            data = os.read(self.reader, _CHUNK_BYTES)
        except BlockingIOError:
            return -1
        kept = data[: self.room_bytes] if self.target >= 0 else b""
        if kept:
            self.room_bytes -= os.write(self.target, kept)
        return len(data)

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
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        self._outlets[reader] = _Outlet(reader, os.dup(target), room_bytes)
        self._poll.register(reader, select.POLLIN)
        return reader, writer

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
