"""Turns: a lock of the whole cluster for what only one system may do at a time, though several may do it.

The lock is a key of the store under a lease, so it ends with its holder, wherever that dies. It is no fence: who was
paused for longer than the lease lives may find another at work, and what is locked must bear that (an array refuses a
takeover that its pair's record forbids). Who waits does so within the time limit of its own entry point.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from holdfast.kernel.errors import Unavailable
from holdfast.store.port import Committed, Compare, Put, Store

TURNS = "cluster.turns/"
_LIVES_S = 10.0
_WAIT_S = 0.2


class Turns:
    """The locks of one system. ``system`` is what a lock shows as its holder."""

    def __init__(self, store: Store, system: str) -> None:
        self._store, self._system = store, system

    @contextlib.asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Wait until the lock is free and hold it. Raises ``Unavailable`` when the store is away."""
        key, lease = TURNS + name, await self._store.grant(_LIVES_S)
        renewal = asyncio.create_task(self._renew(lease), name=f"turn {name}")
        try:
            while not await self._taken(key, lease):
                await asyncio.sleep(_WAIT_S)
            yield
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
            with contextlib.suppress(Unavailable):  # then it ends by itself
                await self._store.revoke(lease)

    async def _taken(self, key: str, lease: int) -> bool:
        put = Put(key, self._system.encode(), lease)
        return isinstance(await self._store.transact([Compare(key, 0)], [put]), Committed)

    async def _renew(self, lease: int) -> None:
        while True:
            await asyncio.sleep(_LIVES_S / 4)
            with contextlib.suppress(Unavailable):
                await self._store.renew(lease)
