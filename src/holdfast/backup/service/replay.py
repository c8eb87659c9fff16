"""Replaying the catalog's own records: from a snapshot and the commits after it back to a filespace's versions.

A version of which a chunk is nowhere any more had expired before the catalog was lost (its chunks were swept): it is
left out, and takes the place of what it replaced. Only when it would be the active version is the object lost, and
named. Policy counts are applied as they were at each commit, by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import zstandard
from sqlalchemy import Connection, Table, func, insert, select

from holdfast.backup.model.journal import CommitRecord, SnapshotRecord, SnapshotRow
from holdfast.backup.model.objects import path_of, printable
from holdfast.backup.model.policy import NOLIMIT, ArchiveCopyGroup, BackupCopyGroup, ClassBinding
from holdfast.backup.service.catalog.archive import archive_objects, store_archives
from holdfast.backup.service.catalog.commit import CommitBatch, kept_chunks
from holdfast.backup.service.catalog.schema import versions
from holdfast.backup.session.messages import NewVersion

_new_versions = msgspec.msgpack.Decoder(list[NewVersion])
_pack = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Replay:
    """Replays the records of one filespace, in order, each in the transaction that is handed in."""

    filespace: int
    name: str
    bindings: dict[str, ClassBinding]
    lost: dict[bytes, str] = field(default_factory=dict)
    """Objects without an active version because its content is gone: key → path."""

    def snapshot(self, connection: Connection, record: SnapshotRecord) -> None:
        """Enter the versions of one part of a snapshot."""
        wanted = {(pool, chunk) for row in record.rows for pool, chunk, _ in row.pieces if chunk}
        names = kept_chunks(connection, wanted)
        whole: dict[bool, list[SnapshotRow]] = {True: [], False: []}
        for row in record.rows:
            archive = row.description is not None
            if all(not chunk or (pool, chunk) in names for pool, chunk, _ in row.pieces):
                whole[archive].append(row)
            elif row.inactive_ns is None and not archive:
                self._lose(row.key)
        for archive, rows in whole.items():
            table = archive_objects if archive else versions
            next_id = (connection.execute(select(func.max(table.c.id))).scalar() or 0) + 1
            values = [self._values(table, next_id + number, row, names) for number, row in enumerate(rows)]
            if values:
                connection.execute(insert(table), values)

    def commit(self, connection: Connection, record: CommitRecord) -> None:
        """Carry out one commit again."""
        classes = self._bound(record.pools)
        batch = CommitBatch(connection, self.filespace, False, classes, record.at_ns)
        new = [v for rows in record.batches for v in _new_versions.decode(_plain(rows))]
        whole, gone = self._parted(connection, batch.pool_of, new)
        batch.store(whole)
        for version in whole:
            self.lost.pop(version.key, None)
        for version in gone:
            self._lose(version.key)
        batch.inactivate([*(version.key for version in gone), *record.expired])
        for key in record.expired:
            self.lost.pop(key, None)
        for keys, mgmtclass in record.rebound:
            batch.rebind(keys, mgmtclass)
        self._archive(connection, record)

    def _archive(self, connection: Connection, record: CommitRecord) -> None:
        """Enter archive objects again; one whose content is gone had expired or was deleted."""
        pools = record.archive_pools
        classes = {name: ClassBinding(name, None, ArchiveCopyGroup(pool), False) for name, pool in pools.items()}
        for rows, description in record.archived:
            new = _new_versions.decode(_plain(rows))
            wanted = {(pools[v.mgmtclass], p.chunk) for v in new for p in v.pieces or () if p.chunk}
            names = kept_chunks(connection, wanted)
            whole = [
                v for v in new if all(not p.chunk or (pools[v.mgmtclass], p.chunk) in names for p in v.pieces or ())
            ]
            if whole:
                store_archives(connection, self.filespace, classes, [(v, description) for v in whole], record.at_ns)

    def _parted(
        self, connection: Connection, pool_of: Callable[[str], str], new: Sequence[NewVersion]
    ) -> tuple[list[NewVersion], list[NewVersion]]:
        """Part the versions of which everything is there from the others."""
        wanted = {(pool_of(v.mgmtclass), p.chunk) for v in new for p in v.pieces or () if p.chunk}
        names = kept_chunks(connection, wanted)
        active = self._active(connection, [v.key for v in new if v.pieces is None])
        whole: list[NewVersion] = []
        gone: list[NewVersion] = []
        for version in new:
            if version.pieces is None:
                good = version.key in active
            else:
                good = all(not p.chunk or (pool_of(version.mgmtclass), p.chunk) in names for p in version.pieces)
            (whole if good else gone).append(version)
        return whole, gone

    def _active(self, connection: Connection, keys: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        for start in range(0, len(keys), 500):
            where = (versions.c.filespace == self.filespace, versions.c.inactive_ns.is_(None))
            part = versions.c.key.in_(keys[start : start + 500])
            found.update(connection.execute(select(versions.c.key).where(*where, part)).scalars())
        return found

    def _values(self, table: Table, id: int, row: SnapshotRow, names: dict[tuple[str, bytes], int]) -> dict[str, Any]:
        content = [(names[pool, chunk] if chunk else 0, length) for pool, chunk, length in row.pieces]
        plain = {name: getattr(row, name) for name in SnapshotRow.__struct_fields__ if name in table.c}
        return {**plain, "id": id, "filespace": self.filespace, "content": _pack(content)}

    def _bound(self, pools: dict[str, str]) -> dict[str, ClassBinding]:
        """Return the classes as they were bound at the commit; one that policy has no more keeps everything."""
        bound = {}
        for name, pool in pools.items():
            now = self.bindings.get(name)
            group = now.backup if now is not None and now.backup is not None else None
            if group is None:
                group = BackupCopyGroup(pool, NOLIMIT, NOLIMIT, NOLIMIT, NOLIMIT)
            default = now.default if now is not None else False
            bound[name] = ClassBinding(name, _at(group, pool), None, default)
        return bound

    def _lose(self, key: bytes) -> None:
        self.lost[key] = f"{self.name.rstrip('/')}/{printable(path_of(key))}"


def _at(group: BackupCopyGroup, pool: str) -> BackupCopyGroup:
    return BackupCopyGroup(
        pool, group.verexists, group.verdeleted, group.retextra_days, group.retonly_days, group.frequency_days,
        group.mode, group.serialization,
    )  # fmt: skip


def _plain(rows: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(rows)


def newest_snapshot(found: Iterable[tuple[int, bytes, int, int]]) -> bytes | None:
    """Return the id of the newest snapshot of which every part is there, from (time, id, part, parts)."""
    parts: dict[tuple[int, bytes], set[int]] = {}
    whole: dict[tuple[int, bytes], int] = {}
    for at_ns, id, part, count in found:
        parts.setdefault((at_ns, id), set()).add(part)
        whole[at_ns, id] = count
    complete = [key for key, seen in parts.items() if len(seen) == whole[key]]
    return max(complete)[1] if complete else None
