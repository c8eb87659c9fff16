"""The embedded store: the default on one machine, a SQLite file that its processes share.

The blocking engine runs in a thread of its own: its calls take turns anyway, and a commit that waits for the disk must
hold up nobody who needs the event loop's threads. A watcher polls SQLite's ``data_version`` every :data:`POLL_S`; that
costs microseconds, waits for no commit, and sees another process's well within the port's 50 ms. Commits of this
process wake it at once.

Use it directly where no process that shares the file may be paused for long: a process stopped in the middle of a
commit holds the file's lock. Where systems can be paused or cut off, one process serves the file
(``drivers/served.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from holdfast.store.drivers.sqlite_engine import SqliteEngine
from holdfast.store.port import Change, Committed, Compare, Conflict, Snapshot, Write

POLL_S = 0.02
Given = ParamSpec("Given")
Result = TypeVar("Result")


class EmbeddedStore:
    """A :class:`~holdfast.store.port.Store` in a SQLite file."""

    def __init__(self, path: Path | str) -> None:
        self._engine = SqliteEngine(Path(path))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._commits = 0

    async def _call(self, work: Callable[Given, Result], *given: Given.args, **_: Given.kwargs) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    async def read(self, prefix: str) -> Snapshot:
        """Return every key under ``prefix`` at one revision."""
        return await self._call(self._engine.read, prefix)

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Committed | Conflict:
        """Apply ``writes`` in one durable commit if every compare holds."""
        result = await self._call(self._engine.transact, compares, writes)
        self._commits += 1
        return result

    async def grant(self, ttl_s: float) -> int:
        """Open a lease."""
        return await self._call(self._engine.grant, ttl_s)

    async def renew(self, lease: int) -> bool:
        """Renew a lease that has not lapsed."""
        return await self._call(self._engine.renew, lease)

    async def revoke(self, lease: int) -> None:
        """End a lease and delete its keys."""
        await self._call(self._engine.revoke, lease)
        self._commits += 1

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """Yield later commits under ``prefix`` in order."""
        seen, version = after_revision, (-1, -1)
        while True:
            now = (self._engine.data_version(), self._commits)
            if now != version or self._engine.lease_due():
                version = now
                seen, commits = await self._call(self._engine.changes, prefix, seen)
                for changes in commits:
                    yield changes
            else:
                await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Close the file. Idempotent."""
        self._engine.close()
