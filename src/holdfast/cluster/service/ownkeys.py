"""The keys that only one system's daemon writes, kept from the writes of its own dead predecessor.

A daemon that was killed while its network was cut may have left a commit in its connection, and the kernel delivers it
when the network is back, after the next daemon has begun to write. So each write compares the revision that its writer
knows of the key: a late one finds that the key has moved on and changes nothing, and the living daemon, if it comes
second, learns what the key has become and writes again.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.store.port import Committed, Compare, Put, Store

_MORE = 3


class OwnKeys:
    """Writes keys of one writer. Not for two tasks on the same key at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revisions: dict[str, int] = {}

    async def put(self, writes: Sequence[Put]) -> bool:
        """Write in one commit; False when the store refuses although the keys are as known: a lease has lapsed.

        Raises ``Unavailable`` as the store does; the outcome is then unknown, and the next write finds out.
        """
        for _ in range(len(writes) + _MORE):
            compares = [Compare(write.key, self._revisions.get(write.key, 0)) for write in writes]
            done = await self._store.transact(compares, writes)
            if isinstance(done, Committed):
                self._revisions |= dict.fromkeys((write.key for write in writes), done.revision)
                return True
            if done.revision == self._revisions.get(done.key, 0):
                return False
            self._revisions[done.key] = done.revision
        return False
