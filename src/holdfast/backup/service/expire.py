"""EXPIRE INVENTORY: versions that policy no longer keeps go, then chunks and groups nothing names, then empty volumes.

At a target it also removes archive objects whose grace period is over; nothing else there does. Chunks are found by
mark and sweep, never by counters that could drift, and only while no client stores: a client may have been told that
a chunk is kept and name it in its next commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, exists, not_, select

from holdfast.backup.model.policy import BackupCopyGroup
from holdfast.backup.model.pools import VolumeStatus
from holdfast.backup.plan.expiration import Version, expired
from holdfast.backup.service.catalog.commit import batches, delete_versions, keeps_all
from holdfast.backup.service.catalog.policy import classes_of
from holdfast.backup.service.catalog.schema import chunks, filespaces, groups, nodes, places, versions, volumes
from holdfast.backup.service.core import Core, exclusive
from holdfast.backup.service.vault import remove_marked

_content = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...])


@dataclass(frozen=True, slots=True)
class ExpireFigures:
    """What an expiration removed."""

    versions: int
    chunks: int
    groups: int
    volumes: tuple[tuple[str, str], ...]
    archives: int


def expire_inventory(core: Core) -> ExpireFigures:
    """Remove what policy no longer keeps. Raises ``Refused`` when another such process runs."""
    with exclusive(core, "EXPIRE INVENTORY"):
        now = core.now_ns()
        with core.database.write() as connection:
            gone = _expire_versions(connection, now)
            swept = (0, 0)
            if not core.client_sessions:
                swept = _sweep(connection)
        emptied = _drop_empty_volumes(core)
        return ExpireFigures(gone, *swept, emptied, remove_marked(core))


def _expire_versions(connection: Connection, now_ns: int) -> int:
    doomed: list[int] = []
    statement = select(filespaces.c.id, nodes.c.domain).join(nodes, nodes.c.name == filespaces.c.node)
    for filespace, domain in connection.execute(statement).all():
        policy = {b.name: b for b in classes_of(connection, domain)}
        default = next((b.backup for b in policy.values() if b.default), None)
        doomed.extend(_of_filespace(connection, filespace, policy, default, now_ns))
    delete_versions(connection, doomed)
    return len(doomed)


def _of_filespace(
    connection: Connection, filespace: int, policy: dict[str, Any], default: BackupCopyGroup | None, now_ns: int
) -> list[int]:
    """Return the doomed versions among objects that have an inactive one; objects with only an active one stay."""
    columns = (versions.c.id, versions.c.key, versions.c.mgmtclass, versions.c.stored_ns, versions.c.inactive_ns)
    inactive = select(versions.c.key).where(versions.c.filespace == filespace, versions.c.inactive_ns.is_not(None))
    statement = (
        select(*columns).where(versions.c.filespace == filespace, versions.c.key.in_(inactive)).order_by(versions.c.key)
    )
    by_key: dict[bytes, list[Any]] = {}
    for row in connection.execute(statement):
        by_key.setdefault(row.key, []).append(row)
    doomed: list[int] = []
    for rows in by_key.values():
        binding = policy.get(rows[-1].mgmtclass)
        group = binding.backup if binding is not None and binding.backup is not None else default
        if group is not None and not keeps_all(group):
            doomed.extend(expired([Version(r.id, r.stored_ns, r.inactive_ns) for r in rows], group, now_ns))
    return doomed


def _sweep(connection: Connection) -> tuple[int, int]:
    used: set[int] = set()
    for content in connection.execute(select(versions.c.content).distinct()).scalars():
        used.update(chunk for chunk, _ in _content.decode(content))
    known = connection.execute(select(chunks.c.id)).scalars().all()
    unused = [chunk for chunk in known if chunk not in used]
    for part in batches(unused):
        connection.execute(delete(chunks).where(chunks.c.id.in_(part)))
    holding = exists().where(chunks.c.grp == groups.c.id)
    empty = list(connection.execute(select(groups.c.id).where(not_(holding))).scalars())
    for part in batches(empty):
        connection.execute(delete(places).where(places.c.grp.in_(part)))
        connection.execute(delete(groups).where(groups.c.id.in_(part)))
    return len(unused), len(empty)


def _drop_empty_volumes(core: Core) -> tuple[tuple[str, str], ...]:
    """Return scratch volumes that hold nothing any more to their medium."""
    holding = exists().where(places.c.volume == volumes.c.id)
    statement = select(volumes).where(not_(holding), volumes.c.status == VolumeStatus.FULL.value)
    with core.database.read() as connection:
        rows = [row for row in connection.execute(statement).all() if row.id not in core.mounted]
    for row in rows:
        with core.database.write() as connection:
            connection.execute(delete(volumes).where(volumes.c.id == row.id))
        core.media_of_class(row.devclass).delete(row.name)
    return tuple((row.name, row.pool) for row in rows)
