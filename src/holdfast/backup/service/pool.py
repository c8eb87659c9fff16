"""Writing and reading pool volumes: records in, places out; places in, verified groups out.

Order on writing: append → fsync the volume → catalog transaction → acknowledge. A volume may hold bytes that the
catalog does not know (they were never acknowledged); the catalog never knows bytes that the volume does not hold.
Where a record goes when its pool is full or may not be written says ``allocation``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from holdfast.backup.model.pools import READABLE, VolumeAccess
from holdfast.backup.service.allocation import Allocator, Wanted
from holdfast.backup.service.catalog.schema import groups, places, pools, volumes
from holdfast.backup.service.core import Core
from holdfast.backup.service.mounts import Mount, record_size
from holdfast.backup.service.volumeformat import Damaged, GroupIndex, unseal
from holdfast.kernel.errors import HoldfastError, Refusal, Refused, Unavailable

_ALLOCATION_TRIES = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies, and the filespace for which it was stored first (0: not known)."""

    volume: int
    offset: int
    length: int
    filespace: int = 0


class PoolWriter:
    """Appends records to one pool. Use: ``append`` …, ``sync``, then ``record`` inside the catalog transaction.

    ``filespace`` decides by the pool's COLLOCATE which volumes are chosen; with ``overflow`` a pool that is full or
    cannot be written hands on to its NEXTSTGPOOL; ``avoid`` names volumes that are being emptied.
    """

    def __init__(
        self, core: Core, pool: str, *, filespace: int = 0, overflow: bool = False, avoid: Collection[int] = ()
    ) -> None:
        self._core, self._pool, self._filespace = core, pool, filespace
        self._allocator = Allocator(core, Wanted(pool, filespace, overflow, frozenset(avoid)))
        self._mounts: list[Mount] = []
        self._dirty: set[int] = set()
        self._used: set[int] = set()
        self._synced: dict[int, tuple[int, int]] = {}

    def append(self, record: bytes) -> Place:
        """Append a record to the current volume, or to the next when that one is full."""
        while True:
            mount = self._mounts[-1] if self._mounts else None
            if mount is None or not mount.fits(len(record)):
                mount = self._mount(len(record))
            try:
                offset = mount.append(record)
            except Refused as refused:
                if refused.refusal.code != "no-storage":
                    raise
                self._allocator.shun(mount.pool)  # the next pool may have room where this one's medium has none
                self._spill(mount)
                continue
            if offset is not None:
                self._dirty.add(mount.volume)
                self._used.add(mount.volume)
                return Place(mount.volume, offset, len(record), self._filespace)

    def _spill(self, mount: Mount) -> None:
        """Leave a volume that takes no more; one that holds nothing of this commit is given back at once."""
        if mount.volume not in self._used:
            self._mounts.remove(mount)
            self._core.mounts.release(mount)

    def sync(self) -> None:
        """Make all appended records durable on their media."""
        for mount in self._mounts:
            if mount.volume in self._dirty or mount.volume not in self._synced:
                self._synced[mount.volume] = mount.sync()
        self._dirty.clear()

    def record(self, connection: Connection) -> None:
        """Write sizes, dates and states of the touched volumes; call between ``sync`` and the commit."""
        for mount in self._mounts:
            record_size(connection, mount, self._synced[mount.volume], mount is not self._mounts[-1])

    def release_full(self) -> None:
        """Close volumes that are full and recorded; call after the commit."""
        while len(self._mounts) > 1:
            self._core.mounts.release(self._mounts.pop(0))
        self._core.changed.set()

    def close(self) -> None:
        """Dismount. Records after the last ``sync`` are dropped."""
        while self._mounts:
            self._core.mounts.release(self._mounts.pop())

    def _mount(self, size_bytes: int) -> Mount:
        for _ in range(_ALLOCATION_TRIES):
            chosen = self._allocator.choose(size_bytes, {mount.volume for mount in self._mounts})
            try:
                mount = self._core.mounts.open(chosen.row, chosen.room_bytes, chosen.header)
            except Refused as refused:
                if refused.refusal.code != "exists":
                    raise
                self._set_access(chosen.row.id, VolumeAccess.UNAVAILABLE)
                continue
            except Unavailable:
                raise
            except HoldfastError as error:
                # cut off or gone: nobody appends to it any more, and AUDIT VOLUME says what it has lost
                self._set_access(chosen.row.id, VolumeAccess.READONLY)
                self._core.log("ANR1229W", volume=chosen.row.name, reason=error.message)
                continue
            self._mounts.append(mount)
            self._dirty.add(mount.volume)
            return mount
        raise Refused(Refusal("no-storage", f"no volume of pool {self._pool} can be opened", "check the device class"))

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

    A place that fails is marked damaged and the next one is tried: primary volumes first, then copies. A group that
    was moved while it was read is looked for once more. Raises :class:`Unreadable` when no place is left.
    """
    tried: dict[int, str] = {}
    reasons: list[str] = []
    while True:
        row = next((row for row in _places_of(core, group) if row.volume not in tried), None)
        if row is None:
            break
        tried[row.volume] = row.name
        try:
            return read_place(core, row.name, row.devclass, Place(row.volume, row.offset, row.length), row.uuid)
        except HoldfastError as error:
            if not _still_there(core, group, row):
                continue
            reasons.append(f"{row.name}: {error.message}")
            core.log("ANR1229W", volume=row.name, reason=error.message)
            if isinstance(error, Damaged):
                mark_damaged(core, group, row.volume, True)
    names = list(tried.values())
    if not names:
        names = _unreachable(core, group)
        reasons = [f"{name} is damaged or not available" for name in names]
    raise Unreadable("; ".join(reasons) or f"group {group} has no place", tuple(names))


def read_place(core: Core, name: str, devclass: str, place: Place, uuid: bytes) -> tuple[GroupIndex, bytes]:
    """Return one record, verified to be the group ``uuid``. Raises :class:`Damaged` or what the medium raises."""
    index, data = unseal(core.media_of_class(devclass).read(name, place.offset, place.length), core.keys.cipher)
    return _same(index, uuid), data


def raw_record(core: Core, name: str, devclass: str, place: Place, uuid: bytes) -> bytes:
    """Return one record's bytes after verifying them, for copying as they are."""
    record = core.media_of_class(devclass).read(name, place.offset, place.length)
    _same(unseal(record, core.keys.cipher)[0], uuid)
    return record


