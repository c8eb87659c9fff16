"""Queries about the server as a whole: status, options, the catalog, what nodes occupy, what lies on a volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, func, select

from holdfast.backup.model.objects import path_of, printable
from holdfast.backup.service.admin.query import stamp
from holdfast.backup.service.admin.reply import Args, Reply, answer, choice, matching, number, refuse
from holdfast.backup.service.admin.settings import settings_of
from holdfast.backup.service.admin.tables import catalog_pages, occupancy, options_of
from holdfast.backup.service.catalog.archive import archive_objects
from holdfast.backup.service.catalog.schema import (
    admins,
    chunks,
    filespaces,
    nodes,
    places,
    versions,
    volhistory,
    volumes,
)
from holdfast.backup.service.core import Core
from holdfast.backup.service.schedules import wall

_content = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...])
_MOST_OBJECTS = 10_000


def query_status(core: Core, _args: Args) -> Reply:
    """QUERY STATUS: the server and every setting."""
    with core.database.read() as connection:
        chosen = settings_of(connection)
        counts = [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (nodes, admins)]
    columns = (
        "Server Name",
        "Server Date/Time",
        "Registered Nodes",
        "Registered Administrators",
        "Sessions",
        "Processes",
    )
    row = (
        core.name, stamp(core.now_ns()), str(counts[0]), str(counts[1]), str(len(core.sessions.running())),
        str(len(core.processes.running())),
    )  # fmt: skip
    titles = tuple(_TITLES.get(name, name.title()) for name in chosen)
    return answer("QUERY STATUS", (*columns, *titles), [(*row, *chosen.values())], detailed=True)


_TITLES = {
    "invalidpwlimit": "Invalid Sign-on Attempt Limit", "passexp": "Password Expiration Period (days)",
    "minpwlength": "Minimum Password Length", "schedmodes": "Central Scheduler: Scheduling Modes",
    "queryschedperiod": "Query Schedule Period (hours)", "maxcmdretries": "Maximum Command Retries",
    "retryperiod": "Retry Period (minutes)", "randomize": "Schedule Randomization Percentage",
    "eventretention": "Event Record Retention Period (days)", "actlogretention": "Activity Log Retention Period (days)",
    "summaryretention": "Activity Summary Retention Period (days)",
}  # fmt: skip


def query_option(core: Core, args: Args) -> Reply:
    """QUERY OPTION [name]."""
    matches = matching(args)
    with core.database.read() as connection:
        found = options_of(core, connection)
    rows = [(name.upper(), value) for name, value in found if matches(name)]
    return answer("QUERY OPTION", ("Server Option", "Option Setting"), rows)


def query_occupancy(core: Core, args: Args) -> Reply:
    """QUERY OCCUPANCY [node] [filespace] [STGPOOL=] [TYPE=ANY|BACKUP|ARCHIVE]."""
    of_node, of_space, of_pool = matching(args, "node"), matching(args, "filespace"), matching(args, "stgpool")
    kind = choice(args, "type", "ANY", "ANY", "BACKUP", "ARCHIVE")
    kinds = {"ANY": ("Bkup", "Arch"), "BACKUP": ("Bkup",), "ARCHIVE": ("Arch",)}[kind]
    with core.database.read() as connection:
        found = [tuple(str(value) for value in row) for row in occupancy(connection)]
    columns = (
        "Node Name", "Type", "Filespace Name", "FSID", "Storage Pool Name", "Number of Files",
        "Physical Space Occupied (MB)", "Logical Space Occupied (MB)",
    )  # fmt: skip
    rows = [
        (node, type_, space, id_, pool, files, f"{float(physical):.2f}", f"{float(logical):.2f}")
        for node, type_, space, pool, files, physical, logical, id_ in found
        if of_node(node) and of_space(space) and of_pool(pool) and type_ in kinds
    ]
    return answer("QUERY OCCUPANCY", columns, rows)


def query_content(core: Core, args: Args) -> Reply:
    """QUERY CONTENT volume [NODE=] [FILESPACE=] [COUNT=]: the objects that have content on a volume.

    A volume knows chunks, not objects, so this reads every version of the nodes asked for."""
    name, of_node, of_space = args["volume"], matching(args, "node"), matching(args, "filespace")
    count = number(args, "count", _MOST_OBJECTS, 1, _MOST_OBJECTS)
    with core.database.read() as connection:
        volume = connection.execute(select(volumes.c.id).where(func.upper(volumes.c.name) == name.upper())).scalar()
        if volume is None:
            raise refuse("not-found", f"ANR2102E QUERY CONTENT: Volume {name} is not defined.", "QUERY VOLUME")
        there = select(chunks.c.id).join(places, places.c.grp == chunks.c.grp).where(places.c.volume == volume)
        held = set(connection.execute(there).scalars())
        rows: list[tuple[str, ...]] = []
        for space in connection.execute(select(filespaces).order_by(filespaces.c.node, filespaces.c.name)).all():
            if of_node(space.node) and of_space(space.name):
                for kind, table in (("Bkup", versions), ("Arch", archive_objects)):
                    rows += _held_objects(connection, table, kind, space, held, count - len(rows))
    columns = ("Node Name", "Type", "Filespace Name", "FSID", "Client's Name for File", "Size (bytes)")
    return answer("QUERY CONTENT", columns, rows)


def _held_objects(
    connection: Connection, table: Table, kind: str, space: Any, held: set[int], most: int
) -> list[tuple[str, ...]]:
    """Return at most ``most`` objects of a file space with a chunk among ``held``."""
    rows: list[tuple[str, ...]] = []
    columns = (table.c.key, table.c.content, table.c.size_bytes)
    for key, content, size in connection.execute(
        select(*columns).where(table.c.filespace == space.id).order_by(table.c.key)
    ):
        if len(rows) >= most:
            break
        if any(chunk in held for chunk, _ in _content.decode(content)):
            rows.append((space.node, kind, space.name, str(space.id), "/" + printable(path_of(key)), str(size)))
    return rows


def query_db(core: Core, args: Args) -> Reply:
    """QUERY DB [FORMAT=]."""
    with core.database.read() as connection:
        pages, free, size = catalog_pages(connection)
        objects = connection.execute(select(func.count()).select_from(versions)).scalar_one()
        last = connection.execute(
            select(func.max(volhistory.c.at_ns)).where(volhistory.c.type.like("BACKUP%"))
        ).scalar()
    columns: tuple[str, ...] = (
        "Database Name", "Total Pages", "Usable Pages", "Used Pages", "Free Pages", "Page Size", "Versions",
    )  # fmt: skip
    row: tuple[str, ...] = ("CATALOG", str(pages), str(pages), str(pages - free), str(free), str(size), str(objects))
    detailed = choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED"
    if detailed:
        columns = (*columns, "Pct Util", "Last Complete Backup Date/Time")
        row = (*row, f"{100 * (pages - free) / pages:.1f}", stamp(last or 0))
    return answer("QUERY DB", columns, [row], detailed)


def query_filespace(core: Core, args: Args) -> Reply:
    """QUERY FILESPACE [node] [name] [FORMAT=]."""
    columns: tuple[str, ...] = (
        "Node Name", "Filespace Name", "FSID", "Filespace Type", "Last Backup Start", "Last Backup Completion",
    )  # fmt: skip
    matches, of_node = matching(args, "filespace"), matching(args, "node")
    detailed = choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED"
    with core.database.read() as connection:
        found = connection.execute(select(filespaces).order_by(filespaces.c.node, filespaces.c.name)).all()
    now = wall(core.now_ns())
    rows: list[tuple[str, ...]] = []
    for space in found:
        if matches(space.name) and of_node(space.node):
            days = str((now - wall(space.ended_ns)).days) if space.ended_ns else ""
            more = (days,) if detailed else ()
            shown = (stamp(space.started_ns), stamp(space.ended_ns))
            rows.append((space.node, space.name, str(space.id), space.type, *shown, *more))
    columns += ("Days Since Last Backup Completed",) if detailed else ()
    return answer("QUERY FILESPACE", columns, rows, detailed)


_NOT_HERE = ("drive", "library", "libvolume", "path")


def _nothing(noun: str) -> Callable[[Core, Args], Reply]:
    """Return the query of a thing that this server does not have: nothing is found, as where none is defined."""

    def run(_core: Core, _args: Args) -> Reply:
        return answer(f"QUERY {noun.upper()}", (noun.capitalize(),), [])

    run.__doc__ = f"QUERY {noun.upper()}: there is none here."
    return run


COMMANDS = {
    **{f"query {noun}": _nothing(noun) for noun in _NOT_HERE},
    "query status": query_status,
    "query option": query_option,
    "query occupancy": query_occupancy,
    "query content": query_content,
    "query db": query_db,
    "query filespace": query_filespace,
}
