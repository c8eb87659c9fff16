"""The store in the memory of one process: for tests and simulation, and the plainest statement of the port's rules.

Lease time comes from the injected clock, so that a simulation owns it. History is bounded: a watcher that falls behind
by more than :data:`HISTORY_COMMITS` commits is told so, as etcd's compaction would tell it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from holdfast.kernel.errors import Unavailable
from holdfast.store.port import Change, Committed, Compare, Conflict, Delete, Entry, Put, Snapshot, Write

HISTORY_COMMITS = 10_000


@dataclass(slots=True)
class _Lease:
    ttl_s: float
    deadline: float


class MemoryStore:
    """A :class:`~holdfast.store.port.Store` in memory; several users share one instance."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._revision = 0
        self._entries: dict[str, Entry] = {}
        self._leases: dict[int, _Lease] = {}
        self._history: deque[tuple[int, tuple[Change, ...]]] = deque(maxlen=HISTORY_COMMITS)
        self._lease_ids = itertools.count(1)
        self._news = asyncio.Condition()

    async def read(self, prefix: str) -> Snapshot:
        """Return every key under ``prefix`` at the newest revision."""
        await self._purge()
        return Snapshot(self._revision, {k: e for k, e in sorted(self._entries.items()) if k.startswith(prefix)})

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Committed | Conflict:
        """Apply ``writes`` if every compare holds."""
        await self._purge()
        for compare in compares:
            found = self._entries[compare.key].revision if compare.key in self._entries else 0
            if found != compare.revision:
                return Conflict(compare.key, found)
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                return Conflict(write.key, self._entries[write.key].revision if write.key in self._entries else 0)
        return Committed(await self._commit(writes))

    async def grant(self, ttl_s: float) -> int:
        """Open a lease."""
        lease = next(self._lease_ids)
        self._leases[lease] = _Lease(ttl_s, self._clock() + ttl_s)
        return lease

    async def renew(self, lease: int) -> bool:
        """Renew a lease that has not lapsed."""
        await self._purge()
        held = self._leases.get(lease)
        if held is None:
            return False
        held.deadline = self._clock() + held.ttl_s
        return True

    async def revoke(self, lease: int) -> None:
        """End a lease and delete its keys."""
        if self._leases.pop(lease, None) is not None:
            await self._drop_keys_of({lease})

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """Yield later commits under ``prefix`` in order."""
        seen = after_revision
        while True:
            if self._history and self._history[0][0] > seen + 1 and seen < self._revision:
                raise Unavailable(f"history before revision {self._history[0][0]} is gone", "read again, then watch")
            for revision, changes in [item for item in self._history if item[0] > seen]:
                seen = revision
                matching = tuple(change for change in changes if change.key.startswith(prefix))
                if matching:
                    yield matching
            async with self._news:
                if self._revision <= seen:
                    await self._news.wait()

    async def close(self) -> None:
        """Nothing is held."""

    async def _commit(self, writes: Sequence[Write]) -> int:
        self._revision += 1
        changes: list[Change] = []
        for write in writes:
            if isinstance(write, Put):
                self._entries[write.key] = Entry(write.value, self._revision, write.lease)
                changes.append(Change(write.key, write.value, self._revision))
            elif self._entries.pop(write.key, None) is not None:
                changes.append(Change(write.key, None, self._revision))
        self._history.append((self._revision, tuple(changes)))
        async with self._news:
            self._news.notify_all()
        return self._revision

    async def _purge(self) -> None:
        now = self._clock()
        lapsed = {lease for lease, held in self._leases.items() if held.deadline <= now}
        for lease in lapsed:
            del self._leases[lease]
        if lapsed:
            await self._drop_keys_of(lapsed)

    async def _drop_keys_of(self, leases: set[int]) -> None:
        keys = [Delete(key) for key, entry in self._entries.items() if entry.lease in leases]
        if keys:
            await self._commit(keys)
