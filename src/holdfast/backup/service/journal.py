"""Writing the catalog's own records into pool volumes: commits as they happen, the configuration when it changed.

A record is a group without chunks: it is encrypted, copied to copy pools, migrated and reclaimed like content, by the
same code. It costs a commit one append to a volume that is made durable anyway: what the client sent, still compressed.
Snapshots, which make old commits superfluous, are made by ``snapshot``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import zstandard
from blake3 import blake3
from sqlalchemy import Connection, delete, func, insert, select

from holdfast.backup.model.journal import NOTE, CommitRecord, ConfigRecord, Owner, Record, RecordKind, SnapshotRecord
from holdfast.backup.model.policy import ClassBinding
from holdfast.backup.model.pools import PoolType
from holdfast.backup.service.catalog.commit import batches
from holdfast.backup.service.catalog.schema import copygroups, filespaces, groups, metadata, places, pools
from holdfast.backup.service.catalog.storage import catalog_records
from holdfast.backup.service.core import Core, set_setting, setting
from holdfast.backup.service.pool import Place, PoolWriter
from holdfast.backup.service.volumeformat import GroupIndex, seal
from holdfast.backup.session.messages import Rebind
from holdfast.kernel.sizes import MIB

_T = TypeVar("_T")
_PART_BYTES = 32 * MIB
_DIGEST = "config_digest"
_NOT_CONFIG = frozenset(
    {
        "groups",
        "places",
        "chunks",
        "versions",
        "actlog",
        "catalog_records",
        "archive_objects",
        "events",
        "summary",
        "generations",
    }
)
"""Tables that are content, or history that may be lost; every other table is configuration."""
_VOLATILE = frozenset(
    {
        "access_ns",
        "started_ns",
        "ended_ns",
        "size_bytes",
        "written_ns",
        "status",
        "pending_ns",
        "platform",
        "invalid",
        "owner",
        "at_ns",
    }
)
"""Columns whose change alone is not worth a new record."""
_SETTINGS_OF_ITS_OWN = frozenset({_DIGEST, "volume_number", "expired_ns", "expired_policy", "schedules_checked_ns"})


_KINDS: dict[type, RecordKind] = {
    CommitRecord: RecordKind.COMMIT,
    SnapshotRecord: RecordKind.SNAPSHOT,
    ConfigRecord: RecordKind.CONFIG,
}


@dataclass(frozen=True, slots=True)
class Written:
    """A record appended to a volume and not yet entered."""

    pool: str
    index: GroupIndex
    place: Place
    kind: RecordKind
    filespace: int
    versions: int
    at_ns: int


def append(core: Core, writer: PoolWriter, pool: str, record: Record, versions: int = 0) -> Written:
    """Append a record, encrypted with the key of ``pool``; it counts once ``enter`` is committed behind a sync."""
    plain = msgspec.msgpack.encode(record)
    ring = core.keys.pool(pool)
    index = GroupIndex(os.urandom(16), ring.id, len(plain), (), (), NOTE)
    place = writer.append(seal(index, zstandard.ZstdCompressor(level=3).compress(plain), ring.cipher))
    kind = _KINDS[type(record)]
    filespace = 0 if isinstance(record, ConfigRecord) else record.owner.id
    return Written(pool, index, place, kind, filespace, versions, record.at_ns)


def enter(connection: Connection, written: Sequence[Written]) -> None:
    """Enter appended records into the catalog."""
    next_id = (connection.execute(select(func.max(groups.c.id))).scalar() or 0) + 1
    for number, one in enumerate(written, next_id):
        group = {
            "id": number,
            "uuid": one.index.uuid,
            "pool": one.pool,
            "raw_bytes": one.index.raw_bytes,
            "stored_bytes": one.place.length,
            "filespace": one.filespace,
        }
        connection.execute(insert(groups), group)
        place = {"grp": number, "volume": one.place.volume, "offset": one.place.offset, "length": one.place.length}
        connection.execute(insert(places), place)
        record = {"grp": number, "kind": int(one.kind), "filespace": one.filespace, "versions": one.versions}
        connection.execute(insert(catalog_records), {**record, "at_ns": one.at_ns})


def forget(connection: Connection, group_ids: Sequence[int]) -> None:
    """Forget records that others replace; their bytes are reclaimed like any others."""
    for part in batches(group_ids):
        connection.execute(delete(catalog_records).where(catalog_records.c.grp.in_(part)))
        connection.execute(delete(places).where(places.c.grp.in_(part)))
        connection.execute(delete(groups).where(groups.c.id.in_(part)))


class CommitJournal:
    """The records of one session's commits. ``hold`` what is staged, ``append`` before the sync, ``enter`` after."""

    def __init__(self, core: Core, classes: Sequence[ClassBinding]) -> None:
        self._core = core
        self._pools = {b.name: b.backup.destination for b in classes if b.backup is not None}
        default = next((b.backup.destination for b in classes if b.default and b.backup is not None), "")
        self.pool = default or next(iter(self._pools.values()), "")
        """The pool whose volumes take the records."""
        self._archive_pools = {b.name: b.archive.destination for b in classes if b.archive is not None}
        self.pool = self.pool or next(iter(self._archive_pools.values()), "")
        self._rows: list[bytes] = []
        self._archived: list[tuple[bytes, str]] = []
        self._written: list[Written] = []

    def hold(self, rows: bytes) -> None:
        """Keep a batch of new versions as it came."""
        self._rows.append(rows)

    def hold_archive(self, rows: bytes, description: str) -> None:
        """Keep a batch of archive objects as it came."""
        self._archived.append((rows, description))

    def append(
        self,
        writer: PoolWriter,
        owner: Owner,
        at_ns: int,
        expired: Sequence[bytes],
        rebound: Sequence[Rebind],
        versions: int,
    ) -> None:
        """Append what is held; a commit that is too large for one record becomes several parts."""
        changes = tuple((tuple(one.keys), one.mgmtclass) for one in rebound)
        first = CommitRecord(owner, at_ns, 0, self._pools, (), archive_pools=self._archive_pools)
        batches = _parts(self._rows, len)
        archived = _parts(self._archived, lambda item: len(item[0]))
        records = [msgspec.structs.replace(first, batches=tuple(part)) for part in batches]
        records += [msgspec.structs.replace(first, archived=tuple(part)) for part in archived]
        last = records.pop() if records else first
        records.append(msgspec.structs.replace(last, expired=tuple(expired), rebound=changes))
        for number, record in enumerate(records):
            numbered = msgspec.structs.replace(record, part=number)
            count = versions if number == 0 else 0
            self._written.append(append(self._core, writer, self.pool, numbered, count))

    def enter(self, connection: Connection) -> None:
        """Enter the appended records in the commit's transaction."""
        enter(connection, self._written)

    def clear(self) -> None:
        """Begin the next commit."""
        self._rows, self._archived, self._written = [], [], []


