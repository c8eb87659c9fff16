"""One commit of a backup session as statements: groups, chunks, versions, inactivations, in one transaction.

Bulk statements only: a commit of a hundred thousand versions is a handful of executemany calls. Counts of policy
(VEREXISTS, VERDELETED) are applied here, to the objects that changed and no others.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, bindparam, exists, func, select, update

from holdfast.backup.model.policy import NOLIMIT, BackupCopyGroup, ClassBinding
from holdfast.backup.model.pools import READABLE
from holdfast.backup.plan.expiration import Version, over_count
from holdfast.backup.service.catalog.bulk import delete_ids, ids_by_name, insert_rows
from holdfast.backup.service.catalog.schema import chunks, groups, places, versions, volumes
from holdfast.backup.service.retention import unlocked
from holdfast.backup.service.volumeformat import GroupIndex
from holdfast.backup.session.messages import NewVersion
from holdfast.kernel.errors import Refusal, Refused

_BATCH = 500
_T = TypeVar("_T")
_pack = msgspec.msgpack.Encoder().encode
_VERSION_COLUMNS = (
    "id", "filespace", "key", "kind", "stat", "extra", "digest", "content", "mgmtclass", "size_bytes", "stored_ns",
    "inactive_ns",
)  # fmt: skip
_Staged = Sequence[tuple[str, GroupIndex, Any]]


def batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield slices small enough for one statement's parameters."""
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


class CommitBatch:
    """Writes one commit of one filespace. ``fresh``: the filespace has no versions, so nothing needs looking up."""

    def __init__(
        self, connection: Connection, filespace: int, fresh: bool, classes: Mapping[str, ClassBinding], now_ns: int
    ) -> None:
        self._connection, self._filespace, self._fresh = connection, filespace, fresh
        self._classes, self._now_ns = classes, now_ns
        self._names: dict[tuple[str, bytes], int] = {}
        self._default = next((name for name, binding in classes.items() if binding.default), "")

    def groups(self, staged: _Staged) -> None:
        """Insert groups with their chunks and places; versions stored after it may use them."""
        self._names = insert_groups(self._connection, staged)

    def store(self, new: Sequence[NewVersion]) -> None:
        """Insert versions; an object stands among them once."""
        if not new:
            return
        names = self._names
        self._resolve(new, names)
        before = self._before([version.key for version in new])
        next_id = (self._connection.execute(select(func.max(versions.c.id))).scalar() or 0) + 1
        rows = []
        for number, version in enumerate(new):
            active = None
            if version.key in before:
                active = next((row for row in before[version.key] if row.inactive_ns is None), None)
            rows.append(self._row(next_id + number, version, names, active))
        self.inactivate([key for key in before], prune=False)
        insert_rows(self._connection, versions, _VERSION_COLUMNS, rows)
        self._prune([version.key for version in new if version.key in before])

    def inactivate(self, keys: Sequence[bytes], prune: bool = True) -> None:
        """Make active versions inactive as of now; with ``prune`` apply the version counts at once."""
        if not keys:
            return
        statement = (
            update(versions)
            .where(
                versions.c.filespace == self._filespace,
                versions.c.key == bindparam("the_key"),
                versions.c.inactive_ns.is_(None),
            )
            .values(inactive_ns=self._now_ns)
        )
        self._connection.execute(statement, [{"the_key": key} for key in keys])
        if prune:
            self._prune(keys)

    def pool_of(self, mgmtclass: str) -> str:
        """Return the pool that backups of a class go to. Raises ``Refused`` when the class takes none."""
        return self._group(mgmtclass).destination

    def rebind(self, keys: Sequence[bytes], mgmtclass: str) -> None:
        """Let every version of these objects follow another management class."""
        self._group(mgmtclass)
        for part in batches(keys):
            where = (versions.c.filespace == self._filespace, versions.c.key.in_(part))
            self._connection.execute(update(versions).where(*where).values(mgmtclass=mgmtclass))
        self._prune(keys)

    def _resolve(self, new: Sequence[NewVersion], names: dict[tuple[str, bytes], int]) -> None:
        missing = set()
        for version in new:
            pool = self._group(version.mgmtclass).destination
            for piece in version.pieces or ():
                if piece.chunk and (pool, piece.chunk) not in names:
                    missing.add((pool, piece.chunk))
        names.update(kept_chunks(self._connection, missing))
        if any(name not in names for name in missing):
            raise Refused(Refusal("missing-chunk", "a version names content that was never stored", "run it again"))

    def _row(
        self, id: int, version: NewVersion, names: Mapping[tuple[str, bytes], int], active: Any
    ) -> tuple[Any, ...]:
        pool = self._group(version.mgmtclass).destination
        if version.pieces is not None:
            content = _pack([(names[pool, p.chunk] if p.chunk else 0, p.length) for p in version.pieces])
        elif active is not None:
            content = active.content
        else:
            raise Refused(Refusal("protocol", "an update needs an active version", "run the incremental again"))
        return (
            id,
            self._filespace,
            version.key,
            int(version.kind),
            _pack(version.stat),
            _pack(version.extra),
            version.digest,
            content,
            version.mgmtclass,
            version.stat.size,
            self._now_ns,
            None,
        )

    def _before(self, keys: Sequence[bytes]) -> dict[bytes, list[Any]]:
        found: dict[bytes, list[Any]] = {}
        if self._fresh:
            return found
        for part in batches(keys):
            where = (versions.c.filespace == self._filespace, versions.c.key.in_(part))
            for row in self._connection.execute(select(versions).where(*where)):
                found.setdefault(row.key, []).append(row)
        return found

    def _prune(self, keys: Sequence[bytes]) -> None:
        doomed: list[int] = []
        for rows in self._before(keys).values():
            newest = max(rows, key=lambda row: (row.inactive_ns is None, row.stored_ns))
            group = self._group(newest.mgmtclass)
            doomed.extend(over_count([Version(row.id, row.stored_ns, row.inactive_ns) for row in rows], group))
        delete_versions(self._connection, doomed, self._now_ns)

    def _group(self, mgmtclass: str) -> BackupCopyGroup:
        binding = self._classes.get(mgmtclass)
        if binding is None or binding.backup is None:
            reason = f"management class {mgmtclass} has no backup copy group in the active policy set"
            if self._default and mgmtclass != self._default:
                return self._group(self._default)
            raise Refused(Refusal("policy", reason, "DEFINE COPYGROUP, then ACTIVATE POLICYSET"))
        return binding.backup


