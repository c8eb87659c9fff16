"""The embedded store's engine: one SQLite file that several processes of one machine share.

SQLite's own locking makes every transaction linear; WAL with ``synchronous=FULL`` makes every commit durable before it
is answered. Lease deadlines are kept on ``CLOCK_BOOTTIME``, which all processes of a machine share; after a reboot they
count from the first look again. The file's identity is checked before every call: a store whose file was replaced or
unmounted beneath us is not the authority any more, and says so instead of answering from the orphan.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from holdfast.kernel.errors import Unavailable
from holdfast.store.port import Change, Committed, Compare, Conflict, Delete, Entry, Put, Snapshot, Write

HISTORY_REVISIONS = 20_000
BUSY_TIMEOUT_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
  key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL, lease INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl_s REAL NOT NULL, deadline REAL NOT NULL);
CREATE TABLE IF NOT EXISTS changes (
  revision INTEGER NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL, value BLOB, PRIMARY KEY (revision, seq)
) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('revision', 0), ('oldest', 0), ('boot', 0);
"""


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot_number() -> int:
    return int(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:15], 16)


class SqliteEngine:
    """The port's operations, blocking, on one SQLite file. Usable from several threads; calls take turns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock, self._looking = threading.Lock(), threading.Lock()
        with self._sqlite_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name='changes'").fetchone():
                self._db.executescript(_SCHEMA)
            self._eyes = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._identity = self._identify()
        self._note_boot()

    def read(self, prefix: str) -> Snapshot:
        """Return every key under ``prefix`` at one revision."""
        with self._transaction():
            self._purge()
            revision = self._meta("revision")
            rows = self._db.execute(
                "SELECT key, value, revision, lease FROM entries WHERE key >= ? AND key < ? ORDER BY key",
                (prefix, prefix + "\U0010ffff"),
            ).fetchall()
        return Snapshot(revision, {key: Entry(value, changed, lease) for key, value, changed, lease in rows})

    def transact(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Committed | Conflict:
        """Apply ``writes`` if every compare holds and every lease named is alive."""
        with self._transaction():
            self._purge()
            for compare in compares:
                found = self._revision_of(compare.key)
                if found != compare.revision:
                    return Conflict(compare.key, found)
            for write in writes:
                if isinstance(write, Put) and write.lease and not self._lease_alive(write.lease):
                    return Conflict(write.key, self._revision_of(write.key))
            return Committed(self._commit(writes))

    def grant(self, ttl_s: float) -> int:
        """Open a lease, return its id."""
        with self._transaction():
            cursor = self._db.execute(
                "INSERT INTO leases (ttl_s, deadline) VALUES (?, ?)", (ttl_s, _boottime() + ttl_s)
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def renew(self, lease: int) -> bool:
        """Renew a lease that has not lapsed."""
        with self._transaction():
            self._purge()
            cursor = self._db.execute("UPDATE leases SET deadline = ? + ttl_s WHERE id = ?", (_boottime(), lease))
            return cursor.rowcount == 1

    def revoke(self, lease: int) -> None:
        """End a lease and delete its keys."""
        with self._transaction():
            self._db.execute("UPDATE leases SET deadline = 0 WHERE id = ?", (lease,))
            self._purge()

    def changes(self, prefix: str, after_revision: int) -> tuple[int, list[tuple[Change, ...]]]:
        """Return the newest revision and, commit by commit, what changed under ``prefix`` after ``after_revision``."""
        with self._guarded():
            if self._lapsed_leases(self._db):
                with self._begun():
                    self._purge()
            self._db.execute("BEGIN")
            try:
                newest, oldest = self._meta("revision"), self._meta("oldest")
                if after_revision < oldest:
                    raise Unavailable(f"history before revision {oldest} is gone", "read again, then watch")
                rows = self._db.execute(
                    "SELECT revision, key, value FROM changes WHERE revision > ? ORDER BY revision, seq",
                    (after_revision,),
                ).fetchall()
            finally:
                self._db.execute("COMMIT")
        commits: dict[int, list[Change]] = {}
        for revision, key, value in rows:
            if key.startswith(prefix):
                commits.setdefault(revision, []).append(Change(key, value, revision))
        return max(newest, after_revision), [tuple(changes) for changes in commits.values()]

    def data_version(self) -> int:
        """Return a number that moves at every commit: the cheap question a watcher polls.

        It is asked through a connection of its own, as :meth:`lease_due` is, which waits for no commit under way.
        """
        with self._guarded(self._looking):
            return int(self._eyes.execute("PRAGMA data_version").fetchone()[0])

    def lease_due(self) -> bool:
        """Return True when a lease has lapsed and its keys are not yet deleted."""
        with self._guarded(self._looking):
            return self._lapsed_leases(self._eyes)

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock, self._looking:
            self._db.close()
            self._eyes.close()

    def _commit(self, writes: Sequence[Write]) -> int:
        revision = self._meta("revision") + 1
        changes: list[tuple[int, int, str, bytes | None]] = []
        for write in writes:
            if isinstance(write, Put):
                self._db.execute(
                    "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)",
                    (write.key, write.value, revision, write.lease),
                )
                changes.append((revision, len(changes), write.key, write.value))
            elif self._db.execute("DELETE FROM entries WHERE key = ?", (write.key,)).rowcount:
                changes.append((revision, len(changes), write.key, None))
        self._db.executemany("INSERT INTO changes VALUES (?, ?, ?, ?)", changes)
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (revision,))
        if revision % 256 == 0:
            self._trim(revision)
        return revision

    def _trim(self, revision: int) -> None:
        oldest = max(0, revision - HISTORY_REVISIONS)
        self._db.execute("DELETE FROM changes WHERE revision <= ?", (oldest,))
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'oldest'", (oldest,))

    def _purge(self) -> None:
        lapsed = [row[0] for row in self._db.execute("SELECT id FROM leases WHERE deadline <= ?", (_boottime(),))]
        if not lapsed:
            return
        marks = ",".join("?" * len(lapsed))
        keys = [row[0] for row in self._db.execute(f"SELECT key FROM entries WHERE lease IN ({marks})", lapsed)]
        self._db.execute(f"DELETE FROM leases WHERE id IN ({marks})", lapsed)
        if keys:
            self._commit([Delete(key) for key in keys])

    @staticmethod
    def _lapsed_leases(db: sqlite3.Connection) -> bool:
        return db.execute("SELECT 1 FROM leases WHERE deadline <= ?", (_boottime(),)).fetchone() is not None

    def _lease_alive(self, lease: int) -> bool:
        return self._db.execute("SELECT 1 FROM leases WHERE id = ?", (lease,)).fetchone() is not None

    def _revision_of(self, key: str) -> int:
        row = self._db.execute("SELECT revision FROM entries WHERE key = ?", (key,)).fetchone()
        return int(row[0]) if row else 0

    def _meta(self, name: str) -> int:
        return int(self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    def _note_boot(self) -> None:
        with self._transaction():
            boot = _boot_number()
            if self._meta("boot") != boot:
                self._db.execute("UPDATE leases SET deadline = ? + ttl_s", (_boottime(),))
                self._db.execute("UPDATE meta SET value = ? WHERE name = 'boot'", (boot,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._guarded(), self._begun():
            yield

    @contextmanager
    def _begun(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _guarded(self, lock: threading.Lock | None = None) -> Iterator[None]:
        with lock or self._lock, self._sqlite_errors():
            if self._identify() != self._identity:
                raise Unavailable(f"{self.path} is not the store file that was opened", "is the store still mounted?")
            yield

    @contextmanager
    def _sqlite_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(
                f"store {self.path}: {error}", "see that the file can be written and its disk has room"
            ) from error

    def _identify(self) -> tuple[int, int]:
        try:
            facts = os.stat(self.path)
        except OSError as error:
            raise Unavailable(f"store {self.path}: {error.strerror}", "is the store still mounted?") from error
        return facts.st_dev, facts.st_ino
