"""Runs a site's trigger programs: few at once, each for a bounded time, never in the way of the engine.

``DIRECTORY/NAME`` and the programs in ``DIRECTORY/NAME.d/`` run one after another when the trigger NAME fires. Firings
wait in a queue with a limit; what does not fit is dropped and counted in the log, since a storm of events must neither
hold up the cluster nor fill the machine with processes. Only preonline is waited for, by one group, outside the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import GroupFact, Intent
from holdfast.cluster.plan.triggers import Firing, of_group
from holdfast.cluster.service import kernelcalls

AT_ONCE = 4
QUEUE_LIMIT = 256
TIMEOUT_S = 60.0
PREONLINE_TIMEOUT_S = 300.0
_OUTPUT_LIMIT_BYTES = 16 * 1024


class Triggers:
    """The triggers of one system. ``directory`` is None where there are none."""

    def __init__(self, directory: Path | None, environment: Mapping[str, str], log: Callable[[str, str], None]) -> None:
        self._directory, self._environment, self._log = directory, environment, log
        self._queue: asyncio.Queue[Firing] = asyncio.Queue(QUEUE_LIMIT)
        self._dropped = 0
        self._facts: dict[str, GroupFact] = {}

    async def run(self) -> None:
        """Run what fires, until cancelled."""
        if self._directory is None:
            await asyncio.Event().wait()
            return
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._serve())

    def programs(self, name: str) -> list[Path]:
        """Return the programs of a trigger that can be executed, in order."""
        if self._directory is None:
            return []
        found = [self._directory / name]
        with contextlib.suppress(OSError):
            found += sorted((self._directory / f"{name}.d").iterdir())
        return [path for path in found if path.is_file() and os.access(path, os.X_OK)]

    def look(self, group: Group, fact: GroupFact, intent: Intent | None) -> None:
        """Fire what the change of a group here since the last look calls for."""
        before = self._facts.get(group.name)
        self._facts[group.name] = fact
        self.fire(of_group(group, before, fact, intent))

    def fire(self, firings: Iterable[Firing]) -> None:
        """Put firings in the queue; those without a program, and those that find it full, are dropped."""
        for firing in firings if self._directory is not None else ():
            if not self.programs(firing.name):
                continue
            try:
                self._queue.put_nowait(firing)
            except asyncio.QueueFull:
                self._dropped += 1
                if self._dropped == 1:
                    self._log("warning", f"{QUEUE_LIMIT} triggers wait already: {firing.name} and more are dropped")

    async def agree(self, firing: Firing) -> str:
        """Run a trigger that must agree; return why it does not, or an empty text."""
        for program in self.programs(firing.name):
            code = await self._run(program, firing, PREONLINE_TIMEOUT_S)
            if code != 0:
                how = "ran out of time" if code is None else f"ended with {code}"
                return f"{program} {how}"
        return ""

    async def _serve(self) -> None:
        while True:
            firing = await self._queue.get()
            if self._dropped and self._queue.empty():
                self._log("warning", f"{self._dropped} triggers were dropped")
                self._dropped = 0
            for program in self.programs(firing.name):
                await self._run(program, firing, TIMEOUT_S)

    async def _run(self, program: Path, firing: Firing, limit_s: float) -> int | None:
        """Run one program in a session of its own; return its exit code, None when it ran out of time or never ran."""
        try:
            process = await asyncio.create_subprocess_exec(
                program, *firing.arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT, start_new_session=True, env={**os.environ, **self._environment},
            )  # fmt: skip
            kernelcalls.usual_priority(process.pid)
        except OSError as error:
            self._log("warning", f"trigger {program} cannot be run: {error}")
            return None
        said = bytearray()
        try:
            async with asyncio.timeout(limit_s):
                await _read(process, said)
                code = await process.wait()
        except TimeoutError:
            self._log("warning", f"trigger {program} ran out of time after {limit_s:.0f} s")
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        text = said.decode("utf-8", "replace").strip()
        words = " ".join(firing.arguments)
        self._log("info", f"trigger {program} {words} ended with {code}{': ' + text if text else ''}")
        return code


async def _read(process: asyncio.subprocess.Process, said: bytearray) -> None:
    """Read the program's output to its end; what is more than the limit is dropped."""
    assert process.stdout is not None
    while chunk := await process.stdout.read(4096):
        said += chunk[: max(0, _OUTPUT_LIMIT_BYTES - len(said))]