def delete_versions(connection: Connection, ids: Sequence[int], now_ns: int) -> int:
    """Remove versions by id, but for those that a retention lock holds; return how many went."""
    free = unlocked(connection, ids, now_ns)
    delete_ids(connection, versions, free, now_ns)
    return len(free)


def keeps_all(group: BackupCopyGroup) -> bool:
    """Return whether policy never removes a version."""
    return min(group.verexists, group.verdeleted, group.retextra_days, group.retonly_days) >= NOLIMIT


def readable() -> Any:
    """Return the condition that a chunk's group has a place that is not damaged, on a volume that can be read."""
    good = [access.value for access in READABLE]
    return (
        exists()
        .where(places.c.grp == chunks.c.grp, places.c.damaged.is_(False))
        .where(volumes.c.id == places.c.volume, volumes.c.access.in_(good))
    )


def kept_chunks(
    connection: Connection, wanted: Iterable[tuple[str, bytes]], *, good: bool = False
) -> dict[tuple[str, bytes], int]:
    """Return the ids of those (pool, name) that the catalog knows; with ``good`` only those that can be read now."""
    by_pool: dict[str, list[bytes]] = {}
    for pool, name in wanted:
        by_pool.setdefault(pool, []).append(name)
    found = {}
    for pool, names in by_pool.items():
        ids = ids_by_name(connection, chunks, pool, names)
        if good and ids and not _all_readable(connection):
            kept: set[int] = set()
            for part in batches(list(ids.values())):
                kept.update(connection.execute(select(chunks.c.id).where(chunks.c.id.in_(part), readable())).scalars())
            ids = {name: id for name, id in ids.items() if id in kept}
        found.update({(pool, name): id for name, id in ids.items()})
    return found


def _all_readable(connection: Connection) -> bool:
    """Whether no place is damaged and no volume out of reach: the usual case, seen without looking at chunks."""
    good = [access.value for access in READABLE]
    damaged = select(places.c.grp).where(places.c.damaged.is_(True)).limit(1)
    away = select(volumes.c.id).where(volumes.c.access.not_in(good)).limit(1)
    return connection.execute(damaged).first() is None and connection.execute(away).first() is None


def insert_groups(connection: Connection, staged: _Staged) -> dict[tuple[str, bytes], int]:
    """Insert groups, places and new chunks; return the ids of all chunks the groups hold.

    A chunk that is known but can no longer be read anywhere moves to the new group: storing it again heals every
    version that names it.
    """
    if not staged:
        return {}
    first = (connection.execute(select(func.max(groups.c.id))).scalar() or 0) + 1
    group_rows, place_rows = [], []
    for number, (pool, index, place) in enumerate(staged, first):
        group_rows.append((number, index.uuid, pool, index.raw_bytes, place.length, place.filespace))
        place_rows.append((number, place.volume, place.offset, place.length, False))
    insert_rows(connection, groups, ("id", "uuid", "pool", "raw_bytes", "stored_bytes", "filespace"), group_rows)
    insert_rows(connection, places, ("grp", "volume", "offset", "length", "damaged"), place_rows)
    next_id = (connection.execute(select(func.max(chunks.c.id))).scalar() or 0) + 1
    names: dict[tuple[str, bytes], int] = {}
    good: Container[tuple[str, bytes]] = ()
    if next_id > 1:
        names = kept_chunks(connection, {(pool, name) for pool, index, _ in staged for name in index.names})
        good = set(kept_chunks(connection, names, good=True))
    new: dict[tuple[str, bytes], tuple[int, str, bytes, int, int, int]] = {}
    moved: dict[int, dict[str, Any]] = {}
    for number, (pool, index, _) in enumerate(staged, first):
        at = 0
        for name, length in zip(index.names, index.lengths, strict=True):
            known = pool, name
            if known not in names:
                names[known] = next_id + len(new)
                new[known] = (names[known], pool, name, number, at, length)
            elif known not in good and known not in new:
                moved[names[known]] = {"the_id": names[known], "grp": number, "offset": at, "length": length}
            at += length
    insert_rows(connection, chunks, ("id", "pool", "name", "grp", "offset", "length"), list(new.values()))
    if moved:
        connection.execute(update(chunks).where(chunks.c.id == bindparam("the_id")), list(moved.values()))
    return names
