"""An event loop on simulated time, on which each callback belongs to a process that can be paused or die.

When nothing is ready the clock jumps to the next timer; nothing else moves it. A context variable names the process
that a task runs in, and contexts are handed on, so whatever a task starts belongs to the same process. The callbacks of
a paused process wait until it is resumed (as after SIGSTOP: its timers come late, all at once); those of a dead one
never run. A process can be told to die at its next callbacks: every ``await`` is such a place.
"""

from __future__ import annotations

import asyncio
import bisect
import contextvars
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable
from typing import Any, cast

_HANDLES_AT_ONE_INSTANT = 50_000
_COMPACT_TASKS = 200


class Process:
    """One process of a host, or a part of the world that belongs to none. ``standing`` asks whether its host stands
    still. ``fatal_in`` counts callbacks down to its death, ``stop_in`` to a pause, of which ``stopped`` is told; 0 for
    never. ``seen`` are revisions of the store, with the time when it saw them."""

    __slots__ = (
        "alive", "deferred", "died", "fatal_in", "name", "paused", "seen", "standing", "stop_in", "stopped", "tasks",
    )  # fmt: skip

    def __init__(self, name: str, standing: Callable[[], bool] = lambda: False) -> None:
        self.name, self.standing = name, standing
        self.alive, self.paused, self.fatal_in, self.stop_in = True, False, 0, 0
        self.stopped: Callable[[], None] = lambda: None
        self.deferred: list[Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.died: Callable[[], None] = lambda: None
        self.seen: list[tuple[int, float]] = []

    def knew(self, revision: int) -> float | None:
        """Return since when it has seen the store at ``revision`` or later; None if it has not."""
        place = bisect.bisect_left(self.seen, (revision, -1.0))
        return self.seen[place][1] if place < len(self.seen) else None

    def kill(self) -> None:
        """End it at once; nothing of it runs any more, not even what would tidy up."""
        if self.alive:
            self.alive, self.deferred = False, []
            self.died()


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("PROCESS", default=None)


def inside(process: Process) -> contextvars.Context:
    """Return a context in which everything belongs to ``process``."""
    context = contextvars.Context()
    context.run(PROCESS.set, process)
    return context


class Handle:
    """A callback that waits for its turn, as ``asyncio.Handle``."""

    __slots__ = ("args", "callback", "context", "process", "stopped", "time")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context) -> None:
        self.callback, self.args, self.context = callback, args, context
        self.process = context.get(PROCESS)
        self.stopped, self.time = False, 0.0

    def cancel(self) -> None:
        """Never run it."""
        self.stopped = True

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.stopped

    def when(self) -> float:
        """The time that it waits for."""
        return self.time


class SimLoop:
    """The loop: as much of ``AbstractEventLoop`` as tasks, futures and timeouts ask for. Only
    :meth:`run_until` moves it; ``halt`` ends that early."""

    def __init__(self) -> None:
        self.now, self.halt, self.handled = 0.0, False, 0
        self.circling: Callable[[str], None] = lambda _who: None
        """Called when time stands still because somebody never waits."""
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._serial = 0
        self._closed = False

    def run_until(self, end: float) -> None:
        """Run everything that is due up to ``end`` seconds of simulated time, or until ``halt``."""
        events._set_running_loop(cast(Any, self))
        try:
            self._run(end)
        finally:
            events._set_running_loop(None)

    def _run(self, end: float) -> None:
        ready, timers, instant = self._ready, self._timers, 0
        while not self.halt:
            if ready:
                handle = ready.popleft()
                instant += 1
                if instant > _HANDLES_AT_ONE_INSTANT:
                    self.circling(str(handle.process and handle.process.name))
                    return
            elif timers and timers[0][0] <= end:
                when, _, handle = heapq.heappop(timers)
                if when > self.now:
                    self.now, instant = when, 0
            else:
                self.now = end
                return
            if handle.stopped:
                continue
            process = handle.process
            if process is not None and not self._may_run(process, handle):
                continue
            self.handled += 1
            handle.context.run(handle.callback, *handle.args)

    def _may_run(self, process: Process, handle: Handle) -> bool:
        if not process.alive:
            return False
        if process.paused or process.standing():
            process.deferred.append(handle)
            return False
        if process.fatal_in:
            process.fatal_in -= 1
            if not process.fatal_in:
                process.kill()
                return False
        if process.stop_in:
            process.stop_in -= 1
            if not process.stop_in:
                process.paused = True
                process.deferred.append(handle)
                process.stopped()
                return False
        return True

    def resume(self, process: Process) -> None:
        """Make what waited for a paused process ready."""
        self._ready.extend(process.deferred)
        process.deferred = []

    # --- what asyncio asks of a loop

    def time(self) -> float:
        """Simulated seconds since the beginning."""
        return self.now

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """Run ``callback`` next."""
        handle = Handle(callback, args, context or contextvars.copy_context())
        if not self._closed:
            self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """Run ``callback`` at simulated time ``when``."""
        handle = Handle(callback, args, context or contextvars.copy_context())
        handle.time = when
        if not self._closed:
            self._serial += 1
            heapq.heappush(self._timers, (when, self._serial, handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        """Run ``callback`` after ``delay`` simulated seconds."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=cast(Any, self))

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None
    ) -> asyncio.Task[Any]:
        """Start a task; it belongs to the process of its context and is kept as long as that is."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=cast(Any, self), name=name, context=context)
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is not None:
            process.tasks.append(task)
            if len(process.tasks) > _COMPACT_TASKS and not len(process.tasks) % _COMPACT_TASKS:
                process.tasks = [each for each in process.tasks if not each.done()]
        return task

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """Always, for those who ask from inside."""
        return not self._closed

    def is_closed(self) -> bool:
        """Whether the story is over."""
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What a dead process leaves undone concerns nobody."""

    def close(self) -> None:
        """Forget everything that waits."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()
