"""Volumes as files of one directory: append, fsync, read by position.

A file may be longer than the catalog says: bytes beyond the committed size were never acknowledged and are cut off when
the volume is next opened to grow.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from holdfast.backup.ports import Appender, MediaFacts
from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.runtime.secretfile import sync_directory

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02


class FileMedia:
    """The volumes of a FILE device class, or of DISK, where a name is a full path."""

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

    def names(self) -> list[str]:
        """Return the names of all files of the directory, sorted."""
        return sorted(path.name for path in self._directory.iterdir() if path.is_file())

    def erase(self, name: str, ranges: Iterable[tuple[int, int, bytes]]) -> None:
        """Give the space of (offset, length) back to the file system, then put a stamp over the start of each.

        Where the file system cannot punch holes only the stamp is written; offsets of everything else stay."""
        with open(self._directory / name, "r+b", buffering=0) as file:
            for offset, length, stamp in ranges:
                _punch(file.fileno(), offset, length)
                os.pwrite(file.fileno(), stamp, offset)
            os.fsync(file.fileno())

    def close(self) -> None:
        """Nothing is held between calls."""


def _punch(descriptor: int, offset: int, length: int) -> None:
    """Punch a hole; a file system that cannot leaves the bytes, which costs space and nothing else."""
    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    call(descriptor, _KEEP_SIZE_PUNCH_HOLE, offset, length)


def _failed(path: Path, what: str, error: OSError) -> HoldfastError:
    text = f"volume {path.name} cannot be {what}: {error.strerror}"
    if error.errno in _NO_ROOM:
        return Refused(Refusal("no-storage", text, f"free space below {path.parent}, or add a NEXTSTGPOOL"))
    return HoldfastError(text, "check the directory of the device class")


class _FileAppender:
    def __init__(self, path: Path, at_bytes: int) -> None:
        self._path = path
        self._created = at_bytes == 0
        flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT if self._created else 0)
        try:
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise _failed(path, "opened", error) from error
        if os.fstat(self._descriptor).st_size < at_bytes:
            os.close(self._descriptor)
            raise HoldfastError(f"volume {path.name} is shorter than the catalog says", "run AUDIT VOLUME")
        os.ftruncate(self._descriptor, at_bytes)
        os.lseek(self._descriptor, at_bytes, os.SEEK_SET)
        self.size_bytes = self._committed = at_bytes

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            os.ftruncate(self._descriptor, self.size_bytes)
            os.lseek(self._descriptor, self.size_bytes, os.SEEK_SET)
            raise _failed(self._path, "written", error) from error
        self.size_bytes += len(data)

    def commit(self) -> int:
        try:
            os.fsync(self._descriptor)
            if self._created:
                sync_directory(self._path.parent)
                self._created = False
        except OSError as error:
            raise _failed(self._path, "made durable", error) from error
        self._committed = self.size_bytes
        return os.fstat(self._descriptor).st_mtime_ns

    def close(self) -> None:
        if self._descriptor < 0:
            return
        if self.size_bytes != self._committed:
            os.ftruncate(self._descriptor, self._committed)
        os.close(self._descriptor)
        self._descriptor = -1
