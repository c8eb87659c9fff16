"""How a served store and its users talk: length-prefixed msgpack frames over TLS, many calls on one connection.

A request is ``(id, operation, arguments)``; the answer repeats the id. A watch answers with one frame per commit until
its user cancels it or the connection ends.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from holdfast.kernel.errors import Unavailable
from holdfast.store.port import Change, Committed, Conflict, Delete, Entry, Put, Snapshot, Write

FRAME_LIMIT_BYTES = 16 * 1024 * 1024
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


class Request(msgspec.Struct, array_like=True):
    """One call: ``operation`` is a method of the port, or ``cancel`` to end the watch ``id``."""

    id: int
    operation: str
    arguments: list[Any]


class Answer(msgspec.Struct, array_like=True):
    """The answer to call ``id``: a result, or the text of an ``Unavailable``."""

    id: int
    result: Any = None
    unavailable: str = ""


async def send(writer: asyncio.StreamWriter, message: Request | Answer) -> None:
    """Write one frame and wait until the peer takes it."""
    writer.write(frame(message))
    await writer.drain()


def frame(message: Request | Answer) -> bytes:
    """Return the bytes of one frame."""
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "big") + body


async def receive(reader: asyncio.StreamReader) -> list[Any]:
    """Read one frame. Raises ``Unavailable`` when the connection ends or the frame is too large."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        if size > FRAME_LIMIT_BYTES:
            raise Unavailable(f"a frame of {size} bytes exceeds the limit")
        return list(_decoder.decode(await reader.readexactly(size)))
    except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
        raise Unavailable(f"store connection ended: {error}") from error


def pack_writes(writes: list[Write] | tuple[Write, ...]) -> list[Any]:
    """Return writes as plain lists: put has three fields, delete one."""
    return [[w.key, w.value, w.lease] if isinstance(w, Put) else [w.key] for w in writes]


def unpack_writes(rows: list[Any]) -> list[Write]:
    """Undo :func:`pack_writes`."""
    return [Put(*row) if len(row) == 3 else Delete(row[0]) for row in rows]


def pack_snapshot(snapshot: Snapshot) -> list[Any]:
    """Return a snapshot as plain lists."""
    return [snapshot.revision, [[k, e.value, e.revision, e.lease] for k, e in snapshot.entries.items()]]


def unpack_snapshot(row: list[Any]) -> Snapshot:
    """Undo :func:`pack_snapshot`."""
    return Snapshot(row[0], {key: Entry(value, revision, lease) for key, value, revision, lease in row[1]})


def pack_outcome(outcome: Committed | Conflict) -> list[Any]:
    """Return a transaction's outcome as a plain list: committed has one field, conflict two."""
    return [outcome.revision] if isinstance(outcome, Committed) else [outcome.key, outcome.revision]


def unpack_outcome(row: list[Any]) -> Committed | Conflict:
    """Undo :func:`pack_outcome`."""
    return Committed(row[0]) if len(row) == 1 else Conflict(row[0], row[1])


def pack_changes(changes: tuple[Change, ...]) -> list[Any]:
    """Return one commit's changes as plain lists."""
    return [[c.key, c.value, c.revision] for c in changes]


def unpack_changes(rows: list[Any]) -> tuple[Change, ...]:
    """Undo :func:`pack_changes`."""
    return tuple(Change(*row) for row in rows)
