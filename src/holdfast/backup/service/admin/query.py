"""Queries: every answer is a table of text in the C locale, its columns those of section 8."""

from __future__ import annotations

import datetime

from sqlalchemy import func, select

from holdfast.backup.service.admin.reply import Args, Reply, answer, choice, matching
from holdfast.backup.service.catalog.schema import (
    domains,
    nodes,
    policysets,
    servers,
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
    """QUERY SERVER [name] [FORMAT=]."""
    columns: tuple[str, ...] = (
        "Server Name", "Comm. Method", "High-level Address", "Low-level Address", "Days Since Last Access",
        "Server Password Set", "Virtual Volume Password Set", "Allow Replacement",
    )  # fmt: skip
    matches = matching(args)
    detailed = choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED"
    with core.database.read() as connection:
        found = connection.execute(select(servers).order_by(servers.c.name)).all()
    kept = core.keys.secrets.servers
    rows: list[tuple[str, ...]] = []
    for s in found:
        if matches(s.name):
            more = (s.nodename, s.description, str(s.grace_days), stamp(s.access_ns)) if detailed else ()
            secret = "Yes" if s.name in kept else "No"
            address = (s.name, "TCPIP", s.hladdress, s.lladdress, days_since(core, s.access_ns))
            rows.append((*address, "No", secret, "No", *more))
    more_columns = ("Node Name", "Description", "Grace Deletion Period", "Last Access Date/Time")
    return answer("QUERY SERVER", (*columns, *(more_columns if detailed else ())), rows, detailed)


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


def query_domain(core: Core, args: Args) -> Reply:
    """QUERY DOMAIN [name] [FORMAT=]."""
    columns: tuple[str, ...] = (
        "Policy Domain Name", "Activated Policy Set", "Activated Default Mgmt Class", "Number of Registered Nodes",
        "Description",
    )  # fmt: skip
    matches = matching(args)
    detailed = choice(args, "format", "STANDARD", "STANDARD", "DETAILED") == "DETAILED"
    rows: list[tuple[str, ...]] = []
    with core.database.read() as connection:
        for domain in connection.execute(select(domains).order_by(domains.c.name)).all():
            where = (policysets.c.domain == domain.name, policysets.c.name == "ACTIVE")
            active = connection.execute(select(policysets).where(*where)).first()
            count = connection.execute(select(func.count()).where(nodes.c.domain == domain.name)).scalar_one()
            if matches(domain.name):
                names = (active.activated_from, active.default_class) if active else ("", "")
                kept = (str(domain.backretention_days), str(domain.archretention_days))
                more = (stamp(active.activated_ns) if active else "", *kept) if detailed else ()
                rows.append((domain.name, *names, str(count), domain.description, *more))
    more_columns = ("Activation Date/Time", "Backup Retention (Grace Period)", "Archive Retention (Grace Period)")
    return answer("QUERY DOMAIN", (*columns, *(more_columns if detailed else ())), rows, detailed)
