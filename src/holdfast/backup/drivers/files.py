"""Volumes as files of one directory: append, fsync, read by position.

A file may be longer than the catalog says: bytes beyond the committed size were never acknowledged and are cut off when
the volume is next opened to grow.
"""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.backup.ports import Appender, MediaFacts
from holdfast.kernel.errors import HoldfastError
from holdfast.runtime.secretfile import sync_directory


class FileMedia:
    """The volumes of a FILE device class or directory pool."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def append(self, name: str, at_bytes: int) -> Appender:
        """Open a volume to grow from ``at_bytes``."""
        return _FileAppender(self._directory / name, at_bytes)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes."""
        try:
            with open(self._directory / name, "rb", buffering=0) as file:
                data = os.pread(file.fileno(), length, offset)
        except OSError as error:
            raise HoldfastError(f"volume {name} cannot be read: {error.strerror}") from error
        if len(data) != length:
            raise HoldfastError(f"volume {name} is short: {len(data)} of {length} bytes at {offset}")
        return data

    def facts(self, name: str) -> MediaFacts | None:
        """Return size and date, or None."""
        try:
            facts = os.stat(self._directory / name)
        except FileNotFoundError:
            return None
        return MediaFacts(facts.st_size, facts.st_mtime_ns)

    def delete(self, name: str) -> None:
        """Remove the file durably."""
        (self._directory / name).unlink(missing_ok=True)
        sync_directory(self._directory)

    def close(self) -> None:
        """Nothing is held between calls."""


class _FileAppender:
    def __init__(self, path: Path, at_bytes: int) -> None:
        self._path = path
        self._created = at_bytes == 0
        flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT if self._created else 0)
        try:
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise HoldfastError(f"volume {path.name} cannot be opened: {error.strerror}") from error
        if os.fstat(self._descriptor).st_size < at_bytes:
            os.close(self._descriptor)
            raise HoldfastError(f"volume {path.name} is shorter than the catalog says", "run AUDIT VOLUME")
        os.ftruncate(self._descriptor, at_bytes)
        os.lseek(self._descriptor, at_bytes, os.SEEK_SET)
        self.size_bytes = self._committed = at_bytes

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self.size_bytes += len(data)

    def commit(self) -> int:
        os.fsync(self._descriptor)
        if self._created:
            sync_directory(self._path.parent)
            self._created = False
        self._committed = self.size_bytes
        return os.fstat(self._descriptor).st_mtime_ns

    def close(self) -> None:
        if self._descriptor < 0:
            return
        if self.size_bytes != self._committed:
            os.ftruncate(self._descriptor, self._committed)
        os.close(self._descriptor)
        self._descriptor = -1
