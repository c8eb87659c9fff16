"""``holdfast server rebuild-catalog``: a whole catalog from the volumes and the key file, nothing else.

Read every volume's header → find the newest configuration and every record of the catalog's own → restore the
configuration → enter volumes, groups and chunks, newest volume first, so that what was packed anew wins over what it
replaced → replay each filespace from its newest snapshot. The new catalog is made beside the old one and takes its
place at the end; cut short, nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from holdfast.backup.model.journal import NOTE, CommitRecord, ConfigRecord, Owner, RecordKind, SnapshotRecord
from holdfast.backup.model.pools import DISK, DeviceType, VolumeAccess, VolumeStatus
from holdfast.backup.ports import Media
from holdfast.backup.service.catalog.commit import insert_groups
from holdfast.backup.service.catalog.policy import classes_of
from holdfast.backup.service.catalog.schema import (
    devclasses,
    filespaces,
    groups,
    metadata,
    nodes,
    places,
    pools,
    volumes,
)
from holdfast.backup.service.catalog.storage import catalog_records
from holdfast.backup.service.core import Core, set_setting, volume_by_name
from holdfast.backup.service.inventory import UNKNOWN, FoundRecord, FoundVolume, Inventory, decode, records_of
from holdfast.backup.service.pool import Place
from holdfast.backup.service.replay import Replay, newest_snapshot
from holdfast.kernel.errors import HoldfastError, Refusal, Refused

_STAGED_GROUPS = 256
_LISTED = 100


@dataclass(slots=True)
class RebuildReport:
    """What came back. ``lost`` names objects whose content is nowhere, ``damaged`` records that failed their proof."""

    volumes: int = 0
    groups: int = 0
    filespaces: int = 0
    versions: int = 0
    config_ns: int = 0
    lost: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A record of the catalog's own and where to read it again."""

    volume: FoundVolume
    offset: int
    length: int
    kind: RecordKind
    owner: Owner | None
    at_ns: int
    part: int
    parts: int
    snapshot: bytes
    versions: int


