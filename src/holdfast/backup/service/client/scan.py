"""The scanner: a filespace's objects in key order, by directory descriptors: no path too long, no link followed.

A directory is opened relative to its parent with O_NOFOLLOW; when something is swapped for a link in mid-scan, the open
fails and the place counts as unreadable. Only one file system is scanned: a mount point is an object, what is mounted
there is another filespace.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from holdfast.backup.model.objects import Entry, Extra, Kind, Stat
from holdfast.backup.plan.inclexcl import Rules

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.CHARACTER_DEVICE,
    stat.S_IFBLK: Kind.BLOCK_DEVICE,
}
_DEPTH_LIMIT = 300
"""Each level holds a descriptor open; deeper trees are reported as unreadable, never silently cut."""
_NOTHING = Stat(0, 0, 0, 0, 0, 0, 0, 0)


def kind_of(mode: int) -> Kind | None:
    """Return what an object of this mode is; None for what is never stored."""
    return _KINDS.get(stat.S_IFMT(mode))


def facts(found: os.stat_result) -> Stat:
    """Return what is kept of an lstat. The size of anything but a file or link means nothing and is 0."""
    sized = stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)
    device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
    links = 1 if stat.S_ISDIR(found.st_mode) else found.st_nlink
    return Stat(
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_size if sized else 0,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
        links,
        found.st_rdev if device else 0,
    )


class Scanner:
    """Walks one filespace. While an entry is being handled, ``directory`` and ``name`` say where to open it."""

    def __init__(
        self, root: bytes, filespace: str, rules: Rules, default_class: str, warn: Callable[[str], None]
    ) -> None:
        self._root, self._rules, self._default, self._warn = root, rules, default_class, warn
        self._prefix = filespace.rstrip("/")
        self.directory = -1
        self.name = b"."
        self._device = 0

    def entries(self) -> Iterator[Entry]:
        """Yield every object that counts, in key order, the root (empty key) first."""
        descriptor = os.open(self._root, _DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
        try:
            found = os.fstat(descriptor)
            self._device = found.st_dev
            self.directory, self.name = descriptor, b"."
            yield Entry(b"", Kind.DIRECTORY, facts(found), self._default)
            yield from self._walk(descriptor, b"", self._prefix)
        finally:
            os.close(descriptor)

    def _walk(self, descriptor: int, key: bytes, path: str) -> Iterator[Entry]:
        try:
            with os.scandir(descriptor) as listing:
                items = sorted((os.fsencode(item.name), item) for item in listing)
        except OSError as error:
            self._warn(f"ANS4007E {path}: {error.strerror}")
            yield Entry(key, Kind.UNREADABLE, _NOTHING)
            return
        join = key + b"\0" if key else b""
        for name, item in items:
            try:
                found = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._warn(f"ANS4007E {path}/{item.name}: {error.strerror}")
                yield Entry(join + name, Kind.UNREADABLE, _NOTHING)
                continue
            yield from self._object(descriptor, join + name, name, f"{path}/{item.name}", found)

    def _object(self, parent: int, key: bytes, name: bytes, path: str, found: os.stat_result) -> Iterator[Entry]:
        kind = kind_of(found.st_mode)
        if kind is None:
            return
        mgmtclass = self._default
        if kind is Kind.DIRECTORY:
            if not self._rules.directory(path).included:
                return
        elif not self._rules.plain:
            decision = self._rules.file(path)
            if not decision.included:
                return
            mgmtclass = decision.mgmtclass or mgmtclass
        self.directory, self.name = parent, name
        yield Entry(key, kind, facts(found), mgmtclass)
        if kind is Kind.DIRECTORY and key.count(b"\0") >= _DEPTH_LIMIT:
            self._warn(f"ANS4005E {path[:200]}...: nested deeper than {_DEPTH_LIMIT} directories, not entered")
            yield Entry(key, Kind.UNREADABLE, _NOTHING)
        elif kind is Kind.DIRECTORY and found.st_dev == self._device:
            try:
                descriptor = os.open(name, _DIRECTORY_FLAGS, dir_fd=parent)
            except OSError as error:
                self._warn(f"ANS4007E {path}: {error.strerror}")
                yield Entry(key, Kind.UNREADABLE, _NOTHING)
                return
            try:
                yield from self._walk(descriptor, key, path)
            finally:
                os.close(descriptor)


def read_extra(directory: int, name: bytes, kind: Kind) -> Extra:
    """Read extended attributes and link target of an object. May raise OSError when it is gone."""
    place = b"/proc/self/fd/%d/%s" % (directory, name)
    target = os.readlink(name, dir_fd=directory) if kind is Kind.SYMLINK else b""
    try:
        names = os.listxattr(place, follow_symlinks=False)
    except OSError:
        return Extra((), target)
    if not names:
        return Extra((), target)
    pairs = [
        (os.fsencode(attribute), os.getxattr(place, attribute, follow_symlinks=False)) for attribute in sorted(names)
    ]
    return Extra(tuple(pairs), target)
