"""Pool volumes as things: defined, changed, emptied, kept for REUSEDELAY, reused or deleted.

A volume leaves in three steps, each of which a crash may end and the next run takes up: nothing lies on it any more →
PENDING with the time → after the delay its bytes go, then its record (or it is EMPTY again when it was defined by
name). The record goes last, so no file is left behind that the catalog does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import delete, exists, func, insert, not_, select, update

from holdfast.backup.model.pools import DISK, DeviceType, PoolType, VolumeAccess, VolumeStatus
from holdfast.backup.plan.expiration import DAY_NS
from holdfast.backup.service.allocation import note_volume
from holdfast.backup.service.catalog.schema import devclasses, places, pools, volumes
from holdfast.backup.service.claims import volume_key
from holdfast.backup.service.core import Core, pool_row, volume_by_name
from holdfast.backup.service.retention import refuse_locked_volume
from holdfast.backup.service.volumeformat import DEAD_MAGIC, Damaged, frames
from holdfast.kernel.errors import HoldfastError, Refusal, Refused

_EMPTIED = (VolumeStatus.FULL.value, VolumeStatus.FILLING.value, VolumeStatus.PENDING.value)


@contextmanager
def claimed(core: Core, row: Any, what: str) -> Iterator[None]:
    """Hold a volume so that nobody mounts it. Raises ``Refused`` (in-use) when somebody has."""
    if not core.claims.take(volume_key(row.id), timeout_s=2.0):
        raise Refused(Refusal("in-use", f"{what}: volume {row.name} is mounted", "try again later"))
    try:
        yield
    finally:
        core.claims.give(volume_key(row.id))


def named(core: Core, name: str) -> Any:
    """Return a volume's row. Raises ``Refused`` when there is none."""
    with core.database.read() as connection:
        row = volume_by_name(connection, name)
    if row is None:
        raise Refused(Refusal("not-found", f"ANR2401E volume {name} is not defined in a storage pool", "QUERY VOLUME"))
    return row


def define_volume(core: Core, pool: str, name: str, access: str, capacity_bytes: int, location: str) -> None:
    """Define a volume by name: of a DISK pool with its size, of a sequential one without."""
    with core.database.write() as connection:
        row = pool_row(connection, pool)
        if volume_by_name(connection, name) is not None:
            raise Refused(Refusal("exists", f"ANR2404E volume {name} is already defined", "QUERY VOLUME"))
        kind = connection.execute(select(devclasses.c.type).where(devclasses.c.name == row.devclass)).scalar_one()
        if kind == DeviceType.SERVER.value:
            raise Refused(Refusal("invalid", "virtual volumes are scratch volumes", "raise MAXSCRATCH"))
        disk = row.devclass == DISK
        values = {
            "name": name,
            "pool": pool,
            "devclass": row.devclass,
            "status": (VolumeStatus.ONLINE if disk else VolumeStatus.EMPTY).value,
            "access": access,
            "created_ns": core.now_ns(),
            "scratch": False,
            "capacity_bytes": capacity_bytes if disk else 0,
            "location": location,
        }
        if core.media_of_class(row.devclass).facts(name) is not None:
            raise Refused(Refusal("exists", f"{name} exists already and may hold data", "choose a new name"))
        connection.execute(insert(volumes), values)


def delete_volume(core: Core, name: str, *, discard: bool) -> None:
    """Delete a volume: an empty one, or with ``discard`` one whose places are given up.

    Raises ``Refused``: in-use, referenced (data and no ``discard``), locked (its pool's retention lock holds it).
    """
    row = named(core, name)
    with claimed(core, row, "DELETE VOLUME"):
        with core.database.write() as connection:
            refuse_locked_volume(connection, row, core.now_ns())
            used = connection.execute(
                select(func.count()).select_from(places).where(places.c.volume == row.id)
            ).scalar_one()
            if used and not discard:
                reason = f"ANR2406E volume {name} still holds {used} groups"
                raise Refused(Refusal("referenced", reason, "MOVE DATA first, or DISCARDDATA=YES gives them up"))
            connection.execute(delete(places).where(places.c.volume == row.id))
            pending = {"status": VolumeStatus.PENDING.value, "pending_ns": 1, "scratch": True}
            connection.execute(update(volumes).where(volumes.c.id == row.id).values(pending))
        _retire(core, row, scratch=True)


def release_empty(core: Core) -> list[tuple[str, str]]:
    """Move on every volume that holds nothing any more; return (name, pool) of those that were deleted."""
    holding = exists().where(places.c.volume == volumes.c.id)
    statement = (
        select(volumes, pools.c.reusedelay_days)
        .join(pools, pools.c.name == volumes.c.pool)
        .where(not_(holding), volumes.c.status.in_(_EMPTIED), volumes.c.access != VolumeAccess.DESTROYED.value)
    )
    with core.database.read() as connection:
        rows = connection.execute(statement).all()
    gone = []
    for row in rows:
        if not core.claims.take(volume_key(row.id)):
            continue
        try:
            if _release(core, row):
                gone.append((row.name, row.pool))
        finally:
            core.claims.give(volume_key(row.id))
    _erase_unused(core)
    if gone:
        core.changed.set()
    return gone


