"""What goes on beside a connection while more of it is read: requests that wait for something, bounded.

Who asks faster than the array can answer is not read from until there is room again; that keeps memory bounded without
refusing anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

IN_FLIGHT_REQUESTS = 64
IN_FLIGHT_BYTES = 64 * 1024 * 1024


class Beside:
    """Counts what is under way. ``changed`` is called when something has ended, ``broken`` with what a task failed
    of."""

    def __init__(self, changed: Callable[[], None], broken: Callable[[BaseException], None]) -> None:
        self._changed, self._broken = changed, broken
        self._tasks: set[asyncio.Task[None]] = set()
        self.count = self._size_bytes = 0

    @property
    def full(self) -> bool:
        """No more should begin."""
        return self.count >= IN_FLIGHT_REQUESTS or self._size_bytes >= IN_FLIGHT_BYTES

    def begin(self, size_bytes: int) -> None:
        """Something that holds so much memory begins."""
        self.count += 1
        self._size_bytes += size_bytes

    def end(self, size_bytes: int) -> None:
        """It has ended."""
        self.count -= 1
        self._size_bytes -= size_bytes
        self._changed()

    def spawn(self, work: Coroutine[Any, Any, None], size_bytes: int = 0) -> None:
        """Let ``work`` go on beside what comes next."""
        self.begin(size_bytes)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(done, size_bytes))

    def cancel(self) -> list[asyncio.Task[None]]:
        """Cancel the tasks; return them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks

    def _done(self, task: asyncio.Task[None], size_bytes: int) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken(error)
        self.end(size_bytes)
