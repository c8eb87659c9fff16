"""The target's side of server-to-server: archive objects that are the volumes of another server.

Only the source decides about them. The target keeps the bytes as one file per object in the pool that the archive copy
group names, and its own record of size and date. What it reports as size and date is what the file has now, so that
whatever befell the file is found by reconciliation. A file may be longer than its record while a session writes; the
tail was never acknowledged and is cut off when the object is next opened.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from holdfast.backup.model.virtual import ARCHIVE_FILESPACE
from holdfast.backup.plan.expiration import DAY_NS
from holdfast.backup.ports import Appender
from holdfast.backup.service.catalog.policy import classes_of
from holdfast.backup.service.catalog.schema import archives, devclasses, pools
from holdfast.backup.service.core import Core
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import HoldfastError, Refusal, Refused


def object_directory(core: Core, pool: str, node: str) -> Path:
    """Return where the objects of ``node`` lie in a pool of this server."""
    with core.database.read() as connection:
        row = connection.execute(
            select(devclasses).join(pools, pools.c.devclass == devclasses.c.name).where(pools.c.name == pool)
        ).first()
    if row is None or row.type != "FILE":
        raise Refused(Refusal("policy", f"pool {pool} cannot keep archive objects", "name a FILE pool as destination"))
    return Path(row.directory) / "archive" / node / ARCHIVE_FILESPACE


class Vault:
    """Serves one session of a source server."""

    def __init__(self, core: Core, node: str, domain: str) -> None:
        self._core, self._node = core, node
        self._domain = domain
        self._open: tuple[str, Appender, Path] | None = None

    def handle(self, message: m.Message) -> m.Message | None:
        """Carry out one message; replies only to those that carry ``seq``."""
        if isinstance(message, m.Append):
            if self._open is not None:
                self._open[1].write(message.data)
            return None
        if isinstance(message, m.OpenVolume):
            return self._open_volume(message)
        if isinstance(message, m.CommitVolume):
            return self._commit(message)
        if isinstance(message, m.ReadVolume):
            return self._read(message)
        if isinstance(message, m.ListFiles):
            return m.Files(message.seq, tuple(list_objects(self._core, self._node, message.prefix)))
        assert isinstance(message, m.MarkFile)
        mark_object(self._core, self._node, message.name, active=message.active, grace_days=message.grace_days)
        return m.Done(message.seq)

    def close(self) -> None:
        """End the session: the open object keeps what was committed."""
        if self._open is not None:
            name, appender, path = self._open
            self._open = None
            appender.close()
            with self._core.database.read() as connection:
                row = find(connection, self._node, name)
            if row is not None:
                self._settle(name, path, row.written_ns)

    def _open_volume(self, message: m.OpenVolume) -> m.Done:
        self.close()
        if "/" in message.name or message.name.startswith("."):
            raise Refused(Refusal("invalid", f"{message.name!r} is no object name"))
        with self._core.database.read() as connection:
            row = find(connection, self._node, message.name)
        if message.at_bytes == 0 and row is not None and row.size_bytes > 0:
            raise Refused(Refusal("exists", f"object {message.name} exists", "choose another volume"))
        if message.at_bytes > 0 and (row is None or row.marked_ns is not None):
            raise Refused(Refusal("not-found", f"object {message.name} does not exist", "RECONCILE VOLUMES"))
        pool, mgmtclass = self._destination() if row is None else (row.pool, row.mgmtclass)
        directory = object_directory(self._core, pool, self._node)
        with self._core.database.write() as connection:
            values = {"node": self._node, "name": message.name, "filespace": ARCHIVE_FILESPACE}
            if row is None:
                connection.execute(insert(archives), {**values, "pool": pool, "mgmtclass": mgmtclass, "writing": True})
            else:
                connection.execute(_of(update(archives), self._node, message.name).values(writing=True))
        media = self._core.file_media(directory)
        self._open = (message.name, media.append(message.name, message.at_bytes), directory / message.name)
        return m.Done(message.seq)

    def _destination(self) -> tuple[str, str]:
        with self._core.database.read() as connection:
            default = next((b for b in classes_of(connection, self._domain) if b.default), None)
        if default is None or default.archive is None:
            raise Refused(
                Refusal(
                    "no-archive-group",
                    f"the default management class of domain {self._domain} has no archive copy group: "
                    "data of other servers cannot be stored",
                    "at the target: DEFINE COPYGROUP ... TYPE=ARCHIVE, then ACTIVATE POLICYSET",
                )
            )
        return default.archive.destination, default.name

    def _commit(self, message: m.CommitVolume) -> m.Done:
        if self._open is None:
            raise Refused(Refusal("protocol", "no object is open"))
        name, appender, path = self._open
        if appender.size_bytes != message.size_bytes:
            raise Refused(Refusal("short", f"object {name}: {appender.size_bytes} of {message.size_bytes} bytes came"))
        appender.commit()
        values: dict[str, Any] = {"size_bytes": message.size_bytes, "written_ns": message.written_ns}
        with self._core.database.write() as connection:
            connection.execute(_of(update(archives), self._node, name).values(values))
        if message.close:
            self._open = None
            appender.close()
            self._settle(name, path, message.written_ns)
        return m.Done(message.seq)

    def _settle(self, name: str, path: Path, written_ns: int) -> None:
        """Give the closed file its source's date; from now on what the file shows is what is reported."""
        if path.exists():
            os.utime(path, ns=(written_ns, written_ns))
        with self._core.database.write() as connection:
            connection.execute(_of(update(archives), self._node, name).values(writing=False))

    def _read(self, message: m.ReadVolume) -> m.Bytes:
        with self._core.database.read() as connection:
            row = find(connection, self._node, message.name)
        if row is None:
            return m.Bytes(message.seq, b"", f"object {message.name} does not exist")
        media = self._core.file_media(object_directory(self._core, row.pool, self._node))
        try:
            return m.Bytes(message.seq, media.read(message.name, message.offset, message.length))
        except HoldfastError as error:
            return m.Bytes(message.seq, b"", error.message)


