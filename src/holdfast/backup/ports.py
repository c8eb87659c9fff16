"""What the backup services need from outside: a transactional catalog, media that keep volumes, and the time.

Drivers stand in ``drivers``; ``app.backup`` hands them in. A service never opens a database file or a socket itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

Clock = Callable[[], int]
"""Returns wall-clock nanoseconds since 1970."""


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


class Appender(Protocol):
    """An open volume that grows. Bytes count only once ``commit`` has returned."""

    size_bytes: int

    def write(self, data: bytes) -> None:
        """Append ``data``."""

    def commit(self) -> int:
        """Make everything written so far durable; return the volume's new date in nanoseconds."""

    def close(self) -> None:
        """End the work; bytes after the last commit may be dropped. Idempotent."""


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

    def close(self) -> None:
        """Release connections and files. Idempotent."""
