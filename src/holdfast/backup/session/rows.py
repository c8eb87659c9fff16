"""Rows: what messages of a backup session carry many of, as msgpack arrays.

A field is added at the end and has a default, so that either side may be the older one.
"""

from __future__ import annotations

import msgspec

from holdfast.backup.model.objects import Extra, Kind, Piece, Stat


class BoundClass(msgspec.Struct, array_like=True, frozen=True):
    """A management class a client may bind to, and the pool that receives it ("" when it takes no backups).

    ``naming`` keys the names of that pool's chunks; ``archive_pool`` is "" when the class takes no archives. ``mode``,
    ``frequency_days`` and ``serialization`` are those of the backup copy group."""

    name: str
    default: bool
    pool: str
    naming: bytes
    tries: int = 4
    archive_pool: str = ""
    archive_naming: bytes = b""
    mode: str = "MODIFIED"
    frequency_days: int = 0
    serialization: str = "SHRSTATIC"

    @property
    def by_date(self) -> bool:
        """Whether it matters when the active version was stored."""
        return self.frequency_days > 0 or self.mode == "ABSOLUTE"


class ServerOption(msgspec.Struct, array_like=True, frozen=True):
    """An option of the node's option set. INCLEXCL statements are evaluated before the client's own; another option
    overrides the client's with ``force`` and otherwise counts only where the client has none."""

    name: str
    value: str
    force: bool = False


class NewVersion(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A version to store. ``pieces`` is None when only attributes changed: the content stays the active version's."""

    key: bytes
    kind: Kind
    stat: Stat
    extra: Extra
    digest: bytes
    mgmtclass: str
    pieces: tuple[Piece, ...] | None


class StoredVersion(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A version as the server lists it. ``pieces`` holds (chunk id or 0 for a hole, length)."""

    id: int
    key: bytes
    kind: Kind
    stat: Stat
    extra: Extra
    mgmtclass: str
    stored_ns: int
    inactive_ns: int | None
    pieces: tuple[tuple[int, int], ...]


class StoredArchive(StoredVersion, frozen=True):
    """An archive object as the server lists it; ``stored_ns`` is when it was archived, ``inactive_ns`` is None."""

    description: str = ""


class FilespaceRow(msgspec.Struct, array_like=True, frozen=True):
    """A filespace as the server lists it."""

    name: str
    type: str
    started_ns: int
    ended_ns: int


class ScheduleRow(msgspec.Struct, array_like=True, frozen=True):
    """One schedule and the window to work in: the open one unless it is settled, otherwise the next.

    The window opens at ``start_ns`` for ``window_ns``; the node is to start at ``assigned_ns``, its place in the first
    ``randomize_percent`` of the window. ``status`` is what is on record of this window ("" when nothing): ``Started``
    means that the event was interrupted and runs again, reported as ``Restarted``."""

    name: str
    action: str
    options: str
    objects: str
    start_ns: int
    window_ns: int
    priority: int
    randomize_percent: int
    assigned_ns: int
    status: str
    description: str = ""
    style: str = "Classic"
    duration: str = ""
    period: str = ""
    days: str = "ANY"
    expiration: str = ""


class RemoteFile(msgspec.Struct, array_like=True, frozen=True):
    """An archive object at the target."""

    name: str
    size_bytes: int
    written_ns: int
    marked: bool
    present: bool
