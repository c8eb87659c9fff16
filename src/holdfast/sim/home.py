"""The workload of one group on a simulated host: what runs in it dies with it, and only with it.

It runs no programs. A simulated agent asks it for a *command*: after a while a service has changed. As on a real host
the command belongs to the workload, so it ends when its caller gives it up, but not when its caller is killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from holdfast.cluster.ports import CommandResult
from holdfast.cluster.ports import Process as CommandProcess
from holdfast.kernel.errors import Refusal, Refused, Unavailable
from holdfast.sim.loop import Handle, Process, SimLoop, inside

_NO_PROGRAMS = Refusal("simulated", "a simulated host runs no programs")


class SimHome:
    """``Commands`` of one group."""

    def __init__(self, loop: SimLoop, space: Process) -> None:
        self.gone = False
        self._loop, self.space = loop, space
        self._running: dict[Handle, Callable[[], None]] = {}

    def end(self) -> None:
        """Kill what runs in it."""
        self.gone = True
        self.space.kill()

    async def command(self, seconds: float, effect: Callable[[], None], cut_short: Callable[[], None]) -> None:
        """Run a command that has its effect after ``seconds``; ``cut_short`` if it is given up before that.

        Raises ``Unavailable`` when the workload is gone.
        """
        if self.gone:
            raise Unavailable("the workload is gone")
        done: asyncio.Future[None] = self._loop.create_future()

        def finish() -> None:
            self._running.pop(running, None)
            effect()
            if not done.done():
                done.set_result(None)

        running = self._loop.call_later(seconds, finish, context=inside(self.space))
        self._running[running] = cut_short
        try:
            await done
        except asyncio.CancelledError:
            self._kill(running)
            raise

    def settle(self) -> None:
        """Kill the commands that an earlier daemon left running."""
        for running in list(self._running):
            self._kill(running)

    def _kill(self, running: Handle) -> None:
        cut_short = self._running.pop(running, None)
        running.cancel()
        if cut_short is not None and not self.gone:
            cut_short()

    async def run(
        self,
        command: str | Sequence[str],
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
        user: str = "",
        stdin: bytes = b"",
        cwd: str = "/",
    ) -> CommandResult:
        """No programs."""
        raise Refused(_NO_PROGRAMS)

    async def spawn(
        self,
        command: str | Sequence[str],
        env: Mapping[str, str] | None = None,
        user: str = "",
        log: Path | None = None,
        cwd: str = "/",
        stays: bool = True,
    ) -> CommandProcess:
        """No programs."""
        raise Refused(_NO_PROGRAMS)

    async def process(self, pid: int) -> int | None:
        """No programs."""
        return None

    async def find(self, pattern: str, user: str = "") -> int | None:
        """No programs."""
        return None

    async def using(self, path: str) -> tuple[int, ...]:
        """No programs."""
        return ()
