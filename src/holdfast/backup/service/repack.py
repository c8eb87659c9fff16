"""Repacking: the live chunks of sparse groups go into new groups of full size, in their pool and in its copy pools.

A chunk keeps its id, so versions and clients' commits that name it stay good; only where it lies changes. Everything of
one new group is entered in one transaction: the group, its places, its chunks' new home.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import zstandard
from sqlalchemy import Connection, func, insert, select, update

from holdfast.backup.model.pools import PoolType
from holdfast.backup.service.allocation import collocates
from holdfast.backup.service.catalog.commit import batches
from holdfast.backup.service.catalog.schema import chunks, groups, places, pools, volumes
from holdfast.backup.service.catalog.storage import Work
from holdfast.backup.service.core import Core, pool_row
from holdfast.backup.service.pool import Place, PoolWriter, Unreadable, read_group
from holdfast.backup.service.volumeformat import GroupIndex, seal
from holdfast.kernel.sizes import MIB

_GROUP_BYTES = 4 * MIB
_COMMIT_GROUPS = 32


@dataclass(slots=True)
class _Pack:
    """A group in the making: chunk (id, name, length, old group) and the bytes, for one bound pool and filespace."""

    chunks: list[tuple[int, bytes, int, int]] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    copies: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Sealed:
    bound_pool: str
    filespace: int
    index: GroupIndex
    chunks: list[tuple[int, bytes, int, int]]
    places: tuple[Place, ...]


class Repacker:
    """Repacks into one primary pool. ``done`` names the old groups whose live chunks have all moved."""

    def __init__(self, core: Core, pool: str, avoid: Collection[int]) -> None:
        self._core, self._pool, self._avoid = core, pool, avoid
        self._packs: dict[tuple[str, int], _Pack] = {}
        self._writers: dict[tuple[str, int], PoolWriter] = {}
        self._collocated: dict[str, bool] = {}
        self._sealed: list[_Sealed] = []
        self._taken: set[int] = set()
        self._compress = zstandard.ZstdCompressor(level=3)
        self._decompress = zstandard.ZstdDecompressor()
        self.done: set[int] = set()
        self.unreadable: set[int] = set()
        self.messages: list[str] = []
        self.bytes = 0

    def take(self, item: Work) -> None:
        """Read one group and keep its live chunks. A group that cannot be read is left where it is."""
        try:
            index, frame = read_group(self._core, item.group)
        except Unreadable as error:
            self.unreadable.add(item.group)
            self.messages.append(error.message)
            return
        plain = memoryview(self._decompress.decompress(frame, max_output_size=max(index.raw_bytes, 1)))
        with self._core.database.read() as connection:
            live = connection.execute(select(chunks).where(chunks.c.grp == item.group).order_by(chunks.c.offset)).all()
            copies = _copy_pools(connection, item.group)
        pack = self._packs.setdefault((item.bound_pool, item.filespace), _Pack())
        pack.copies |= copies
        for chunk in live:
            pack.chunks.append((chunk.id, chunk.name, chunk.length, item.group))
            pack.parts.append(bytes(plain[chunk.offset : chunk.offset + chunk.length]))
            pack.size_bytes += chunk.length
        self._taken.add(item.group)
        if pack.size_bytes >= _GROUP_BYTES:
            self._close_pack((item.bound_pool, item.filespace))
        if len(self._sealed) >= _COMMIT_GROUPS:
            self.commit()

    def commit(self) -> None:
        """Write out every open pack and make all durable: media first, then one transaction."""
        for key in list(self._packs):
            self._close_pack(key)
        if not self._sealed:
            return
        for writer in self._writers.values():
            writer.sync()
        with self._core.database.write() as connection:
            for writer in self._writers.values():
                writer.record(connection)
            self._enter(connection)
        for writer in self._writers.values():
            writer.release_full()
        self.done |= self._taken
        self._taken, self._sealed = set(), []

    def close(self) -> None:
        """Dismount; what is not committed stays where it was."""
        for writer in self._writers.values():
            writer.close()

    def _close_pack(self, key: tuple[str, int]) -> None:
        pack = self._packs.pop(key)
        if not pack.chunks:
            return
        bound_pool, filespace = key
        ring = self._core.keys.pool(bound_pool)
        names, lengths = tuple(c[1] for c in pack.chunks), tuple(c[2] for c in pack.chunks)
        index = GroupIndex(os.urandom(16), ring.id, pack.size_bytes, names, lengths)
        record = seal(index, self._compress.compress(b"".join(pack.parts)), ring.cipher)
        lies = tuple(self._writer(pool, filespace).append(record) for pool in (self._pool, *sorted(pack.copies)))
        self.bytes += len(record)
        self._sealed.append(_Sealed(bound_pool, filespace, index, pack.chunks, lies))

    def _writer(self, pool: str, filespace: int) -> PoolWriter:
        if pool not in self._collocated:
            with self._core.database.read() as connection:
                self._collocated[pool] = collocates(pool_row(connection, pool))
        owner = filespace if self._collocated[pool] else 0
        if (pool, owner) not in self._writers:
            self._writers[pool, owner] = PoolWriter(self._core, pool, filespace=owner, avoid=self._avoid)
        return self._writers[pool, owner]

    def _enter(self, connection: Connection) -> None:
        next_id = (connection.execute(select(func.max(groups.c.id))).scalar() or 0) + 1
        for number, sealed in enumerate(self._sealed, next_id):
            values = {
                "id": number,
                "uuid": sealed.index.uuid,
                "pool": sealed.bound_pool,
                "raw_bytes": sealed.index.raw_bytes,
                "stored_bytes": sealed.places[0].length,
                "filespace": sealed.filespace,
                "live_bytes": sealed.index.raw_bytes,
            }
            connection.execute(insert(groups), values)
            rows = [
                {"grp": number, "volume": p.volume, "offset": p.offset, "length": p.length, "damaged": False}
                for p in sealed.places
            ]
            connection.execute(insert(places), rows)
            at = 0
            for chunk, _, length, old in sealed.chunks:
                mine = (chunks.c.id == chunk, chunks.c.grp == old)
                connection.execute(update(chunks).where(*mine).values(grp=number, offset=at))
                at += length
        for part in batches(sorted(self._taken)):
            connection.execute(update(groups).where(groups.c.id.in_(part)).values(live_bytes=0))


def _copy_pools(connection: Connection, group: int) -> set[str]:
    """Return the copy pools in which a group has a good place."""
    statement: Any = (
        select(volumes.c.pool)
        .join(places, places.c.volume == volumes.c.id)
        .join(pools, pools.c.name == volumes.c.pool)
        .where(places.c.grp == group, places.c.damaged.is_(False), pools.c.type == PoolType.COPY.value)
    )
    return set(connection.execute(statement).scalars())
