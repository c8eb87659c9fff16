"""QUERY STGPOOL, QUERY VOLUME and QUERY DEVCLASS: the columns of section 8, and with FORMAT=DETAILED every setting."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from holdfast.backup.model.policy import NOLIMIT
from holdfast.backup.model.pools import DISK
from holdfast.backup.service.admin.query import mb, stamp
from holdfast.backup.service.admin.reply import Args, Reply, answer, choice, matching
from holdfast.backup.service.catalog.schema import devclasses, pools, volumes
from holdfast.backup.service.catalog.storage import VolumeFacts, pool_load, volume_facts
from holdfast.backup.service.claims import pool_key
from holdfast.backup.service.core import Core
from holdfast.kernel.sizes import MIB


def _detailed(args: Args) -> bool:
    return choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED"


def _limit(value: int) -> str:
    return "No Limit" if value >= NOLIMIT else str(value)


def _yes(value: object) -> str:
    return "Yes" if value else "No"


def query_stgpool(core: Core, args: Args) -> Reply:
    """QUERY STGPOOL [name] POOLTYPE=ANY|PRIMARY|COPY FORMAT=."""
    columns = (
        "Storage Pool Name", "Device Class Name", "Estimated Capacity", "Pct Util", "Pct Migr", "High Mig Pct",
        "Low Mig Pct", "Next Storage Pool",
    )  # fmt: skip
    kind = choice(args, "pooltype", "ANY", "ANY", "PRIMARY", "COPY")
    detailed, matches, rows = _detailed(args), matching(args), []
    with core.database.read() as connection:
        for pool in connection.execute(select(pools).order_by(pools.c.name)).all():
            if matches(pool.name) and kind in ("ANY", pool.type):
                facts = volume_facts(connection, volumes.c.pool == pool.name)
                more = _pool_details(core, pool, facts) if detailed else ()
                rows.append((*_stgpool(connection, pool, facts), *more))
    return answer("QUERY STGPOOL", (*columns, *(_POOL_DETAILS if detailed else ())), rows, detailed)


def _stgpool(connection: Connection, pool: Any, facts: list[VolumeFacts]) -> tuple[str, ...]:
    unit = connection.execute(select(devclasses.c.capacity_bytes).where(devclasses.c.name == pool.devclass)).scalar()
    if pool.devclass == DISK:
        capacity = sum(fact.row.capacity_bytes for fact in facts)
    else:
        scratch = pool.maxscratch if pool.maxscratch < NOLIMIT else len(facts)
        capacity = (unit or 1) * max(scratch, len(facts), 1)
    used = sum(fact.stored_bytes for fact in facts)
    load = pool_load(connection, pool, facts)
    percent = f"{100 * used / capacity:.1f}" if capacity else "0.0"
    copy = pool.type == "COPY"
    migration = ("", "", "") if copy else (f"{load.percent:.1f}", str(pool.highmig), str(pool.lowmig))
    return (pool.name, pool.devclass, mb(capacity), percent, *migration, pool.next_pool)


_POOL_DETAILS = (
    "Storage Pool Type", "Access", "Description", "Maximum Size Threshold", "Reclamation Threshold",
    "Maximum Scratch Volumes Allowed", "Number of Scratch Volumes Used", "Delay Period for Volume Reuse",
    "Migration Delay (days)", "Migration Continue", "Migration Processes", "Reclamation Processes",
    "Reclaim Storage Pool", "Offsite Reclamation Limit", "Collocate?", "Cache Migrated Files?", "CRC Data",
    "Retention Lock (days)", "Migration in Progress?", "Pct Logical",
)  # fmt: skip


def _pool_details(core: Core, pool: Any, facts: list[VolumeFacts]) -> tuple[str, ...]:
    stored, live = sum(fact.stored_bytes for fact in facts), sum(fact.live_bytes for fact in facts)
    scratch = sum(1 for fact in facts if fact.row.scratch)
    return (
        pool.type, pool.access or "READWRITE", pool.description, mb(pool.maxsize_bytes) if pool.maxsize_bytes else
        "No Limit", str(pool.reclaim), _limit(pool.maxscratch), str(scratch), f"{pool.reusedelay_days} Day(s)",
        str(pool.migdelay_days), _yes(pool.migcontinue), str(pool.migprocess), str(pool.reclaimprocess),
        pool.reclaim_pool, _limit(pool.offsitereclaimlimit), pool.collocate or "NO", _yes(pool.cache),
        _yes(pool.crcdata), str(pool.lock_days), _yes(core.claims.held(pool_key(pool.name, "migration"))),
        f"{100 * live / stored:.1f}" if stored else "100.0",
    )  # fmt: skip


def query_volume(core: Core, args: Args) -> Reply:
    """QUERY VOLUME [name] ACCESS= STATUS= STGPOOL= DEVCLASS= FORMAT=."""
    columns = (
        "Volume Name", "Storage Pool Name", "Device Class Name", "Estimated Capacity", "Pct Util", "Volume Status",
        "Access",
    )  # fmt: skip
    tests = [(matching(args, key), field) for key, field in _VOLUME_FILTERS]
    detailed = _detailed(args)
    with core.database.read() as connection:
        found = volume_facts(connection)
    rows = [
        (*_volume(fact), *(_volume_details(fact) if detailed else ()))
        for fact in found
        if all(test(getattr(fact.row, field)) for test, field in tests)
    ]
    return answer("QUERY VOLUME", (*columns, *(_VOLUME_DETAILS if detailed else ())), rows, detailed)


_VOLUME_FILTERS = (
    ("name", "name"), ("stgpool", "pool"), ("devclass", "devclass"), ("access", "access"), ("status", "status")
)  # fmt: skip
_VOLUME_DETAILS = (
    "Pct. Reclaimable Space", "Scratch Volume?", "Location", "Date Last Written", "Date Became Pending",
    "Collocated For", "Groups",
)  # fmt: skip


def _volume(fact: VolumeFacts) -> tuple[str, ...]:
    row, capacity = fact.row, fact.capacity_bytes
    used = fact.stored_bytes if row.devclass == DISK else row.size_bytes
    percent = f"{100 * used / capacity:.1f}" if capacity else "0.0"
    return (row.name, row.pool, row.devclass, mb(capacity), percent, row.status, row.access)


def _volume_details(fact: VolumeFacts) -> tuple[str, ...]:
    row = fact.row
    size = fact.stored_bytes if row.devclass == DISK else row.size_bytes
    waste = 100 * max(size - fact.live_bytes, 0) / size if size else 0.0
    pending = stamp(row.pending_ns) if row.pending_ns > 1 else ""
    written = stamp(row.written_ns)
    return (f"{waste:.1f}", _yes(row.scratch), row.location, written, pending, row.owner, str(fact.groups))


def query_devclass(core: Core, args: Args) -> Reply:
    """QUERY DEVCLASS [name] FORMAT=."""
    columns = (
        "Device Class Name", "Device Access Strategy", "Storage Pool Count", "Device Type", "Format",
        "Est/Max Capacity (MB)", "Mount Limit",
    )  # fmt: skip
    more = (
        "Mount Retention (min)", "Directory", "Server Name", "Prefix", "Retry Period (min)", "Retry Interval (s)",
        "Endpoint", "Bucket",
    )  # fmt: skip
    detailed, matches, rows = _detailed(args), matching(args), []
    with core.database.read() as connection:
        for item in connection.execute(select(devclasses).order_by(devclasses.c.name)).all():
            count = select(func.count()).select_from(pools).where(pools.c.devclass == item.name)
            used = connection.execute(count).scalar_one()
            if matches(item.name):
                details = (
                    str(item.mountretention_min), item.directory, item.server, item.prefix, str(item.retryperiod_min),
                    str(item.retryinterval_s), item.endpoint, item.bucket,
                )  # fmt: skip
                rows.append((*_devclass(item, used), *(details if detailed else ())))
    return answer("QUERY DEVCLASS", (*columns, *(more if detailed else ())), rows, detailed)


def _devclass(item: Any, used: int) -> tuple[str, ...]:
    if item.type == DISK:
        return (item.name, "Random", str(used), "", "", "", "")
    capacity = f"{item.capacity_bytes / MIB:.1f}"
    return (item.name, "Sequential", str(used), item.type, "", capacity, str(item.mountlimit))


COMMANDS = {
    "query stgpool": query_stgpool,
    "query volume": query_volume,
    "query devclass": query_devclass,
}
"""By operation name."""
