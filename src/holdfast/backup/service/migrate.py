"""Migration carried out: facts of a pool, the plan of ``plan.migration``, its volumes moved to the next pool.

Started by MIGRATE STGPOOL or by the watch over thresholds; one migration of a pool at a time. MOVE DATA is the same for
one volume. A DISK pool with CACHE=YES keeps what went as cached copies until it needs the room.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from holdfast.backup.model.pools import DISK, READABLE, PoolType
from holdfast.backup.plan.migration import Candidate, Migration, PoolLoad, migrate
from holdfast.backup.service.catalog.schema import filespaces, groups, places, pools, volumes
from holdfast.backup.service.catalog.storage import VolumeFacts, Work, pool_load, volume_facts, work_list
from holdfast.backup.service.claims import pool_key, volume_key
from holdfast.backup.service.core import Core, exclusive, pool_row
from holdfast.backup.service.mover import Keep, MoveFigures, Mover
from holdfast.backup.service.processes import Process
from holdfast.backup.service.volumes import claimed, named, release_empty
from holdfast.kernel.errors import Refusal, Refused

_READABLE = [access.value for access in READABLE]


@dataclass(slots=True)
class MigrateFigures:
    """What a migration did, and what stayed with the reason why."""

    moved: MoveFigures = field(default_factory=MoveFigures)
    stays: tuple[tuple[str, str], ...] = ()
    short: bool = False


def migrate_pool(
    core: Core, pool: str, process: Process, *, low_pct: int | None = None, duration_min: int = 0
) -> MigrateFigures:
    """Migrate a pool down to ``low_pct`` (its LOWMIG when None), at most ``duration_min`` minutes (0: no limit).

    Raises ``Refused``: no-next-pool, in-use; and what media raise.
    """
    with exclusive(core, "MIGRATE STGPOOL", pool_key(pool, "migration")):
        with core.database.read() as connection:
            row = pool_row(connection, pool)
            plan = decide(connection, core, row, low_pct)
            work = [] if isinstance(plan, Refusal) else list(_work(connection, row, plan))
        if isinstance(plan, Refusal):
            raise Refused(plan)
        process.begin(len(work), f"Migration of {pool} to {plan.next_pool}")
        keep = Keep.CACHE if row.cache else Keep.NOTHING
        moved = Mover(core, plan.next_pool, process, keep=keep).run(until(work, duration_min))
        release_empty(core)
        return MigrateFigures(moved, plan.stays, plan.short)


def until(work: list[Work], duration_min: int) -> Iterator[Work]:
    """Yield the work until the time is over."""
    end = time.monotonic() + duration_min * 60
    for item in work:
        if duration_min and time.monotonic() >= end:
            return
        yield item


def decide(connection: Connection, core: Core, row: Any, low_pct: int | None = None) -> Migration | Refusal:
    """Return what would migrate from a pool now, and why."""
    if row.type != PoolType.PRIMARY.value:
        return Refusal("invalid", f"{row.name} is not a primary storage pool", "name a primary pool")
    facts = volume_facts(connection, volumes.c.pool == row.name)
    load = pool_load(connection, row, facts)
    candidates = _volumes(core, facts) if load.sequential else _filespaces(connection, row.name)
    return migrate(load, candidates, core.now_ns(), low_pct)


def load_of(connection: Connection, row: Any) -> PoolLoad:
    """Return how full a pool is."""
    return pool_load(connection, row, volume_facts(connection, volumes.c.pool == row.name))


def _volumes(core: Core, facts: list[VolumeFacts]) -> list[Candidate]:
    found = []
    for fact in facts:
        row = fact.row
        if not fact.stored_bytes:
            continue
        obstacle = "" if row.access in _READABLE else f"its access is {row.access}"
        if not obstacle and core.claims.held(volume_key(row.id)):
            obstacle = "it is mounted"
        found.append(Candidate(row.id, row.name, fact.stored_bytes, row.written_ns, obstacle))
    return found


def _filespaces(connection: Connection, pool: str) -> list[Candidate]:
    statement = (
        select(groups.c.filespace, func.sum(places.c.length), func.max(volumes.c.written_ns))
        .select_from(places)
        .join(groups, groups.c.id == places.c.grp)
        .join(volumes, volumes.c.id == places.c.volume)
        .where(volumes.c.pool == pool, places.c.cached.is_(False), volumes.c.access.in_(_READABLE))
        .group_by(groups.c.filespace)
    )
    names = {row.id: f"{row.node} {row.name}" for row in connection.execute(select(filespaces)).all()}
    return [
        Candidate(filespace, names.get(filespace, f"filespace {filespace}"), int(size), written)
        for filespace, size, written in connection.execute(statement).all()
    ]


def _work(connection: Connection, row: Any, plan: Migration) -> Iterator[Work]:
    for chosen in plan.goes:
        if row.devclass != DISK:
            yield from work_list(connection, places.c.volume == chosen)
        else:
            where = (volumes.c.pool == row.name, groups.c.filespace == chosen, places.c.cached.is_(False))
            yield from work_list(connection, *where, volumes.c.access.in_(_READABLE))


def move_data(core: Core, name: str, process: Process, pool: str = "") -> MoveFigures:
    """MOVE DATA: move everything off a volume, within its pool or into ``pool`` (primary to primary only)."""
    row = named(core, name)
    with core.database.read() as connection:
        kinds = {one: pool_row(connection, one).type for one in (row.pool, pool or row.pool)}
        if pool and pool != row.pool and set(kinds.values()) != {PoolType.PRIMARY.value}:
            raise Refused(Refusal("invalid", "data of a copy pool stays in it", "MOVE DATA without STGPOOL"))
        work = work_list(connection, places.c.volume == row.id)
    process.begin(len(work), f"Move of volume {name}")
    with claimed(core, row, "MOVE DATA"):
        moved = Mover(core, pool or row.pool, process, keep=Keep.NOTHING, avoid={row.id}).run(work)
    release_empty(core)
    return moved


def pools_by_name(connection: Connection) -> list[Any]:
    """Return all pools' rows."""
    return list(connection.execute(select(pools).order_by(pools.c.name)).all())
