"""Many rows in one statement, past the cost of a dictionary for each and of a statement made anew for each batch.

SQLAlchemy's own executemany takes 4 µs a row to turn dictionaries into parameters, more than SQLite takes to insert
them, and an IN of five hundred values is expanded and compiled every time; here rows are tuples and statements have a
fixed shape, and both go to the database driver as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Table

_BATCH = 500
_MARKS = {"qmark": "?", "format": "%s", "pyformat": "%s"}


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows whose values stand in the order of ``columns``."""
    if not rows:
        return
    mark, quote = _marks(connection)
    names = ", ".join(quote(name) for name in columns)
    statement = f"INSERT INTO {quote(table.name)} ({names}) VALUES ({', '.join([mark] * len(columns))})"
    connection.exec_driver_sql(statement, rows)


def delete_ids(connection: Connection, table: Table, ids: Sequence[int], stored_until_ns: int | None = None) -> None:
    """Delete rows by their ``id``; of a table of objects only those stored until then: a number may have been given to
    a new object since it was looked up."""
    if not ids:
        return
    mark, quote = _marks(connection)
    statement = f"DELETE FROM {quote(table.name)} WHERE id = {mark}"
    if stored_until_ns is None:
        connection.exec_driver_sql(statement, [(id,) for id in sorted(ids)])
    else:
        rows = [(id, stored_until_ns) for id in sorted(ids)]
        connection.exec_driver_sql(f"{statement} AND stored_ns <= {mark}", rows)


def ids_by_name(connection: Connection, table: Table, pool: str, names: Sequence[bytes]) -> dict[bytes, int]:
    """Return the ids of those rows of a pool (columns ``pool``, ``name``, ``id``) that have one of the names."""
    mark, quote = _marks(connection)
    found: dict[bytes, int] = {}
    for start in range(0, len(names), _BATCH):
        part = names[start : start + _BATCH]
        marks = ", ".join([mark] * len(part))
        statement = f"SELECT name, id FROM {quote(table.name)} WHERE pool = {mark} AND name IN ({marks})"
        for name, id in connection.exec_driver_sql(statement, (pool, *part)):
            found[bytes(name)] = id
    return found


def _marks(connection: Connection) -> tuple[str, Callable[[str], str]]:
    return _MARKS[connection.dialect.paramstyle], connection.dialect.identifier_preparer.quote
