"""The store in the memory of one process: for tests and simulation, and the plainest statement of the port's rules.

:class:`Memory` is the linear history itself, without a wait in it, so that a simulation can put its own network in
front; :class:`MemoryStore` is the port over it. Lease time comes from the injected clock. History is bounded: a watcher
that falls behind by more than that is told so, as etcd's compaction would tell it.
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


class Memory:
    """Keys, leases and history. ``news`` is called after each commit; ``revision`` is that of the last one."""

    def __init__(
        self, clock: Callable[[], float], news: Callable[[], None], history_commits: int = HISTORY_COMMITS
    ) -> None:
        self._clock, self._news = clock, news
        self.revision = 0
        self.entries: dict[str, Entry] = {}
        self._leases: dict[int, _Lease] = {}
        self._history: deque[tuple[int, tuple[Change, ...]]] = deque(maxlen=history_commits)
        self._lease_ids = itertools.count(1)

    def read(self, prefix: str) -> Snapshot:
        """Return every key under ``prefix`` at the newest revision."""
        self.purge()
        return Snapshot(self.revision, {k: e for k, e in sorted(self.entries.items()) if k.startswith(prefix)})

    def transact(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Committed | Conflict:
        """Apply ``writes`` if every compare holds."""
        self.purge()
        for compare in compares:
            found = self._revision_of(compare.key)
            if found != compare.revision:
                return Conflict(compare.key, found)
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                return Conflict(write.key, self._revision_of(write.key))
        return Committed(self._commit(writes))

    def grant(self, ttl_s: float) -> int:
        """Open a lease."""
        lease = next(self._lease_ids)
        self._leases[lease] = _Lease(ttl_s, self._clock() + ttl_s)
        return lease

    def renew(self, lease: int) -> bool:
        """Renew a lease that has not lapsed."""
        self.purge()
        held = self._leases.get(lease)
        if held is None:
            return False
        held.deadline = self._clock() + held.ttl_s
        return True

    def revoke(self, lease: int) -> None:
        """End a lease and delete its keys."""
        if self._leases.pop(lease, None) is not None:
            self._drop_keys_of({lease})

    def restart_leases(self) -> None:
        """Give every lease its whole time again, as a change of etcd's leader does."""
        for held in self._leases.values():
            held.deadline = self._clock() + held.ttl_s

    def after(self, revision: int, prefix: str) -> list[tuple[int, tuple[Change, ...]]]:
        """Return each later commit with its changes under ``prefix``. Raises ``Unavailable`` for lost history."""
        if self._history and self._history[0][0] > revision + 1 and revision < self.revision:
            raise Unavailable(f"history before revision {self._history[0][0]} is gone", "read again, then watch")
        later = itertools.takewhile(lambda commit: commit[0] > revision, reversed(self._history))
        found = [(at, tuple(each for each in changes if each.key.startswith(prefix))) for at, changes in later]
        return found[::-1]

    def compact(self, keep: int) -> None:
        """Forget all history but the last ``keep`` commits."""
        while len(self._history) > keep:
            self._history.popleft()

    def purge(self) -> None:
        """Delete what hangs on leases that have lapsed."""
        now = self._clock()
        lapsed = {lease for lease, held in self._leases.items() if held.deadline <= now}
        for lease in lapsed:
            del self._leases[lease]
        if lapsed:
            self._drop_keys_of(lapsed)

    def _revision_of(self, key: str) -> int:
        return self.entries[key].revision if key in self.entries else 0

    def _commit(self, writes: Sequence[Write]) -> int:
        self.revision += 1
        changes: list[Change] = []
        for write in writes:
            if isinstance(write, Put):
                self.entries[write.key] = Entry(write.value, self.revision, write.lease)
                changes.append(Change(write.key, write.value, self.revision))
            elif self.entries.pop(write.key, None) is not None:
                changes.append(Change(write.key, None, self.revision))
        self._history.append((self.revision, tuple(changes)))
        self._news()
        return self.revision

    def _drop_keys_of(self, leases: set[int]) -> None:
        keys = [Delete(key) for key, entry in self.entries.items() if entry.lease in leases]
        if keys:
            self._commit(keys)


class MemoryStore:
    """A :class:`~holdfast.store.port.Store` in memory; several users share one instance."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory = Memory(clock, self._tell)
        self._waiting: set[asyncio.Event] = set()

    async def read(self, prefix: str) -> Snapshot:
        """Return every key under ``prefix`` at the newest revision."""
        return self._memory.read(prefix)

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Committed | Conflict:
        """Apply ``writes`` if every compare holds."""
        return self._memory.transact(compares, writes)

    async def grant(self, ttl_s: float) -> int:
        """Open a lease."""
        return self._memory.grant(ttl_s)

    async def renew(self, lease: int) -> bool:
        """Renew a lease that has not lapsed."""
        return self._memory.renew(lease)

    async def revoke(self, lease: int) -> None:
        """End a lease and delete its keys."""
        self._memory.revoke(lease)

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """Yield later commits under ``prefix`` in order."""
        seen, news = after_revision, asyncio.Event()
        self._waiting.add(news)
        try:
            while True:
                news.clear()
                for revision, changes in self._memory.after(seen, prefix):
                    seen = revision
                    if changes:
                        yield changes
                if self._memory.revision <= seen:
                    await news.wait()
        finally:
            self._waiting.discard(news)

    async def close(self) -> None:
        """Nothing is held."""

    def _tell(self) -> None:
        for news in self._waiting:
            news.set()
