"""BACKUP STGPOOL, RESTORE STGPOOL and RESTORE VOLUME: groups copied between primary and copy pools.

Copying is incremental by group: one that has an undamaged place in the copy pool is skipped, a damaged copy is made
again, a damaged primary and a cached copy are not copied. A copy pool on another server holds nothing that server could
read, because records stay encrypted with the key of the pool they were bound for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, exists, not_, or_, select, update

from holdfast.backup.model.journal import RecordKind
from holdfast.backup.model.pools import READABLE, PoolType, VolumeAccess
from holdfast.backup.service.catalog.schema import groups, places, pools, volumes
from holdfast.backup.service.catalog.storage import catalog_records, work_list
from holdfast.backup.service.claims import pool_key
from holdfast.backup.service.core import Core, exclusive, pool_row, volume_by_name
from holdfast.backup.service.journal import renew_config
from holdfast.backup.service.mover import Keep, MoveFigures, Mover
from holdfast.backup.service.processes import Process
from holdfast.backup.service.volumes import drop_destroyed, release_empty
from holdfast.kernel.errors import Refusal, Refused

_READABLE = [access.value for access in READABLE]


def backup_stgpool(core: Core, primary: str, copy: str, process: Process, *, preview: bool = False) -> MoveFigures:
    """Copy every group of ``primary`` that lacks a good place in ``copy``. Raises ``Refused`` or ``Unavailable``.

    With ``preview`` only counts what would be copied.
    """
    with core.database.read() as connection:
        if pool_row(connection, primary).type != PoolType.PRIMARY.value:
            raise Refused(Refusal("invalid", f"{primary} is not a primary storage pool", "name a primary pool first"))
        if pool_row(connection, copy).type != PoolType.COPY.value:
            raise Refused(Refusal("invalid", f"{copy} is not a copy storage pool", "DEFINE STGPOOL ... POOLTYPE=COPY"))
        work = work_list(connection, *_lacking(primary, copy))
    if preview:
        return MoveFigures(len(work), sum(item.length for item in work))
    with exclusive(core, "BACKUP STGPOOL", pool_key(copy, "copy")):
        process.begin(len(work), f"Backup of {primary} to {copy}")
        return Mover(core, copy, process, keep=Keep.SOURCE, elsewhere=False).run(work)


def _lacking(primary: str, copy: str) -> tuple[Any, ...]:
    """Return the conditions for readable primary places of groups without an undamaged place in the copy pool."""
    other, target = places.alias(), volumes.alias()
    copied = exists().where(
        and_(
            other.c.grp == groups.c.id, other.c.damaged.is_(False), target.c.id == other.c.volume, target.c.pool == copy
        ),
        target.c.access != VolumeAccess.DESTROYED.value,
    )
    return (
        volumes.c.pool == primary,
        places.c.damaged.is_(False),
        places.c.cached.is_(False),
        volumes.c.access.in_(_READABLE),
        not_(copied),
    )


def restore_stgpool(
    core: Core, primary: str, process: Process, *, into: str = "", copy: str = "", preview: bool = False
) -> MoveFigures:
    """Bring back groups of ``primary`` whose place is damaged or on a DESTROYED volume, from any readable copy.

    ``copy`` narrows the copy pools to one; ``into`` (NEWSTGPOOL) puts what is restored into another primary pool.
    """
    bad = or_(places.c.damaged.is_(True), volumes.c.access == VolumeAccess.DESTROYED.value)
    return _restore(core, process, primary, into or primary, copy, preview, volumes.c.pool == primary, bad)


def restore_volumes(
    core: Core, names: Sequence[str], process: Process, *, into: str = "", copy: str = "", preview: bool = False
) -> MoveFigures:
    """RESTORE VOLUME: mark the volumes DESTROYED and bring back everything they held; emptied ones are deleted."""
    total = MoveFigures()
    for name in names:
        with core.database.read() as connection:
            row = volume_by_name(connection, name)
            if row is None:
                raise Refused(Refusal("not-found", f"volume {name} is not defined", "QUERY VOLUME"))
            if pool_row(connection, row.pool).type != PoolType.PRIMARY.value:
                raise Refused(Refusal("invalid", f"volume {name} is in a copy pool", "name a primary volume"))
        if not preview:
            with core.database.write() as connection:
                lost = {"access": VolumeAccess.DESTROYED.value}
                connection.execute(update(volumes).where(volumes.c.id == row.id).values(lost))
        total.add(_restore(core, process, row.pool, into or row.pool, copy, preview, volumes.c.id == row.id))
    return total


def _restore(
    core: Core, process: Process, primary: str, into: str, copy: str, preview: bool, *conditions: Any
) -> MoveFigures:
    with core.database.read() as connection:
        for name in (primary, into):
            if pool_row(connection, name).type != PoolType.PRIMARY.value:
                raise Refused(Refusal("invalid", f"{name} is not a primary storage pool", "name a primary pool"))
        if copy:
            pool_row(connection, copy)
            conditions = (*conditions, _has_copy(copy))
        bad = work_list(connection, *conditions)
        config = catalog_records.c.kind == int(RecordKind.CONFIG)
        renewed = set(connection.execute(select(catalog_records.c.grp).where(config)).scalars())
    lost_config = any(item.group in renewed for item in bad)
    bad = [item for item in bad if item.group not in renewed]
    work = list({item.group: item for item in bad}.values())
    if preview:
        return MoveFigures(len(work), sum(item.length for item in work))
    with exclusive(core, "RESTORE STGPOOL", pool_key(into, "restore")):
        process.begin(len(work), f"Restore of {primary}")
        avoid = {item.volume for item in work}
        mover = Mover(core, into, process, keep=Keep.NOTHING, avoid=avoid)
        mover.elsewhere_first()
        figures = mover.run(work)
    if lost_config:
        renew_config(core)
    drop_destroyed(core, primary)
    release_empty(core)
    return figures


def _has_copy(copy: str) -> Any:
    other, target = places.alias(), volumes.alias()
    return exists().where(
        other.c.grp == groups.c.id, other.c.damaged.is_(False), target.c.id == other.c.volume, target.c.pool == copy
    )


def mark_lost_primaries(core: Core) -> list[str]:
    """After a disaster: mark primary volumes whose file is not there DESTROYED; return their names."""
    statement = (
        select(volumes).join(pools, pools.c.name == volumes.c.pool).where(pools.c.type == PoolType.PRIMARY.value)
    )
    with core.database.read() as connection:
        rows = connection.execute(statement).all()
    lost = [row for row in rows if core.media_of_class(row.devclass).facts(row.name) is None]
    with core.database.write() as connection:
        for row in lost:
            gone = {"access": VolumeAccess.DESTROYED.value}
            connection.execute(update(volumes).where(volumes.c.id == row.id).values(gone))
    return [row.name for row in lost]
