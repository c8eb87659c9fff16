"""Pool volumes: self-describing, append-only containers of encrypted groups.

Layout, all numbers big-endian::

    volume header   "HFVOLUM1"  u32 length  msgpack VolumeHeader
    record          "HFRC"  u32 index_bytes  u32 data_bytes  12-byte nonce
                    index  (msgpack GroupIndex, readable: what the record holds, which key)
                    data   (AES-256-GCM of the zstd frame; the index is authenticated with it)
    record ...

In the middle of a DISK volume a record may be dead: "HFDX" instead of "HFRC", its lengths as they were, its content a
hole in the file.

A record needs nothing outside the volume and the key file, so the catalog can be rebuilt from volumes, and a volume
copied byte for byte (to a copy pool, to another server) stays good. A torn tail is seen as such and ignored.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.kernel.errors import HoldfastError

_T = TypeVar("_T")
MAGIC = b"HFVOLUM1"
RECORD_MAGIC = b"HFRC"
DEAD_MAGIC = b"HFDX"
_RECORD = struct.Struct(">4sII12s")
_TAG_BYTES = 16
_LENGTH = struct.Struct(">I")
_LIMIT_BYTES = 64 * 1024 * 1024
_SEARCH_BYTES = 1024 * 1024


class VolumeHeader(msgspec.Struct, array_like=True, frozen=True):
    """Whose volume this is."""

    name: str
    server: str
    pool: str
    created_ns: int
    check: bytes = b""
    """A digest of the fields before it; empty in volumes of older releases, which had none."""


class GroupIndex(msgspec.Struct, array_like=True, frozen=True):
    """What one record holds. ``names`` and ``lengths`` describe the chunks in order; ``note`` is the owner's."""

    uuid: bytes
    key_id: str
    raw_bytes: int
    names: tuple[bytes, ...]
    lengths: tuple[int, ...]
    note: bytes = b""


class Damaged(HoldfastError):
    """A record does not hold what it should: wrong magic, torn, or the authentication failed."""


def pack_header(header: VolumeHeader) -> bytes:
    """Return the bytes that open a volume."""
    body = msgspec.msgpack.encode(msgspec.structs.replace(header, check=_check(header)))
    return MAGIC + _LENGTH.pack(len(body)) + body


def unpack_header(data: bytes) -> tuple[VolumeHeader, int]:
    """Return the header and the offset of the first record. Raises :class:`Damaged`."""
    if data[:8] != MAGIC or len(data) < 12:
        raise Damaged("not a pool volume: the magic is wrong")
    end = 12 + _LENGTH.unpack_from(data, 8)[0]
    try:
        header = msgspec.msgpack.decode(data[12:end], type=VolumeHeader)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"the volume header is damaged: {error}") from error
    if header.check and header.check != _check(header):
        raise Damaged("the volume header is not as it was written")
    return header, end


def _check(header: VolumeHeader) -> bytes:
    plain = msgspec.structs.replace(header, check=b"")
    return blake3(msgspec.msgpack.encode(plain)).digest(8)


def seal(index: GroupIndex, data: bytes, key: bytes) -> bytes:
    """Return a record: ``data`` (a zstd frame) encrypted and bound to ``index``."""
    header = msgspec.msgpack.encode(index)
    size = len(data) + _TAG_BYTES
    start = _RECORD.size + len(header)
    record = bytearray(start + size)
    nonce = os.urandom(12)
    _RECORD.pack_into(record, 0, RECORD_MAGIC, len(header), size, nonce)
    record[_RECORD.size : start] = header
    AESGCM(key).encrypt_into(nonce, data, header, memoryview(record)[start:])
    return bytes(record)


def unseal(record: bytes, keys: Callable[[str], bytes]) -> tuple[GroupIndex, bytes]:
    """Return what a record holds. Raises :class:`Damaged` when one bit of it is not as it was written."""
    index, start, end, nonce, header = _frame(record)
    if end != len(record):
        raise Damaged("the record's length is wrong")
    try:
        return index, AESGCM(keys(index.key_id)).decrypt(nonce, record[start:end], header)
    except InvalidTag as error:
        raise Damaged("the record fails its authentication") from error


def _frame(record: bytes) -> tuple[GroupIndex, int, int, bytes, bytes]:
    if len(record) < _RECORD.size:
        raise Damaged("the record is torn")
    magic, index_bytes, data_bytes, nonce = _RECORD.unpack_from(record)
    if magic != RECORD_MAGIC or index_bytes + data_bytes > _LIMIT_BYTES:
        raise Damaged("the record does not begin as a record")
    start = _RECORD.size + index_bytes
    header = record[_RECORD.size : start]
    try:
        index = msgspec.msgpack.decode(header, type=GroupIndex)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged("the record's index is damaged") from error
    return index, start, start + data_bytes, nonce, header


def frames(read: Callable[[int, int], bytes], size_bytes: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield (offset, length, frame header) of every whole record, dead ones too; stop at a torn tail."""
    _, at = unpack_header(read(0, min(size_bytes, 64 * 1024)))
    while at + _RECORD.size <= size_bytes:
        head = read(at, _RECORD.size)
        magic, index_bytes, data_bytes, _ = _RECORD.unpack(head)
        length = _RECORD.size + index_bytes + data_bytes
        if magic not in (RECORD_MAGIC, DEAD_MAGIC) or at + length > size_bytes:
            return
        yield at, length, head
        at += length


def scan(read: Callable[[int, int], bytes], size_bytes: int) -> Iterator[tuple[int, int, GroupIndex]]:
    """Yield (offset, length, index) of every whole record of a volume; stop at a torn tail."""
    for at, length, head in frames(read, size_bytes):
        magic, index_bytes, _, _ = _RECORD.unpack(head)
        if magic == DEAD_MAGIC:
            continue
        try:
            index = msgspec.msgpack.decode(read(at + _RECORD.size, index_bytes), type=GroupIndex)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        yield at, length, index


def salvage(
    read: Callable[[int, int], bytes], size_bytes: int, start: int, prove: Callable[[bytes], _T]
) -> Iterator[tuple[int, int, _T | Damaged]]:
    """Yield (offset, length, what ``prove`` makes of it) of every record from ``start`` on, however damaged the bytes
    between. ``prove`` raises :class:`Damaged`; then that is yielded, and the next record is looked for behind the
    magic, because the length may be what is wrong."""
    at = start
    while at + _RECORD.size <= size_bytes:
        magic, index_bytes, data_bytes, _ = _RECORD.unpack(read(at, _RECORD.size))
        length = _RECORD.size + index_bytes + data_bytes
        whole = length <= _LIMIT_BYTES and at + length <= size_bytes
        if magic == DEAD_MAGIC and whole and read(at + length, 4)[:4] in (RECORD_MAGIC, DEAD_MAGIC, b""):
            at += length
            continue
        if magic == RECORD_MAGIC and whole:
            try:
                yield at, length, prove(read(at, length))
                at += length
                continue
            except Damaged as error:
                yield at, length, error
        elif magic == RECORD_MAGIC:
            yield at, 0, Damaged("the record is torn, or its length is wrong")
        at = _next_magic(read, size_bytes, at + 1)


def _next_magic(read: Callable[[int, int], bytes], size_bytes: int, at: int) -> int:
    while at < size_bytes:
        part = read(at, min(_SEARCH_BYTES, size_bytes - at))
        found = part.find(RECORD_MAGIC)
        if found >= 0:
            return at + found
        at += max(len(part) - len(RECORD_MAGIC) + 1, 1)
    return size_bytes
