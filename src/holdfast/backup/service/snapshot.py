"""Snapshots of a filespace's versions in the volumes: they let old commit records go.

A snapshot is taken when a filespace's commit records tell of far more versions than there are, or when it has none (its
data came before records were written). It is read in one consistent view; the commits it replaces are forgotten in the
transaction that enters its last part. One that was cut short does not count, because its parts do not add up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from holdfast.backup.model.journal import Owner, RecordKind, SnapshotRecord, SnapshotRow
from holdfast.backup.service import journal
from holdfast.backup.service.catalog.archive import archive_objects
from holdfast.backup.service.catalog.commit import batches
from holdfast.backup.service.catalog.policy import classes_of
from holdfast.backup.service.catalog.schema import chunks, filespaces, nodes, versions
from holdfast.backup.service.catalog.storage import catalog_records
from holdfast.backup.service.core import Core
from holdfast.backup.service.pool import PoolWriter

_ROWS = 10_000
_SLACK = 20_000
_TABLES = (versions, archive_objects)
_content = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...])


def worth_a_snapshot(core: Core) -> list[int]:
    """Return the filespaces whose commit records tell of more than twice their versions, or that have no record."""
    total = func.sum(catalog_records.c.versions)
    with core.database.read() as connection:
        statement = select(catalog_records.c.filespace, total).group_by(catalog_records.c.filespace)
        told = {filespace: int(count) for filespace, count in connection.execute(statement)}
        found = []
        for filespace in connection.execute(select(filespaces.c.id)).scalars():
            mine = versions.c.filespace == filespace
            if filespace not in told:
                if connection.execute(select(versions.c.id).where(mine).limit(1)).first() is not None:
                    found.append(filespace)
            elif told[filespace] > _SLACK:
                count = connection.execute(select(func.count()).select_from(versions).where(mine)).scalar_one()
                if told[filespace] > 2 * count + _SLACK:
                    found.append(filespace)
    return found


def take_snapshot(core: Core, filespace: int) -> int:
    """Write a snapshot of one filespace and forget the records that it replaces; return the number of versions.

    Raises what the pool's medium raises; then nothing is forgotten."""
    with core.database.read() as connection:
        owner = journal.owner_record(connection, filespace)
        as_of = _as_of(connection, filespace)
        pool = _pool_of(connection, owner)
        counts = [
            int(connection.execute(select(func.count()).select_from(t).where(t.c.filespace == filespace)).scalar_one())
            for t in _TABLES
        ]
        if not pool:
            return 0
        parts = max(sum(-(-count // _ROWS) for count in counts), 1)
        id = os.urandom(16)
        writer = PoolWriter(core, pool, filespace=filespace, overflow=True)
        try:
            written = [
                journal.append(core, writer, pool, SnapshotRecord(owner, as_of, id, part, parts, rows), len(rows))
                for part, rows in enumerate(_rows(connection, filespace))
            ]
            writer.sync()
            done = _replace(core, writer, _replaced(connection, filespace, as_of), filespace, as_of, written)
        finally:
            writer.close()
    return sum(counts) if done else 0


def _replace(
    core: Core, writer: PoolWriter, seen: set[int], filespace: int, as_of: int, written: list[journal.Written]
) -> bool:
    """Enter the snapshot in place of what it replaces; not when a commit slipped in that the view did not hold."""
    with core.database.write() as connection:
        if _replaced(connection, filespace, as_of) != seen:
            return False
        writer.record(connection)
        journal.forget(connection, sorted(seen))
        journal.enter(connection, written)
    writer.release_full()
    return True


def _replaced(connection: Connection, filespace: int, as_of: int) -> set[int]:
    where = (
        catalog_records.c.filespace == filespace,
        catalog_records.c.at_ns <= as_of,
        catalog_records.c.kind != int(RecordKind.CONFIG),
    )
    return set(connection.execute(select(catalog_records.c.grp).where(*where)).scalars())


def _as_of(connection: Connection, filespace: int) -> int:
    """Return the time of the last commit that this view holds."""
    recorded = connection.execute(
        select(func.max(catalog_records.c.at_ns)).where(catalog_records.c.filespace == filespace)
    ).scalar()
    newest = connection.execute(
        select(func.max(versions.c.stored_ns), func.max(versions.c.inactive_ns)).where(
            versions.c.filespace == filespace
        )
    ).one()
    return max(recorded or 0, newest[0] or 0, newest[1] or 0)


def _pool_of(connection: Connection, owner: Owner) -> str:
    domain = connection.execute(select(nodes.c.domain).where(nodes.c.name == owner.node)).scalar() or ""
    bound = [b for b in classes_of(connection, domain) if b.backup is not None]
    chosen = next((b for b in bound if b.default), bound[0] if bound else None)
    return chosen.backup.destination if chosen is not None and chosen.backup is not None else ""


def _rows(connection: Connection, filespace: int) -> Iterator[tuple[SnapshotRow, ...]]:
    """Yield versions, then archive objects, part by part, each in the order in which they were stored."""
    empty = True
    for table in _TABLES:
        last = 0
        while True:
            where = (table.c.filespace == filespace, table.c.id > last)
            found = connection.execute(select(table).where(*where).order_by(table.c.id).limit(_ROWS)).all()
            if not found:
                break
            names, last, empty = _names(connection, found), found[-1].id, False
            yield tuple(_row(row, names) for row in found)
    if empty:
        yield ()


def _names(connection: Connection, found: Any) -> dict[int, tuple[str, bytes]]:
    wanted = sorted({chunk for row in found for chunk, _ in _content.decode(row.content) if chunk})
    names: dict[int, tuple[str, bytes]] = {}
    for part in batches(wanted):
        statement = select(chunks.c.id, chunks.c.pool, chunks.c.name).where(chunks.c.id.in_(part))
        names.update({id: (pool, name) for id, pool, name in connection.execute(statement)})
    return names


def _row(row: Any, names: dict[int, tuple[str, bytes]]) -> SnapshotRow:
    nothing = ("", b"")
    pieces = tuple((*(names.get(chunk, nothing) if chunk else nothing), n) for chunk, n in _content.decode(row.content))
    archive = "description" in row._mapping
    return SnapshotRow(
        row.key, row.kind, row.stat, row.extra, b"" if archive else row.digest, row.mgmtclass, row.size_bytes,
        row.stored_ns, None if archive else row.inactive_ns, pieces, row.description if archive else None,
    )  # fmt: skip
