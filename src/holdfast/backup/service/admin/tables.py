"""The tables of SELECT that are made for one statement: what is computed, counted or lies in memory.

Each maker returns rows in the order of its columns in ``catalog.views``. They run only when a statement names them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from holdfast.backup.model.policy import NOLIMIT
from holdfast.backup.model.pools import DISK
from holdfast.backup.ports import MemoryTable
from holdfast.backup.service.admin.events import events_to_come
from holdfast.backup.service.admin.settings import settings_of
from holdfast.backup.service.catalog.archive import archive_objects
from holdfast.backup.service.catalog.schema import filespaces, groups, places, pools, versions, volhistory, volumes
from holdfast.backup.service.catalog.storage import VolumeFacts, pool_load, volume_facts
from holdfast.backup.service.catalog.views import MIB, VIEWS
from holdfast.backup.service.claims import pool_key
from holdfast.backup.service.core import Core
from holdfast.backup.service.schedules import wall

_NS = 1_000_000_000
Row = tuple[object, ...]


def moment(at_ns: int) -> str | None:
    """Return a time as SELECT shows it."""
    return wall(at_ns).strftime("%Y-%m-%d %H:%M:%S.%f") if at_ns > 1 else None


def _text(at: datetime.datetime | None) -> str | None:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f") if at is not None else None


def _yes(value: object) -> str:
    return "YES" if value else "NO"


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def _stgpools(core: Core, connection: Connection) -> list[Row]:
    rows: list[Row] = []
    for pool in connection.execute(select(pools).order_by(pools.c.name)).all():
        facts = volume_facts(connection, volumes.c.pool == pool.name)
        rows.append(_stgpool(core, connection, pool, facts))
    return rows


def _stgpool(core: Core, connection: Connection, pool: Any, facts: list[VolumeFacts]) -> Row:
    used, live = sum(fact.stored_bytes for fact in facts), sum(fact.live_bytes for fact in facts)
    unit = max((fact.capacity_bytes for fact in facts), default=0)
    scratch = [fact for fact in facts if fact.row.scratch]
    spare = max(pool.maxscratch - len(scratch), 0) if pool.maxscratch < NOLIMIT and pool.devclass != DISK else 0
    capacity = sum(fact.capacity_bytes for fact in facts) + spare * unit
    copy = pool.type == "COPY"
    load = None if copy else pool_load(connection, pool, facts).percent
    limit = "NOLIMIT" if pool.maxscratch >= NOLIMIT else pool.maxscratch
    return (
        pool.name, pool.type, pool.devclass, round(capacity / MIB, 1), _percent(used, capacity), load,
        _percent(live, used) if used else 100.0, None if copy else pool.highmig, None if copy else pool.lowmig,
        pool.migprocess, pool.next_pool, pool.maxsize_bytes / MIB if pool.maxsize_bytes else None,
        pool.access or "READWRITE", pool.description, _yes(pool.cache), pool.collocate or "NO", pool.reclaim,
        pool.reclaim_pool, limit, len(scratch), pool.reusedelay_days,
        _yes(core.claims.held(pool_key(pool.name, "migration"))), pool.migdelay_days,
    )  # fmt: skip


def _volumes(_core: Core, connection: Connection) -> list[Row]:
    rows: list[Row] = []
    for fact in volume_facts(connection):
        row = fact.row
        size = fact.stored_bytes if row.devclass == DISK else row.size_bytes
        rows.append(
            (row.name, row.pool, row.devclass, round(fact.capacity_bytes / MIB, 1), _percent(size, fact.capacity_bytes),
             row.status, row.access, _percent(max(size - fact.live_bytes, 0), size), _yes(row.scratch), "NO", 0,
             moment(row.written_ns), None, moment(row.pending_ns), 0, 0, row.location)
        )  # fmt: skip
    return rows


def occupancy(connection: Connection) -> list[Row]:
    """Return (node, type, file space, pool, files, physical MB, logical MB, id) for each file space in each pool.

    Content is shared: a record counts for the file space that brought it first, a file for the one it is in."""
    stored = (
        select(groups.c.filespace, volumes.c.pool, func.sum(places.c.length).label("bytes"))
        .select_from(places)
        .join(groups, groups.c.id == places.c.grp)
        .join(volumes, volumes.c.id == places.c.volume)
        .group_by(groups.c.filespace, volumes.c.pool)
    )
    held = {(row.filespace, row.pool): int(row.bytes) for row in connection.execute(stored).all()}
    rows: list[Row] = []
    names = {row.id: row for row in connection.execute(select(filespaces)).all()}
    for kind, table in (("Bkup", versions), ("Arch", archive_objects)):
        counted = select(table.c.filespace, func.count().label("files"), func.sum(table.c.size_bytes).label("bytes"))
        for row in connection.execute(counted.group_by(table.c.filespace)).all():
            space = names[row.filespace]
            in_pools = [pool for filespace, pool in held if filespace == row.filespace] or [""]
            for pool in sorted(in_pools):
                physical = held.get((row.filespace, pool), 0) if kind == "Bkup" else 0
                rows.append(
                    (space.node, kind, space.name, pool, row.files, round(physical / MIB, 2),
                     round(int(row.bytes or 0) / MIB, 2), space.id)
                )  # fmt: skip
    return sorted(rows, key=lambda row: tuple(str(value) for value in row[:4]))


def _occupancy(_core: Core, connection: Connection) -> list[Row]:
    return occupancy(connection)


def _auditocc(_core: Core, connection: Connection) -> list[Row]:
    copies = set(connection.execute(select(pools.c.name).where(pools.c.type == "COPY")).scalars())
    sums: dict[str, list[float]] = {}
    for node, kind, _space, pool, _files, physical, _logical, _id in occupancy(connection):
        figures = sums.setdefault(str(node), [0.0] * 6)
        position = (0 if kind == "Bkup" else 2) + (1 if pool in copies else 0)
        figures[position] += float(str(physical))
    return [(node, *(round(value, 2) for value in figures), round(sum(figures), 2)) for node, figures in sums.items()]


def _events_to_come(core: Core, connection: Connection) -> list[Row]:
    return [
        (_text(found.start), None, None, found.row.domain, found.row.name, found.node, found.status.value, None, None)
        for found in events_to_come(core, connection)
    ]


def _processes(core: Core, _connection: Connection) -> list[Row]:
    return [
        (p.number, p.name, moment(p.started_ns), p.done, p.done_bytes, p.describe()) for p in core.processes.running()
    ]


def _sessions(core: Core, _connection: Connection) -> list[Row]:
    now_ns = core.now_ns()
    return [
        (s.number, moment(s.started_ns), "Tcp/Ip", s.state, (now_ns - s.last_ns) // _NS, s.sent_bytes, s.received_bytes,
         s.kind.upper(), s.platform, s.name, "")
        for s in core.sessions.running()
    ]  # fmt: skip


def _status(core: Core, connection: Connection) -> list[Row]:
    chosen = settings_of(connection)
    first = (core.name, "", "", "Linux", 0, 1, 0, moment(core.now_ns()))
    names = (
        "invalidpwlimit", "passexp", "minpwlength", "schedmodes", "queryschedperiod", "maxcmdretries", "retryperiod",
        "randomize", "eventretention", "actlogretention", "summaryretention",
    )  # fmt: skip
    return [(*first, *(chosen[name] for name in names))]


def _options(core: Core, connection: Connection) -> list[Row]:
    return [(name.upper(), value) for name, value in options_of(core, connection)]


def options_of(core: Core, connection: Connection) -> list[tuple[str, str]]:
    """Return what the server was started with and what was set since, by name."""
    chosen = {"servername": core.name, "directory": str(core.directory), **settings_of(connection)}
    return sorted(chosen.items())


def _db(_core: Core, connection: Connection) -> list[Row]:
    pages, free, size = catalog_pages(connection)
    backups = select(volhistory).where(volhistory.c.type.like("BACKUP%")).order_by(volhistory.c.id)
    history = connection.execute(backups).all()
    full = max((row.series for row in history), default=0)
    since = len({row.operation for row in history if row.series == full and row.type == "BACKUPINCR"})
    last = moment(history[-1].at_ns) if history else None
    megabytes, used = pages * size / MIB, _percent(pages - free, pages)
    return [
        (round(megabytes, 1), round(megabytes, 1), size, pages, pages - free, free, used, used, 1, 100.0, 0.0, "NO",
         last, since)
    ]  # fmt: skip


def catalog_pages(connection: Connection) -> tuple[int, int, int]:
    """Return pages, free pages and bytes of a page of the catalog; blocks of the database where it has no pages."""
    if connection.dialect.name == "sqlite":
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in names)
        return pages, free, size
    total = int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
    return total // 8_192, 0, 8_192


def _log(core: Core, _connection: Connection) -> list[Row]:
    path = core.directory / "catalog.db-wal"
    size = path.stat().st_size / MIB if path.exists() else 0.0
    return [(round(size, 1), round(size, 1), round(size, 1), 0.0, 0.0)]


def _catalogued(_core: Core, _connection: Connection) -> list[Row]:
    return [("TSMDB1", view.name.upper(), len(view.columns), view.remark) for view in _listed()]


def _columns(_core: Core, _connection: Connection) -> list[Row]:
    return [
        ("TSMDB1", view.name.upper(), name, number, "", view.remark)
        for view in _listed()
        for number, name in enumerate(view.names)
    ]


def _listed() -> list[Any]:
    return sorted((view for view in VIEWS if not view.name.startswith("syscat")), key=lambda view: view.name)


MAKERS: dict[str, Callable[[Core, Connection], Sequence[Row]]] = {
    "stgpools": _stgpools, "volumes": _volumes, "occupancy": _occupancy, "auditocc": _auditocc,
    "events_to_come": _events_to_come,
    "processes": _processes, "sessions": _sessions, "status": _status, "options": _options, "db": _db, "log": _log,
    "syscat_tables": _catalogued, "syscat_columns": _columns,
}  # fmt: skip


def memory_table(core: Core, connection: Connection, name: str, columns: tuple[str, ...]) -> MemoryTable:
    """Return a table of :data:`MAKERS`, or an empty one where this server has nothing of the kind."""
    maker = MAKERS.get(name)
    return MemoryTable(columns, list(maker(core, connection)) if maker is not None else [])
