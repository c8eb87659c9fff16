"""The NBD protocol as bytes in and bytes out: fixed newstyle negotiation, simple and structured replies. No I/O.

Written from the public NBD specification. Numbers are big-endian. ``service.nbdserver`` and ``drivers.nbdclient`` move
the bytes; what the array supports is the flags in ``TRANSMISSION_FLAGS``: flush, FUA, trim, write zeroes, and
several connections to one export that see each other's writes. Beyond them: structured replies and block status.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

GREETING = struct.pack(">QQH", 0x4E42444D41474943, 0x49484156454F5054, 0b11)
OPTION_MAGIC = 0x49484156454F5054
OPTION_REPLY_MAGIC = 0x0003E889045565A9
REQUEST_MAGIC = 0x25609513
REPLY_MAGIC = 0x67446698
CHUNK_MAGIC = 0x668E33EF

OPTION_HEAD = struct.Struct(">QII")
OPTION_REPLY_HEAD = struct.Struct(">QIII")
REQUEST = struct.Struct(">IHHQQI")
REPLY = struct.Struct(">IIQ")
CHUNK = struct.Struct(">IHHQI")
EXPORT_INFO = struct.Struct(">HQH")

CLIENT_FIXED, CLIENT_NO_ZEROES = 1, 2
OPTION_LIMIT_BYTES = 64 * 1024
REQUEST_LIMIT_BYTES = 32 * 1024 * 1024
BLOCK_MINIMUM_BYTES, BLOCK_PREFERRED_BYTES = 1, 4096

HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_ZEROES, MULTI_CONN = 1, 4, 8, 32, 64, 256
TRANSMISSION_FLAGS = HAS_FLAGS | SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_ZEROES | MULTI_CONN
FLAG_FUA, FLAG_REQ_ONE = 1, 8
CHUNK_DONE = 1
CHUNK_NONE, CHUNK_DATA, CHUNK_BLOCK_STATUS, CHUNK_ERROR = 0, 1, 5, 0x8001
ALLOCATION_ID = 1
"""Number of the context ``base:allocation`` in replies to BLOCK_STATUS."""
HOLE_THAT_READS_AS_ZEROS = 3


class Option(enum.IntEnum):
    """Options that a client may send while negotiating."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class OptionReply(enum.IntEnum):
    """Kinds of replies to options."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = 0x80000001
    ERR_POLICY = 0x80000002
    ERR_INVALID = 0x80000003
    ERR_TLS_REQD = 0x80000005
    ERR_UNKNOWN = 0x80000006


class Command(enum.IntEnum):
    """Requests of the transmission phase."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


class Errno(enum.IntEnum):
    """Error numbers of the protocol."""

    NONE = 0
    EPERM = 1
    EIO = 5
    ENOMEM = 12
    EINVAL = 22
    ENOSPC = 28
    ENOTSUP = 95
    ESHUTDOWN = 108


class ProtocolError(Exception):
    """The other side does not speak NBD as agreed; the connection must be closed."""


class Request(NamedTuple):
    """One request of the transmission phase. ``command`` may be a number that is not a :class:`Command`."""

    flags: int
    command: int
    handle: int
    offset: int
    length: int

    @property
    def fua(self) -> bool:
        """True when the reply must wait until the bytes are durable."""
        return bool(self.flags & FLAG_FUA)


@dataclass(frozen=True, slots=True)
class Export:
    """The host, its key and the volume that an export name ``<host>.<key>/<volume>`` names."""

    host: str
    key: int
    volume: str

    def __str__(self) -> str:
        return f"{self.host}.{self.key}/{self.volume}"


def parse_export(name: str) -> Export | None:
    """Read an export name, or return None when it is not one."""
    registration, slash, volume = name.partition("/")
    host, dot, key = registration.rpartition(".")
    if not (slash and dot and host and volume and key.isascii() and key.isdigit() and len(key) < 19):
        return None
    return Export(host, int(key), volume.upper())


def decode_option(head: bytes) -> tuple[int, int]:
    """Return the option number and its length from its 16 bytes of head."""
    magic, option, length = OPTION_HEAD.unpack(head)
    if magic != OPTION_MAGIC or length > OPTION_LIMIT_BYTES:
        raise ProtocolError("not an NBD option")
    return option, length


def encode_option(option: int, data: bytes = b"") -> bytes:
    """Return an option as a client sends it."""
    return OPTION_HEAD.pack(OPTION_MAGIC, option, len(data)) + data


def encode_option_reply(option: int, kind: int, data: bytes = b"") -> bytes:
    """Return a reply to an option."""
    return OPTION_REPLY_HEAD.pack(OPTION_REPLY_MAGIC, option, kind, len(data)) + data


