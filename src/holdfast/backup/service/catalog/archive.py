"""Archives of clients and the rules of access, in the catalog: their tables and the statements on them.

An archive object is a version that stands by itself: it has a description, it is never rebound and never replaced, and
it goes when its class's RETVER days are over or its node, where that is allowed, deletes it. Its content lies in the
same chunk store as that of backups. (``archives`` in ``schema.py`` are a server's volumes kept for another server.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
)

from holdfast.backup.model.policy import ClassBinding
from holdfast.backup.plan.access import AccessRule
from holdfast.backup.plan.retention import archive_ended, retention_days
from holdfast.backup.service.catalog.commit import batches, kept_chunks
from holdfast.backup.service.catalog.schema import filespaces, metadata, nodes
from holdfast.backup.service.retention import unlocked
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import Refusal, Refused

_ID = BigInteger().with_variant(Integer, "sqlite")
_pack = msgspec.msgpack.Encoder().encode

archive_objects = Table(
    "archive_objects",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("filespace", _ID, ForeignKey("filespaces.id"), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("stat", LargeBinary, nullable=False),
    Column("extra", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("mgmtclass", Text, nullable=False, server_default=""),
    Column("description", Text, nullable=False, server_default=""),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("stored_ns", BigInteger, nullable=False, server_default="0"),
)
Index("archive_objects_by_key", archive_objects.c.filespace, archive_objects.c.key, archive_objects.c.id)

access_rules = Table(
    "access_rules",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("pattern", Text, nullable=False),
    Column("node", Text, nullable=False),
)
Index("access_rules_by_owner", access_rules.c.owner, access_rules.c.node)


def store_archives(
    connection: Connection,
    filespace: int,
    classes: Mapping[str, ClassBinding],
    staged: Sequence[tuple[m.NewVersion, str]],
    now_ns: int,
) -> None:
    """Insert archive objects with their descriptions. Raises ``Refused`` when content or copy group is missing."""
    wanted = {
        (_destination(classes, new.mgmtclass), piece.chunk)
        for new, _ in staged
        for piece in new.pieces or ()
        if piece.chunk
    }
    names = kept_chunks(connection, wanted)
    if len(names) < len(wanted):
        raise Refused(Refusal("missing-chunk", "an archive names content that was never stored", "run it again"))
    next_id = (connection.execute(select(func.max(archive_objects.c.id))).scalar() or 0) + 1
    rows = []
    for number, (new, description) in enumerate(staged, next_id):
        pool = _destination(classes, new.mgmtclass)
        pieces = [(names[pool, piece.chunk] if piece.chunk else 0, piece.length) for piece in new.pieces or ()]
        rows.append(
            {
                "id": number,
                "filespace": filespace,
                "key": new.key,
                "kind": int(new.kind),
                "stat": _pack(new.stat),
                "extra": _pack(new.extra),
                "content": _pack(pieces),
                "mgmtclass": new.mgmtclass,
                "description": description,
                "size_bytes": new.stat.size,
                "stored_ns": now_ns,
            }
        )
    connection.execute(insert(archive_objects), rows)


def _destination(classes: Mapping[str, ClassBinding], mgmtclass: str) -> str:
    binding = classes.get(mgmtclass)
    if binding is None or binding.archive is None:
        reason = f"management class {mgmtclass} has no archive copy group in the active policy set"
        raise Refused(Refusal("policy", reason, "DEFINE COPYGROUP TYPE=ARCHIVE, then ACTIVATE POLICYSET"))
    return binding.archive.destination


def archives_page(message: m.ListArchives, filespace: int) -> Select[Any]:
    """Return the statement for one page of archive objects, by key and then by age."""
    a = archive_objects.c
    where = [a.filespace == filespace]
    if message.under:
        where.append(or_(a.key == message.under, and_(a.key >= message.under + b"\0", a.key < message.under + b"\1")))
    if message.after is not None:
        key, id = message.after
        where.append(or_(a.key > key, and_(a.key == key, a.id > id)))
    return select(archive_objects).where(*where).order_by(a.key, a.id).limit(message.limit)


def expire_archives(connection: Connection, policy: Mapping[str, Mapping[str, ClassBinding]], now_ns: int) -> int:
    """Remove archive objects whose time is over; ``policy`` holds each domain's classes. Return how many went."""
    a = archive_objects.c
    kinds = (
        select(a.filespace, nodes.c.domain, a.mgmtclass, func.min(a.stored_ns))
        .join(filespaces, filespaces.c.id == a.filespace)
        .join(nodes, nodes.c.name == filespaces.c.node)
        .group_by(a.filespace, nodes.c.domain, a.mgmtclass)
    )
    gone = 0
    for filespace, domain, mgmtclass, oldest_ns in connection.execute(kinds).all():
        days = retention_days(policy.get(domain, {}), mgmtclass)
        if not archive_ended(oldest_ns, days, now_ns):
            continue
        ids = [
            id
            for id, stored_ns in connection.execute(
                select(a.id, a.stored_ns).where(a.filespace == filespace, a.mgmtclass == mgmtclass)
            )
            if archive_ended(stored_ns, days, now_ns)
        ]
        gone += delete_archives(connection, ids, now_ns)
    return gone


def delete_archives(connection: Connection, ids: Sequence[int], now_ns: int) -> int:
    """Remove archive objects by id, but for those that a retention lock holds; return how many went."""
    gone = 0
    for part in batches(unlocked(connection, ids, now_ns, archive_objects)):
        gone += connection.execute(delete(archive_objects).where(archive_objects.c.id.in_(part))).rowcount
    return gone


def rules_of(connection: Connection, owner: str, node: str = "", kind: str = "") -> list[AccessRule]:
    """Return the rules that ``owner`` has set; those for ``node`` (a rule for ``*`` is for every node) and ``kind``."""
    rows = connection.execute(
        select(access_rules).where(access_rules.c.owner == owner).order_by(access_rules.c.id)
    ).all()
    rules = [AccessRule(row.id, row.kind, row.pattern, row.node) for row in rows]
    return [rule for rule in rules if (not node or rule.node in (node, "*")) and (not kind or rule.kind == kind)]