def find(connection: Connection, node: str, name: str) -> Any:
    """Return the record of an object, or None."""
    return connection.execute(select(archives).where(archives.c.node == node, archives.c.name == name)).first()


def _of(statement: Any, node: str, name: str) -> Any:
    return statement.where(archives.c.node == node, archives.c.name == name)


def list_objects(core: Core, node: str, prefix: str = "") -> list[m.RemoteFile]:
    """Return the objects of a node as their files are now."""
    with core.database.read() as connection:
        rows = connection.execute(select(archives).where(archives.c.node == node).order_by(archives.c.name)).all()
    files = []
    for row in rows:
        if not row.name.startswith(prefix):
            continue
        facts = core.file_media(object_directory(core, row.pool, node)).facts(row.name)
        size, written = (
            (row.size_bytes, row.written_ns) if row.writing or facts is None else (facts.size_bytes, facts.written_ns)
        )
        files.append(m.RemoteFile(row.name, size, written, row.marked_ns is not None, facts is not None))
    return files


def mark_object(core: Core, node: str, name: str, *, active: bool, grace_days: int = 5) -> None:
    """Mark an object for deletion (it goes ``grace_days`` later), or make a marked one active again."""
    with core.database.write() as connection:
        if find(connection, node, name) is None:
            raise Refused(Refusal("not-found", f"object {name} of {node} does not exist", "list the node's objects"))
        values = {"marked_ns": None if active else core.now_ns(), "grace_days": grace_days}
        connection.execute(_of(update(archives), node, name).values(values))


def copy_object(core: Core, node: str, name: str, new_name: str) -> None:
    """Keep a second object with the bytes of the first: an administrator's tool, and how a drill plants a stray."""
    with core.database.read() as connection:
        row = find(connection, node, name)
        taken = find(connection, node, new_name)
    if row is None or taken is not None:
        raise Refused(Refusal("not-found", f"{name} does not exist or {new_name} does", "list the node's objects"))
    directory = object_directory(core, row.pool, node)
    media = core.file_media(directory)
    appender = media.append(new_name, 0)
    appender.write(media.read(name, 0, row.size_bytes))
    appender.commit()
    appender.close()
    os.utime(directory / new_name, ns=(row.written_ns, row.written_ns))
    with core.database.write() as connection:
        connection.execute(insert(archives), {**row._mapping, "name": new_name, "marked_ns": None, "writing": False})


def recover_interrupted(core: Core) -> None:
    """At server start: close objects that a killed session left open, cutting unacknowledged tails."""
    with core.database.read() as connection:
        rows = connection.execute(select(archives).where(archives.c.writing)).all()
    for row in rows:
        path = object_directory(core, row.pool, row.node) / row.name
        if path.exists():
            os.truncate(path, min(row.size_bytes, path.stat().st_size))
            os.utime(path, ns=(row.written_ns, row.written_ns))
        with core.database.write() as connection:
            connection.execute(_of(update(archives), row.node, row.name).values(writing=False))


def remove_marked(core: Core) -> int:
    """Remove objects whose grace period is over; return how many. Nothing else at the target removes them."""
    now = core.now_ns()
    with core.database.read() as connection:
        rows = connection.execute(select(archives).where(archives.c.marked_ns.is_not(None))).all()
    doomed = [row for row in rows if row.marked_ns + row.grace_days * DAY_NS <= now]
    for row in doomed:
        core.file_media(object_directory(core, row.pool, row.node)).delete(row.name)
        with core.database.write() as connection:
            connection.execute(_of(delete(archives), row.node, row.name))
    return len(doomed)
