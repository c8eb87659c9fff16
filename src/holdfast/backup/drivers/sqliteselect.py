"""SELECT on SQLite: a read-only connection of its own for every statement, and nothing that it could harm.

The views lie in the temporary schema and shadow the catalog's tables of the same name. An authorizer lets the
statement read them and only through them reach the tables behind; functions are those on a list. Time, rows and bytes
are bounded.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from holdfast.backup.drivers import sqlfunctions
from holdfast.backup.ports import MemoryTable, Selected
from holdfast.kernel.errors import Refusal, Refused

TIME_LIMIT_S = 30.0
ROW_LIMIT = 100_000
BYTE_LIMIT = 24 * 1024 * 1024
_STEPS_BETWEEN_LOOKS = 20_000
_ALLOWED_FUNCTIONS = frozenset({
    "abs", "avg", "coalesce", "count", "group_concat", "hex", "ifnull", "iif", "instr", "length", "like", "lower",
    "ltrim", "max", "min", "mod", "nullif", "replace", "round", "rtrim", "sign", "sqrt", "string_agg", "substr",
    "substring", "sum", "total", "trim", "typeof", "upper", "row_number", "rank", "ceil", "floor", "glob",
})  # fmt: skip


class SqliteSelector:
    """Answers SELECT from a catalog file."""

    schema = "main"

    def __init__(self, path: Path) -> None:
        self._path = path

    def select(
        self, statement: str, views: Mapping[str, str], tables: Mapping[str, MemoryTable], now_ns: int
    ) -> Selected:
        """Run one statement. Raises ``Refused`` for what is wrong, forbidden or too much."""
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10.0, isolation_level=None)
        try:
            return ask(connection, statement, views, tables, now_ns)
        finally:
            connection.close()


def ask(
    connection: sqlite3.Connection,
    statement: str,
    views: Mapping[str, str],
    tables: Mapping[str, MemoryTable],
    now_ns: int,
) -> Selected:
    """Run one statement on a connection that is used for nothing else. Raises ``Refused``."""
    try:
        _prepare(connection, views, tables, now_ns)
        deadline = time.monotonic() + TIME_LIMIT_S
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS_BETWEEN_LOOKS)
        connection.set_authorizer(_authorizer(frozenset(views)))
        return _fetched(connection.execute(statement))
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise Refused(_explained(str(error))) from error


def _prepare(
    connection: sqlite3.Connection, views: Mapping[str, str], tables: Mapping[str, MemoryTable], now_ns: int
) -> None:
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4 * 1024 * 1024)
    connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200)
    for name, count, function in sqlfunctions.functions(now_ns):
        connection.create_function(name, count, function)
    for name, sql in views.items():
        connection.execute(f'CREATE TEMP VIEW "{name}" AS {sql}')
    for name, table in tables.items():
        columns = ", ".join(f'"{column}"' for column in table.columns)
        connection.execute(f'CREATE TEMP TABLE "{name}" ({columns})')
        marks = ", ".join("?" * len(table.columns))
        connection.executemany(f'INSERT INTO temp."{name}" VALUES ({marks})', table.rows)


def _authorizer(views: frozenset[str]) -> Callable[[int, str | None, str | None, str | None, str | None], int]:
    def decide(action: int, first: str | None, second: str | None, schema: str | None, source: str | None) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            hidden = (first or "").lower().startswith("sqlite_")
            counted = not second  # COUNT(*) names a table and none of its columns
            allowed = not hidden and (schema != "main" or counted or (source or "").lower() in views)
            return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION:
            name = (second or "").lower()
            allowed = name in _ALLOWED_FUNCTIONS or name.startswith("hf_")
            return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_DENY

    return decide


def _fetched(cursor: sqlite3.Cursor) -> Selected:
    names = tuple(column[0] for column in cursor.description or ())
    rows: list[tuple[object, ...]] = []
    size = 0
    for row in cursor:
        rows.append(row)
        size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
        if len(rows) > ROW_LIMIT or size > BYTE_LIMIT:
            reason = f"ANR2103E the answer has more than {ROW_LIMIT} rows or {BYTE_LIMIT >> 20} MiB"
            raise Refused(Refusal("invalid", reason, "ask for less: WHERE, FETCH FIRST n ROWS ONLY"))
    return Selected(names, rows)


def _explained(text: str) -> Refusal:
    """Return the refusal that an error of SQLite means, in the words of this field ([K] numbers)."""
    if text.startswith("no such table: "):
        name = text.partition(": ")[2].rpartition(".")[2].upper()
        return Refusal("invalid", f"ANR2939E The reference '{name}' is an unknown SQL table name.", "SYSCAT.TABLES")
    if text.startswith("no such column: "):
        name = text.partition(": ")[2].upper()
        return Refusal("invalid", f"ANR2940E The reference '{name}' is an unknown SQL column name.", "SYSCAT.COLUMNS")
    if text == "interrupted":
        return Refusal("invalid", f"ANR2103E the statement took more than {TIME_LIMIT_S:.0f} s", "ask for less")
    if "prohibited" in text or "not authorized" in text:
        return Refusal(
            "authentication", f"ANR2103E {text}", "SELECT reads the tables of SYSCAT.TABLES and nothing else"
        )
    return Refusal("invalid", f"ANR2905E {text}", "see SYSCAT.TABLES and SYSCAT.COLUMNS")
