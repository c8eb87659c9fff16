"""Queries: every answer is a table of text in the C locale, its columns those of section 8."""

from __future__ import annotations

import datetime

from sqlalchemy import func, select

from holdfast.backup.service.admin.reply import Args, Reply, answer, matching, number
from holdfast.backup.service.catalog.schema import (
    actlog,
    domains,
    filespaces,
    nodes,
    policysets,
    servers,
    versions,
    volhistory,
)
from holdfast.backup.service.core import Core
from holdfast.kernel.sizes import MIB

_NS = 1_000_000_000


def stamp(at_ns: int) -> str:
    """Return a time as people of this field read it: ``mm/dd/yyyy hh:mm:ss``, local time."""
    if not at_ns:
        return ""
    return datetime.datetime.fromtimestamp(at_ns / _NS).strftime("%m/%d/%Y %H:%M:%S")


def days_since(core: Core, at_ns: int) -> str:
    """Return whole days since a time; ``<1`` for today."""
    days = (core.now_ns() - at_ns) // (86_400 * _NS) if at_ns else 0
    return str(days) if days else "<1"


def mb(size_bytes: int) -> str:
    """Return a size in megabytes as queries show it."""
    return f"{size_bytes / MIB:.1f} M"


def query_server(core: Core, args: Args) -> Reply:
    """QUERY SERVER."""
    columns = (
        "Server Name", "Comm. Method", "High-level Address", "Low-level Address", "Days Since Last Access",
        "Virtual Volume Password Set",
    )  # fmt: skip
    matches = matching(args)
    with core.database.read() as connection:
        found = connection.execute(select(servers).order_by(servers.c.name)).all()
    kept = core.keys.secrets.servers
    rows = [
        (s.name, "TCPIP", s.hladdress, s.lladdress, days_since(core, s.access_ns), "Yes" if s.name in kept else "No")
        for s in found
        if matches(s.name)
    ]
    return answer("QUERY SERVER", columns, rows)


def query_volhistory(core: Core, args: Args) -> Reply:
    """QUERY VOLHISTORY [TYPE=]."""
    columns = (
        "Date/Time", "Volume Type", "Backup Series", "Backup Operation", "Volume Seq", "Device Class", "Volume Name",
    )  # fmt: skip
    wanted = args.get("type", "ALL").upper()
    with core.database.read() as connection:
        found = connection.execute(select(volhistory).order_by(volhistory.c.id)).all()
    rows = [
        (stamp(h.at_ns), h.type, str(h.series), str(h.operation), str(h.sequence), h.devclass, h.volume)
        for h in found
        if "ALL".startswith(wanted)
        or h.type.startswith(wanted)
        or ("DBBACKUP".startswith(wanted) and h.type[:6] == "BACKUP")
    ]
    return answer("QUERY VOLHISTORY", columns, rows)


def query_actlog(core: Core, args: Args) -> Reply:
    """QUERY ACTLOG [MSGNO=] [SEARCH=]: the last hour unless BEGINDATE=-n says more days."""
    hours = 1
    if args.get("begindate", "").lstrip("-").isdigit():
        hours = 24 * (int(args["begindate"].lstrip("-")) + 1)
    since = core.now_ns() - hours * 3_600 * _NS
    wanted, id = args.get("search", "").upper(), args.get("msgno", "")
    with core.database.read() as connection:
        found = connection.execute(select(actlog).where(actlog.c.at_ns >= since).order_by(actlog.c.id)).all()
    rows = []
    for line in found:
        suffix = f" (SESSION: {line.session})" if line.session else ""
        suffix += f" (PROCESS: {line.process})" if line.process else ""
        if wanted in line.message.upper() and (not id or line.message[3:7] == id.zfill(4)):
            rows.append((stamp(line.at_ns), line.message + suffix))
    return answer("QUERY ACTLOG", ("Date/Time", "Message"), rows)


def query_console(core: Core, args: Args) -> Reply:
    """QUERY CONSOLE after: what was written to the activity log after a number; at first (0) only the last number."""
    after = number(args, "after", 0, 0, 2**62)
    with core.database.read() as connection:
        if not after:
            last = connection.execute(select(func.max(actlog.c.id))).scalar() or 0
            return Reply([], ("Number", "Message"), [(str(last), "")])
        lines = select(actlog.c.id, actlog.c.message).where(actlog.c.id > after).order_by(actlog.c.id).limit(1_000)
        return Reply([], ("Number", "Message"), [(str(row.id), row.message) for row in connection.execute(lines)])


def query_db(core: Core, _args: Args) -> Reply:
    """QUERY DB."""
    with core.database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        objects = connection.execute(select(func.count()).select_from(versions)).scalar_one()
    columns = ("Database Name", "Total Pages", "Usable Pages", "Used Pages", "Free Pages", "Page Size", "Versions")
    row = ("CATALOG", str(pages), str(pages), str(pages - free), str(free), str(size), str(objects))
    return Reply([], columns, [row])


def query_filespace(core: Core, args: Args) -> Reply:
    """QUERY FILESPACE [node] [name]."""
    columns = ("Node Name", "Filespace Name", "FSID", "Filespace Type", "Last Backup Start", "Last Backup Completion")
    matches, of_node = matching(args, "filespace"), matching(args, "node")
    with core.database.read() as connection:
        found = connection.execute(select(filespaces).order_by(filespaces.c.node, filespaces.c.name)).all()
    rows = [
        (f.node, f.name, str(f.id), f.type, stamp(f.started_ns), stamp(f.ended_ns))
        for f in found
        if matches(f.name) and of_node(f.node)
    ]
    return answer("QUERY FILESPACE", columns, rows)


def query_domain(core: Core, args: Args) -> Reply:
    """QUERY DOMAIN."""
    columns = (
        "Policy Domain Name", "Activated Policy Set", "Activated Default Mgmt Class", "Number of Registered Nodes",
        "Description",
    )  # fmt: skip
    matches, rows = matching(args), []
    with core.database.read() as connection:
        for domain in connection.execute(select(domains).order_by(domains.c.name)).all():
            where = (policysets.c.domain == domain.name, policysets.c.name == "ACTIVE")
            active = connection.execute(select(policysets).where(*where)).first()
            count = connection.execute(select(func.count()).where(nodes.c.domain == domain.name)).scalar_one()
            if matches(domain.name):
                names = (active.activated_from, active.default_class) if active else ("", "")
                rows.append((domain.name, *names, str(count), domain.description))
    return answer("QUERY DOMAIN", columns, rows)
