"""The committed configuration in the store, and those before it.

A change is one transaction on the revision that was looked at, so nobody overwrites what he has not seen. Before that
the texts that are to be replaced are set aside under their own revision: written at most once each, they are either
the history of what is committed or a copy of it, whatever a crash leaves behind. The past lies outside ``cluster/``, so
no daemon reads it; at most :data:`HISTORY_LIMIT` configurations and about :data:`HISTORY_BYTES` are kept, so that
one read of it fits through every driver.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from holdfast.kernel.errors import Refusal, Refused
from holdfast.store.port import Compare, Conflict, Delete, Put, Store, Write

KEY = "cluster/config"
HISTORY = "cluster.configs/"
HISTORY_LIMIT = 50
HISTORY_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    """Texts by file name, who committed them, when (wall-clock seconds), why, and as which revision (0: none yet)."""

    files: Mapping[str, str] = field(default_factory=dict)
    by: str = ""
    at: float = 0.0
    reason: str = ""
    revision: int = 0


class ConfigurationStore:
    """Reads and replaces the committed configuration. ``by`` is who asks."""

    def __init__(self, store: Store, by: str) -> None:
        self._store, self._by = store, by

    async def current(self) -> Loaded:
        """Return what is committed; with revision 0 and no files when nothing is."""
        entry = (await self._store.read(KEY)).entries.get(KEY)
        return Loaded() if entry is None else replace(_decode(entry.value), revision=entry.revision)

    async def past(self) -> list[Loaded]:
        """Return the configurations that were replaced, oldest first."""
        current = await self.current()
        entries = (await self._store.read(HISTORY)).entries
        found = [_decode(entries[key].value) for key in sorted(entries)]
        return [one for one in found if one.revision != current.revision]

    async def at(self, revision: int) -> Loaded:
        """Return the configuration that was committed as ``revision``. Raises ``Refused`` when it is not kept."""
        for one in (*await self.past(), await self.current()):
            if one.revision == revision and revision:
                return one
        raise Refused(
            Refusal("no-revision", f"no configuration of revision {revision} is kept", "holdfast config history")
        )

    async def commit(
        self, files: Mapping[str, str], seen: Loaded, reason: str, also: Sequence[Compare], writes: Sequence[Write]
    ) -> int:
        """Replace ``seen`` by ``files``, with other ``writes``, if it is still so and ``also`` holds.

        Returns the new revision. Raises ``Refused`` when somebody was faster; nothing has changed then.
        """
        deletes = await self._set_aside(seen) if seen.revision else []
        record = Loaded(dict(files), self._by, time.time(), reason)
        put = Put(KEY, msgspec.json.encode(record))
        done = await self._store.transact([Compare(KEY, seen.revision), *also], [put, *writes, *deletes])
        if isinstance(done, Conflict):
            what = "the configuration" if done.key == KEY else f"the state of {done.key.rpartition('/')[2]}"
            raise Refused(Refusal("conflict", f"{what} changed meanwhile", "look again: holdfast config diff FILE"))
        return done.revision

    async def _set_aside(self, seen: Loaded) -> list[Delete]:
        """Keep ``seen``; return what is too much then. The newest is kept whatever its size."""
        key = f"{HISTORY}{seen.revision:020d}"
        await self._store.transact([Compare(key, 0)], [Put(key, msgspec.json.encode(seen))])
        entries = (await self._store.read(HISTORY)).entries
        too_much, size = [], 0
        for number, name in enumerate(sorted(entries, reverse=True)):
            size += len(entries[name].value)
            if number and (number >= HISTORY_LIMIT or size > HISTORY_BYTES):
                too_much.append(Delete(name))
        return too_much[:HISTORY_LIMIT]


def _decode(value: bytes) -> Loaded:
    return msgspec.json.decode(value, type=Loaded)
