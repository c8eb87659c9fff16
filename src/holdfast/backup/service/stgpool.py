"""BACKUP STGPOOL, RESTORE STGPOOL, AUDIT VOLUME, DELETE VOLUME: groups copied between pools, places checked.

Records are copied as they are, still encrypted with the primary pool's key, so a copy pool on another server holds
nothing that server could read. Copying is incremental by group: one that has an undamaged place in the copy pool is
skipped, a damaged copy is made again, a damaged primary is not copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, insert, not_, select, update

from holdfast.backup.model.pools import READABLE, PoolType, VolumeAccess
from holdfast.backup.service.catalog.schema import groups, places, pools, volumes
from holdfast.backup.service.core import Core, pool_row, volume_by_name
from holdfast.backup.service.pool import Place, PoolWriter, mark_damaged, raw_record, read_group
from holdfast.backup.service.volumeformat import Damaged, seal
from holdfast.kernel.errors import HoldfastError, Refusal, Refused

_COMMIT_BYTES = 256 * 1024 * 1024
_READABLE = [access.value for access in READABLE]


@dataclass(slots=True)
class CopyFigures:
    """What a copy of groups did."""

    groups: int = 0
    bytes: int = 0
    unreadable: int = 0
    messages: list[str] = field(default_factory=list)


def backup_stgpool(core: Core, primary: str, copy: str) -> CopyFigures:
    """Copy every group of ``primary`` that lacks a good place in ``copy``. Raises ``Refused`` or ``Unavailable``."""
    with core.database.read() as connection:
        if pool_row(connection, primary).type != PoolType.PRIMARY.value:
            raise Refused(Refusal("invalid", f"{primary} is not a primary storage pool", "name a primary pool first"))
        if pool_row(connection, copy).type != PoolType.COPY.value:
            raise Refused(Refusal("invalid", f"{copy} is not a copy storage pool", "DEFINE STGPOOL ... POOLTYPE=COPY"))
        work = connection.execute(_lacking(primary, copy)).all()
    return _copy(core, copy, work)


def _lacking(primary: str, copy: str) -> Any:
    """Select readable primary places of groups that have no undamaged place in the copy pool."""
    other, target = places.alias(), volumes.alias()
    copied = exists().where(
        and_(
            other.c.grp == groups.c.id, other.c.damaged.is_(False), target.c.id == other.c.volume, target.c.pool == copy
        )
    )
    return (
        select(groups.c.id, volumes.c.name, volumes.c.devclass, places.c.volume, places.c.offset, places.c.length)
        .join(places, places.c.grp == groups.c.id)
        .join(volumes, volumes.c.id == places.c.volume)
        .where(groups.c.pool == primary, volumes.c.pool == primary, places.c.damaged.is_(False))
        .where(volumes.c.access.in_(_READABLE), not_(copied))
        .order_by(places.c.volume, places.c.offset)
    )


def _copy(core: Core, copy: str, work: Sequence[Any]) -> CopyFigures:
    figures, writer = CopyFigures(), PoolWriter(core, copy)
    staged: list[tuple[int, Place]] = []
    try:
        for row in work:
            try:
                record = raw_record(core, row.name, row.devclass, Place(row.volume, row.offset, row.length))
            except HoldfastError as error:
                figures.unreadable += 1
                figures.messages.append(core.log("ANR1229W", volume=row.name, reason=error.message))
                if isinstance(error, Damaged):
                    mark_damaged(core, row.id, row.volume, True)
                continue
            staged.append((row.id, writer.append(record)))
            if sum(place.length for _, place in staged) >= _COMMIT_BYTES:
                _record(core, writer, copy, staged, figures)
        _record(core, writer, copy, staged, figures)
    finally:
        writer.close()
    return figures


def _record(core: Core, writer: PoolWriter, pool: str, staged: list[tuple[int, Place]], figures: CopyFigures) -> None:
    if not staged:
        return
    writer.sync()
    with core.database.write() as connection:
        writer.record(connection)
        drop_bad_places(connection, [group for group, _ in staged], pool)
        connection.execute(
            insert(places),
            [
                {"grp": group, "volume": place.volume, "offset": place.offset, "length": place.length, "damaged": False}
                for group, place in staged
            ],
        )
    writer.release_full()
    figures.groups += len(staged)
    figures.bytes += sum(place.length for _, place in staged)
    staged.clear()


def drop_bad_places(connection: Connection, group_ids: Sequence[int], pool: str) -> None:
    """Forget the places of these groups in ``pool`` that a new place now replaces."""
    in_pool = select(volumes.c.id).where(volumes.c.pool == pool)
    for group in group_ids:
        connection.execute(delete(places).where(places.c.grp == group, places.c.volume.in_(in_pool)))


def restore_stgpool(core: Core, primary: str) -> CopyFigures:
    """Bring back groups of ``primary`` whose place is damaged or on a DESTROYED volume, from any copy."""
    bad = (places.c.damaged.is_(True)) | (volumes.c.access == VolumeAccess.DESTROYED.value)
    statement = (
        select(groups.c.id)
        .join(places, places.c.grp == groups.c.id)
        .join(volumes, volumes.c.id == places.c.volume)
        .where(groups.c.pool == primary, volumes.c.pool == primary, bad)
        .distinct()
        .order_by(groups.c.id)
    )
    with core.database.read() as connection:
        pool_row(connection, primary)
        work = list(connection.execute(statement).scalars())
    figures, writer = CopyFigures(), PoolWriter(core, primary)
    staged: list[tuple[int, Place]] = []
    try:
        for group in work:
            try:
                index, data = read_group(core, group)
            except HoldfastError as error:
                figures.unreadable += 1
                figures.messages.append(error.message)
                continue
            staged.append((group, writer.append(seal(index, data, core.keys.cipher(index.key_id)))))
            if sum(place.length for _, place in staged) >= _COMMIT_BYTES:
                _record(core, writer, primary, staged, figures)
        _record(core, writer, primary, staged, figures)
    finally:
        writer.close()
    _drop_empty_destroyed(core, primary)
    return figures


def _drop_empty_destroyed(core: Core, pool: str) -> None:
    used = exists().where(places.c.volume == volumes.c.id)
    destroyed = volumes.c.access == VolumeAccess.DESTROYED.value
    with core.database.write() as connection:
        connection.execute(delete(volumes).where(volumes.c.pool == pool, destroyed, not_(used)))


@dataclass(slots=True)
class AuditFigures:
    """What an audit found on one volume."""

    inspected: int = 0
    damaged: int = 0
    missing: int = 0
    messages: list[str] = field(default_factory=list)


def audit_volume(core: Core, name: str, *, fix: bool) -> AuditFigures:
    """Read every group of a volume. What reads well loses its damage mark; what does not gets one.

    With ``fix``: a damaged copy's place is forgotten; so is a damaged primary's when no copy exists.
    """
    with core.database.read() as connection:
        volume = volume_by_name(connection, name)
        if volume is None:
            raise Refused(Refusal("not-found", f"volume {name} is not defined", "QUERY VOLUME"))
        pool = pool_row(connection, volume.pool)
        rows = connection.execute(select(places).where(places.c.volume == volume.id).order_by(places.c.offset)).all()
    figures = AuditFigures()
    for row in rows:
        figures.inspected += 1
        try:
            raw_record(core, name, volume.devclass, Place(row.volume, row.offset, row.length))
        except HoldfastError as error:
            figures.damaged += isinstance(error, Damaged)
            figures.missing += not isinstance(error, Damaged)
            figures.messages.append(core.log("ANR1229W", volume=name, reason=error.message))
            if fix and (pool.type == PoolType.COPY.value or not _has_copy(core, row.grp, row.volume)):
                _forget_place(core, row.grp, row.volume)
            else:
                mark_damaged(core, row.grp, row.volume, True)
        else:
            if row.damaged:
                mark_damaged(core, row.grp, row.volume, False)
    if fix and not figures.damaged and not figures.missing and volume.access == VolumeAccess.UNAVAILABLE.value:
        set_access(core, name, VolumeAccess.READONLY)
    return figures


def _has_copy(core: Core, group: int, volume: int) -> bool:
    statement = select(func.count()).where(
        places.c.grp == group, places.c.volume != volume, places.c.damaged.is_(False)
    )
    with core.database.read() as connection:
        return bool(connection.execute(statement).scalar_one())


def _forget_place(core: Core, group: int, volume: int) -> None:
    with core.database.write() as connection:
        connection.execute(delete(places).where(places.c.grp == group, places.c.volume == volume))


def set_access(core: Core, name: str, access: VolumeAccess) -> None:
    """Change what may be done with a volume."""
    with core.database.write() as connection:
        connection.execute(update(volumes).where(volumes.c.name == name).values(access=access.value))


def delete_volume(core: Core, name: str, *, discard: bool) -> None:
    """Delete a volume: an empty one, or with ``discard`` one whose places are given up."""
    with core.database.write() as connection:
        volume = volume_by_name(connection, name)
        if volume is None:
            raise Refused(Refusal("not-found", f"volume {name} is not defined", "QUERY VOLUME"))
        if volume.id in core.mounted:
            raise Refused(Refusal("in-use", f"volume {name} is mounted", "try again later"))
        used = connection.execute(select(func.count()).where(places.c.volume == volume.id)).scalar_one()
        if used and not discard:
            raise Refused(Refusal("referenced", f"volume {name} holds {used} groups", "DISCARDDATA=YES gives them up"))
        connection.execute(delete(places).where(places.c.volume == volume.id))
        connection.execute(delete(volumes).where(volumes.c.id == volume.id))
    core.media_of_class(volume.devclass).delete(name)


def mark_lost_primaries(core: Core) -> list[str]:
    """After a disaster: mark primary volumes whose file is not there DESTROYED; return their names."""
    statement = (
        select(volumes).join(pools, pools.c.name == volumes.c.pool).where(pools.c.type == PoolType.PRIMARY.value)
    )
    with core.database.read() as connection:
        rows = connection.execute(statement).all()
    lost = [row.name for row in rows if core.media_of_class(row.devclass).facts(row.name) is None]
    for name in lost:
        set_access(core, name, VolumeAccess.DESTROYED)
    return lost
