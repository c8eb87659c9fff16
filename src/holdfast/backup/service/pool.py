"""Writing and reading pool volumes: records in, places out; places in, verified groups out.

Order on writing: append → fsync the volume → catalog transaction → acknowledge. A volume may hold bytes that the
catalog does not know (they were never acknowledged); the catalog never knows bytes that the volume does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from holdfast.backup.model.pools import READABLE, VolumeAccess, VolumeStatus
from holdfast.backup.model.virtual import VolumeUse, volume_name
from holdfast.backup.ports import Appender
from holdfast.backup.service.catalog.schema import devclasses, places, pools, volumes
from holdfast.backup.service.core import Core, next_volume_number, pool_row
from holdfast.backup.service.volumeformat import Damaged, GroupIndex, VolumeHeader, pack_header, unseal
from holdfast.kernel.errors import HoldfastError, Refusal, Refused

_ALLOCATION_TRIES = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies."""

    volume: int
    offset: int
    length: int


@dataclass(slots=True)
class _Mount:
    volume: int
    name: str
    appender: Appender
    capacity_bytes: int
    dirty: bool = True


class PoolWriter:
    """Appends records to one pool. Use: ``append`` …, ``sync``, then ``record`` inside the catalog transaction."""

    def __init__(self, core: Core, pool: str) -> None:
        self._core, self._pool = core, pool
        self._mounts: list[_Mount] = []
        self._dates: dict[int, int] = {}

    def append(self, record: bytes) -> Place:
        """Append a record to the current volume, or to the next when that one is full."""
        mount = self._mounts[-1] if self._mounts else None
        if mount is None or mount.appender.size_bytes + len(record) > mount.capacity_bytes:
            mount = self._mount()
        mount.dirty = True
        offset = mount.appender.size_bytes
        mount.appender.write(record)
        return Place(mount.volume, offset, len(record))

    def sync(self) -> None:
        """Make all appended records durable on their media."""
        for mount in self._mounts:
            if mount.dirty:
                self._dates[mount.volume] = mount.appender.commit()
                mount.dirty = False

    def record(self, connection: Connection) -> None:
        """Write sizes, dates and states of the touched volumes; call between ``sync`` and the commit."""
        for mount in self._mounts:
            full = mount is not self._mounts[-1]
            values = {
                "size_bytes": mount.appender.size_bytes,
                "written_ns": self._dates.get(mount.volume, 0),
                "status": (VolumeStatus.FULL if full else VolumeStatus.FILLING).value,
            }
            connection.execute(update(volumes).where(volumes.c.id == mount.volume).values(values))

    def release_full(self) -> None:
        """Close volumes that are full and recorded; call after the commit."""
        while len(self._mounts) > 1:
            self._dismount(self._mounts.pop(0))

    def close(self) -> None:
        """Dismount. Records after the last ``sync`` are dropped."""
        while self._mounts:
            self._dismount(self._mounts.pop())

    def _dismount(self, mount: _Mount) -> None:
        try:
            mount.appender.close()
        finally:
            self._core.mounted.discard(mount.volume)

    def _mount(self) -> _Mount:
        for _ in range(_ALLOCATION_TRIES):
            row, devclass, prefix = self._allocate()
            try:
                appender = self._core.media_of_class(devclass.name).append(row.name, row.size_bytes)
            except Refused as refused:
                self._core.mounted.discard(row.id)
                if refused.refusal.code != "exists":
                    raise
                self._set_access(row.id, VolumeAccess.UNAVAILABLE)
                continue
            except HoldfastError:
                self._core.mounted.discard(row.id)
                raise
            mount = _Mount(row.id, row.name, appender, devclass.capacity_bytes)
            if row.size_bytes == 0:
                appender.write(prefix)
            self._mounts.append(mount)
            return mount
        raise Refused(Refusal("no-storage", f"no volume of pool {self._pool} can be opened", "check the device class"))

    def _allocate(self) -> tuple[Any, Any, bytes]:
        """Choose a volume that is filling, or define a scratch volume."""
        with self._core.database.write() as connection:
            pool = pool_row(connection, self._pool)
            devclass = connection.execute(select(devclasses).where(devclasses.c.name == pool.devclass)).one()
            candidates = connection.execute(
                select(volumes)
                .where(
                    volumes.c.pool == self._pool,
                    volumes.c.status.in_([VolumeStatus.EMPTY.value, VolumeStatus.FILLING.value]),
                    volumes.c.access == VolumeAccess.READWRITE.value,
                    volumes.c.size_bytes < devclass.capacity_bytes,
                )
                .order_by(volumes.c.id)
            ).all()
            taken = {mount.volume for mount in self._mounts}
            for row in candidates:
                if row.id not in self._core.mounted and row.id not in taken:
                    self._core.mounted.add(row.id)
                    return row, devclass, self._header(row.name)
            row = self._scratch(connection, pool)
            self._core.mounted.add(row.id)
            return row, devclass, self._header(row.name)

    def _scratch(self, connection: Connection, pool: Any) -> Any:
        count = connection.execute(select(func.count()).where(volumes.c.pool == self._pool)).scalar_one()
        if pool.maxscratch and count >= pool.maxscratch:
            raise Refused(
                Refusal(
                    "no-storage", f"pool {self._pool} has its {count} scratch volumes", "raise MAXSCRATCH or reclaim"
                )
            )
        now = self._core.now_ns()
        name = volume_name(self._core.name, VolumeUse.POOL, next_volume_number(connection, now))
        values = {
            "name": name,
            "pool": self._pool,
            "devclass": pool.devclass,
            "status": VolumeStatus.EMPTY.value,
            "access": VolumeAccess.READWRITE.value,
            "created_ns": now,
        }
        connection.execute(insert(volumes), values)
        return connection.execute(select(volumes).where(volumes.c.name == name)).one()

    def _header(self, name: str) -> bytes:
        return pack_header(VolumeHeader(name, self._core.name, self._pool, self._core.now_ns()))

    def _set_access(self, volume: int, access: VolumeAccess) -> None:
        with self._core.database.write() as connection:
            connection.execute(update(volumes).where(volumes.c.id == volume).values(access=access.value))


