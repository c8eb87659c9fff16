"""EXPIRE INVENTORY: versions that policy no longer keeps go, then chunks and groups nothing names, then empty volumes.

At a target it also removes archive objects whose grace period is over; nothing else there does. The catalog is gone
through in slices of bounded size, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blake3 import blake3
from sqlalchemy import Connection, bindparam, func, select, tuple_

from holdfast.backup.model.policy import ClassBinding
from holdfast.backup.plan.expiration import cuts_of, doomed
from holdfast.backup.service.catalog.archive import expire_archives
from holdfast.backup.service.catalog.commit import batches, delete_versions, keeps_all
from holdfast.backup.service.catalog.policy import classes_of
from holdfast.backup.service.catalog.schema import filespaces, nodes, versions
from holdfast.backup.service.core import Core, exclusive, set_setting, setting
from holdfast.backup.service.processes import Process
from holdfast.backup.service.sweep import sweep
from holdfast.backup.service.vault import remove_marked
from holdfast.backup.service.volumes import release_empty

_SLICE_ROWS = 50_000
_COUNTED = "expired_policy"
"""The setting that names the policy whose counts every object was last held against."""


@dataclass(frozen=True, slots=True)
class ExpireFigures:
    """What an expiration removed."""

    versions: int
    chunks: int
    groups: int
    volumes: tuple[tuple[str, str], ...]
    archives: int
    archive_objects: int = 0


def expire_inventory(core: Core, process: Process) -> ExpireFigures:
    """Remove what policy no longer keeps. Raises ``Refused`` when another such process runs."""
    with exclusive(core, "EXPIRE INVENTORY"):
        now = core.now_ns()
        gone = _expire_versions(core, process, now)
        with core.database.write() as connection:
            archived = expire_archives(connection, _policy(connection), now)
        process.check()
        swept = sweep(core)
        emptied = tuple(release_empty(core))
        return ExpireFigures(gone, *swept, emptied, remove_marked(core), archived)


def _policy(connection: Connection) -> dict[str, dict[str, ClassBinding]]:
    names = connection.execute(select(nodes.c.domain).distinct()).scalars().all()
    return {name: {binding.name: binding for binding in classes_of(connection, name)} for name in names}


def _expire_versions(core: Core, process: Process, now_ns: int) -> int:
    """Go through every filespace a slice at a time, each read and then written in transactions of its own: a client's
    commit waits for a slice at most, and what a kill cuts short the next run does.

    The counts of policy were applied when versions were stored, so as long as policy is what it was only the days
    matter, and those are read off an index; after a change every object is looked at once."""
    with core.database.read() as connection:
        statement = select(filespaces.c.id, nodes.c.domain).join(nodes, nodes.c.name == filespaces.c.node)
        found = connection.execute(statement).all()
        policy = _policy(connection)
        digest = blake3(repr(sorted((domain, sorted(p.items())) for domain, p in policy.items())).encode()).hexdigest()
        settled = setting(connection, _COUNTED) == digest
    gone = 0
    for filespace, domain in found:
        bound = policy.get(domain, {})
        slices = aged(core, filespace, bound, now_ns) if settled else over_rules(core, filespace, bound, now_ns)
        for doomed_ones in slices:
            process.check()
            with core.database.write() as connection:
                gone += delete_versions(connection, doomed_ones, now_ns)
    if not settled:
        with core.database.write() as connection:
            set_setting(connection, _COUNTED, digest)
    return gone


def aged(core: Core, filespace: int, policy: Mapping[str, ClassBinding], now_ns: int) -> Iterator[list[int]]:
    """Yield what is over its days, from what became inactive first on."""
    default = next((b.backup for b in policy.values() if b.default), None)
    fallback = cuts_of(default, now_ns) if default is not None else (-1, -1)
    cuts = {name: cuts_of(b.backup, now_ns) if b.backup is not None else fallback for name, b in policy.items()}
    latest = max(max(cut) for cut in (*cuts.values(), fallback))
    v = versions.c
    statement = (
        select(v.id, v.key, v.mgmtclass, v.stored_ns, v.inactive_ns)
        .where(v.filespace == filespace, v.inactive_ns.is_not(None), v.inactive_ns <= latest)
        .where(tuple_(v.inactive_ns, v.id) > tuple_(bindparam("after_ns"), bindparam("after_id")))
        .order_by(v.inactive_ns, v.id)
        .limit(_SLICE_ROWS)
    )
    after_ns = after_id = -1
    while True:
        with core.database.read() as connection:
            rows = connection.execute(statement, {"after_ns": after_ns, "after_id": after_id}).all()
            found, unsure = [], []
            for row in rows:
                extra_ns, only_ns = cuts.get(row[2], fallback)
                if row[4] <= min(extra_ns, only_ns):
                    found.append(row[0])
                elif row[4] <= max(extra_ns, only_ns):
                    unsure.append((row, row[4] <= only_ns))
            found.extend(_of_their_kind(connection, filespace, unsure))
        if found:
            yield found
        if len(rows) < _SLICE_ROWS:
            return
        after_ns, after_id = rows[-1].inactive_ns, rows[-1].id


def _of_their_kind(connection: Connection, filespace: int, unsure: Sequence[tuple[Any, bool]]) -> list[int]:
    """Return those that are doomed where it depends on whether a version is the last that is left of its object; the
    flag says that it is doomed just when it is the last."""
    keys = sorted({row.key for row, _ in unsure})
    newest: dict[bytes, int] = {}
    for part in batches(keys):
        where = (versions.c.filespace == filespace, versions.c.key.in_(part))
        counted = select(versions.c.key, func.max(versions.c.id)).where(*where).group_by(versions.c.key)
        newest.update({key: id for key, id in connection.execute(counted)})
    return [row.id for row, if_last in unsure if (newest[row.key] == row.id) == if_last]


def over_rules(core: Core, filespace: int, policy: Mapping[str, ClassBinding], now_ns: int) -> Iterator[list[int]]:
    """Yield the doomed versions of a filespace, a slice of the catalog at a time."""
    default = next((b.backup for b in policy.values() if b.default), None)
    groups_of = {name: b.backup or default for name, b in policy.items()}
    v = versions.c
    statement = (
        select(v.id, v.key, v.mgmtclass, v.stored_ns, v.inactive_ns)
        .where(v.filespace == filespace, v.key >= bindparam("start"))
        .order_by(v.key, v.stored_ns)
        .limit(_SLICE_ROWS)
    )
    start = b""
    while True:
        with core.database.read() as connection:
            rows = list(connection.execute(statement, {"start": start}).all())
        full = len(rows) == _SLICE_ROWS
        if full and rows[0].key != rows[-1].key:  # the last object may go on in the next slice
            start = rows[-1].key
            while rows[-1].key == start:
                rows.pop()
        elif rows:
            if full:  # one object fills the slice: all its versions count together
                whole = select(*statement.selected_columns).where(v.filespace == filespace, v.key == rows[0].key)
                with core.database.read() as connection:
                    rows = list(connection.execute(whole.order_by(v.stored_ns)).all())
            start = rows[-1].key + b"\0"
        found: list[int] = []
        for rows_of_one in _objects(rows):
            group = groups_of.get(rows_of_one[-1][2], default)
            if group is not None and not keeps_all(group):
                found.extend(doomed([(id, stored, gone) for id, _, _, stored, gone in rows_of_one], group, now_ns))
        if found:
            yield found
        if not full:
            return


def _objects(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield the versions of each object that has an inactive one; objects with only an active one stay."""
    first = 0
    for position, row in enumerate(rows):
        if row[1] != rows[first][1]:
            if position - first > 1 or rows[first][4] is not None:
                yield rows[first:position]
            first = position
    if rows and (len(rows) - first > 1 or rows[first][4] is not None):
        yield rows[first:]
