"""What the backup services need from outside: a transactional catalog, media that keep volumes, and the time.

Drivers stand in ``drivers``; ``app.backup`` hands them in. A service never opens a database file or a socket itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

Clock = Callable[[], int]
"""Returns wall-clock nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class AdminCommand:
    """An administrative command that was read: the operation, its parameters, its text with passwords masked."""

    operation: str
    args: dict[str, str]
    text: str


ReadCommand = Callable[[str], AdminCommand]
"""Reads one command of the administrative language; raises ``InputError`` for what is none."""


class Database(Protocol):
    """The catalog's store. A write transaction is durable when its block has ended, and excludes other writers."""

    def read(self) -> AbstractContextManager[Connection]:
        """Open a consistent snapshot for reading."""

    def write(self) -> AbstractContextManager[Connection]:
        """Open the one write transaction; an exception rolls it back whole."""

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy of the whole catalog to a new file while others read and write."""

    def close(self) -> None:
        """Release the files. Idempotent."""


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """A table that exists for one statement only."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Selected:
    """The answer of a SELECT. ``columns`` are as the database calls them."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]


class Selector(Protocol):
    """Runs one SELECT, read-only and within bounds, over views and tables that exist for it alone."""

    schema: str
    """Where the catalog's own tables are."""

    def select(
        self, statement: str, views: Mapping[str, str], tables: Mapping[str, MemoryTable], now_ns: int
    ) -> Selected:
        """Return the rows. Raises ``Refused`` (``invalid``) for SQL that is wrong, forbidden or takes too much."""


class Claims(Protocol):
    """Exclusive and shared claims among everything that works on one catalog; they end with their process."""

    def take(self, key: str, *, shared: bool = False, timeout_s: float = 0.0) -> bool:
        """Claim ``key``; False when it is not to be had within the time."""

    def give(self, key: str) -> None:
        """End a claim."""

    def held(self, key: str) -> bool:
        """Return whether anybody holds ``key``."""

    def close(self) -> None:
        """End all claims. Idempotent."""


class Appender(Protocol):
    """An open volume that grows. Bytes count only once ``commit`` has returned."""

    size_bytes: int

    def write(self, data: bytes) -> None:
        """Append ``data``."""

    def commit(self) -> int:
        """Make everything written so far durable; return the volume's new date in nanoseconds."""

    def close(self) -> None:
        """End the work; bytes after the last commit may be dropped. Idempotent."""


class RandomMedia(Protocol):
    """Media whose volumes give space back from their middle: DISK."""

    def erase(self, name: str, ranges: Iterable[tuple[int, int, bytes]]) -> None:
        """Give the space of each (offset, length) back and put its stamp over the start; other offsets stay."""


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What a medium says of one volume."""

    size_bytes: int
    written_ns: int


class Media(Protocol):
    """Keeps volumes by name: a directory of files, or another server."""

    def append(self, name: str, at_bytes: int) -> Appender:
        """Open ``name`` (created when ``at_bytes`` is 0) to grow from ``at_bytes``; what lies beyond is cut off."""

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes or raise ``HoldfastError`` (missing, short) or ``Unavailable``."""

    def facts(self, name: str) -> MediaFacts | None:
        """Return the facts of a volume, or None when it is not there."""

    def delete(self, name: str) -> None:
        """Remove the volume, or have it marked for deletion. Nothing happens when it is not there."""

    def names(self) -> list[str]:
        """Return the names of all volumes that are there."""

    def close(self) -> None:
        """Release connections and files. Idempotent."""
