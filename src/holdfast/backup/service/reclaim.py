"""Reclamation carried out: what lives on sparse volumes is copied out, then the volumes are free.

Whole records move as they are. Of a primary pool, a record of which only part lives is *repacked*: its live chunks go,
with those of other sparse records, into a new group of full size, written to the same pool and, in the same
transaction, to every copy pool that held the old ones: what was protected stays protected. Where a copy pool cannot
take its part now, the records move whole and stay sparse. Old groups are forgotten only while no client has a session,
because one may have been told where a chunk lies; until then their volumes are simply not empty yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from holdfast.backup.model.pools import DISK, PoolType, VolumeAccess
from holdfast.backup.plan.reclamation import Reclamation, reclaim
from holdfast.backup.service.catalog.schema import places, pools, volumes
from holdfast.backup.service.catalog.storage import Work, fill_of, volume_facts, work_list
from holdfast.backup.service.claims import SESSIONS, pool_key, volume_key
from holdfast.backup.service.core import Core, exclusive, pool_row
from holdfast.backup.service.migrate import until
from holdfast.backup.service.mover import Keep, MoveFigures, Mover
from holdfast.backup.service.processes import Process
from holdfast.backup.service.repack import Repacker
from holdfast.backup.service.sweep import drop_dead_groups
from holdfast.backup.service.volumes import release_empty
from holdfast.kernel.errors import HoldfastError, Refusal, Refused

_WHOLE_PCT = 80
"""A record of which at least this share lives moves as it is: unpacking it would win little."""


@dataclass(slots=True)
class ReclaimFigures:
    """What a reclamation did: volumes emptied, what moved, how many sparse groups became fewer full ones."""

    volumes: int = 0
    moved: MoveFigures = field(default_factory=MoveFigures)
    repacked: int = 0
    passed_over: tuple[tuple[str, str], ...] = ()


def reclaim_pool(
    core: Core,
    pool: str,
    process: Process,
    *,
    threshold_pct: int | None = None,
    duration_min: int = 0,
    offsite_limit: int | None = None,
) -> ReclaimFigures:
    """Reclaim a pool's volumes at ``threshold_pct`` (its RECLAIM when None). Raises ``Refused``."""
    with exclusive(core, "RECLAIM STGPOOL", pool_key(pool, "migration")):
        row, plan = decide(core, pool, threshold_pct, offsite_limit)
        figures = ReclaimFigures(passed_over=plan.passed_over)
        process.begin(len(plan.volumes), f"Reclamation of {pool}", "volumes")
        for volume in plan.volumes:
            process.check()
            _one_volume(core, row, volume, set(plan.volumes), process, figures, duration_min)
            figures.volumes += 1
        forget_dead(core)
        release_empty(core)
        return figures


def decide(
    core: Core, pool: str, threshold_pct: int | None = None, offsite_limit: int | None = None
) -> tuple[Any, Reclamation]:
    """Return a pool's row and what would be reclaimed of it now."""
    with core.database.read() as connection:
        row = pool_row(connection, pool)
        if row.devclass == DISK:
            raise Refused(Refusal("invalid", f"pool {pool} is of DISK: it gives space back at once", "nothing to do"))
        facts = volume_facts(connection, volumes.c.pool == pool, volumes.c.size_bytes > 0)
    fills = [fill_of(fact, core.claims.held(volume_key(fact.row.id))) for fact in facts]
    limit = row.offsitereclaimlimit if offsite_limit is None else offsite_limit
    return row, reclaim(fills, row.reclaim if threshold_pct is None else threshold_pct, limit)


def _one_volume(
    core: Core, row: Any, volume: int, avoid: set[int], process: Process, figures: ReclaimFigures, duration_min: int
) -> None:
    with core.database.read() as connection:
        work = work_list(connection, places.c.volume == volume)
        offsite = connection.execute(select(volumes.c.access).where(volumes.c.id == volume)).scalar_one()
    whole, sparse = work, []
    if row.type == PoolType.PRIMARY.value:
        whole = [item for item in work if item.live_bytes * 100 >= item.raw_bytes * _WHOLE_PCT]
        sparse = [item for item in work if 0 < item.live_bytes * 100 < item.raw_bytes * _WHOLE_PCT]
    if sparse:
        whole += _repack(core, row, sparse, avoid, process, figures)
    mover = Mover(core, row.reclaim_pool or row.name, process, keep=Keep.NOTHING, avoid=avoid)
    if offsite == VolumeAccess.OFFSITE.value:
        mover.elsewhere_first()
    moved = mover.run(until(whole, duration_min))
    process.total, process.done, process.unit = 0, figures.volumes + 1, "volumes"
    figures.moved.add(moved)


def _repack(
    core: Core, row: Any, sparse: list[Work], avoid: set[int], process: Process, figures: ReclaimFigures
) -> list[Work]:
    """Repack sparse records; return those that must move whole instead, because a copy pool cannot take its part."""
    repacker = Repacker(core, row.reclaim_pool or row.name, avoid)
    try:
        for item in sparse:
            process.check()
            repacker.take(item)
        repacker.commit()
    except HoldfastError as error:
        process.check()
        core.log("ANR1043W", process=process.number, pool=row.name, reason=error.message)
    finally:
        repacker.close()
    figures.repacked += len(repacker.done)
    figures.moved.bytes += repacker.bytes
    figures.moved.unreadable += len(repacker.unreadable)
    figures.moved.messages += repacker.messages
    return [item for item in sparse if item.group not in repacker.done and item.group not in repacker.unreadable]


def forget_dead(core: Core) -> int:
    """Forget groups of which nothing is in use, unless a client has a session now; return how many."""
    if not core.claims.take(SESSIONS):
        return 0
    try:
        with core.database.write() as connection:
            return drop_dead_groups(connection)
    finally:
        core.claims.give(SESSIONS)


def reclaimable(core: Core) -> list[str]:
    """Return the names of the pools that have a volume at their threshold; RECLAIM=100 is never reclaimed by itself."""
    with core.database.read() as connection:
        rows = connection.execute(select(pools).where(pools.c.devclass != DISK, pools.c.reclaim < 100)).all()
    return [row.name for row in rows if decide(core, row.name)[1].volumes]
