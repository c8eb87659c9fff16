"""The catalog on PostgreSQL: for several server processes that share the load of one catalog and its pools.

The promises are those of the SQLite driver: a transaction that has ended is durable (``synchronous_commit`` is forced
on), readers see one snapshot, write transactions exclude one another. That is one advisory lock taken first in each, so
a transaction sees everything that was committed before it, in whatever process; chunking, compression and encryption,
which is where a backup's time goes, run side by side all the same.

Claims are advisory locks of one session that is held for as long as the process lives: a process that is killed loses
them with its connection, at once.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, MetaData, create_engine, event, insert, select, text
from sqlalchemy.exc import DBAPIError

from holdfast.backup.drivers.migrations import migrate
from holdfast.backup.drivers.sqlite import SqliteDatabase
from holdfast.kernel.errors import HoldfastError, InputError, Refusal, Refused, Unavailable

_WRITERS = 0x686F6C64
"""The advisory lock of write transactions; claims hash to 64 bits and are of the other kind."""
_COPY_ROWS = 10_000
_POLL_S = 0.02
_NO_ROOM = ("53100",)


def engine_of(url: str) -> Any:
    """Return an engine for a ``postgresql://`` URL. Raises ``InputError`` when it holds a password."""
    parts = urlsplit(url)
    if parts.scheme != "postgresql":
        raise InputError(f"{parts.scheme}: is no catalog this server knows", remedy="postgresql://USER@HOST/DATABASE")
    if parts.password:
        remedy = "put it into a file that PGPASSFILE names, or let PostgreSQL trust the socket (peer)"
        raise InputError("the catalog's address holds a password", remedy=remedy)
    engine = create_engine("postgresql+psycopg" + url.removeprefix("postgresql"), pool_size=8, max_overflow=32)
    event.listen(engine, "connect", _prepare)
    return engine


class PostgresDatabase:
    """A catalog in a PostgreSQL database, by its URL. Brings the schema up to date when it is opened."""

    def __init__(self, url: str, schema: MetaData) -> None:
        self._engine, self._schema = engine_of(url), schema
        with self.write() as connection:
            migrate(connection, schema)
            _number_on(connection, schema)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a snapshot."""
        with self._connection() as connection:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection
            connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the one write transaction among all processes."""
        with self._connection() as connection:
            connection.execute(select(text(f"pg_advisory_xact_lock({_WRITERS})")))
            yield connection
            connection.commit()

    def copy_to(self, path: Path) -> None:
        """Write the catalog as SQLite file, from one snapshot: what BACKUP DB keeps can be restored anywhere."""
        copy = SqliteDatabase(path, self._schema)
        try:
            with self.read() as source, copy.write() as target:
                for table in self._schema.sorted_tables:
                    rows = source.execution_options(yield_per=_COPY_ROWS).execute(select(table)).mappings()
                    for part in rows.partitions(_COPY_ROWS):
                        target.execute(insert(table), [dict(row) for row in part])
        finally:
            copy.close()
        finished = sqlite3.connect(path)
        finished.execute("PRAGMA journal_mode=DELETE")
        finished.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            if not error.connection_invalidated and getattr(error.orig, "sqlstate", "") not in (*_NO_ROOM, None):
                raise
            raise _failed(error) from error


class PostgresClaims:
    """Claims among all processes on one database: advisory locks of one session of this process."""

    def __init__(self, url: str) -> None:
        self._engine = engine_of(url)
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._connection: Connection | None = None

    def take(self, key: str, *, shared: bool = False, timeout_s: float = 0.0) -> bool:
        """Claim ``key``; False when it is not to be had within the time."""
        deadline = time.monotonic() + timeout_s
        while not self._try(key, shared):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def give(self, key: str) -> None:
        """End a claim."""
        with self._lock:
            count = self._held.pop(key, 0)
            if count > 1:
                self._held[key] = count - 1
            elif count:
                kind = "_shared" if count == 1 else ""
                self._ask(f"pg_advisory_unlock{kind}({_number(key)})")

    def held(self, key: str) -> bool:
        """Return whether anybody, in any process, holds ``key``."""
        with self._lock:
            if key in self._held:
                return True
            free = bool(self._ask(f"pg_try_advisory_lock({_number(key)})"))
            if free:
                self._ask(f"pg_advisory_unlock({_number(key)})")
            return not free

    def close(self) -> None:
        """End all claims. Idempotent."""
        with self._lock:
            self._held.clear()
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._engine.dispose()

    def _try(self, key: str, shared: bool) -> bool:
        with self._lock:
            count = self._held.get(key, 0)
            if count:
                if not shared or count < 0:
                    return False
                self._held[key] = count + 1
                return True
            kind = "_shared" if shared else ""
            if not self._ask(f"pg_try_advisory_lock{kind}({_number(key)})"):
                return False
            self._held[key] = 1 if shared else -1
            return True

    def _ask(self, call: str) -> Any:
        """Call a lock function on the session that holds the claims. Raises ``Unavailable`` when it was lost, and all
        claims with it: whoever relies on one must not go on."""
        try:
            if self._connection is None:
                connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self._connection = connection
            return self._connection.exec_driver_sql(f"SELECT {call}").scalar()
        except DBAPIError as error:
            self._connection = None
            self._held.clear()
            raise _failed(error) from error


def _number(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)


def _number_on(connection: Connection, schema: MetaData) -> None:
    """Let numbers that the database gives follow those that were given explicitly."""
    for table in schema.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        name = connection.execute(text("SELECT pg_get_serial_sequence(:t, :c)"), {"t": table.name, "c": column.name})
        sequence = name.scalar()
        if sequence:
            last = f'SELECT coalesce(max("{column.name}"), 0) + 1 FROM "{table.name}"'
            connection.exec_driver_sql(f"SELECT setval('{sequence}', ({last}), false)")


def _failed(error: DBAPIError) -> HoldfastError:
    reason = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else "no connection"
    if getattr(error.orig, "sqlstate", "") in _NO_ROOM:
        return Refused(Refusal("no-storage", f"the catalog cannot grow: {reason}", "free space at PostgreSQL"))
    return Unavailable(f"the catalog on PostgreSQL cannot be reached: {reason}", "check PostgreSQL and the address")


def _prepare(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
        cursor.execute("SET statement_timeout = 0")
    connection.commit()
