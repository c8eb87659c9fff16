"""Where content lies, as statements: how full volumes and pools are, and the work lists of what moves data.

``live_bytes`` of a group is what the last sweep found in use of it (NULL: not swept yet, all of it counts); a volume's
live bytes are its records' lengths, each by the share of its group that lives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, ForeignKey, Integer, Select, Table, Text, case, func, select

from holdfast.backup.model.policy import NOLIMIT
from holdfast.backup.model.pools import DISK, VolumeAccess, VolumeStatus
from holdfast.backup.plan.migration import PoolLoad
from holdfast.backup.plan.reclamation import Fill
from holdfast.backup.service.catalog.schema import devclasses, groups, metadata, places, pools, volumes

_ID = BigInteger().with_variant(Integer, "sqlite")
POOL_HISTORY = ("STGNEW", "STGREUSE", "STGDELETE")
"""Entries of the volume history that speak of pool volumes; all others are of database backups and exports."""

catalog_records = Table(
    "catalog_records",
    metadata,
    Column("grp", _ID, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("filespace", BigInteger, nullable=False, server_default="0"),
    Column("versions", BigInteger, nullable=False, server_default="0"),
    Column("at_ns", BigInteger, nullable=False, index=True),
)
"""Groups that hold no content but what the catalog needs to be rebuilt: see ``service.journal``."""


dbtriggers = Table(
    "dbtriggers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("devclass", Text, nullable=False),
    Column("incrdevclass", Text, nullable=False, server_default=""),
    Column("logfull_pct", Integer, nullable=False, server_default="50"),
    Column("numincremental", Integer, nullable=False, server_default="6"),
)
"""The one database backup trigger, number 1."""


@dataclass(frozen=True, slots=True)
class Work:
    """One record to read: the group it holds, where it lies, for whom it was stored first."""

    group: int
    uuid: bytes
    bound_pool: str
    filespace: int
    raw_bytes: int
    live_bytes: int
    volume: int
    name: str
    devclass: str
    offset: int
    length: int


def work_select() -> Select[Any]:
    """Select what a :class:`Work` is made of, from places that are not damaged; add conditions to it."""
    return (
        select(
            groups.c.id,
            groups.c.uuid,
            groups.c.pool,
            groups.c.filespace,
            groups.c.raw_bytes,
            func.coalesce(groups.c.live_bytes, groups.c.raw_bytes),
            volumes.c.id,
            volumes.c.name,
            volumes.c.devclass,
            places.c.offset,
            places.c.length,
        )
        .select_from(places)
        .join(groups, groups.c.id == places.c.grp)
        .join(volumes, volumes.c.id == places.c.volume)
    )


def work_list(connection: Connection, *conditions: Any) -> list[Work]:
    """Return the records that meet the conditions, in the order in which a volume is read."""
    statement = work_select().where(*conditions).order_by(places.c.volume, places.c.offset)
    return [Work(*row) for row in connection.execute(statement)]


def live_length() -> Any:
    """Return the expression for the live bytes of a place."""
    live = func.coalesce(groups.c.live_bytes, groups.c.raw_bytes)
    return case((groups.c.raw_bytes > 0, places.c.length * live // groups.c.raw_bytes), else_=places.c.length)


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """A volume's row, the bytes of its records, the live ones among them, and how many records there are."""

    row: Any
    stored_bytes: int
    live_bytes: int
    groups: int

    @property
    def capacity_bytes(self) -> int:
        """What the volume can hold: its own size, or what its device class says."""
        return int(self.row.capacity_bytes or self.row.class_bytes or 0)


def volume_facts(connection: Connection, *conditions: Any) -> list[VolumeFacts]:
    """Return the volumes that meet the conditions, by name, with what lies on them."""
    held = (
        select(
            places.c.volume,
            func.sum(places.c.length).label("stored"),
            func.sum(live_length()).label("live"),
            func.count().label("records"),
        )
        .join(groups, groups.c.id == places.c.grp)
        .group_by(places.c.volume)
        .subquery()
    )
    statement = (
        select(volumes, held.c.stored, held.c.live, held.c.records, devclasses.c.capacity_bytes.label("class_bytes"))
        .outerjoin(held, held.c.volume == volumes.c.id)
        .outerjoin(devclasses, devclasses.c.name == volumes.c.devclass)
        .where(*conditions)
        .order_by(volumes.c.name)
    )
    rows = connection.execute(statement).all()
    return [VolumeFacts(row, int(row.stored or 0), int(row.live or 0), int(row.records or 0)) for row in rows]


def pool_load(connection: Connection, pool: Any, facts: list[VolumeFacts]) -> PoolLoad:
    """Return how full a primary pool is: volumes for a sequential one, bytes (without cached copies) for DISK."""
    sequential = pool.devclass != DISK
    if sequential:
        used = sum(1 for fact in facts if fact.stored_bytes)
        defined = sum(1 for fact in facts if not fact.row.scratch)
        capacity = pool.maxscratch + defined if pool.maxscratch < NOLIMIT else 0
    else:
        used = sum(fact.stored_bytes for fact in facts) - cached_bytes(connection, pool.name)
        capacity = sum(fact.row.capacity_bytes for fact in facts)
    return PoolLoad(
        pool.name, pool.next_pool, sequential, used, capacity, pool.highmig, pool.lowmig, pool.migdelay_days,
        bool(pool.migcontinue),
    )  # fmt: skip


def cached_bytes(connection: Connection, pool: str) -> int:
    """Return the bytes of a DISK pool that are cached copies of what was migrated."""
    statement = (
        select(func.coalesce(func.sum(places.c.length), 0))
        .join(volumes, volumes.c.id == places.c.volume)
        .where(volumes.c.pool == pool, places.c.cached.is_(True))
    )
    return int(connection.execute(statement).scalar_one())


def fill_of(fact: VolumeFacts, mounted: bool) -> Fill:
    """Return a volume as the plan of reclamation sees it."""
    row = fact.row
    status, access = VolumeStatus(row.status), VolumeAccess(row.access)
    return Fill(row.id, row.name, row.size_bytes, fact.live_bytes, status, access, mounted)


def primary_pools(connection: Connection) -> list[Any]:
    """Return the rows of all primary pools, by name."""
    return list(connection.execute(select(pools).where(pools.c.type == "PRIMARY").order_by(pools.c.name)).all())
