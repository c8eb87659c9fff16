"""The retention lock of pools: what a pool keeps under RETENTIONLOCK=days goes before its date by nobody's order.

Everything that removes versions, places or volumes asks here, in the transaction that removes. The lock is never
shortened (see UPDATE STGPOOL), and its days count from when the data was stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, select

from holdfast.backup.plan.expiration import DAY_NS
from holdfast.backup.service.catalog.schema import chunks, groups, places, pools, versions
from holdfast.kernel.errors import Refusal, Refused

_content = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...])
_BATCH = 500


def locks(connection: Connection) -> dict[str, int]:
    """Return the days of every pool that has a lock."""
    statement = select(pools.c.name, pools.c.lock_days).where(pools.c.lock_days > 0)
    return {name: days for name, days in connection.execute(statement)}


def refuse_locked_volume(connection: Connection, row: Any, now_ns: int) -> None:
    """Raise ``Refused`` (locked) when a lock still holds what is on a volume: its pool's, or the lock of a pool that
    data on it was bound for before it migrated. The days count from the volume's last write."""
    locked = locks(connection)
    if not locked:
        return
    bound = select(groups.c.pool).join(places, places.c.grp == groups.c.id).where(places.c.volume == row.id).distinct()
    concerned = {row.pool, *connection.execute(bound).scalars()}
    days = max(locked.get(pool, 0) for pool in concerned)
    until = max(row.written_ns, row.created_ns) + days * DAY_NS
    if days and row.size_bytes and until > now_ns:
        left = -(-(until - now_ns) // DAY_NS)
        reason = f"volume {row.name} is under a retention lock for {left} more days"
        raise Refused(Refusal("locked", reason, "nobody can delete it before its date"))


def unlocked(connection: Connection, ids: Sequence[int], now_ns: int, table: Table = versions) -> list[int]:
    """Return those ids that no retention lock holds, of versions or of another ``table`` of objects.

    Without any lock that is all of them, at once."""
    locked = locks(connection)
    if not locked:
        return list(ids)
    young_after = now_ns - max(locked.values()) * DAY_NS
    kept: set[int] = set()
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        where = (table.c.id.in_(part), table.c.stored_ns > young_after)
        rows = connection.execute(select(table.c.id, table.c.content, table.c.stored_ns).where(*where)).all()
        kept.update(row.id for row in rows if _held(connection, row, locked, now_ns))
    return [id for id in ids if id not in kept]


def _held(connection: Connection, row: Any, locked: dict[str, int], now_ns: int) -> bool:
    """Return whether a version's content lies bound for a locked pool; what has no content shares the longest lock."""
    first = next((chunk for chunk, _ in _content.decode(row.content) if chunk), 0)
    days = max(locked.values())
    if first:
        pool = connection.execute(select(chunks.c.pool).where(chunks.c.id == first)).scalar()
        days = locked.get(str(pool), 0)
    return bool(row.stored_ns + days * DAY_NS > now_ns)
