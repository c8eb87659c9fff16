"""Query and restore sessions, the server's side: lists of versions, where their chunks lie, and the groups themselves.

The reader pages and pulls, so a slow client holds nothing here. A group that cannot be read is an answer, not a
failure: the client names every object it concerns and restores the rest.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select

from holdfast.backup.model.numberset import NumberSet
from holdfast.backup.model.objects import Extra, Kind, Stat
from holdfast.backup.plan.access import AccessRule, permitted
from holdfast.backup.service.catalog.commit import batches
from holdfast.backup.service.catalog.schema import chunks, filespaces
from holdfast.backup.service.core import Core
from holdfast.backup.service.ingest import pack
from holdfast.backup.service.listing import page
from holdfast.backup.service.pool import Unreadable, read_group
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import Refusal, Refused

_stat = msgspec.msgpack.Decoder(Stat)
_extra = msgspec.msgpack.Decoder(Extra)
_content = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...])


class Egress:
    """Answers the queries of one node."""

    def __init__(self, core: Core, node: str) -> None:
        self._core, self._node = core, node
        self._rules: list[AccessRule] | None = None
        self._chunks, self._groups = NumberSet(), NumberSet()
        """What this session was told of: a node reads the content of what it was listed, whatever numbers it sends."""

    def act_for(self, node: str, rules: list[AccessRule] | None) -> None:
        """List what ``node`` keeps from here on; with ``rules`` only what they cover."""
        self._node, self._rules = node, rules

    def filespaces(self, message: m.ListFilespaces) -> m.Page:
        """List the node's filespaces."""
        with self._core.database.read() as connection:
            rows = connection.execute(
                select(filespaces).where(filespaces.c.node == self._node).order_by(filespaces.c.name)
            ).all()
        return m.Page(message.seq, pack([m.FilespaceRow(r.name, r.type, r.started_ns, r.ended_ns) for r in rows]), True)

    def versions(self, message: m.ListVersions) -> m.Page:
        """List versions of one filespace in key order; of another node's only those that a rule covers."""
        while True:
            rows, last = self._rows(message)
            if rows:
                message = msgspec.structs.replace(message, after=rows[-1].key)
            if self._rules is not None:
                rows = [
                    row
                    for row in rows
                    if permitted(self._rules, message.filespace, row.key, directory=row.kind == Kind.DIRECTORY)
                ]
            if rows or last:
                return m.Page(message.seq, pack([self._stored(row, message.contents) for row in rows]), last)

    def _rows(self, message: m.ListVersions) -> tuple[list[Any], bool]:
        with self._core.database.read() as connection:
            filespace = connection.execute(
                select(filespaces.c.id).where(filespaces.c.node == self._node, filespaces.c.name == message.filespace)
            ).scalar()
            if filespace is None:
                raise Refused(
                    Refusal(
                        "not-found",
                        f"ANS4000E node {self._node} has no filespace {message.filespace}",
                        "query filespace",
                    )
                )
            return page(connection, filespace, message)

    def pieces(self, content: bytes) -> tuple[tuple[int, int], ...]:
        """Return the pieces of an object that this session may list; from here on it may read them."""
        found = _content.decode(content)
        self._chunks.add(chunk for chunk, _ in found)
        return found

    def _stored(self, row: Any, contents: bool) -> m.StoredVersion:
        return m.StoredVersion(
            row.id,
            row.key,
            Kind(row.kind),
            _stat.decode(row.stat),
            _extra.decode(row.extra) if contents else Extra(),
            row.mgmtclass,
            row.stored_ns,
            row.inactive_ns,
            self.pieces(row.content) if contents else (),
        )

    def locate(self, message: m.Locate) -> m.Located:
        """Say where chunks lie, in the order asked. Raises ``Refused`` (protocol) for one that was never listed."""
        if any(chunk not in self._chunks for chunk in message.chunks):
            raise Refused(Refusal("protocol", "a chunk was asked for that this session was never told of"))
        found: dict[int, tuple[int, int, int]] = {}
        with self._core.database.read() as connection:
            for part in batches(message.chunks):
                statement = select(chunks.c.id, chunks.c.grp, chunks.c.offset, chunks.c.length).where(
                    chunks.c.id.in_(part)
                )
                for id, group, offset, length in connection.execute(statement):
                    found[id] = (group, offset, length)
        missing = [chunk for chunk in message.chunks if chunk not in found]
        if missing:
            raise Refused(Refusal("damaged", f"the catalog has lost {len(missing)} chunks", "AUDIT VOLUME"))
        self._groups.add(group for group, _, _ in found.values())
        return m.Located(message.seq, tuple(found[chunk] for chunk in message.chunks))

    def fetch(self, message: m.Fetch) -> m.Fetched:
        """Return one group, or why it cannot be read and which volumes should have held it.

        Raises ``Refused`` (protocol) for a group that was never located."""
        if message.group not in self._groups:
            raise Refused(Refusal("protocol", "a group was asked for that this session was never told of"))
        try:
            index, data = read_group(self._core, message.group)
        except Unreadable as error:
            return m.Fetched(message.seq, (), (), b"", error.message, ", ".join(error.volumes))
        return m.Fetched(message.seq, index.names, index.lengths, data)