class Unreadable(HoldfastError):
    """No place of a group can be read; ``volumes`` names where it was looked for."""

    def __init__(self, message: str, names: tuple[str, ...]) -> None:
        super().__init__(message)
        self.volumes = names


def read_group(core: Core, group: int) -> tuple[GroupIndex, bytes]:
    """Return a group's index and zstd frame from the best place that reads well.

    A place that fails is marked damaged and the next one is tried: primary volumes first, then copies.
    Raises :class:`Unreadable` when none is left.
    """
    tried: list[str] = []
    reasons: list[str] = []
    for row in _places_of(core, group):
        tried.append(row.name)
        try:
            return read_place(core, row.name, row.devclass, Place(row.volume, row.offset, row.length))
        except HoldfastError as error:
            reasons.append(f"{row.name}: {error.message}")
            core.log("ANR1229W", volume=row.name, reason=error.message)
            if isinstance(error, Damaged):
                mark_damaged(core, group, row.volume, True)
    if not tried:
        tried = _unreachable(core, group)
        reasons = [f"{name} is damaged or not available" for name in tried]
    raise Unreadable("; ".join(reasons) or f"group {group} has no place", tuple(tried))


def read_place(core: Core, name: str, devclass: str, place: Place) -> tuple[GroupIndex, bytes]:
    """Return one record, verified. Raises :class:`Damaged` or what the medium raises."""
    return unseal(core.media_of_class(devclass).read(name, place.offset, place.length), core.keys.cipher)


def raw_record(core: Core, name: str, devclass: str, place: Place) -> bytes:
    """Return one record's bytes after verifying them, for copying as they are."""
    record = core.media_of_class(devclass).read(name, place.offset, place.length)
    unseal(record, core.keys.cipher)
    return record


def mark_damaged(core: Core, group: int, volume: int, damaged: bool) -> None:
    """Note that a place reads badly, or (after an audit) well again."""
    with core.database.write() as connection:
        connection.execute(
            update(places).where(places.c.grp == group, places.c.volume == volume).values(damaged=damaged)
        )


def _places_of(core: Core, group: int) -> list[Any]:
    statement = (
        select(places, volumes.c.name, volumes.c.devclass, pools.c.type)
        .join(volumes, volumes.c.id == places.c.volume)
        .join(pools, pools.c.name == volumes.c.pool)
        .where(places.c.grp == group, places.c.damaged.is_(False), volumes.c.access.in_([a.value for a in READABLE]))
        .order_by(pools.c.type.desc(), volumes.c.id)
    )
    with core.database.read() as connection:
        return list(connection.execute(statement).all())


def _unreachable(core: Core, group: int) -> list[str]:
    statement = select(volumes.c.name).join(places, places.c.volume == volumes.c.id).where(places.c.grp == group)
    with core.database.read() as connection:
        return list(connection.execute(statement).scalars())