def _same(index: GroupIndex, uuid: bytes) -> GroupIndex:
    if index.uuid != uuid:
        raise Damaged("the record is another group's: the volume was written anew")
    return index


def mark_damaged(core: Core, group: int, volume: int, damaged: bool) -> None:
    """Note that a place reads badly, or (after an audit) well again."""
    with core.database.write() as connection:
        connection.execute(
            update(places).where(places.c.grp == group, places.c.volume == volume).values(damaged=damaged)
        )


def _places_of(core: Core, group: int) -> list[Any]:
    statement = (
        select(places, volumes.c.name, volumes.c.devclass, pools.c.type, groups.c.uuid)
        .join(groups, groups.c.id == places.c.grp)
        .join(volumes, volumes.c.id == places.c.volume)
        .join(pools, pools.c.name == volumes.c.pool)
        .where(places.c.grp == group, places.c.damaged.is_(False), volumes.c.access.in_([a.value for a in READABLE]))
        .order_by(pools.c.type.desc(), volumes.c.id)
    )
    with core.database.read() as connection:
        return list(connection.execute(statement).all())


def _still_there(core: Core, group: int, row: Any) -> bool:
    where = (places.c.grp == group, places.c.volume == row.volume, places.c.offset == row.offset)
    with core.database.read() as connection:
        return connection.execute(select(places.c.grp).where(*where)).first() is not None


def _unreachable(core: Core, group: int) -> list[str]:
    statement = select(volumes.c.name).join(places, places.c.volume == volumes.c.id).where(places.c.grp == group)
    with core.database.read() as connection:
        return list(connection.execute(statement).scalars())
