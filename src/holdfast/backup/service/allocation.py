"""Which volume the next records go to: the pool's own, in order, then (for client data) those of its next pool.

Order within a pool: a volume that fills for the same owner or for none, an empty one, a scratch volume, and only when
MAXSCRATCH is reached a volume that fills for another owner, the emptiest first. A DISK pool takes the volume with the
most room, and gives up cached copies when there is none. Every pool that cannot take the records says why, and the
refusal repeats all reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from holdfast.backup.model.pools import DISK, Collocate, VolumeAccess, VolumeStatus
from holdfast.backup.model.virtual import VolumeUse, volume_name
from holdfast.backup.service.catalog.schema import devclasses, filespaces, places, pools, volhistory, volumes
from holdfast.backup.service.core import Core, next_volume_number
from holdfast.backup.service.volumeformat import VolumeHeader, pack_header
from holdfast.kernel.errors import Refusal, Refused
from holdfast.kernel.sizes import KIB

_HEADER_BYTES = KIB


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a writer asks for."""

    pool: str
    filespace: int
    overflow: bool
    avoid: frozenset[int]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A claimed volume: its row, what fits into it, and the header it opens with when it is empty."""

    row: Any
    room_bytes: int
    header: bytes


class Allocator:
    """Chooses volumes for one writer."""

    def __init__(self, core: Core, wanted: Wanted) -> None:
        self._core, self._wanted = core, wanted
        self._full: set[str] = set()

    def choose(self, size_bytes: int, taken: set[int]) -> Chosen:
        """Return a claimed volume with room for ``size_bytes``. Raises ``Refused`` (no-storage) with every reason."""
        reasons: list[str] = []
        found: Chosen | str = ""
        try:
            with self._core.database.write() as connection:
                pools_in_order = hierarchy(connection, self._wanted.pool)
                for pool in pools_in_order if self._wanted.overflow else pools_in_order[:1]:
                    found = self._of_pool(connection, pool, size_bytes, taken | self._wanted.avoid)
                    if isinstance(found, Chosen):
                        return found
                    reasons.append(found)
        except BaseException:
            if isinstance(found, Chosen):
                self._core.mounts.unclaim(found.row)
            raise
        raise Refused(Refusal("no-storage", "; ".join(reasons), "raise MAXSCRATCH, define volumes, or reclaim"))

    def shun(self, pool: str) -> None:
        """Choose nothing of this pool any more: its medium is full."""
        self._full.add(pool)

    def _of_pool(self, connection: Connection, pool: Any, size_bytes: int, without: set[int]) -> Chosen | str:
        if pool.name in self._full:
            return f"the medium of pool {pool.name} is full"
        if pool.access not in ("", VolumeAccess.READWRITE.value):
            return f"pool {pool.name} has access {pool.access}"
        if pool.devclass == DISK:
            return self._of_disk(connection, pool, size_bytes, without)
        capacity = connection.execute(
            select(devclasses.c.capacity_bytes).where(devclasses.c.name == pool.devclass)
        ).scalar_one()
        owner = owner_of(connection, pool, self._wanted.filespace)
        candidates = [row for row in _writable(connection, pool.name, capacity) if row.id not in without]
        mine = [row for row in candidates if row.size_bytes and (not owner or row.owner in (owner, ""))]
        mine.sort(key=lambda row: row.owner != owner)
        fresh = [row for row in candidates if not row.size_bytes]
        others = sorted((row for row in candidates if row not in mine and row.size_bytes), key=lambda r: r.size_bytes)
        for row in (*mine, *fresh):
            if self._core.mounts.claim(row):
                return self._chosen(connection, row, capacity, owner)
        scratch = self._scratch(connection, pool)
        if scratch is not None and self._core.mounts.claim(scratch):
            return self._chosen(connection, scratch, capacity, owner)
        for row in others:
            if self._core.mounts.claim(row):
                return self._chosen(connection, row, capacity, row.owner)
        return f"pool {pool.name} has no volume to write: MAXSCRATCH={pool.maxscratch} is reached"

    def _chosen(self, connection: Connection, row: Any, capacity_bytes: int, owner: str) -> Chosen:
        if owner and not row.owner:
            connection.execute(update(volumes).where(volumes.c.id == row.id).values(owner=owner))
        header = VolumeHeader(row.name, self._core.name, row.pool, self._core.now_ns())
        return Chosen(row, capacity_bytes - row.size_bytes, pack_header(header))

    def _of_disk(self, connection: Connection, pool: Any, size_bytes: int, without: set[int]) -> Chosen | str:
        for attempt in range(2):
            rooms = [
                (row.capacity_bytes - used, row)
                for row, used in _disk_volumes(connection, pool.name)
                if row.id not in without
            ]
            for room, row in sorted(rooms, key=lambda item: -item[0]):
                if room >= size_bytes + (0 if row.size_bytes else _HEADER_BYTES) and self._core.mounts.claim(row):
                    header = VolumeHeader(row.name, self._core.name, row.pool, self._core.now_ns())
                    return Chosen(row, room, pack_header(header))
            if attempt or not drop_cached(connection, pool.name):
                break
        return f"pool {pool.name} has no DISK volume with {size_bytes} bytes free"

    def _scratch(self, connection: Connection, pool: Any) -> Any:
        mine = (volumes.c.pool == pool.name, volumes.c.scratch.is_(True))
        count = connection.execute(select(func.count()).select_from(volumes).where(*mine)).scalar_one()
        if count >= pool.maxscratch:
            return None
        now = self._core.now_ns()
        name = volume_name(self._core.name, VolumeUse.POOL, next_volume_number(connection, now))
        values = {
            "name": name,
            "pool": pool.name,
            "devclass": pool.devclass,
            "status": VolumeStatus.EMPTY.value,
            "access": VolumeAccess.READWRITE.value,
            "created_ns": now,
        }
        connection.execute(insert(volumes), values)
        note_volume(connection, now, "STGNEW", pool.devclass, name)
        return connection.execute(select(volumes).where(volumes.c.name == name)).one()


def hierarchy(connection: Connection, pool: str) -> list[Any]:
    """Return the rows of a pool and of those that follow it by NEXTSTGPOOL. Raises ``Refused`` for an unknown pool."""
    found: list[Any] = []
    name = pool
    while name and all(row.name != name for row in found):
        row = connection.execute(select(pools).where(pools.c.name == name)).first()
        if row is None:
            if not found:
                raise Refused(Refusal("not-found", f"storage pool {name} is not defined", "DEFINE STGPOOL"))
            break
        found.append(row)
        name = row.next_pool
    return found


def collocates(pool: Any) -> bool:
    """Return whether a pool keeps the data of one owner together."""
    return pool.collocate not in ("", Collocate.NO.value)


def owner_of(connection: Connection, pool: Any, filespace: int) -> str:
    """Return the owner by which ``pool`` keeps data together: "" when it does not."""
    if not collocates(pool) or not filespace:
        return ""
    row = connection.execute(select(filespaces).where(filespaces.c.id == filespace)).first()
    if row is None:
        return ""
    return f"{row.node}/{row.id}" if pool.collocate == Collocate.FILESPACE.value else str(row.node)


def drop_cached(connection: Connection, pool: str) -> int:
    """Give up the cached copies of a DISK pool (they lie in a next pool as well); return how many there were."""
    in_pool = select(volumes.c.id).where(volumes.c.pool == pool)
    done = connection.execute(delete(places).where(places.c.cached.is_(True), places.c.volume.in_(in_pool)))
    return int(done.rowcount)


def note_volume(connection: Connection, now_ns: int, kind: str, devclass: str, name: str) -> None:
    """Enter what became of a pool volume into the volume history: STGNEW, STGREUSE or STGDELETE."""
    values = {"at_ns": now_ns, "type": kind, "devclass": devclass, "volume": name, "command": ""}
    connection.execute(insert(volhistory), values)


def _writable(connection: Connection, pool: str, capacity_bytes: int) -> list[Any]:
    statement = select(volumes).where(
        volumes.c.pool == pool,
        volumes.c.status.in_([VolumeStatus.EMPTY.value, VolumeStatus.FILLING.value]),
        volumes.c.access == VolumeAccess.READWRITE.value,
        volumes.c.size_bytes < capacity_bytes,
    )
    return list(connection.execute(statement.order_by(volumes.c.id)).all())


def _disk_volumes(connection: Connection, pool: str) -> list[tuple[Any, int]]:
    held = (
        select(places.c.volume, func.sum(places.c.length).label("bytes"))
        .join(volumes, volumes.c.id == places.c.volume)
        .where(volumes.c.pool == pool)
        .group_by(places.c.volume)
        .subquery()
    )
    statement = (
        select(volumes, func.coalesce(held.c.bytes, 0).label("used"))
        .outerjoin(held, held.c.volume == volumes.c.id)
        .where(volumes.c.pool == pool, volumes.c.access == VolumeAccess.READWRITE.value)
        .where(volumes.c.status == VolumeStatus.ONLINE.value)
    )
    return [(row, int(row.used)) for row in connection.execute(statement).all()]
