"""BACKUP DB and its restore: the catalog as encrypted volumes of a series, full first, then increments.

A consistent copy of the catalog is cut into 64 KiB blocks. A full backup keeps all of them, an incremental those whose
digest differs from the series' last backup. A volume is a pool volume whose records hold blocks: ``note`` says which,
``names`` are their digests. The restore checks every digest, so a mixed-up series cannot pass.

The volumes are known to the volume history only, never to a storage pool.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from blake3 import blake3
from sqlalchemy import func, insert, select

from holdfast.backup.model.virtual import VolumeUse, volume_name
from holdfast.backup.ports import Media
from holdfast.backup.service.catalog.schema import devclasses, volhistory
from holdfast.backup.service.core import Core, next_volume_number
from holdfast.backup.service.volumeformat import (
    GroupIndex,
    VolumeHeader,
    pack_header,
    scan,
    seal,
    unpack_header,
    unseal,
)
from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.kernel.sizes import KIB, MIB
from holdfast.runtime.secretfile import write_secret

BLOCK_BYTES = 64 * KIB
_RECORD_BLOCKS = 4 * MIB // BLOCK_BYTES
KEY = "*DATABASE*"
"""The name of the key in the ring: no pool can have it."""
_STATE_FILE = "database.series"
_SCRATCH = "dbbackup-"


class Note(msgspec.Struct, array_like=True, frozen=True):
    """What a record of a database volume says: which backup of which series, of which size, which blocks.

    ``sequence`` is the volume's place in the backup; ``last`` closes the backup.
    """

    series: int
    operation: int
    full: bool
    total_bytes: int
    blocks: tuple[int, ...]
    sequence: int
    last: bool
    at_ns: int


class SeriesState(msgspec.Struct, frozen=True):
    """The series' last backup as this server remembers it, to compare with. Losing it costs one full backup."""

    series: int
    operation: int
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DatabaseBackup:
    """What BACKUP DB did."""

    full: bool
    promoted: bool
    series: int
    operation: int
    blocks: int
    bytes: int
    volumes: tuple[str, ...]


def backup_database(core: Core, devclass: str, *, full: bool, command: str) -> DatabaseBackup:
    """Back up the catalog to volumes of ``devclass``. Raises ``Refused`` or ``Unavailable``; then nothing counts."""
    with core.database.read() as connection:
        row = connection.execute(select(devclasses).where(devclasses.c.name == devclass)).first()
    if row is None:
        raise Refused(Refusal("not-found", f"device class {devclass} is not defined", "DEFINE DEVCLASS"))
    state = _state(core)
    promoted = not full and state is None
    complete = full or state is None
    with tempfile.TemporaryDirectory(dir=core.directory, prefix=_SCRATCH) as scratch:
        copy = Path(scratch) / "catalog.db"
        core.database.copy_to(copy)
        with core.database.read() as connection:
            last = connection.execute(select(func.max(volhistory.c.series))).scalar() or 0
        series = last + 1 if complete or state is None else state.series
        operation = 0 if complete or state is None else state.operation + 1
        writer = _Writer(core, row, series, operation, complete, copy.stat().st_size)
        digests = writer.write(copy, () if complete or state is None else state.digests)
    _remember(core, writer, devclass, command)
    new_state = SeriesState(series, operation, digests)
    write_secret(core.directory / _STATE_FILE, msgspec.msgpack.encode(new_state))
    names = tuple(name for name, _, _ in writer.done)
    return DatabaseBackup(complete, promoted, series, operation, writer.blocks, writer.bytes, names)


def _state(core: Core) -> SeriesState | None:
    path = core.directory / _STATE_FILE
    if not path.exists():
        return None
    return msgspec.msgpack.decode(path.read_bytes(), type=SeriesState)


def _remember(core: Core, writer: _Writer, devclass: str, command: str) -> None:
    now = core.now_ns()
    with core.database.write() as connection:
        for sequence, (name, size, written) in enumerate(writer.done, 1):
            values = {
                "at_ns": now,
                "type": "BACKUPFULL" if writer.full else "BACKUPINCR",
                "series": writer.series,
                "operation": writer.operation,
                "sequence": sequence,
                "devclass": devclass,
                "volume": name,
                "size_bytes": size,
                "written_ns": written,
                "command": command,
            }
            connection.execute(insert(volhistory), values)


def drop_scratch(core: Core) -> None:
    """Remove the copies that a killed BACKUP DB left behind."""
    for path in core.directory.glob(f"{_SCRATCH}*"):
        shutil.rmtree(path)


