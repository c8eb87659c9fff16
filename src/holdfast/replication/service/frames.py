"""The frames of the mirror link between two arrays, and their framing: four bytes of length, then msgpack.

A write has a head of fixed length instead, which the top bit of the length tells, and its data follow as they are, so
that neither end copies them about.

The array that holds sources dials its peer; requests travel that way and replies come back, matched by ``seq``. Frames
of one connection are applied in the order sent, which keeps overlapping writes in order at both ends.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple, TypeVar

import msgspec

from holdfast.kernel.errors import Unavailable
from holdfast.replication.array.bitmap import Bitmap

FRAME_LIMIT_BYTES = 8 * 1024 * 1024
_LENGTH = struct.Struct(">I")
_WRITE = struct.Struct(">IQQI4s4s")
_IS_WRITE = 0x8000_0000


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


class Write(NamedTuple):
    """Bytes for ``volume`` of the receiver from ``source`` of the sender, which follow; or ``zeros`` of them when that
    is not 0. There are so many that they have a layout of their own."""

    seq: int
    volume: str
    source: str
    offset: int
    zeros: int = 0


class Ahead(Frame, frozen=True, tag="ahead"):
    """These tracks are about to be copied; the receiver can put them into its log in one go. No reply."""

    volume: str
    source: str
    tracks: list[int]


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


class Standing(Frame, frozen=True):
    """What the receiver is in a pair: its role ("" for none, "paused" for a target that takes no writes), the record's
    generation, and as packed bitmap bytes the tracks that it may have lost (empty for none)."""

    role: str
    generation: int
    missing: bytes


class Standings(Frame, frozen=True, tag="standings"):
    """One for each item."""

    items: list[Standing]


class Reply(Frame, frozen=True, tag="reply"):
    """The answer to ``seq``: an error code and reason, or neither; ``payload`` as the request says."""

    seq: int
    code: str = ""
    reason: str = ""
    payload: Begun | Standings | None = None
    remedy: str = ""


class Written(Frame, frozen=True, tag="written"):
    """The answer to all of these writes: they have been taken."""

    seqs: list[int]


class Pong(Frame, frozen=True, tag="pong"):
    """I am here."""

    number: int


Request = Hello | Ping | Ahead | Flush | Begin | Status | Event
Answer = Reply | Written | Pong
TAKEN = Reply(0)
"""What :class:`Written` says of each write."""
_ENCODER = msgspec.msgpack.Encoder()
REQUESTS: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
ANSWERS: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)

Decoded = TypeVar("Decoded")


def unpack(decoder: msgspec.msgpack.Decoder[Decoded], body: bytes | memoryview) -> Decoded:
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


def pack_write(write: Write, length: int) -> bytes:
    """Return what travels before the ``length`` bytes of a write."""
    seq, volume, source, offset, zeros = write
    word = _IS_WRITE | (_WRITE.size - _LENGTH.size + length)
    return _WRITE.pack(word, seq, offset, zeros, volume.encode(), source.encode())


class Splitter:
    """Cuts what comes into frames; :meth:`room` says where the next bytes go, :meth:`came` how many there were."""

    def __init__(self, size_bytes: int = FRAME_LIMIT_BYTES + 64 * 1024) -> None:
        self._buffer = bytearray(size_bytes)
        self._view = memoryview(self._buffer)
        self._end = 0

    def room(self) -> memoryview:
        """Where the next bytes go."""
        return self._view[self._end :]

    def came(self, count: int) -> None:
        """So many bytes have come."""
        self._end += count

    def frames(self) -> list[memoryview | tuple[Write, memoryview]]:
        """Return the whole frames that are there: the msgpack of each, or a write with its data.

        They are valid until :meth:`done` is called. Raises :class:`LinkLost` on nonsense.
        """
        found: list[memoryview | tuple[Write, memoryview]] = []
        start, self._start = 0, 0
        while self._end - start >= _LENGTH.size:
            (word,) = _LENGTH.unpack_from(self._buffer, start)
            length = word & ~_IS_WRITE
            if length > FRAME_LIMIT_BYTES:
                raise LinkLost(f"a frame of {length} bytes is not from an array")
            last = start + _LENGTH.size + length
            if last > self._end:
                break
            if word & _IS_WRITE:
                found.append(self._write(start, last))
            else:
                found.append(self._view[start + _LENGTH.size : last])
            start = self._start = last
        return found

    def _write(self, start: int, last: int) -> tuple[Write, memoryview]:
        if last - start < _WRITE.size:
            raise LinkLost("a write shorter than its head")
        _, seq, offset, zeros, volume, source = _WRITE.unpack_from(self._buffer, start)
        try:
            write = Write(seq, volume.decode("ascii"), source.decode("ascii"), offset, zeros)
        except UnicodeDecodeError as error:
            raise LinkLost(f"a write that is not of this protocol: {error}") from error
        return write, self._view[start + _WRITE.size : last]

    def done(self) -> None:
        """The frames have been used."""
        left = self._end - self._start
        if self._start:
            self._view[:left] = bytes(self._view[self._start : self._end])
            self._end = left
