"""The sweep: chunks that no version and no archive object names go, then the groups that hold none.

Chunks are found by marking and sweeping, never by counters that could drift, and only while no client has a session: a
client may have been told that a chunk is kept and name it in its next commit. Marks are one bit a chunk. What is
removed goes in slices, each a transaction: a sweep that is cut short leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Column, Connection, delete, exists, func, not_, select, update

from holdfast.backup.service.catalog.archive import archive_objects
from holdfast.backup.service.catalog.bulk import delete_ids
from holdfast.backup.service.catalog.commit import batches
from holdfast.backup.service.catalog.schema import chunks, filespaces, groups, places, versions
from holdfast.backup.service.catalog.storage import catalog_records
from holdfast.backup.service.claims import SESSIONS
from holdfast.backup.service.core import Core

_content = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...])
_ROWS = 20_000
_SLICE = 50_000


def sweep(core: Core) -> tuple[int, int]:
    """Remove unnamed chunks and empty groups; return how many. It waits for no client: while one has a session nothing
    is removed."""
    if not core.claims.take(SESSIONS):
        return (0, 0)
    try:
        with core.database.write() as connection:
            gone = catalog_records.c.filespace.not_in(select(filespaces.c.id))
            connection.execute(delete(catalog_records).where(catalog_records.c.filespace != 0, gone))
        with core.database.read() as connection:
            marks = _marked(connection)
        removed = _remove_unmarked(core, marks)
        with core.database.write() as connection:
            return removed, drop_dead_groups(connection)
    finally:
        core.claims.give(SESSIONS)
        core.sparse.set()


def _marked(connection: Connection) -> bytearray:
    """Return a bit for each chunk number, set when something names the chunk."""
    top = connection.execute(select(func.max(chunks.c.id))).scalar() or 0
    marks = bytearray((top >> 3) + 1)
    decode = _content.decode
    for column in (versions.c.content, archive_objects.c.content):
        for content in _stream(connection, column):
            if len(content) > 1:  # one byte is an empty list
                for chunk, _ in decode(content):
                    marks[chunk >> 3] |= 1 << (chunk & 7)
    return marks


def _stream(connection: Connection, column: Column[bytes]) -> Iterator[bytes]:
    result = connection.execution_options(yield_per=_ROWS).execute(select(column))
    for part in result.partitions(_ROWS):
        for (content,) in part:
            yield content


def _remove_unmarked(core: Core, marks: bytearray) -> int:
    """Remove the chunks without a mark; their groups are counted anew, which is what reclamation goes by."""
    last, removed = -1, 0
    statement = select(chunks.c.id, chunks.c.grp).order_by(chunks.c.id).limit(_SLICE)
    while True:
        with core.database.read() as connection:
            rows = connection.execute(statement.where(chunks.c.id > last)).all()
        if not rows:
            return removed
        last = rows[-1].id
        unused = [(id, group) for id, group in rows if not marks[id >> 3] >> (id & 7) & 1]
        if unused:
            with core.database.write() as connection:
                delete_ids(connection, chunks, [id for id, _ in unused])
                _count_live(connection, sorted({group for _, group in unused}))
            removed += len(unused)


def _count_live(connection: Connection, touched: Sequence[int]) -> None:
    live = select(func.coalesce(func.sum(chunks.c.length), 0)).where(chunks.c.grp == groups.c.id).scalar_subquery()
    for part in batches(touched):
        connection.execute(update(groups).where(groups.c.id.in_(part)).values(live_bytes=live))


def drop_dead_groups(connection: Connection) -> int:
    """Forget groups of which nothing is in use, with their places in every pool; return how many there were."""
    holding = exists().where(chunks.c.grp == groups.c.id)
    record = exists().where(catalog_records.c.grp == groups.c.id)
    dead = list(connection.execute(select(groups.c.id).where(not_(holding), not_(record))).scalars())
    for part in batches(dead):
        connection.execute(delete(places).where(places.c.grp.in_(part)))
        connection.execute(delete(groups).where(groups.c.id.in_(part)))
    return len(dead)