class CatalogRebuild:
    """Rebuilds into the empty catalog of ``core``. ``initialise`` makes a fresh configuration when none is found."""

    def __init__(self, core: Core, initialise: Callable[[], object]) -> None:
        self._core, self._initialise = core, initialise
        self._inventory = Inventory()
        self._seen: dict[bytes, _Seen] = {}
        self._groups: dict[bytes, int] = {}
        self._config: ConfigRecord | None = None
        self.report = RebuildReport()

    def run(self, directories: Iterable[Path]) -> RebuildReport:
        """Rebuild from volumes in directories, and from every other medium that the found configuration names."""
        for directory in directories:
            if directory.is_dir():
                self._look(str(directory), self._core.file_media(directory))
        self._restore_config()
        for source, media in self._media_of_config():
            self._look(source, media)
        self._restore_config()
        if not self._inventory.volumes:
            raise Refused(Refusal("not-found", "no pool volume of this server was found", "name the directories"))
        self._relocate()
        live = self._live()
        for volume in sorted(self._inventory.volumes, key=lambda v: -v.header.created_ns):
            known = self._named(volume)
            if known is not None:
                self._enter(known, live)
        self._number_on()
        self._replay(live)
        self.report.volumes = len(self._inventory.volumes)
        self.report.foreign = self._inventory.foreign
        self.report.damaged = (self._inventory.damaged + self.report.damaged)[:_LISTED]
        return self.report

    # --- looking ------------------------------------------------------------------------------------------------

    def _look(self, source: str, media: Media) -> None:
        before = len(self._inventory.volumes)
        self._inventory.look(source, media, self._core.name)
        for volume in self._inventory.volumes[before:]:
            for record in records_of(volume, self._core.keys.cipher, self.report.damaged):
                if record.index.note == NOTE and record.index.uuid not in self._seen:
                    self._note(volume, record)

    def _note(self, volume: FoundVolume, record: FoundRecord) -> None:
        try:
            content = decode(record)
        except HoldfastError as error:
            self.report.damaged.append(f"{volume.name} at {record.offset}: {error.message}")
            return
        base = (volume, record.offset, record.length)
        if isinstance(content, ConfigRecord):
            seen = _Seen(*base, RecordKind.CONFIG, None, content.at_ns, 0, 1, b"", 0)
            if self._config is None or content.at_ns > self._config.at_ns:
                self._config = content
        elif isinstance(content, CommitRecord):
            count = sum(len(rows) for rows in content.batches) // 64
            seen = _Seen(*base, RecordKind.COMMIT, content.owner, content.at_ns, content.part, 1, b"", count)
        else:
            kind, part, parts = RecordKind.SNAPSHOT, content.part, content.parts
            seen = _Seen(*base, kind, content.owner, content.at_ns, part, parts, content.id, len(content.rows))
        self._seen[record.index.uuid] = seen

    def _restore_config(self) -> None:
        if self._config is None:
            self._initialise()
            return
        if self._config.at_ns == self.report.config_ns:
            return
        self.report.config_ns = self._config.at_ns
        with self._core.database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))
            for table in metadata.sorted_tables:
                known = {column.name for column in table.columns}
                rows = [
                    {name: value for name, value in row.items() if name in known}
                    for row in self._config.tables.get(table.name, ())
                ]
                if rows and table.name != volumes.name:
                    connection.execute(insert(table), rows)
        self._core.forget_media()

    def _media_of_config(self) -> list[tuple[str, Media]]:
        """Return the media that the configuration names and nobody looked at: SERVER, S3, DISK, other directories."""
        with self._core.database.read() as connection:
            rows = connection.execute(select(devclasses)).all()
        found: list[tuple[str, Media]] = []
        looked = {volume.source for volume in self._inventory.volumes}
        for row in rows:
            if row.type == DeviceType.DISK.value:
                found.append(("/", cast(Media, _Named(self._core.media_of_class(DISK), self._disk_names()))))
            elif row.type == DeviceType.FILE.value:
                if row.directory not in looked and Path(row.directory).is_dir():
                    found.append((row.directory, self._core.media_of_class(row.name)))
            else:
                found.append((row.name, self._core.media_of_class(row.name)))
        return found

    def _disk_names(self) -> list[str]:
        rows = self._config.tables.get(volumes.name, []) if self._config is not None else []
        return [str(row["name"]) for row in rows if row["devclass"] == DISK]

    def _relocate(self) -> None:
        """Let FILE device classes point to where their volumes were found."""
        with self._core.database.write() as connection:
            classes = {row.name: row.devclass for row in connection.execute(select(pools)).all()}
            for volume in self._inventory.volumes:
                devclass = classes.get(volume.header.pool, "")
                where = (devclasses.c.name == devclass, devclasses.c.type == DeviceType.FILE.value)
                connection.execute(update(devclasses).where(*where).values(directory=volume.source))
        self._core.forget_media()

    def _number_on(self) -> None:
        """Let new volumes be numbered behind every one that was found."""
        numbers = [v.name.rpartition(".")[2] for v in self._inventory.volumes]
        last = max((int(number) for number in numbers if number.isdigit()), default=0)
        with self._core.database.write() as connection:
            set_setting(connection, "volume_number", str(last))

    # --- entering -----------------------------------------------------------------------------------------------

    def _live(self) -> set[bytes]:
        """Return the records that are still needed: the newest configuration, snapshots, and the commits after."""
        live: set[bytes] = set()
        by_owner: dict[tuple[int, str, str], dict[bytes, _Seen]] = {}
        for uuid, seen in self._seen.items():
            if seen.owner is None:
                if seen.at_ns == self.report.config_ns:
                    live.add(uuid)
            elif self._filespace_exists(seen.owner, seen.at_ns):
                by_owner.setdefault((seen.owner.id, seen.owner.node, seen.owner.name), {})[uuid] = seen
        for records in by_owner.values():
            shots = [(s.at_ns, s.snapshot, s.part, s.parts) for s in records.values() if s.snapshot]
            newest = newest_snapshot(shots)
            as_of = next((s.at_ns for s in records.values() if s.snapshot and s.snapshot == newest), 0)
            live.update(u for u, s in records.items() if (s.snapshot == newest if s.snapshot else s.at_ns > as_of))
        return live

    def _filespace_exists(self, owner: Owner, at_ns: int) -> bool:
        """Enter the filespace of a record; one that the newer configuration does not know was deleted."""
        with self._core.database.write() as connection:
            row = connection.execute(select(filespaces).where(filespaces.c.id == owner.id)).first()
            if row is not None:
                return bool((row.node, row.name) == (owner.node, owner.name))
            if at_ns < self.report.config_ns:
                return False
            values = {"id": owner.id, "node": owner.node, "name": owner.name, "type": owner.type}
            connection.execute(insert(filespaces), values)
        return True

    def _named(self, volume: FoundVolume) -> FoundVolume | None:
        """Return a volume with its pool: one whose header is damaged is in the pool that the configuration says, else
        in the pool its records are bound for; a file without any good record is no volume."""
        if volume.header.pool != UNKNOWN:
            return volume
        rows = self._config.tables.get(volumes.name, []) if self._config is not None else []
        pool = next((str(row["pool"]) for row in rows if row["name"] == volume.name), "")
        if not pool:
            first = next(records_of(volume, self._core.keys.cipher, []), None)
            if first is None or first.index.key_id.startswith("*"):
                return None
            pool = first.index.key_id.rpartition("/")[0]
        return replace(volume, header=msgspec.structs.replace(volume.header, pool=pool))

    def _enter(self, volume: FoundVolume, live: set[bytes]) -> None:
        with self._core.database.write() as connection:
            number = self._volume(connection, volume)
        staged: list[FoundRecord] = []
        end = volume.first
        for record in records_of(volume, self._core.keys.cipher, []):
            end = record.offset + record.length
            if record.index.note != NOTE or record.index.uuid in live:
                staged.append(FoundRecord(record.offset, record.length, record.index, b""))
            if len(staged) >= _STAGED_GROUPS:
                self._insert(number, staged)
                staged = []
        self._insert(number, staged)
        with self._core.database.write() as connection:
            connection.execute(update(volumes).where(volumes.c.id == number).values(size_bytes=end))

    def _volume(self, connection: Connection, volume: FoundVolume) -> int:
        """Enter a volume with what the configuration knew of it; nothing is appended to what was found."""
        header = volume.header
        devclass = connection.execute(select(pools.c.devclass).where(pools.c.name == header.pool)).scalar() or ""
        rows = self._config.tables.get(volumes.name, []) if self._config is not None else []
        kept: dict[str, Any] = next((dict(row) for row in rows if row["name"] == volume.name), {})
        known = {column.name for column in volumes.columns} - {"id"}
        access = kept.get("access", VolumeAccess.READWRITE.value)
        values = {
            **{name: value for name, value in kept.items() if name in known},
            "name": volume.name,
            "pool": header.pool,
            "devclass": devclass,
            "status": (VolumeStatus.ONLINE if devclass == DISK else VolumeStatus.FULL).value,
            "access": VolumeAccess.READONLY.value if access == VolumeAccess.DESTROYED.value else access,
            "written_ns": volume.written_ns,
            "created_ns": header.created_ns,
            "pending_ns": 0,
        }
        connection.execute(insert(volumes), values)
        return int(volume_by_name(connection, volume.name).id)

    def _insert(self, volume: int, staged: list[FoundRecord]) -> None:
        with self._core.database.write() as connection:
            new = []
            for record in staged:
                index = record.index
                place = Place(volume, record.offset, record.length)
                if index.uuid in self._groups:
                    self._second_place(connection, self._groups[index.uuid], place)
                else:
                    self._groups[index.uuid] = 0
                    new.append((index.key_id.rpartition("/")[0], index, place))
            insert_groups(connection, new)
            for _, index, _ in new:
                where = groups.c.uuid == index.uuid
                number = connection.execute(select(groups.c.id).where(where)).scalar_one()
                self._groups[index.uuid] = number
                if index.note == NOTE:
                    self._enter_record(connection, number, self._seen[index.uuid])
            self.report.groups += len(new)

    def _second_place(self, connection: Connection, group: int, place: Place) -> None:
        """Enter another place of a group; within one pool the place on the newer volume, entered before, is enough."""
        pool = connection.execute(select(volumes.c.pool).where(volumes.c.id == place.volume)).scalar_one()
        taken = select(places.c.grp).join(volumes, volumes.c.id == places.c.volume)
        if connection.execute(taken.where(places.c.grp == group, volumes.c.pool == pool)).first() is None:
            values = {"grp": group, "volume": place.volume, "offset": place.offset, "length": place.length}
            connection.execute(insert(places), values)

    def _enter_record(self, connection: Connection, group: int, seen: _Seen) -> None:
        filespace = seen.owner.id if seen.owner is not None else 0
        values = {"grp": group, "kind": int(seen.kind), "filespace": filespace, "versions": seen.versions}
        connection.execute(insert(catalog_records), {**values, "at_ns": seen.at_ns})

    # --- replaying ----------------------------------------------------------------------------------------------

    def _replay(self, live: set[bytes]) -> None:
        by_filespace: dict[int, list[_Seen]] = {}
        for uuid in live:
            seen = self._seen[uuid]
            if seen.owner is not None:
                by_filespace.setdefault(seen.owner.id, []).append(seen)
        with self._core.database.read() as connection:
            self.report.filespaces = len(connection.execute(select(filespaces.c.id)).all())
        for filespace, records in sorted(by_filespace.items()):
            replay = self._replay_of(filespace)
            for seen in sorted(records, key=lambda s: (s.at_ns, not s.snapshot, s.part)):
                content = self._read(seen)
                with self._core.database.write() as connection:
                    if isinstance(content, SnapshotRecord):
                        replay.snapshot(connection, content)
                    elif isinstance(content, CommitRecord):
                        replay.commit(connection, content)
            self.report.lost += sorted(replay.lost.values())[: _LISTED - len(self.report.lost)]

    def _replay_of(self, filespace: int) -> Replay:
        with self._core.database.read() as connection:
            row = connection.execute(select(filespaces).where(filespaces.c.id == filespace)).one()
            domain = connection.execute(select(nodes.c.domain).where(nodes.c.name == row.node)).scalar() or ""
            bindings = {binding.name: binding for binding in classes_of(connection, domain)}
        return Replay(filespace, row.name, bindings)

    def _read(self, seen: _Seen) -> CommitRecord | SnapshotRecord | ConfigRecord:
        only = FoundVolume(
            seen.volume.name, seen.volume.source, seen.volume.media, seen.volume.header, seen.offset,
            seen.offset + seen.length, 0,
        )  # fmt: skip
        return decode(next(records_of(only, self._core.keys.cipher, [])))


class _Named:
    """Media of which only some volumes are asked for: DISK, where names are full paths."""

    def __init__(self, media: Media, names: list[str]) -> None:
        self._media, self._names = media, names

    def names(self) -> list[str]:
        """Return the names that were handed in."""
        return self._names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._media, name)
