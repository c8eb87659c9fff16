"""Moving and copying records between pools: the one loop behind backup, restore, migration, reclamation, MOVE DATA.

Records travel as they are, still encrypted with the key of the pool they were bound for. The order keeps every promise:
read and verify → append → make durable → one catalog transaction that enters the new places and takes the old ones
away. Killed anywhere, a group has its old place or its new one, never none. A group that expired meanwhile is left out.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select, update

from holdfast.backup.service.allocation import collocates
from holdfast.backup.service.catalog.commit import batches
from holdfast.backup.service.catalog.schema import groups, places, volumes
from holdfast.backup.service.catalog.storage import Work
from holdfast.backup.service.core import Core, pool_row
from holdfast.backup.service.pool import Place, PoolWriter, mark_damaged, raw_record, read_group
from holdfast.backup.service.processes import Process
from holdfast.backup.service.volumeformat import Damaged, seal
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.sizes import MIB

_COMMIT_BYTES = 256 * MIB


class Keep(enum.Enum):
    """What becomes of the place that was read."""

    SOURCE = "stays"
    NOTHING = "is taken away"
    CACHE = "stays as a cached copy"


@dataclass(slots=True)
class MoveFigures:
    """What a move or copy did. ``unreadable`` groups stayed where they were."""

    groups: int = 0
    bytes: int = 0
    unreadable: int = 0
    messages: list[str] = field(default_factory=list)

    def add(self, other: MoveFigures) -> None:
        """Add another's figures to these."""
        self.groups += other.groups
        self.bytes += other.bytes
        self.unreadable += other.unreadable
        self.messages += other.messages


class Mover:
    """Moves records into ``pool``. ``elsewhere``: what reads badly is read from another place, when there is one."""

    def __init__(
        self,
        core: Core,
        pool: str,
        process: Process,
        *,
        keep: Keep,
        elsewhere: bool = True,
        avoid: Collection[int] = (),
    ) -> None:
        self._core, self._pool, self._process = core, pool, process
        self._keep, self._elsewhere, self._avoid = keep, elsewhere, avoid
        self._away = False
        with core.database.read() as connection:
            self._collocated = collocates(pool_row(connection, pool))
        self._writers: dict[int, PoolWriter] = {}
        self._staged: list[tuple[Work, Place]] = []
        self._staged_bytes = 0
        self.figures = MoveFigures()

    def elsewhere_first(self) -> None:
        """Read the groups' other places first: the volumes that are named are lost, damaged or off site."""
        self._away = True

    def run(self, work: Iterable[Work]) -> MoveFigures:
        """Move everything; what was committed stays when it ends early. Raises ``Refused`` and what media raise."""
        try:
            for item in work:
                self._process.check()
                self.take(item)
            self.commit()
        finally:
            self.close()
        return self.figures

    def take(self, item: Work) -> None:
        """Read one record and append it; commits when enough is staged."""
        record = self._read(item)
        if record is None:
            self._process.advance()
            return
        place = self._writer(item).append(record)
        self._staged.append((item, place))
        self._staged_bytes += len(record)
        self._process.advance(1, len(record))
        if self._staged_bytes >= _COMMIT_BYTES:
            self.commit()

    def commit(self) -> None:
        """Make what is staged durable and count it."""
        if not self._staged:
            return
        for writer in self._writers.values():
            writer.sync()
        with self._core.database.write() as connection:
            for writer in self._writers.values():
                writer.record(connection)
            alive = _alive(connection, [item for item, _ in self._staged])
            kept = [(item, place) for item, place in self._staged if (item.group, item.uuid) in alive]
            self._enter(connection, kept)
        for writer in self._writers.values():
            writer.release_full()
        self.figures.groups += len(kept)
        self.figures.bytes += sum(place.length for _, place in kept)
        self._staged, self._staged_bytes = [], 0

    def close(self) -> None:
        """Dismount; what is staged and not committed stays where it was."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, item: Work) -> PoolWriter:
        owner = item.filespace if self._collocated else 0
        if owner not in self._writers:
            self._writers[owner] = PoolWriter(self._core, self._pool, filespace=owner, avoid=self._avoid)
        return self._writers[owner]

    def _read(self, item: Work) -> bytes | None:
        """Return a record from the first of the named place and the others (or first of these) that proves good."""
        here_first = not self._away
        turns = [self._here, self._other] if here_first else [self._other, self._here]
        reasons = []
        for turn in turns if self._elsewhere else turns[:1]:
            try:
                return turn(item)
            except HoldfastError as error:
                reasons.append(error.message)
                if turn == self._here and here_first:
                    self.figures.messages.append(self._log(item.name, error.message))
        self.figures.messages.append("; ".join(reasons))
        self.figures.unreadable += 1
        return None

    def _here(self, item: Work) -> bytes:
        place = Place(item.volume, item.offset, item.length)
        try:
            return raw_record(self._core, item.name, item.devclass, place, item.uuid)
        except Damaged:
            mark_damaged(self._core, item.group, item.volume, True)
            raise

    def _other(self, item: Work) -> bytes:
        index, data = read_group(self._core, item.group)
        return seal(index, data, self._core.keys.cipher(index.key_id))

    def _log(self, volume: str, reason: str) -> str:
        return self._core.log("ANR1229W", process=self._process.number, volume=volume, reason=reason)

    def _enter(self, connection: Connection, kept: Sequence[tuple[Work, Place]]) -> None:
        for item, place in kept:
            mine = (places.c.grp == item.group, places.c.volume == item.volume)
            if self._keep is Keep.NOTHING:
                connection.execute(delete(places).where(*mine))
            elif self._keep is Keep.CACHE:
                connection.execute(update(places).where(*mine).values(cached=True))
            in_pool = select(volumes.c.id).where(volumes.c.pool == self._pool)
            connection.execute(delete(places).where(places.c.grp == item.group, places.c.volume.in_(in_pool)))
            values = {"grp": item.group, "volume": place.volume, "offset": place.offset, "length": place.length}
            connection.execute(insert(places), {**values, "damaged": False, "cached": False})


def _alive(connection: Connection, items: Sequence[Work]) -> set[tuple[int, bytes]]:
    """Return those groups that the catalog still knows, by number and uuid: a number alone may be another's by now."""
    found: set[tuple[int, bytes]] = set()
    for part in batches(items):
        statement = select(groups.c.id, groups.c.uuid).where(groups.c.id.in_([item.group for item in part]))
        found.update((id, bytes(uuid)) for id, uuid in connection.execute(statement))
    return found
