"""The catalog on SQLite: write-ahead log, full synchronisation, one writer at a time.

A transaction that has ended is on the disk: what the server acknowledges after it survives any kill. Readers see a
snapshot and never wait for the writer. Write transactions begin IMMEDIATE under one lock, so none fails half way
because another got in between; they share one connection, the only one with a page cache worth the memory.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import OperationalError

from holdfast.backup.drivers.migrations import migrate
from holdfast.kernel.errors import HoldfastError, Refusal, Refused, Unavailable

_WRITER_CACHE_KIB, _READER_CACHE_KIB = 16_384, 2_048


class SqliteDatabase:
    """A catalog file. Brought up to date with ``schema`` when it is opened."""

    def __init__(self, path: Path, schema: MetaData) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._engine = _engine(path, _READER_CACHE_KIB)
        self._writer = _engine(path, _WRITER_CACHE_KIB, pool_size=1, max_overflow=0)
        with self.write() as connection:
            migrate(connection, schema)
        path.chmod(0o600)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a snapshot."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection
            connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the one write transaction."""
        with self._lock, self._writer.connect() as connection:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
            except OperationalError as error:
                raise _failed(self._path, error) from error

    def copy_to(self, path: Path) -> None:
        """Copy all pages in one step, so that page positions stay and incremental copies stay small."""
        source, target = sqlite3.connect(self._path), sqlite3.connect(path)
        try:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        finally:
            target.close()
            source.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
        self._writer.dispose()


def _engine(path: Path, cache_kib: int, **options: int) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30, "check_same_thread": False}, **options)
    event.listen(engine, "connect", partial(_prepare, cache_kib))
    return engine


def _failed(path: Path, error: OperationalError) -> HoldfastError:
    reason = str(error.orig)
    if "full" in reason:
        return Refused(Refusal("no-storage", f"the catalog {path} cannot grow: {reason}", "free space beside it"))
    return Unavailable(f"the catalog {path} cannot be written: {reason}", "check its file system")


def _prepare(cache_kib: int, connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun explicitly above
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA cache_size=-{cache_kib}")
