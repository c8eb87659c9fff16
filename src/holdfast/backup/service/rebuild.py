"""REBUILD STGPOOL: the chunk index of one pool from its volumes, into a catalog that lives.

Reads the record headers of every volume of a pool's device class and enters groups, places and chunks that the catalog
does not know. Nothing is removed. A whole catalog, versions and all, is rebuilt by ``catalogrebuild``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, insert, select

from holdfast.backup.model.journal import NOTE
from holdfast.backup.model.pools import VolumeAccess, VolumeStatus
from holdfast.backup.service.catalog.commit import insert_groups
from holdfast.backup.service.catalog.schema import devclasses, groups, volumes
from holdfast.backup.service.core import Core, pool_row, volume_by_name
from holdfast.backup.service.pool import Place
from holdfast.backup.service.volumeformat import Damaged, GroupIndex, scan


@dataclass(slots=True)
class RebuildFigures:
    """What a rebuild entered."""

    volumes: int = 0
    groups: int = 0
    damaged: tuple[str, ...] = ()


def rebuild_pool(core: Core, pool: str) -> RebuildFigures:
    """Enter everything that the volume files of a FILE pool hold and the catalog does not know."""
    figures = RebuildFigures()
    with core.database.read() as connection:
        devclass = connection.execute(
            select(devclasses).where(devclasses.c.name == pool_row(connection, pool).devclass)
        ).one()
    media = core.media_of_class(devclass.name)
    for name in media.names():
        facts = media.facts(name)
        try:
            found = list(scan(partial(media.read, name), facts.size_bytes if facts else 0))
        except Damaged:
            figures.damaged += (name,)
            continue
        with core.database.write() as connection:
            figures.groups += _enter(connection, core, pool, devclass.name, name, found)
        figures.volumes += 1
    return figures


def _enter(
    connection: Connection, core: Core, pool: str, devclass: str, name: str, found: list[tuple[int, int, GroupIndex]]
) -> int:
    row = volume_by_name(connection, name)
    if row is None:
        end = max((offset + length for offset, length, _ in found), default=0)
        values = {
            "name": name,
            "pool": pool,
            "devclass": devclass,
            "status": VolumeStatus.FULL.value,
            "access": VolumeAccess.READONLY.value,
            "size_bytes": end,
            "created_ns": core.now_ns(),
        }
        connection.execute(insert(volumes), values)
        row = volume_by_name(connection, name)
    known = set(connection.execute(select(groups.c.uuid)).scalars())
    staged = [
        (index.key_id.rpartition("/")[0], index, Place(row.id, at, length))
        for at, length, index in found
        if index.uuid not in known and index.note != NOTE
    ]
    insert_groups(connection, staged)
    return len(staged)
