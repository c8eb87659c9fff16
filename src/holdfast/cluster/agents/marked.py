"""The commands of one resource: every process that they leave is known by a mark in its environment.

The engine gives each agent such commands and no others, so the mark is made in one place and no agent can forget it: a
mount's device server, an application's daemon and what an OCF start leaves are told apart when clean looks for what it
may kill. A daemon that writes its title over its environment loses the mark. For that the ledger of the workload
counts which resources have commands under way: what appeared while nobody else ran anything is nobody else's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from holdfast.cluster.ports import CommandResult, Commands, Process

RESOURCE_MARK = "HOLDFAST_RESOURCE"
"""In the environment of every command: the resource that it is run for."""


class Ledger:
    """How many commands each resource of a workload has begun, and how many are under way."""

    def __init__(self) -> None:
        self._begun, self._running = Counter[str](), Counter[str]()

    @contextmanager
    def command(self, resource: str) -> Iterator[None]:
        """Count a command of ``resource`` for as long as the work inside lasts."""
        self._begun[resource] += 1
        self._running[resource] += 1
        try:
            yield
        finally:
            self._running[resource] -= 1

    def others(self, resource: str) -> tuple[int, int]:
        """Return how many commands the other resources have begun so far, and how many of those are under way."""
        begun, running = (counts.total() - counts[resource] for counts in (self._begun, self._running))
        return begun, running


class _Marked:
    """A process whose end somebody waits for counts as a command under way: a start program may fork until it ends."""

    def __init__(self, process: Process, resource: str, ledger: Ledger) -> None:
        self._process, self._resource, self._ledger = process, resource, ledger

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        with self._ledger.command(self._resource):
            return await self._process.wait()

    async def kill(self) -> None:
        await self._process.kill()


class MarkedCommands:
    """``Commands`` of the ports for one resource, around those of its group's workload."""

    def __init__(self, commands: Commands, resource: str, ledger: Ledger) -> None:
        self._commands, self._resource, self._ledger = commands, resource, ledger

    def others(self) -> tuple[int, int]:
        """See :meth:`Ledger.others`, for this resource."""
        return self._ledger.others(self._resource)

    async def run(
        self,
        command: str | Sequence[str],
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
        user: str = "",
        stdin: bytes = b"",
        cwd: str = "/",
    ) -> CommandResult:
        """See ``Commands.run``."""
        with self._ledger.command(self._resource):
            return await self._commands.run(command, timeout_s, self._mark(env), user, stdin, cwd)

    async def spawn(
        self,
        command: str | Sequence[str],
        env: Mapping[str, str] | None = None,
        user: str = "",
        log: Path | None = None,
        cwd: str = "/",
        stays: bool = True,
    ) -> Process:
        """See ``Commands.spawn``."""
        with self._ledger.command(self._resource):
            process = await self._commands.spawn(command, self._mark(env), user, log, cwd, stays)
        return _Marked(process, self._resource, self._ledger)

    async def process(self, pid: int) -> int | None:
        """See ``Commands.process``."""
        return await self._commands.process(pid)

    async def find(self, pattern: str, user: str = "") -> int | None:
        """See ``Commands.find``."""
        return await self._commands.find(pattern, user)

    async def using(self, path: str) -> tuple[int, ...]:
        """See ``Commands.using``."""
        return await self._commands.using(path)

    def _mark(self, env: Mapping[str, str] | None) -> Mapping[str, str]:
        return {**(env or {}), RESOURCE_MARK: self._resource}
