"""What a client asks besides backup and restore: archives listed, versions deleted, access granted, policy shown.

A refusal here is an answer and the session goes on. What a node may delete stands in its row (BACKDELETE, ARCHDELETE);
what it may see of another node, in the rules which that node has set; both are judged here, never by the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from holdfast.backup.model.objects import Extra, Kind, Stat
from holdfast.backup.model.policy import ClassBinding
from holdfast.backup.plan.access import AccessRule, check_pattern, permitted
from holdfast.backup.service.catalog.archive import (
    access_rules,
    archive_objects,
    archives_page,
    delete_archives,
    rules_of,
)
from holdfast.backup.service.catalog.commit import batches, delete_versions
from holdfast.backup.service.catalog.generations import changed
from holdfast.backup.service.catalog.schema import filespaces, nodes, versions
from holdfast.backup.service.core import Core
from holdfast.backup.service.egress import Egress
from holdfast.backup.service.ingest import pack
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import InputError, Refusal, Refused

_KINDS = ("backup", "archive")
_stat = msgspec.msgpack.Decoder(Stat)
_extra = msgspec.msgpack.Decoder(Extra)
Request = (
    m.ActFor | m.ListArchives | m.DeleteVersions | m.DropFilespace | m.Grant | m.Revoke | m.ListAccess | m.ListClasses
)
"""The messages that are answered here."""


class ClientRequests:
    """Answers one session's requests. ``egress`` is told for whom it lists."""

    def __init__(self, core: Core, node: str, classes: Sequence[ClassBinding], egress: Egress) -> None:
        self._core, self._node, self._classes, self._egress = core, node, classes, egress
        self._subject = node
        self._rules: list[AccessRule] | None = None

    def handle(self, message: Request) -> m.Message:
        """Return the answer; a refusal becomes :class:`~holdfast.backup.session.messages.Failed`."""
        try:
            return self._answer(message)
        except Refused as refused:
            return m.Failed(message.seq, refused.refusal.code, refused.refusal.reason, refused.refusal.remedy)

    def _answer(self, message: Request) -> m.Message:
        match message:
            case m.ActFor():
                return self._act_for(message)
            case m.ListArchives():
                return self._archives(message)
            case m.DeleteVersions():
                return self._delete(message)
            case m.DropFilespace():
                return self._drop(message)
            case m.Grant():
                return self._grant(message)
            case m.Revoke():
                return self._revoke(message)
            case m.ListAccess():
                with self._core.database.read() as connection:
                    return m.Page(message.seq, pack(rules_of(connection, self._node)), True)
            case m.ListClasses():
                return m.Page(message.seq, pack(self._classes), True)

    def _act_for(self, message: m.ActFor) -> m.Done:
        subject = message.node.upper() or self._node
        rules: list[AccessRule] | None = None
        if subject != self._node:
            with self._core.database.read() as connection:
                rules = rules_of(connection, subject, self._node)
            if not rules:
                reason = f"ANS1353E Session rejected: node {subject} has given node {self._node} access to nothing"
                raise Refused(Refusal("not-found", reason, f"at {subject}: dsmc set access backup FILES {self._node}"))
        self._subject, self._rules = subject, rules
        backups = None if rules is None else [rule for rule in rules if rule.kind == "backup"]
        self._egress.act_for(subject, backups)
        return m.Done(message.seq)

    def _filespace(self, name: str, node: str) -> int:
        with self._core.database.read() as connection:
            where = (filespaces.c.node == node, filespaces.c.name == name)
            found = connection.execute(select(filespaces.c.id).where(*where)).scalar()
        if found is None:
            reason = f"ANS4000E node {node} has no filespace {name}"
            raise Refused(Refusal("not-found", reason, "query filespace"))
        return int(found)

    def _archives(self, message: m.ListArchives) -> m.Page:
        filespace = self._filespace(message.filespace, self._subject)
        rules = None if self._rules is None else [rule for rule in self._rules if rule.kind == "archive"]
        while True:
            with self._core.database.read() as connection:
                rows = list(connection.execute(archives_page(message, filespace)).all())
            last = len(rows) < message.limit
            if rows:
                message = msgspec.structs.replace(message, after=(rows[-1].key, rows[-1].id))
            if rules is not None:
                rows = [
                    row
                    for row in rows
                    if permitted(rules, message.filespace, row.key, directory=row.kind == Kind.DIRECTORY)
                ]
            if rows or last:
                return m.Page(message.seq, pack([self._archived(row, message.contents) for row in rows]), last)

    def _archived(self, row: Any, contents: bool) -> m.StoredArchive:
        return m.StoredArchive(
            row.id,
            row.key,
            Kind(row.kind),
            _stat.decode(row.stat),
            _extra.decode(row.extra) if contents else Extra(),
            row.mgmtclass,
            row.stored_ns,
            None,
            self._egress.pieces(row.content) if contents else (),
            row.description,
        )

    def _delete(self, message: m.DeleteVersions) -> m.Deleted:
        filespace = self._filespace(message.filespace, self._node)
        table = archive_objects if message.archives else versions
        with self._core.database.write() as connection:
            self._may_delete(connection, "archdelete" if message.archives else "backdelete")
            mine: list[int] = []
            for part in batches(message.ids):
                where = (table.c.filespace == filespace, table.c.id.in_(part))
                mine.extend(connection.execute(select(table.c.id).where(*where)).scalars())
            remove = delete_archives if message.archives else delete_versions
            gone = remove(connection, mine, self._core.now_ns())
            changed(connection, filespace)
        return m.Deleted(message.seq, gone)

    def _drop(self, message: m.DropFilespace) -> m.Done:
        filespace = self._filespace(message.filespace, self._node)
        with self._core.database.write() as connection:
            for column in ("backdelete", "archdelete"):
                self._may_delete(connection, column)
            for table, remove in ((archive_objects, delete_archives), (versions, delete_versions)):
                ids = connection.execute(select(table.c.id).where(table.c.filespace == filespace)).scalars().all()
                if remove(connection, ids, self._core.now_ns()) < len(ids):
                    reason = f"filespace {message.filespace} holds what is under a retention lock"
                    raise Refused(Refusal("locked", reason, "nobody can delete it before its date"))
            connection.execute(delete(filespaces).where(filespaces.c.id == filespace))
        return m.Done(message.seq)

    def _may_delete(self, connection: Connection, column: str) -> None:
        allowed = connection.execute(select(nodes.c[column]).where(nodes.c.name == self._node)).scalar()
        if not allowed:
            what = "archives" if column == "archdelete" else "backups"
            reason = f"ANS1126E node {self._node} may not delete {what} ({column.upper()}=NO)"
            raise Refused(Refusal("not-allowed", reason, f"administrator: REGISTER NODE ... {column.upper()}=YES"))

    def _grant(self, message: m.Grant) -> m.Done:
        if message.kind not in _KINDS or not message.node:
            raise Refused(Refusal("invalid", "access is given to backup or archive, and to a node", "SET ACCESS"))
        try:
            check_pattern(message.pattern)
        except InputError as error:
            raise Refused(Refusal("invalid", error.message, error.remedy)) from error
        with self._core.database.write() as connection:
            number = (connection.execute(select(func.max(access_rules.c.id))).scalar() or 0) + 1
            values = {"owner": self._node, "kind": message.kind, "pattern": message.pattern}
            known = rules_of(connection, self._node, message.node.upper(), message.kind)
            if not any(rule.pattern == message.pattern for rule in known):
                connection.execute(insert(access_rules), {"id": number, **values, "node": message.node.upper()})
        return m.Done(message.seq)

    def _revoke(self, message: m.Revoke) -> m.Done:
        mine = (access_rules.c.owner == self._node, access_rules.c.id == message.number)
        with self._core.database.write() as connection:
            gone = connection.execute(delete(access_rules).where(*mine)).rowcount
        if not gone:
            reason = f"ANS1302E node {self._node} has no access rule {message.number}"
            raise Refused(Refusal("not-found", reason, "dsmc query access"))
        return m.Done(message.seq)
