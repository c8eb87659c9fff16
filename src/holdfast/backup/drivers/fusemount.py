"""A point in time behind FUSE, read-only: the kernel asks by path, the point in time answers by key.

Nothing can be written, opened for writing or executed with another user's rights (``ro,nosuid,nodev``); permissions are
the kernel's to check, from the modes and owners that were backed up. Because a point in time never changes, the kernel
may keep what it was told.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any, Protocol

import mfusepy

from holdfast.backup.model.objects import Kind, encoded, key_of
from holdfast.backup.session.messages import StoredVersion
from holdfast.kernel.errors import HoldfastError

_KEEP_S = 3_600
_BLOCK_BYTES = 4_096


class Shown(Protocol):
    """What is shown: versions by key. Errors are OSError."""

    def look(self, key: bytes) -> StoredVersion:
        """Return what stood at a place."""

    def listing(self, key: bytes) -> dict[bytes, StoredVersion]:
        """Return what lay directly in a directory."""

    def read(self, version: StoredVersion, offset: int, length: int) -> bytes:
        """Return bytes of a file."""


class ReadOnly(mfusepy.Operations):  # type: ignore[misc]
    """The file system's operations."""

    use_ns = True

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    def _at(self, path: str) -> StoredVersion:
        return self._shown.look(key_of(encoded(path)))

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Return what stat says."""
        version = self._at(path)
        facts = version.stat
        blocks = sum(length for chunk, length in version.pieces if chunk)
        return {
            "st_mode": facts.mode,
            "st_nlink": facts.nlink,
            "st_uid": facts.uid,
            "st_gid": facts.gid,
            "st_rdev": facts.rdev,
            "st_size": facts.size,
            "st_ino": facts.ino,
            "st_blocks": -(-blocks // 512),
            "st_blksize": _BLOCK_BYTES,
            "st_atime": facts.mtime_ns,
            "st_mtime": facts.mtime_ns,
            "st_ctime": version.stored_ns,
        }

    def readdir(self, path: str, fh: int) -> Iterator[tuple[str, dict[str, int], int]]:
        """Yield the names in a directory."""
        for name in (".", ".."):
            yield name, {}, 0
        for name_bytes, version in self._shown.listing(key_of(encoded(path))).items():
            facts = {"st_mode": version.stat.mode, "st_ino": version.stat.ino}
            yield name_bytes.decode("utf-8", "surrogateescape"), facts, 0

    def readlink(self, path: str) -> str:
        """Return where a symbolic link points."""
        version = self._at(path)
        if version.kind is not Kind.SYMLINK:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return version.extra.target.decode("utf-8", "surrogateescape")

    def open(self, path: str, flags: int) -> int:
        """Open a file for reading."""
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_APPEND):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        self._at(path)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Return bytes of a file."""
        return self._shown.read(self._at(path), offset, size)

    def listxattr(self, path: str) -> list[str]:
        """Return the names of the extended attributes."""
        return [name.decode("utf-8", "surrogateescape") for name, _ in self._at(path).extra.xattrs]

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        """Return an extended attribute."""
        wanted = encoded(name)
        for known, value in self._at(path).extra.xattrs:
            if known == wanted:
                return value
        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))

    def statfs(self, path: str) -> dict[str, int]:
        """Return that there is no room, and how long a name may be."""
        return {"f_bsize": _BLOCK_BYTES, "f_frsize": _BLOCK_BYTES, "f_namemax": 255}


def serve(shown: Shown, mountpoint: str, name: str, allow_other: bool) -> None:
    """Mount and serve until somebody unmounts. Raises ``HoldfastError`` when it cannot be mounted."""
    try:
        mfusepy.FUSE(
            ReadOnly(shown),
            mountpoint,
            foreground=True,
            ro=True,
            nosuid=True,
            nodev=True,
            default_permissions=True,
            allow_other=allow_other,
            use_ino=True,
            kernel_cache=True,
            attr_timeout=_KEEP_S,
            entry_timeout=_KEEP_S,
            fsname=name.replace(",", "_"),
            subtype="holdfast",
        )
    except RuntimeError as error:
        remedy = "is the FUSE package (fuse3) installed, and the directory empty and yours?"
        raise HoldfastError(f"{mountpoint} cannot be mounted (fuse ended with {error})", remedy) from error
