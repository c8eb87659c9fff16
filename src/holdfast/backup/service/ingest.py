"""Backup sessions, the server's side: groups into volumes, versions into the catalog, then the acknowledgement.

A commit is the unit of success: all that came since the last one becomes durable together, or nothing of it counts.
Every group is checked against the names its chunks claim before it is kept, so that no client can plant content under
another's name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec
import zstandard
from blake3 import blake3
from sqlalchemy import Connection, insert, select, update

from holdfast.backup.model.journal import Owner
from holdfast.backup.model.objects import Known, Stat
from holdfast.backup.model.policy import ClassBinding
from holdfast.backup.service.catalog.archive import store_archives
from holdfast.backup.service.catalog.commit import CommitBatch, kept_chunks
from holdfast.backup.service.catalog.generations import changed, generation_of
from holdfast.backup.service.catalog.schema import chunks, filespaces, versions
from holdfast.backup.service.core import Core
from holdfast.backup.service.journal import CommitJournal
from holdfast.backup.service.keys import chunk_key
from holdfast.backup.service.pool import Place, PoolWriter
from holdfast.backup.service.volumeformat import GroupIndex, seal
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import Refusal, Refused

_GROUP_LIMIT_BYTES = 32 * 1024 * 1024
_ROWS_LIMIT_BYTES = 64 * 1024 * 1024
_stat = msgspec.msgpack.Decoder(Stat)
_versions = msgspec.msgpack.Decoder(list[m.NewVersion])


def pack(rows: Sequence[object]) -> bytes:
    """Return rows as they travel: msgpack, compressed."""
    return zstandard.ZstdCompressor(level=1).compress(msgspec.msgpack.encode(rows))


class Ingest:
    """The open filespace of one client session and what is staged since the last commit."""

    def __init__(self, core: Core, node: str, session: int, classes: Sequence[ClassBinding]) -> None:
        self._core, self._node, self._session = core, node, session
        self._classes = {binding.name: binding for binding in classes}
        self._filespace = 0
        self._fresh = False
        self._generation = b""
        self._writers: dict[str, PoolWriter] = {}
        self._groups: list[tuple[str, GroupIndex, Place]] = []
        self._versions: list[bytes] = []
        """As they came, compressed: a commit takes them a batch at a time."""
        self._staged_versions = 0
        self._expired: list[bytes] = []
        self._rebound: list[m.Rebind] = []
        self._archived: list[tuple[m.NewVersion, str]] = []
        self._whole = True
        self._dated = any(binding.backup is not None and binding.backup.by_date for binding in classes)
        self._decompress = zstandard.ZstdDecompressor()
        self._pools = {
            group.destination for binding in classes for group in (binding.backup, binding.archive) if group is not None
        }
        self._journal = CommitJournal(core, classes)
        self._owner = Owner(0, node, "", "")

    def open(self, message: m.OpenFilespace) -> m.FilespaceOpened:
        """Find or create the filespace; note the start of an incremental of the whole of it."""
        self._whole = message.whole
        with self._core.database.write() as connection:
            where = (filespaces.c.node == self._node, filespaces.c.name == message.filespace)
            row = connection.execute(select(filespaces).where(*where)).first()
            if row is None:
                connection.execute(
                    insert(filespaces), {"node": self._node, "name": message.filespace, "type": message.type}
                )
            if message.whole:
                connection.execute(update(filespaces).where(*where).values(started_ns=self._core.now_ns()))
            self._filespace = connection.execute(select(filespaces.c.id).where(*where)).scalar_one()
            if row is None:  # its number may have been another filespace's
                changed(connection, self._filespace)
            self._owner = Owner(self._filespace, self._node, message.filespace, message.type)
            any_version = select(versions.c.id).where(versions.c.filespace == self._filespace).limit(1)
            self._fresh = connection.execute(any_version).first() is None
            known = select(chunks.c.id).where(chunks.c.pool.in_(sorted(self._pools))).limit(1)
            pool_empty = connection.execute(known).first() is None
            self._generation = generation_of(connection, self._filespace)
        return m.FilespaceOpened(message.seq, self._fresh, pool_empty, self._generation)

    def page(self, message: m.ListActive) -> m.Page:
        """Return the next active versions in key order; when they were stored only where policy asks for it."""
        dated = (versions.c.stored_ns,) if self._dated else ()
        statement = (
            select(versions.c.key, versions.c.kind, versions.c.stat, versions.c.digest, versions.c.mgmtclass, *dated)
            .where(versions.c.filespace == self._filespace, versions.c.inactive_ns.is_(None))
            .order_by(versions.c.key)
            .limit(message.limit)
        )
        if message.after is not None:
            statement = statement.where(versions.c.key > message.after)
        with self._core.database.read() as connection:
            rows = connection.execute(statement).all()
        known = [Known(row[0], row[1], _stat.decode(row[2]), *row[3:]) for row in rows]
        return m.Page(message.seq, pack(known), len(rows) < message.limit)

    def have(self, message: m.Have) -> m.HaveReply:
        """Say which chunks the pool keeps and can read."""
        wanted = [(message.pool, name) for name in message.names]
        with self._core.database.read() as connection:
            found = kept_chunks(connection, wanted, good=True)
        return m.HaveReply(message.seq, bytes(key in found for key in wanted))

    def group(self, message: m.Group) -> None:
        """Check, encrypt and append a group. Not durable before the commit."""
        if message.pool not in self._pools:
            raise Refused(Refusal("protocol", f"pool {message.pool} is no destination of this node's classes"))
        raw = self._verified(message)
        key = self._core.keys.pool(message.pool)
        index = GroupIndex(os.urandom(16), key.id, raw, message.names, message.lengths)
        writer = self._writer(message.pool)
        self._groups.append((message.pool, index, writer.append(seal(index, message.data, key.cipher))))

    def _writer(self, pool: str) -> PoolWriter:
        if pool not in self._writers:
            self._writers[pool] = PoolWriter(self._core, pool, filespace=self._filespace, overflow=True)
        return self._writers[pool]

    def _verified(self, message: m.Group) -> int:
        total = sum(message.lengths)
        if total > _GROUP_LIMIT_BYTES or len(message.names) != len(message.lengths):
            raise Refused(Refusal("protocol", "the group is malformed"))
        plain = memoryview(self._decompressed(message.data, total))
        naming = chunk_key(self._core.keys.pool(message.pool).naming)
        at = 0
        for name, length in zip(message.names, message.lengths, strict=True):
            if blake3(plain[at : at + length], key=naming).digest() != name:
                raise Refused(Refusal("protocol", "a chunk's content does not match its name"))
            at += length
        if at != len(plain):
            raise Refused(Refusal("protocol", "the group's lengths do not add up"))
        return total

    def _unpacked(self, rows: bytes) -> list[m.NewVersion]:
        try:
            return _versions.decode(self._decompressed(rows, _ROWS_LIMIT_BYTES))
        except msgspec.MsgspecError as error:
            raise Refused(Refusal("protocol", f"ANR0440W Protocol error: {error}")) from error

    def _decompressed(self, data: bytes, limit_bytes: int) -> bytes:
        """Decompress what a client sent; a frame that claims or holds more than the limit is refused unread."""
        try:
            if zstandard.frame_content_size(data) > limit_bytes:
                raise Refused(Refusal("protocol", "a frame claims more than it may hold"))
            return self._decompress.decompress(data, max_output_size=limit_bytes)
        except zstandard.ZstdError as error:
            raise Refused(Refusal("protocol", f"a frame does not decompress: {error}")) from error

    def stage(self, message: m.Versions | m.Archive | m.Expire | m.Rebind) -> None:
        """Hold versions, archives, expirations and rebindings until the commit."""
        if isinstance(message, m.Versions):
            self._staged_versions += _count(self._decompressed(message.rows, _ROWS_LIMIT_BYTES))
            self._versions.append(message.rows)
            self._journal.hold(message.rows)
        elif isinstance(message, m.Archive):
            rows = self._unpacked(message.rows)
            self._archived.extend((row, message.description) for row in rows)
            self._journal.hold_archive(message.rows, message.description)
        elif isinstance(message, m.Expire):
            self._expired.extend(message.keys)
        else:
            self._rebound.append(message)

    def commit(self, message: m.Commit) -> m.Committed:
        """Make everything staged durable: volumes first, then one catalog transaction."""
        now = self._core.now_ns()
        if self._versions or self._archived or self._expired or self._rebound:
            writer = self._writer(self._journal.pool)
            count = self._staged_versions + len(self._archived)
            self._journal.append(writer, self._owner, now, self._expired, self._rebound, count)
        for writer in self._writers.values():
            writer.sync()
        stored = sum(place.length for _, _, place in self._groups)
        with self._core.database.write() as connection:
            for writer in self._writers.values():
                writer.record(connection)
            batch = CommitBatch(connection, self._filespace, self._fresh, self._classes, now)
            batch.groups(self._groups)
            for packed in self._versions:
                batch.store(self._unpacked(packed))
            if self._archived:
                store_archives(connection, self._filespace, self._classes, self._archived, now)
            batch.inactivate(self._expired)
            for rebind in self._rebound:
                batch.rebind(rebind.keys, rebind.mgmtclass)
            self._journal.enter(connection)
            generation = self._followed(connection)
            if message.end and self._whole:
                mine = filespaces.c.id == self._filespace
                connection.execute(update(filespaces).where(mine).values(ended_ns=now))
        for writer in self._writers.values():
            writer.release_full()
        objects = self._staged_versions + len(self._archived)
        self._fresh, self._staged_versions = False, 0
        self._groups, self._versions, self._expired, self._rebound, self._archived = [], [], [], [], []
        self._journal.clear()
        return m.Committed(message.seq, stored, objects, generation)

    def _followed(self, connection: Connection) -> bytes:
        """Return the generation this commit leaves; empty once another session has changed the filespace."""
        undisturbed = generation_of(connection, self._filespace) == self._generation
        if self._versions or self._expired or self._rebound:
            generation = changed(connection, self._filespace)
            self._generation = generation if undisturbed else b"-"
        return self._generation if undisturbed else b""

    def close(self) -> None:
        """End the session; what was not committed is dropped."""
        for writer in self._writers.values():
            writer.close()


def _count(packed: bytes) -> int:
    """Return how many items a msgpack list holds, from its head alone; raises ``Refused`` when it is none."""
    head = packed[0] if packed else 0
    if head & 0xF0 == 0x90:
        return head & 0x0F
    if head in (0xDC, 0xDD):
        return int.from_bytes(packed[1 : 3 if head == 0xDC else 5], "big")
    raise Refused(Refusal("protocol", "ANR0440W Protocol error: no list of versions"))
