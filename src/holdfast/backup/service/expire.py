"""EXPIRE INVENTORY: versions that policy no longer keeps go, then chunks and groups nothing names, then empty volumes.

At a target it also removes archive objects whose grace period is over; nothing else there does. Chunks are found by
mark and sweep, never by counters that could drift, and only while no client stores: a client may have been told that
a chunk is kept and name it in its next commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, exists, func, not_, select, update

from holdfast.backup.model.policy import BackupCopyGroup, ClassBinding
from holdfast.backup.plan.expiration import Version, expired
from holdfast.backup.service.catalog.archive import archive_objects, expire_archives
from holdfast.backup.service.catalog.commit import batches, delete_versions, keeps_all
from holdfast.backup.service.catalog.policy import classes_of
from holdfast.backup.service.catalog.schema import chunks, filespaces, groups, nodes, places, versions
from holdfast.backup.service.catalog.storage import catalog_records
from holdfast.backup.service.claims import SESSIONS
from holdfast.backup.service.core import Core, exclusive
from holdfast.backup.service.processes import Process
from holdfast.backup.service.vault import remove_marked
from holdfast.backup.service.volumes import release_empty

_content = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...])


@dataclass(frozen=True, slots=True)
class ExpireFigures:
    """What an expiration removed."""

    versions: int
    chunks: int
    groups: int
    volumes: tuple[tuple[str, str], ...]
    archives: int
    archive_objects: int = 0


def expire_inventory(core: Core, process: Process) -> ExpireFigures:
    """Remove what policy no longer keeps. Raises ``Refused`` when another such process runs."""
    with exclusive(core, "EXPIRE INVENTORY"):
        now = core.now_ns()
        with core.database.write() as connection:
            gone = _expire_versions(connection, now)
            archived = expire_archives(connection, _policy(connection), now)
        process.check()
        swept = sweep(core)
        emptied = tuple(release_empty(core))
        return ExpireFigures(gone, *swept, emptied, remove_marked(core), archived)


def _policy(connection: Connection) -> dict[str, dict[str, ClassBinding]]:
    names = connection.execute(select(nodes.c.domain).distinct()).scalars().all()
    return {name: {binding.name: binding for binding in classes_of(connection, name)} for name in names}


def _expire_versions(connection: Connection, now_ns: int) -> int:
    doomed: list[int] = []
    statement = select(filespaces.c.id, nodes.c.domain).join(nodes, nodes.c.name == filespaces.c.node)
    for filespace, domain in connection.execute(statement).all():
        policy = {b.name: b for b in classes_of(connection, domain)}
        default = next((b.backup for b in policy.values() if b.default), None)
        doomed.extend(_of_filespace(connection, filespace, policy, default, now_ns))
    return delete_versions(connection, doomed, now_ns)


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


def sweep(core: Core) -> tuple[int, int]:
    """Remove chunks that no version names and groups that hold none; return how many. Waits for no client: while one
    has a session nothing is removed, because it may have been told that a chunk is kept."""
    if not core.claims.take(SESSIONS):
        return (0, 0)
    try:
        with core.database.write() as connection:
            return _sweep(connection)
    finally:
        core.claims.give(SESSIONS)
        core.sparse.set()


def _sweep(connection: Connection) -> tuple[int, int]:
    gone = catalog_records.c.filespace.not_in(select(filespaces.c.id))
    connection.execute(delete(catalog_records).where(catalog_records.c.filespace != 0, gone))
    used: set[int] = set()
    for column in (versions.c.content, archive_objects.c.content):
        for content in connection.execute(select(column).distinct()).scalars():
            used.update(chunk for chunk, _ in _content.decode(content))
    known = connection.execute(select(chunks.c.id)).scalars().all()
    unused = [chunk for chunk in known if chunk not in used]
    for part in batches(unused):
        connection.execute(delete(chunks).where(chunks.c.id.in_(part)))
    _count_live(connection)
    return len(unused), drop_dead_groups(connection)


def _count_live(connection: Connection) -> None:
    """Note for every group how much of it is in use; what reclamation goes by."""
    live = select(func.coalesce(func.sum(chunks.c.length), 0)).where(chunks.c.grp == groups.c.id).scalar_subquery()
    record = exists().where(catalog_records.c.grp == groups.c.id)
    connection.execute(update(groups).where(not_(record)).values(live_bytes=live))


def drop_dead_groups(connection: Connection) -> int:
    """Forget groups of which nothing is in use, with their places in every pool; return how many there were."""
    holding = exists().where(chunks.c.grp == groups.c.id)
    record = exists().where(catalog_records.c.grp == groups.c.id)
    dead = list(connection.execute(select(groups.c.id).where(not_(holding), not_(record))).scalars())
    for part in batches(dead):
        connection.execute(delete(places).where(places.c.grp.in_(part)))
        connection.execute(delete(groups).where(groups.c.id.in_(part)))
    return len(dead)
