"""Lists of versions by key: whole subtrees, or only what lies directly in one directory.

A page is one walk along the index over keys, wherever it begins. What lies directly in a directory is found by stepping
over each subdirectory's subtree, so the cost follows what is listed, not what lies below it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, func, or_, select

from holdfast.backup.service.catalog.schema import versions
from holdfast.backup.session.messages import ListVersions

_STEP_ROWS = 64


def page(connection: Connection, filespace: int, message: ListVersions) -> tuple[list[Any], bool]:
    """Return the rows of one page and whether they are the last."""
    if message.shallow:
        return _shallow(connection, filespace, message)
    start = message.under if message.after is None else message.after + b"\0"
    statement = _statement(message, filespace, start).limit(message.limit)
    rows = list(connection.execute(statement).all())
    last = len(rows) < message.limit
    if not last and message.inactive:
        rows = _whole_objects(rows)
    return rows, last


def _statement(message: ListVersions, filespace: int, start: bytes) -> Select[Any]:
    """Return the statement for what is asked from key ``start`` on; a key's successor is the key and NUL."""
    v = versions.c
    where = [v.filespace == filespace, v.key >= start]
    if message.under:
        where.append(v.key < message.under + b"\x01")  # below a key stands only what goes on with NUL
    if message.pit_ns is not None:
        where.append(v.stored_ns <= message.pit_ns)
        where.append(or_(v.inactive_ns.is_(None), v.inactive_ns > message.pit_ns))
    elif message.latest:
        other = versions.alias()
        newer = select(func.max(other.c.id)).where(other.c.filespace == filespace, other.c.key == v.key)
        where.append(v.id == newer.scalar_subquery())
    elif not message.inactive:
        where.append(v.inactive_ns.is_(None))
    return select(versions).where(*where).order_by(v.key, v.stored_ns)


def _shallow(connection: Connection, filespace: int, message: ListVersions) -> tuple[list[Any], bool]:
    prefix = message.under + b"\0" if message.under else b""
    start = message.under
    if message.after is not None:
        start = prefix if message.after == message.under else _past(message.after, prefix)
    found: list[Any] = []
    while len(found) < message.limit:
        rows = list(connection.execute(_statement(message, filespace, start).limit(_STEP_ROWS)).all())
        full = len(rows) == _STEP_ROWS
        if full and message.inactive:
            rows = _whole_objects(rows)
        deeper = next((n for n, row in enumerate(rows) if b"\0" in row.key[len(prefix) :]), None)
        found.extend(rows[:deeper])
        if deeper is not None:
            start = _past(rows[deeper].key, prefix)
        elif full:
            start = rows[-1].key + b"\0"
        else:
            return found, True
    return found, False


def _past(key: bytes, prefix: bytes) -> bytes:
    """Return the first key behind the child of ``prefix`` that ``key`` is or lies below, and behind its subtree."""
    return prefix + key[len(prefix) :].partition(b"\0")[0] + b"\x01"


def _whole_objects(rows: list[Any]) -> list[Any]:
    """Drop the last object's rows from a full page, so that paging by key never splits an object's versions."""
    last = rows[-1].key
    whole = [row for row in rows if row.key != last]
    return whole or rows