def _parts(items: Sequence[_T], size: Callable[[_T], int]) -> list[list[_T]]:
    """Return the items in runs that fit one record each."""
    parts: list[list[_T]] = []
    room = 0
    for item in items:
        if not parts or size(item) > room:
            parts.append([])
            room = _PART_BYTES
        parts[-1].append(item)
        room -= size(item)
    return parts


def owner_record(connection: Connection, filespace: int) -> Owner:
    """Return whose filespace a number is."""
    row = connection.execute(select(filespaces).where(filespaces.c.id == filespace)).one()
    return Owner(row.id, row.node, row.name, row.type)


def save_config(core: Core) -> bool:
    """Write the configuration into a volume when it is not the one that was written last; return whether it was.

    Raises what the pool's medium raises; the next round tries again."""
    with core.database.read() as connection:
        tables = _dump(connection)
        known = setting(connection, _DIGEST)
        pool = _config_pool(connection)
    digest = _digest(tables)
    if digest == known or not pool:
        return False
    record = ConfigRecord(core.now_ns(), tables)
    writer = PoolWriter(core, pool, overflow=True)
    try:
        written = append(core, writer, pool, record)
        writer.sync()
        with core.database.write() as connection:
            writer.record(connection)
            mine = catalog_records.c.kind == int(RecordKind.CONFIG)
            forget(connection, list(connection.execute(select(catalog_records.c.grp).where(mine)).scalars()))
            enter(connection, [written])
            set_setting(connection, _DIGEST, digest)
        writer.release_full()
    finally:
        writer.close()
    core.log("ANR2463I", pool=pool)
    return True


def renew_config(core: Core) -> None:
    """Forget the configuration in the volumes, because its volume is lost, and write it anew."""
    with core.database.write() as connection:
        mine = catalog_records.c.kind == int(RecordKind.CONFIG)
        forget(connection, list(connection.execute(select(catalog_records.c.grp).where(mine)).scalars()))
        set_setting(connection, _DIGEST, "")
    save_config(core)


def _config_pool(connection: Connection) -> str:
    """Return the primary pool for the configuration: one that policy sends data to, else the first."""
    bound = select(copygroups.c.destination).where(copygroups.c.type == "BACKUP", copygroups.c.policyset == "ACTIVE")
    used = set(connection.execute(bound).scalars())
    primary = pools.c.type == PoolType.PRIMARY.value
    names = list(connection.execute(select(pools.c.name).where(primary).order_by(pools.c.name)).scalars())
    return next((name for name in names if name in used), names[0] if names else "")


def _dump(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    tables = {}
    for table in metadata.sorted_tables:
        if table.name in _NOT_CONFIG:
            continue
        rows = [dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key))]
        if table.name == "settings":
            rows = [row for row in rows if row["name"] not in _SETTINGS_OF_ITS_OWN]
        tables[table.name] = rows
    return tables


def _digest(tables: dict[str, list[dict[str, Any]]]) -> str:
    stable = {
        name: [{column: value for column, value in row.items() if column not in _VOLATILE} for row in rows]
        for name, rows in tables.items()
    }
    return blake3(msgspec.msgpack.encode(stable)).hexdigest(16)