def _release(core: Core, row: Any) -> bool:
    """Take one claimed, empty volume as far as its delay allows; return whether it was deleted."""
    since = row.pending_ns
    if row.status != VolumeStatus.PENDING.value:
        since = core.now_ns()
        holding = exists().where(places.c.volume == volumes.c.id)
        values = {"status": VolumeStatus.PENDING.value, "pending_ns": since}
        with core.database.write() as connection:
            done = connection.execute(update(volumes).where(volumes.c.id == row.id, not_(holding)).values(values))
        if not done.rowcount:
            return False
    if since + row.reusedelay_days * DAY_NS > core.now_ns():
        return False
    _retire(core, row, scratch=row.scratch)
    return bool(row.scratch)


def _retire(core: Core, row: Any, *, scratch: bool) -> None:
    try:
        core.media_of_class(row.devclass).delete(row.name)
    except Refused as refused:
        if refused.refusal.code != "not-found":
            raise
    mine = volumes.c.id == row.id
    with core.database.write() as connection:
        kind = "STGDELETE" if scratch else "STGREUSE"
        note_volume(connection, core.now_ns(), kind, row.devclass, row.name)
        if scratch:
            connection.execute(delete(volumes).where(mine))
        else:
            status = VolumeStatus.ONLINE if row.devclass == DISK else VolumeStatus.EMPTY
            values = {"status": status.value, "size_bytes": 0, "pending_ns": 0, "owner": ""}
            connection.execute(update(volumes).where(mine).values(values))


def drop_destroyed(core: Core, pool: str) -> None:
    """Forget DESTROYED volumes of a pool that hold nothing any more; their bytes are lost anyway."""
    used = exists().where(places.c.volume == volumes.c.id)
    where = (volumes.c.pool == pool, volumes.c.access == VolumeAccess.DESTROYED.value, not_(used))
    with core.database.read() as connection:
        rows = connection.execute(select(volumes).where(*where)).all()
    for row in rows:
        try:
            core.media_of_class(row.devclass).delete(row.name)
        except HoldfastError as error:
            core.log("ANR1229W", volume=row.name, reason=error.message)
        with core.database.write() as connection:
            note_volume(connection, core.now_ns(), "STGDELETE", row.devclass, row.name)
            connection.execute(delete(volumes).where(volumes.c.id == row.id, not_(used)))


def _erase_unused(core: Core) -> None:
    """Give the space of records that nothing names back, in the middle of DISK volumes that nobody has mounted."""
    with core.database.read() as connection:
        rows = connection.execute(select(volumes).where(volumes.c.devclass == DISK, volumes.c.size_bytes > 0)).all()
    for row in rows:
        if not core.claims.take(volume_key(row.id)):
            continue
        try:
            _erase_of(core, row)
        finally:
            core.claims.give(volume_key(row.id))


def _erase_of(core: Core, row: Any) -> None:
    with core.database.read() as connection:
        size = connection.execute(select(volumes.c.size_bytes).where(volumes.c.id == row.id)).scalar()
        named = set(connection.execute(select(places.c.offset).where(places.c.volume == row.id)).scalars())
    if not named or size is None:
        if size is not None:
            _retire(core, row, scratch=False)
        return
    read = partial(core.media_of_class(DISK).read, row.name)
    try:
        dead = [
            (offset, length, DEAD_MAGIC + head[4:])
            for offset, length, head in frames(read, size)
            if offset not in named and head[:4] != DEAD_MAGIC
        ]
    except (Damaged, HoldfastError) as error:
        core.log("ANR1229W", volume=row.name, reason=error.message)
        return
    if dead:
        core.disk_media().erase(row.name, dead)


def update_volumes(core: Core, names: list[str], values: dict[str, Any]) -> int:
    """Change ACCESS or LOCATION of volumes. DESTROYED is for primary volumes, OFFSITE for copies."""
    access = values.get("access")
    with core.database.write() as connection:
        for name in names:
            row = volume_by_name(connection, name)
            kind = pool_row(connection, row.pool).type
            if access == VolumeAccess.DESTROYED.value and kind != PoolType.PRIMARY.value:
                raise Refused(Refusal("invalid", f"{name} is in a copy pool: DESTROYED is for primary volumes"))
            if access == VolumeAccess.OFFSITE.value and kind != PoolType.COPY.value:
                raise Refused(Refusal("invalid", f"{name} is in a primary pool: OFFSITE is for copy pools"))
            connection.execute(update(volumes).where(volumes.c.id == row.id).values(values))
    core.changed.set()
    return len(names)
