"""What a set of media holds, as a rebuild of the catalog sees it: volumes by their headers, records proven one by one.

Nothing of the catalog is asked. A record that fails its authentication is left out and counted; behind damaged bytes
the next record is looked for, so one flipped bit costs one record, never the rest of its volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import msgspec
import zstandard

from holdfast.backup.model.journal import NOTE, CommitRecord, ConfigRecord, Record, SnapshotRecord
from holdfast.backup.ports import Media
from holdfast.backup.service.volumeformat import Damaged, GroupIndex, VolumeHeader, salvage, unpack_header, unseal
from holdfast.kernel.errors import HoldfastError, InputError
from holdfast.kernel.sizes import KIB

_record = msgspec.msgpack.Decoder(Record)
_RECORD_LIMIT_BYTES = 1 << 30
UNKNOWN = "?"
"""The pool of a volume whose header is damaged: its records are good all the same."""
Keys = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class FoundVolume:
    """A pool volume on some medium; ``end_bytes`` is where its last good record ends."""

    name: str
    source: str
    media: Media
    header: VolumeHeader
    first: int
    size_bytes: int
    written_ns: int


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A proven record: where it lies and what it holds; ``data`` is its zstd frame when it is the catalog's own."""

    offset: int
    length: int
    index: GroupIndex
    data: bytes


@dataclass(slots=True)
class Inventory:
    """Everything found so far."""

    volumes: list[FoundVolume] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def look(self, source: str, media: Media, server: str) -> None:
        """Note the pool volumes of one medium: those of ``server``, and of no database backup."""
        known = {volume.name for volume in self.volumes}
        for name in media.names():
            facts = media.facts(name)
            if facts is None or name in known:
                continue
            try:
                header, first = unpack_header(media.read(name, 0, min(facts.size_bytes, 64 * KIB)))
            except Damaged as error:
                self.damaged.append(f"{name}: {error.message}")
                header, first = VolumeHeader(name, server, UNKNOWN, 0), 0
            except HoldfastError as error:
                self.damaged.append(f"{name}: {error.message}")
                continue
            if header.server != server:
                self.foreign.append(f"{name} of server {header.server}")
            elif header.pool:
                self.volumes.append(FoundVolume(name, source, media, header, first, facts.size_bytes, facts.written_ns))


def records_of(volume: FoundVolume, keys: Keys, damaged: list[str]) -> Iterator[FoundRecord]:
    """Yield every record of a volume that proves good; name the others in ``damaged``."""
    read = partial(_within, volume)
    for offset, length, proven in salvage(read, volume.size_bytes, volume.first, lambda record: _proven(record, keys)):
        if isinstance(proven, Damaged):
            damaged.append(f"{volume.name} at {offset}: {proven.message}")
            continue
        index, data = proven
        yield FoundRecord(offset, length, index, data if index.note == NOTE else b"")


def _within(volume: FoundVolume, offset: int, length: int) -> bytes:
    return volume.media.read(volume.name, offset, max(min(length, volume.size_bytes - offset), 0))


def _proven(record: bytes, keys: Keys) -> tuple[GroupIndex, bytes]:
    try:
        return unseal(record, keys)
    except InputError as error:  # no such key: the index is damaged, or the record is another server's
        raise Damaged(error.message) from error


def decode(record: FoundRecord) -> CommitRecord | SnapshotRecord | ConfigRecord:
    """Return what a record of the catalog's own says. Raises :class:`Damaged` for one this version cannot read."""
    try:
        plain = zstandard.ZstdDecompressor().decompress(record.data, max_output_size=_RECORD_LIMIT_BYTES)
        content: CommitRecord | SnapshotRecord | ConfigRecord = _record.decode(plain)
        return content
    except (zstandard.ZstdError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"a catalog record cannot be read: {error}") from error
