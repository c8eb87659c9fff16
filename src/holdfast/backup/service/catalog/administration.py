"""Tables of the server's administration beside the store of versions: schedules, their associations and events.

They belong to the same schema as ``schema``; a file of their own keeps each of the two on one subject. Schedules of
type ADMINISTRATIVE have no domain (an empty text) and no associations; their events have no node.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from holdfast.backup.service.catalog.schema import metadata

_ID = BigInteger().with_variant(Integer, "sqlite")


def _text(name: str, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _number(name: str, default: int = 0) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=str(default))


schedules = Table(
    "schedules",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _text("description"),
    _text("action"),
    _text("options"),
    _text("objects"),
    _text("cmd"),
    _number("active"),
    _number("priority", 5),
    _text("start"),
    _number("duration", 1),
    _text("durunits", "HOURS"),
    _text("style", "CLASSIC"),
    _number("period", 1),
    _text("perunits", "DAYS"),
    _text("dayofweek", "ANY"),
    _text("month", "ANY"),
    _text("dayofmonth", "ANY"),
    _text("weekofmonth", "ANY"),
    _text("expiration"),
    _number("created_ns"),
    _number("changed_ns"),
    _text("changed_by"),
)
"""``start`` and ``expiration`` are wall-clock texts (``2026-12-31T01:00:00``, ``2026-12-31``), as they were meant."""
associations = Table(
    "associations",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("schedule", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    _number("since_ns"),
    _text("changed_by"),
)
events = Table(
    "events",
    metadata,
    Column("id", _ID, primary_key=True),
    _text("domain"),
    _text("schedule"),
    _text("node"),
    _number("scheduled_ns"),
    _text("status"),
    _number("started_ns"),
    _number("ended_ns"),
    _number("code"),
    _text("reason"),
)
Index("events_by_window", events.c.domain, events.c.schedule, events.c.node, events.c.scheduled_ns, unique=True)
Index("events_by_time", events.c.scheduled_ns)
contacts = Table(
    "contacts",
    metadata,
    Column("node", Text, primary_key=True),
    _text("address"),
    _number("at_ns"),
)
"""Where a node in prompted mode waits to be told that a window has opened."""
authorities = Table(
    "authorities",
    metadata,
    Column("admin", Text, primary_key=True),
    Column("privilege", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _text("level"),
)
"""Privilege classes; ``name`` restricts one to a domain, pool or node. ``level`` of class NODE: ACCESS or OWNER."""
cloptsets = Table("cloptsets", metadata, Column("name", Text, primary_key=True), _text("description"))
clientopts = Table(
    "clientopts",
    metadata,
    Column("optionset", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    _text("value"),
    _number("force"),
)
"""Options that the server adds to a client's own; with ``force`` they override them. INCLEXCL may stand many times."""
scripts = Table(
    "scripts",
    metadata,
    Column("name", Text, primary_key=True),
    _text("description"),
    _number("changed_ns"),
    _text("changed_by"),
)
script_lines = Table(
    "script_lines",
    metadata,
    Column("script", Text, primary_key=True),
    Column("line", Integer, primary_key=True),
    _text("command"),
)
summary = Table(
    "summary",
    metadata,
    Column("id", _ID, primary_key=True),
    _number("start_ns"),
    _number("end_ns"),
    _text("activity"),
    _number("number"),
    _text("entity"),
    _text("address"),
    _number("affected"),
    _number("failed"),
    _number("bytes"),
    _number("successful"),
)
"""What sessions and processes did, for monitoring: a row for each activity of a session, one for each process."""
Index("summary_by_time", summary.c.start_ns)
