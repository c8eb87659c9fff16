"""The keys that only one system's daemon writes, kept from the writes of its own dead predecessor.

A daemon that was killed while its network was cut may have left a commit in its connection, and the kernel delivers it
when the network is back, after the next daemon has begun to write. So each write compares the revision that its writer
knows of the key: a late one finds that the key has moved on and changes nothing, and the living daemon, if it comes
second, learns what the key has become and writes again. What it writes for others beside its own is given up as soon
as a comparison for it fails.
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

    def saw(self, key: str, revision: int) -> None:
        """Take note of a key's revision, where another wrote it on behalf of this writer."""
        self._revisions[key] = max(revision, self._revisions.get(key, 0))

    async def put(self, writes: Sequence[Put], beside: Sequence[tuple[Compare, Put]] = ()) -> bool:
        """Write in one commit; False when the store refuses although the keys are as known: a lease has lapsed.

        ``beside`` are writes for others, each with its comparison; one that is refused is left out.

        Raises ``Unavailable`` as the store does; the outcome is then unknown, and the next write finds out.
        """
        for _ in range(len(writes) + len(beside) + _MORE):
            compares = [Compare(write.key, self._revisions.get(write.key, 0)) for write in writes]
            compares += [compare for compare, _ in beside]
            done = await self._store.transact(compares, [*writes, *(put for _, put in beside)])
            if isinstance(done, Committed):
                self._revisions |= dict.fromkeys((write.key for write in writes), done.revision)
                return True
            if any(done.key in (compare.key, put.key) for compare, put in beside):
                beside = [one for one in beside if done.key not in (one[0].key, one[1].key)]
                continue
            if done.revision == self._revisions.get(done.key, 0):
                return False
            self._revisions[done.key] = done.revision
        return False
