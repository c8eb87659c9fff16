"""The scanner: a filespace directory by directory, by descriptors: no path too long, no link followed.

A directory is opened relative to its parent with O_NOFOLLOW; when something is swapped for a link in mid-scan, the open
fails and the place counts as unreadable. Only one file system is scanned: a mount point is an object, what is mounted
there is another filespace.

Directories come in post-order, each with all that lies directly in it: when a directory is handed out, all below it has
been. A digest over what lstat says of its entries tells at once whether anything in it changed, without an object for
each. Deep trees hold few descriptors: those far up are closed and found again through ``..``, which must lead to the
very directory that was left.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from blake3 import blake3

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
_OPEN_LEVELS = 128
"""Descriptors held on the way down; directories further up are closed meanwhile."""
_NOTHING = Stat(0, 0, 0, 0, 0, 0, 0, 0)
_encode = msgspec.msgpack.Encoder().encode


def kind_of(mode: int) -> Kind | None:
    """Return what an object of this mode is; None for what is never stored."""
    return _KINDS.get(stat.S_IFMT(mode))


def facts(found: os.stat_result) -> Stat:
    """Return what is kept of an lstat. The size of anything but a file or link means nothing and is 0."""
    mode = found.st_mode
    if stat.S_ISREG(mode):
        return Stat(
            mode,
            found.st_uid,
            found.st_gid,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_ino,
            found.st_nlink,
        )
    device = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
    return Stat(
        mode,
        found.st_uid,
        found.st_gid,
        found.st_size if stat.S_ISLNK(mode) else 0,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
        1 if stat.S_ISDIR(mode) else found.st_nlink,
        found.st_rdev if device else 0,
    )


@dataclass(slots=True)
class Listing:
    """One directory: its key, an open descriptor, and what lies directly in it, in the order of names.

    ``digest`` changes with any change that lstat shows of an entry. ``failed``: it could not be listed."""

    key: bytes
    path: str
    descriptor: int
    items: list[tuple[bytes, os.stat_result]] = field(default_factory=list)
    digest: bytes = b""
    unreadable: list[bytes] = field(default_factory=list)
    failed: bool = False


@dataclass(slots=True)
class _Level:
    listing: Listing
    identity: tuple[int, int]
    below: Iterator[bytes]


class Scanner:
    """Walks one filespace. ``blocked`` holds the keys that could not be looked at: nothing there counts as gone.

    ``own`` is the directory, by its path in the filespace, in which the client's inventory files lie: it is skipped.
    """

    def __init__(
        self,
        root: bytes,
        filespace: str,
        rules: Rules,
        default_class: str,
        warn: Callable[[str], None],
        own: Path | None = None,
    ) -> None:
        self._root, self._rules, self._default, self._warn = root, rules, default_class, warn
        self._own_parent, self._own_name = (str(own.parent), os.fsencode(own.name)) if own is not None else ("", b"")
        self._prefix = filespace.rstrip("/")
        self._device = 0
        self.blocked: set[bytes] = set()

    def directories(self) -> Iterator[Listing]:
        """Yield every directory that is entered, deepest first; the descriptor is open until the next is asked for."""
        top = os.open(self._root, _DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
        self._device = os.fstat(top).st_dev
        levels: list[_Level] = []
        try:
            levels.append(self._enter(Listing(b"", self._prefix, top), os.fstat(top)))
            while levels:
                level = levels[-1]
                name = next(level.below, None)
                if name is not None:
                    self._descend(levels, name)
                    continue
                yield level.listing
                levels.pop()
                if levels:
                    self._return_to(levels[-1], level.listing.descriptor)
                os.close(level.listing.descriptor)
        finally:
            for level in levels:
                if level.listing.descriptor >= 0:
                    os.close(level.listing.descriptor)

    def entries(self, listing: Listing) -> Iterator[Entry]:
        """Yield the objects of a directory that count, in the order of their names."""
        join = listing.key + b"\0" if listing.key else b""
        unreadable = set(listing.unreadable)
        plain, default = self._rules.plain, self._default
        for name, found in listing.items:
            kind = _KINDS.get(stat.S_IFMT(found.st_mode))
            if name in unreadable:
                yield Entry(join + name, Kind.UNREADABLE, _NOTHING)
            elif kind is None:
                continue
            elif plain:
                yield Entry(join + name, kind, facts(found), default)
            else:
                yield from self._decided(join + name, kind, found, f"{listing.path}/{os.fsdecode(name)}")

    def root(self, listing: Listing) -> Entry:
        """Return the filespace's own directory as an object; its key is empty."""
        return Entry(b"", Kind.DIRECTORY, facts(os.fstat(listing.descriptor)), self._default)

    def _decided(self, key: bytes, kind: Kind, found: os.stat_result, path: str) -> Iterator[Entry]:
        if kind is Kind.DIRECTORY:
            if self._rules.directory(path).included:
                yield Entry(key, kind, facts(found), self._default)
            return
        decision = self._rules.file(path)
        if decision.included:
            yield Entry(key, kind, facts(found), decision.mgmtclass or self._default)

    def _enter(self, listing: Listing, status: os.stat_result) -> _Level:
        """List an open directory."""
        below: list[bytes] = []
        try:
            self._list(listing, below)
        except OSError as error:
            self._warn(f"ANS4007E {listing.path[:1024]}: {error.strerror}")
            listing.failed, listing.items = True, []
            self.blocked.add(listing.key)
        return _Level(listing, (status.st_dev, status.st_ino), iter(below))

    def _list(self, listing: Listing, below: list[bytes]) -> None:
        items = listing.items
        missing = os.stat_result((0,) * 10)
        with os.scandir(listing.descriptor) as found:
            for item in found:
                name = os.fsencode(item.name)
                try:
                    items.append((name, item.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    self._warn(f"ANS4007E {listing.path[:1024]}/{item.name}: {error.strerror}")
                    listing.unreadable.append(name)
                    self.blocked.add(listing.key + b"\0" + name if listing.key else name)
                    items.append((name, missing))
        if listing.path == self._own_parent:
            items[:] = [item for item in items if item[0] != self._own_name]
        items.sort()
        digest = blake3(
            _encode([(name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_rdev) for name, s in items])
        )
        listing.digest = digest.digest(16)
        for name, status in items:
            if stat.S_ISDIR(status.st_mode) and status.st_dev == self._device and self._entered(listing.path, name):
                below.append(name)

    def _entered(self, path: str, name: bytes) -> bool:
        return self._rules.plain or self._rules.directory(f"{path}/{os.fsdecode(name)}").included

    def _descend(self, levels: list[_Level], name: bytes) -> None:
        above = levels[-1].listing
        key = above.key + b"\0" + name if above.key else name
        path = f"{above.path}/{os.fsdecode(name)}"
        try:
            descriptor = os.open(name, _DIRECTORY_FLAGS, dir_fd=above.descriptor)
        except OSError as error:
            self._warn(f"ANS4007E {path[:1024]}: {error.strerror}")
            self.blocked.add(key)
            return
        status = os.fstat(descriptor)
        if status.st_dev != self._device:  # mounted just now
            os.close(descriptor)
            return
        levels.append(self._enter(Listing(key, path, descriptor), status))
        if len(levels) > _OPEN_LEVELS:
            far = levels[-_OPEN_LEVELS - 1].listing
            if far.descriptor >= 0:
                os.close(far.descriptor)
                far.descriptor = -1

    def _return_to(self, level: _Level, below: int) -> None:
        """Open a directory again that was closed on the way down; one that is not the same counts as unreadable."""
        listing = level.listing
        if listing.descriptor >= 0:
            return
        listing.descriptor = os.open("..", _DIRECTORY_FLAGS, dir_fd=below)
        status = os.fstat(listing.descriptor)
        if (status.st_dev, status.st_ino) != level.identity:
            self._warn(f"ANS4005E {listing.path[:1024]}: moved while it was scanned")
            listing.failed, listing.items, level.below = True, [], iter(())
            self.blocked.add(listing.key)


def read_extra(directory: int, name: bytes, kind: Kind) -> Extra:
    """Read extended attributes and link target of an object. May raise OSError when it is gone."""
    place = b"/proc/self/fd/%d/%s" % (directory, name)
    target = os.readlink(name, dir_fd=directory) if kind is Kind.SYMLINK else b""
    try:
        names = os.listxattr(place, follow_symlinks=False)
    except OSError:
        return Extra((), target)
    return Extra(_pairs(place, names), target) if names else Extra((), target)


def extra_of(descriptor: int) -> Extra:
    """Read the extended attributes of an open file."""
    try:
        names = os.listxattr(descriptor)
    except OSError:
        return NO_EXTRA
    return Extra(_pairs(descriptor, names)) if names else NO_EXTRA


NO_EXTRA = Extra()


def _pairs(place: int | bytes, names: list[str]) -> tuple[tuple[bytes, bytes], ...]:
    follow = isinstance(place, int)
    return tuple((os.fsencode(name), os.getxattr(place, name, follow_symlinks=follow)) for name in sorted(names))
