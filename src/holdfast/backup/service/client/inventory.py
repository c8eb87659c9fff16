"""What the server keeps as active, directory by directory in the scanner's order, and the client's copy of it.

The server lists versions in key order, in which what lies in a directory is spread over its whole subtree. ``gathered``
collects it per directory: each is complete when the listing leaves it, which is the order in which the scanner hands
directories out, so the two are merged with no more in memory than the path from the root.

A finished run leaves an **inventory file**: the same records, each with the digest the scanner gave the directory. It
counts only while the server's filespace is at the generation that the file names (any change of active versions makes
a new one) and rules and classes are those it was made under; otherwise the server is asked for its list. So the file
can be lost, old or damaged without harm.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import msgspec
from blake3 import blake3

from holdfast.backup.model.objects import Known, under

MAGIC = b"HFINVEN1"
_LENGTH = struct.Struct(">I")
_LIMIT_BYTES = 1 << 30
_COPY_BYTES = 1 << 20
_encoder = msgspec.msgpack.Encoder()
_rows = msgspec.msgpack.Decoder(list[Known])


class Header(msgspec.Struct, array_like=True, frozen=True):
    """What an inventory file is good for. ``ground`` is a digest of rules and classes; ``root`` the filespace's own
    row."""

    generation: bytes
    ground: bytes
    root: Known | None


class Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One directory: the digest of its listing ("" when it is not known), how many objects and bytes count in it, and
    its rows, encoded."""

    key: bytes
    digest: bytes
    objects: int
    size_bytes: int
    packed: bytes

    def rows(self) -> list[Known]:
        """Return the active versions of what lies directly in the directory, in key order."""
        return _rows.decode(self.packed)


_record = msgspec.msgpack.Decoder(Record)
_header = msgspec.msgpack.Decoder(Header)


def pack_rows(rows: list[Known]) -> bytes:
    """Return rows as a record holds them."""
    return _encoder.encode(rows)


def precedes(a: bytes, b: bytes) -> bool:
    """Return whether directory ``a`` comes before ``b`` in the scanner's order: deepest first, then by name."""
    if a == b:
        return False
    if under(a, b):
        return True
    return not under(b, a) and a < b


def gathered(rows: Iterable[Known]) -> Iterator[Record]:
    """Turn rows in key order (the filespace's own row left out) into records in the scanner's order."""
    open_ones: list[tuple[bytes, list[Known]]] = []
    for row in rows:
        above = row.key.rpartition(b"\0")[0]
        while open_ones and not under(above, open_ones[-1][0]):
            yield _gathered(*open_ones.pop())
        if not open_ones or open_ones[-1][0] != above:
            open_ones.append((above, []))
        open_ones[-1][1].append(row)
    while open_ones:
        yield _gathered(*open_ones.pop())


def _gathered(key: bytes, rows: list[Known]) -> Record:
    return Record(key, b"", len(rows), 0, pack_rows(rows))


class InventoryWriter:
    """Gathers an inventory beside the present one, without a name; ``finish`` writes it over that. A file that was cut
    short is not what it says it is, and counts as none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._hash = blake3()
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed by finish or abandon

    def add(self, record: Record) -> None:
        """Take the next directory, in the scanner's order."""
        if self._file is None:
            return
        data = _encoder.encode(record)
        try:
            self._file.write(_LENGTH.pack(len(data)) + data)
        except OSError:
            self.abandon()
            return
        self._hash.update(data)

    def finish(self, header: Header) -> None:
        """Write the file. A full disk costs speed next time, nothing else."""
        if self._file is None:
            return
        data = _encoder.encode(header)
        self._hash.update(data)
        with suppress(OSError):
            self._file.write(data + _LENGTH.pack(len(data)) + self._hash.digest() + MAGIC)
            self._file.seek(0)
            with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as place:
                shutil.copyfileobj(self._file, place, _COPY_BYTES)
                place.truncate()
        self.abandon()

    def abandon(self) -> None:
        """Leave what is there."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


_TAIL_BYTES = _LENGTH.size + 32 + len(MAGIC)


class InventoryFile:
    """An inventory file that is whole; ``header`` says what it is good for."""

    def __init__(self, file: IO[bytes], header: Header, end: int) -> None:
        self.header = header
        self._file, self._end = file, end

    def records(self) -> Iterator[Record]:
        """Yield the directories in the scanner's order."""
        self._file.seek(0)
        while self._file.tell() < self._end:
            length = _LENGTH.unpack(self._file.read(_LENGTH.size))[0]
            yield _record.decode(self._file.read(length))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_inventory(path: Path) -> InventoryFile | None:
    """Open an inventory file; None when there is none, or what is there is not exactly what was written."""
    try:
        file = path.open("rb")
    except OSError:
        return None
    try:
        found = _checked(file)
    except (OSError, struct.error, msgspec.MsgspecError):
        found = None
    if found is None:
        file.close()
    return found


def _checked(file: IO[bytes]) -> InventoryFile | None:
    size = file.seek(0, os.SEEK_END)
    if size < _TAIL_BYTES:
        return None
    file.seek(size - _TAIL_BYTES)
    tail = file.read(_TAIL_BYTES)
    header_bytes = _LENGTH.unpack_from(tail)[0]
    end = size - _TAIL_BYTES - header_bytes
    if not tail.endswith(MAGIC) or end < 0:
        return None
    file.seek(0)
    digest = blake3()
    while file.tell() < end:
        length = _LENGTH.unpack(file.read(_LENGTH.size))[0]
        if length > _LIMIT_BYTES:
            return None
        digest.update(file.read(length))
    data = file.read(header_bytes)
    digest.update(data)
    if digest.digest() != tail[_LENGTH.size : -len(MAGIC)]:
        return None
    return InventoryFile(file, _header.decode(data), end)
