"""The frames of the mirror link between two arrays, and their framing: four bytes of length, then msgpack.

The array that holds sources dials its peer; requests travel that way and replies come back, matched by ``seq``. Frames
of one connection are applied in the order sent, which keeps overlapping writes in order at both ends.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from typing import TypeVar

import msgspec

from holdfast.kernel.errors import Unavailable
from holdfast.replication.array.bitmap import Bitmap

FRAME_LIMIT_BYTES = 8 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class LinkLost(Unavailable):
    """The mirror link went down before the peer confirmed."""


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """What all frames share."""


class Hello(Frame, frozen=True, tag="hello"):
    """Who dials; the certificate proves it."""

    image: str


class Ping(Frame, frozen=True, tag="ping"):
    """Are you there? Answered at once, ahead of no other frame."""

    number: int


class Write(Frame, frozen=True, tag="write"):
    """Bytes for ``volume`` of the receiver from ``source`` of the sender; ``zeros`` instead of data when not 0."""

    seq: int
    volume: str
    source: str
    offset: int
    data: bytes
    zeros: int = 0
    fua: bool = False


class Flush(Frame, frozen=True, tag="flush"):
    """Make every confirmed write of these volumes durable."""

    seq: int
    volumes: list[str]


class Item(Frame, frozen=True):
    """One pair as the sender sees it: the receiver's volume, the sender's volume, its size and record generation, and
    the pair's modes."""

    volume: str
    source: str
    size_bytes: int
    generation: int
    critical: bool = False
    target_read: bool = False


class Begin(Frame, frozen=True, tag="begin"):
    """Become (or stay) target of these pairs. ``kind``: establish, resume or failback. Replies :class:`Begun`."""

    seq: int
    kind: str
    items: list[Item]


class Status(Frame, frozen=True, tag="status"):
    """What are you in these pairs? Replies :class:`Standings`."""

    seq: int
    items: list[Item]


class Event(Frame, frozen=True, tag="event"):
    """Something happened to these pairs. ``kind``: synced, pause, target-paused, remove or superseded."""

    seq: int
    kind: str
    items: list[Item]


class Begun(Frame, frozen=True, tag="begun"):
    """The receiver's changed tracks for each item, as packed bitmap bytes; None when everything must be copied."""

    changed: list[bytes | None]


class Standings(Frame, frozen=True, tag="standings"):
    """For each item: the receiver's role ("" for none, "paused" for a target that takes no writes) and record
    generation."""

    roles: list[tuple[str, int]]


class Reply(Frame, frozen=True, tag="reply"):
    """The answer to ``seq``: an error code and reason, or neither; ``payload`` as the request says."""

    seq: int
    code: str = ""
    reason: str = ""
    payload: Begun | Standings | None = None
    remedy: str = ""


class Pong(Frame, frozen=True, tag="pong"):
    """I am here."""

    number: int


Request = Hello | Ping | Write | Flush | Begin | Status | Event
Answer = Reply | Pong
_ENCODER = msgspec.msgpack.Encoder()
REQUESTS: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
ANSWERS: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)

Decoded = TypeVar("Decoded")


def unpack(decoder: msgspec.msgpack.Decoder[Decoded], body: bytes) -> Decoded:
    """Return the frame in ``body``. Raises :class:`LinkLost` on nonsense: such a connection is of no use."""
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise LinkLost(f"a frame that is not of this protocol: {error}") from error


def pack_bits(bits: Bitmap) -> bytes:
    """Return a bitmap as it travels."""
    return zlib.compress(bits.dense(), 1)


def unpack_bits(size: int, packed: bytes) -> Bitmap:
    """Return the bitmap of ``size`` tracks that a peer sent; what it has beyond that is left out. Raises
    :class:`LinkLost` on nonsense."""
    unpacker = zlib.decompressobj()
    try:
        dense = unpacker.decompress(packed, -(-size // 8))
    except zlib.error as error:
        raise LinkLost(f"a bitmap that cannot be read: {error}") from error
    return Bitmap(size, dense)


def pack(frame: Request | Answer) -> bytes:
    """Return a frame as it travels."""
    body = _ENCODER.encode(frame)
    return _LENGTH.pack(len(body)) + body


async def receive(reader: asyncio.StreamReader) -> bytes:
    """Return the body of the next frame. Raises :class:`LinkLost` at the end of the stream or on nonsense."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(4))
        if length > FRAME_LIMIT_BYTES:
            raise LinkLost(f"a frame of {length} bytes is not from an array")
        return await reader.readexactly(length)
    except (OSError, EOFError) as error:
        raise LinkLost("the mirror link was closed") from error