def decode_option_reply(head: bytes) -> tuple[int, int, int]:
    """Return option, kind and length from the 20 bytes of head of an option reply."""
    magic, option, kind, length = OPTION_REPLY_HEAD.unpack(head)
    if magic != OPTION_REPLY_MAGIC or length > OPTION_LIMIT_BYTES:
        raise ProtocolError("not an NBD option reply")
    return option, kind, length


def encode_go(name: str) -> bytes:
    """Return the data of an INFO or GO option without information requests."""
    raw = name.encode()
    return struct.pack(">I", len(raw)) + raw + struct.pack(">H", 0)


def decode_go(data: bytes) -> str:
    """Return the export name in the data of an INFO or GO option."""
    if len(data) < 6:
        raise ProtocolError("a GO option without a name")
    (length,) = struct.unpack_from(">I", data)
    if 4 + length + 2 > len(data):
        raise ProtocolError("a GO option shorter than its name")
    return data[4 : 4 + length].decode("utf-8", "replace")


def decode_contexts(data: bytes) -> list[str]:
    """Return the queries in the data of a LIST or SET_META_CONTEXT option."""
    try:
        (length,) = struct.unpack_from(">I", data)
        (count,) = struct.unpack_from(">I", data, 4 + length)
        place, queries = 8 + length, []
        for _ in range(count):
            (size,) = struct.unpack_from(">I", data, place)
            queries.append(data[place + 4 : place + 4 + size].decode("utf-8", "replace"))
            place += 4 + size
    except struct.error as error:
        raise ProtocolError("a context option shorter than it says") from error
    return queries


def export_info(size_bytes: int) -> bytes:
    """Return the information reply that every INFO and GO gets: size and flags."""
    return EXPORT_INFO.pack(0, size_bytes, TRANSMISSION_FLAGS)


def block_info() -> bytes:
    """Return the block size constraints."""
    return struct.pack(">HIII", 3, BLOCK_MINIMUM_BYTES, BLOCK_PREFERRED_BYTES, REQUEST_LIMIT_BYTES)


def decode_request(raw: bytes | bytearray, place: int = 0) -> Request:
    """Return the request in the 28 bytes of head at ``place``."""
    magic, flags, command, handle, offset, length = REQUEST.unpack_from(raw, place)
    if magic != REQUEST_MAGIC:
        raise ProtocolError("not an NBD request")
    return Request(flags, command, handle, offset, length)


def encode_request(command: int, handle: int, offset: int, length: int, flags: int = 0) -> bytes:
    """Return the head of a request."""
    return REQUEST.pack(REQUEST_MAGIC, flags, command, handle, offset, length)


def encode_reply(handle: int, error: int = 0) -> bytes:
    """Return the head of a simple reply."""
    return REPLY.pack(REPLY_MAGIC, error, handle)


def encode_data_head(handle: int, offset: int, length: int) -> bytes:
    """Return what stands before ``length`` bytes of data in the one structured reply to a READ."""
    return CHUNK.pack(CHUNK_MAGIC, CHUNK_DONE, CHUNK_DATA, handle, 8 + length) + offset.to_bytes(8, "big")


def encode_error(handle: int, error: int) -> bytes:
    """Return a structured reply that says an error, without words."""
    return CHUNK.pack(CHUNK_MAGIC, CHUNK_DONE, CHUNK_ERROR, handle, 6) + struct.pack(">IH", error, 0)


def encode_extents(handle: int, extents: Sequence[tuple[int, int]]) -> bytes:
    """Return the reply to BLOCK_STATUS: lengths and flags of what follows each other from the asked offset on."""
    body = b"".join(struct.pack(">II", length, flags) for length, flags in extents)
    head = CHUNK.pack(CHUNK_MAGIC, CHUNK_DONE, CHUNK_BLOCK_STATUS, handle, 4 + len(body))
    return head + struct.pack(">I", ALLOCATION_ID) + body


_RANGED = (Command.READ, Command.WRITE, Command.TRIM, Command.WRITE_ZEROES, Command.BLOCK_STATUS)


def check_request(request: Request, size_bytes: int) -> Errno:
    """Return what is wrong with the range or the command, or ``Errno.NONE``."""
    if request.command == Command.FLUSH:
        return Errno.NONE
    if request.command not in _RANGED:
        return Errno.EINVAL
    carries = request.command in (Command.READ, Command.WRITE)
    if request.length == 0 or (carries and request.length > REQUEST_LIMIT_BYTES):
        return Errno.EINVAL
    if request.offset + request.length > size_bytes:
        return Errno.ENOSPC if request.command in (Command.WRITE, Command.WRITE_ZEROES) else Errno.EINVAL
    return Errno.NONE