class _Writer:
    """Writes one backup into as many volumes as MAXCAPACITY asks for."""

    def __init__(self, core: Core, row: Any, series: int, operation: int, full: bool, total_bytes: int) -> None:
        self._core, self._row, self._total = core, row, total_bytes
        self.series, self.operation, self.full = series, operation, full
        self._media = core.media_of_class(row.name)
        self._key = core.keys.pool(KEY)
        self._compress = zstandard.ZstdCompressor(level=3)
        self.done: list[tuple[str, int, int]] = []
        self.blocks = self.bytes = 0
        self._at_ns = core.now_ns()

    def write(self, copy: Path, before: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Write the blocks that differ from ``before``; return the digests of all blocks."""
        digests: list[bytes] = []
        records = list(self._records(copy, before, digests))
        appender, name = None, ""
        for number, (record_blocks, data) in enumerate(records):
            last = number == len(records) - 1
            record = self._seal(record_blocks, data, [digests[b] for b in record_blocks], last)
            if appender is not None and appender.size_bytes + len(record) > self._row.capacity_bytes:
                self.done.append((name, appender.size_bytes, appender.commit()))
                appender.close()
                appender = None
            if appender is None:
                name = self._name()
                appender = self._media.append(name, 0)
                appender.write(pack_header(VolumeHeader(name, self._core.name, "", self._at_ns)))
            appender.write(record)
            self.bytes += len(record)
        assert appender is not None
        self.done.append((name, appender.size_bytes, appender.commit()))
        appender.close()
        return tuple(digests)

    def _records(
        self, copy: Path, before: tuple[bytes, ...], digests: list[bytes]
    ) -> Iterator[tuple[list[int], bytes]]:
        numbers: list[int] = []
        parts: list[bytes] = []
        with open(copy, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                number = len(digests)
                digests.append(blake3(block).digest())
                if number < len(before) and before[number] == digests[number]:
                    continue
                numbers.append(number)
                parts.append(block)
                self.blocks += 1
                if len(numbers) == _RECORD_BLOCKS:
                    yield numbers, b"".join(parts)
                    numbers, parts = [], []
        yield numbers, b"".join(parts)

    def _seal(self, blocks: list[int], data: bytes, names: list[bytes], last: bool) -> bytes:
        note = Note(
            self.series, self.operation, self.full, self._total, tuple(blocks), len(self.done) + 1, last, self._at_ns
        )
        lengths = tuple(min(BLOCK_BYTES, self._total - number * BLOCK_BYTES) for number in blocks)
        index = GroupIndex(os.urandom(16), self._key.id, len(data), tuple(names), lengths, msgspec.msgpack.encode(note))
        return seal(index, self._compress.compress(data), self._key.cipher)

    def _name(self) -> str:
        with self._core.database.write() as connection:
            number = next_volume_number(connection, self._core.now_ns())
        return volume_name(self._core.name, VolumeUse.DATABASE, number)


@dataclass(frozen=True, slots=True)
class FoundVolume:
    """A database volume found at the target: its place in its series."""

    name: str
    size_bytes: int
    first: Note
    ends: bool


def inspect_volumes(core: Core, media: Media, candidates: list[tuple[str, int]]) -> list[FoundVolume]:
    """Read the record headers of database volumes; volumes that are damaged or not ours are left out."""
    found = []
    for name, size in candidates:
        try:
            unpack_header(media.read(name, 0, min(size, 64 * KIB)))
            notes = [
                msgspec.msgpack.decode(index.note, type=Note)
                for _, _, index in scan(lambda offset, length, n=name: media.read(n, offset, length), size)  # type: ignore[misc]
            ]
        except HoldfastError as error:
            core.log_text(f"database volume {name} is passed over: {error.message}")
            continue
        if notes:
            found.append(FoundVolume(name, size, notes[0], notes[-1].last))
    return found


def newest_series(found: list[FoundVolume]) -> list[list[FoundVolume]]:
    """Return the newest usable series as its backups in order, each a list of volumes in order.

    A backup counts only when all its volumes are there; increments count up to the first gap.
    """
    by_series: dict[int, dict[int, list[FoundVolume]]] = {}
    for volume in found:
        by_series.setdefault(volume.first.series, {}).setdefault(volume.first.operation, []).append(volume)
    for series in sorted(by_series, reverse=True):
        usable = []
        for operation in range(len(by_series[series]) + 1):
            volumes = sorted(by_series[series].get(operation, []), key=lambda volume: volume.first.sequence)
            sequences = [volume.first.sequence for volume in volumes]
            if not volumes or sequences != list(range(1, len(volumes) + 1)) or not volumes[-1].ends:
                break
            usable.append(volumes)
        if usable and usable[0][0].first.full:
            return usable
    return []


def restore_database(core_keys: Any, media: Media, backups: list[list[FoundVolume]], target: Path) -> int:
    """Write the catalog of a series to ``target``; return how many blocks were written. Raises ``HoldfastError``."""
    decompress = zstandard.ZstdDecompressor()
    count = 0
    with open(target, "wb") as file:
        for volume in (volume for backup in backups for volume in backup):
            reader = partial(media.read, volume.name)
            for offset, length, _ in scan(reader, volume.size_bytes):
                index, data = unseal(reader(offset, length), core_keys.cipher)
                note = msgspec.msgpack.decode(index.note, type=Note)
                plain = decompress.decompress(data, max_output_size=max(index.raw_bytes, 1)) if index.raw_bytes else b""
                at = 0
                for block, size, digest in zip(note.blocks, index.lengths, index.names, strict=True):
                    part = plain[at : at + size]
                    if blake3(part).digest() != digest:
                        raise HoldfastError(f"database volume {volume.name}: block {block} is not what it was")
                    file.seek(block * BLOCK_BYTES)
                    file.write(part)
                    at += size
                    count += 1
                file.truncate(note.total_bytes)
        file.flush()
        os.fsync(file.fileno())
    return count
