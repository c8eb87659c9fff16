"""AUDIT VOLUME: every record of a volume is read and proven, its header too; damage is marked, proven good unmarked.

A place that reads well loses its damage mark, one that does not gets one. With FIX=YES a damaged copy is forgotten (the
next BACKUP STGPOOL makes it again); so is a damaged primary of which no good copy exists, because nothing can bring it
back; with a copy it stays marked until RESTORE VOLUME. The volume is claimed throughout: nobody appends to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, func, select, update

from holdfast.backup.model.pools import PoolType, VolumeAccess
from holdfast.backup.service.catalog.schema import places, volumes
from holdfast.backup.service.catalog.storage import Work, work_list
from holdfast.backup.service.core import Core, pool_row
from holdfast.backup.service.pool import Place, mark_damaged, raw_record
from holdfast.backup.service.processes import Process
from holdfast.backup.service.volumeformat import Damaged, unpack_header
from holdfast.backup.service.volumes import claimed
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.sizes import KIB


@dataclass(slots=True)
class AuditFigures:
    """What an audit found: records read, damaged ones, ones that are not there (cut off, or the medium is away)."""

    inspected: int = 0
    damaged: int = 0
    missing: int = 0
    messages: list[str] = field(default_factory=list)


def audit_volumes(core: Core, rows: Sequence[Any], process: Process, *, fix: bool, quiet: bool) -> AuditFigures:
    """Audit volumes one after the other. Raises ``Refused`` when one is mounted."""
    figures = AuditFigures()
    for row in rows:
        with claimed(core, row, "AUDIT VOLUME"):
            with core.database.read() as connection:  # as it is now: it may have been emptied before it was claimed
                now = connection.execute(select(volumes).where(volumes.c.id == row.id)).first()
            if now is not None:
                _Audit(core, now, process, figures, fix, quiet).run()
    return figures


class _Audit:
    def __init__(self, core: Core, row: Any, process: Process, figures: AuditFigures, fix: bool, quiet: bool) -> None:
        self._core, self._row, self._process, self._figures = core, row, process, figures
        self._fix, self._quiet = fix, quiet
        with core.database.read() as connection:
            self._copy = pool_row(connection, row.pool).type == PoolType.COPY.value
            self._work = work_list(connection, places.c.volume == row.id)

    def run(self) -> None:
        figures = self._figures
        before = figures.damaged + figures.missing
        self._process.begin(len(self._work), f"Audit of volume {self._row.name}")
        if self._row.size_bytes:
            self._header()
        for item in self._work:
            self._process.check()
            self._record(item)
            self._process.advance(1, item.length)
        good = figures.damaged + figures.missing == before
        if self._fix and good and self._row.access == VolumeAccess.UNAVAILABLE.value:
            readonly = {"access": VolumeAccess.READONLY.value}
            with self._core.database.write() as connection:
                connection.execute(update(volumes).where(volumes.c.id == self._row.id).values(readonly))

    def _header(self) -> None:
        """A damaged header costs no data, but the volume could not be rebuilt from: it should be moved off."""
        try:
            media = self._core.media_of_class(self._row.devclass)
            header, _ = unpack_header(media.read(self._row.name, 0, min(self._row.size_bytes, 64 * KIB)))
            if (header.name, header.pool) != (self._row.name, self._row.pool):
                raise Damaged(f"the header names volume {header.name} of pool {header.pool}")
        except HoldfastError as error:
            self._count(error)
            self._say(f"{error.message}; MOVE DATA {self._row.name} writes its data anew")

    def _record(self, item: Work) -> None:
        core = self._core
        self._figures.inspected += 1
        marked = _is_marked(core, item)
        try:
            raw_record(core, item.name, item.devclass, Place(item.volume, item.offset, item.length), item.uuid)
        except HoldfastError as error:
            self._count(error)
            self._say(f"record at {item.offset}: {error.message}")
            if self._fix and (self._copy or not _has_copy(core, item)):
                _forget(core, item)
            else:
                mark_damaged(core, item.group, item.volume, True)
        else:
            if marked:
                mark_damaged(core, item.group, item.volume, False)

    def _count(self, error: HoldfastError) -> None:
        self._figures.damaged += isinstance(error, Damaged)
        self._figures.missing += not isinstance(error, Damaged)

    def _say(self, reason: str) -> None:
        if not self._quiet:
            number = self._process.number
            text = self._core.log("ANR1229W", process=number, volume=self._row.name, reason=reason)
            self._figures.messages.append(text)


def _is_marked(core: Core, item: Work) -> bool:
    statement = select(places.c.damaged).where(places.c.grp == item.group, places.c.volume == item.volume)
    with core.database.read() as connection:
        return bool(connection.execute(statement).scalar())


def _has_copy(core: Core, item: Work) -> bool:
    where = (places.c.grp == item.group, places.c.volume != item.volume, places.c.damaged.is_(False))
    with core.database.read() as connection:
        return bool(connection.execute(select(func.count()).select_from(places).where(*where)).scalar_one())


def _forget(core: Core, item: Work) -> None:
    with core.database.write() as connection:
        connection.execute(delete(places).where(places.c.grp == item.group, places.c.volume == item.volume))
