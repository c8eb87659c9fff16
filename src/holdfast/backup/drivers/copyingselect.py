"""SELECT for a catalog on any other database: the tables that a statement's views need are copied and asked in memory.

So the dialect, the views and the limits are the same whatever keeps the catalog. A table that is too large to be copied
is refused: the QUERY commands ask the database itself.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import MetaData, Row, Table, func, select

from holdfast.backup.drivers.sqliteselect import ask
from holdfast.backup.ports import Database, MemoryTable, Selected
from holdfast.kernel.errors import Refusal, Refused

ROWS_COPIED = 1_000_000
_BATCH = 10_000


class CopyingSelector:
    """Answers SELECT from copies of what ``database`` has."""

    schema = "main"

    def __init__(self, database: Database, metadata: MetaData) -> None:
        self._database, self._metadata = database, metadata

    def select(
        self, statement: str, views: Mapping[str, str], tables: Mapping[str, MemoryTable], now_ns: int
    ) -> Selected:
        """Run one statement. Raises ``Refused`` for what is wrong, forbidden or too much."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        try:
            named = {found for sql in views.values() for found in re.findall(r"\bmain\.(\w+)", sql)}
            with self._database.read() as source:
                for name in sorted(named):
                    table = self._metadata.tables[name]
                    count = source.execute(select(func.count()).select_from(table)).scalar_one()
                    if count > ROWS_COPIED:
                        reason = f"ANR2103E {name} has {count} rows: too many for SELECT on this catalog"
                        raise Refused(Refusal("invalid", reason, "use the QUERY commands"))
                    rows = source.execution_options(yield_per=_BATCH).execute(select(table))
                    _copy(connection, table, rows.partitions())
            return ask(connection, statement, views, tables, now_ns)
        finally:
            connection.close()


def _copy(connection: sqlite3.Connection, table: Table, batches: Iterable[Sequence[Row[Any]]]) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    connection.execute(f'CREATE TABLE "{table.name}" ({names})')
    marks = ", ".join("?" * len(table.columns))
    for batch in batches:
        connection.executemany(f'INSERT INTO "{table.name}" VALUES ({marks})', [tuple(row) for row in batch])
