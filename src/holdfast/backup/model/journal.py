"""What the volumes hold of the catalog itself, so that it can be rebuilt from them alone (see the format's page).

Three kinds of records stand beside the content: every commit as it came, now and then a snapshot of a filespace's
versions that makes older commits superfluous, and the configuration (nodes, policy, pools, schedules …) whenever it
changed. Chunks are named by content, never by a number of the lost catalog.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

NOTE = b"catalog"
"""The note in a record's index that sets it apart from content."""


class RecordKind(enum.IntEnum):
    """What a catalog record is."""

    COMMIT = 1
    SNAPSHOT = 2
    CONFIG = 3


class Owner(msgspec.Struct, array_like=True, frozen=True):
    """Whose filespace; ``id`` is its number in the catalog that wrote the record."""

    id: int
    node: str
    name: str
    type: str


class CommitRecord(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """One commit of a backup session. ``batches`` are compressed lists of new versions as the client sent them.

    ``archived`` are such lists of archive objects with their description. ``pools`` and ``archive_pools`` say to which
    pool each management class was bound then. A commit too large for one record has several parts of the same time."""

    owner: Owner
    at_ns: int
    part: int
    pools: dict[str, str]
    batches: tuple[bytes, ...]
    expired: tuple[bytes, ...] = ()
    rebound: tuple[tuple[tuple[bytes, ...], str], ...] = ()
    archived: tuple[tuple[bytes, str], ...] = ()
    archive_pools: dict[str, str] = {}


class SnapshotRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One version, whole. ``pieces`` are (pool, chunk name, length); a hole has an empty name. An archive object has a
    ``description``, a backup version has none."""

    key: bytes
    kind: int
    stat: bytes
    extra: bytes
    digest: bytes
    mgmtclass: str
    size_bytes: int
    stored_ns: int
    inactive_ns: int | None
    pieces: tuple[tuple[str, bytes, int], ...]
    description: str | None = None


class SnapshotRecord(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """A part of all versions of a filespace as they were after the commit of ``at_ns``. It counts only when all
    ``parts`` of the same ``id`` are there."""

    owner: Owner
    at_ns: int
    id: bytes
    part: int
    parts: int
    rows: tuple[SnapshotRow, ...]


class ConfigRecord(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Every small table of the catalog: name → its rows by column."""

    at_ns: int
    tables: dict[str, list[dict[str, Any]]]


Record = CommitRecord | SnapshotRecord | ConfigRecord
