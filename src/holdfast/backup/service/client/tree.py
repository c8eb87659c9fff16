"""Writing objects into a tree without ever following a link: every directory is reached by descriptors from the top.

Attributes come back in the order that keeps them: content, owner, mode, extended attributes (ACLs and capabilities
after the owner, which would clear them), times last; directories when all below them is done, deepest first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import OrderedDict

from holdfast.backup.model.objects import Extra, Kind, Stat

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CACHED = 128


def _umask() -> int:
    """Return the process's umask without changing it, which would reach into other threads."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        return next((int(line.split()[1], 8) for line in lines if line.startswith("Umask:")), 0o777)


def _checked(name: bytes) -> bytes:
    """Return a name that stays in its directory; a server that sends another is not believed."""
    if name in (b"", b".", b"..") or b"/" in name:
        raise OSError(errno.EINVAL, "the name leads out of the destination")
    return name


def _enter(parent: int, name: bytes) -> int:
    _checked(name)
    try:
        return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        os.mkdir(name, 0o700, dir_fd=parent)
        return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)


class Tree:
    """The destination of a restore. Keys are those of objects; errors are OSError."""

    def __init__(self, root: str) -> None:
        os.makedirs(root, exist_ok=True)
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._cache: OrderedDict[bytes, int] = OrderedDict()
        self._privileged = os.geteuid() == 0
        self._owner = (os.geteuid(), os.getegid())
        self._umask = _umask()
        self._inherits = bool(os.fstat(self._root).st_mode & stat.S_ISGID)
        """Whether a directory that was there hands its group on to new files."""

    def close(self) -> None:
        """Close all descriptors."""
        for descriptor in self._cache.values():
            os.close(descriptor)
        self._cache.clear()
        os.close(self._root)

    def parent(self, key: bytes) -> tuple[int, bytes]:
        """Return the directory descriptor and the name under which ``key`` is reached."""
        above, _, name = key.rpartition(b"\0")
        return self._directory(above), _checked(name)

    def _directory(self, key: bytes) -> int:
        """Return a descriptor of a directory, making what is missing on the way; it is good until 127 others came."""
        known = self._cache.get(key) if key else self._root
        if known is not None:
            if key:
                self._cache.move_to_end(key)
            return known
        names = key.split(b"\0")
        depth, descriptor = len(names) - 1, self._root
        while depth:
            above = b"\0".join(names[:depth])
            if above in self._cache:
                descriptor = self._cache[above]
                self._cache.move_to_end(above)
                break
            depth -= 1
        for level in range(depth, len(names)):
            descriptor = _enter(descriptor, names[level])
            self._cache[b"\0".join(names[: level + 1])] = descriptor
            if len(self._cache) > _CACHED:
                os.close(self._cache.popitem(last=False)[1])
        return descriptor

    def make_directory(self, key: bytes) -> None:
        """Make a directory that only we can enter until its attributes are set; an existing directory is kept."""
        if not key:
            return
        parent, name = self.parent(key)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            mode = os.lstat(name, dir_fd=parent).st_mode
            self._inherits |= bool(mode & stat.S_ISGID)
            if not stat.S_ISDIR(mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, 0o700, dir_fd=parent)

    def create(self, key: bytes, facts: Stat) -> int:
        """Create an empty file in place of whatever is not a directory there; return its descriptor.

        It has its permissions at once where they give no more than it will have; ``finish_file`` sets the rest."""
        parent, name = self.parent(key)
        mode = stat.S_IMODE(facts.mode) if self._plain(facts) else 0o600
        try:
            return os.open(name, _CREATE, mode, dir_fd=parent)
        except FileExistsError:
            os.unlink(name, dir_fd=parent)
            return os.open(name, _CREATE, mode, dir_fd=parent)

    def _plain(self, facts: Stat) -> bool:
        """Whether creating a file gives it owner, group and permissions already."""
        mode = stat.S_IMODE(facts.mode)
        owned = not self._privileged or ((facts.uid, facts.gid) == self._owner and not self._inherits)
        return owned and not mode & (self._umask | 0o7000) and mode & 0o600 == 0o600

    def reopen(self, key: bytes) -> int:
        """Open a file that this restore created, to write more of it."""
        parent, name = self.parent(key)
        return os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)

    def link(self, key: bytes, first: bytes) -> None:
        """Make ``key`` a hard link to ``first``."""
        there, old_name = self.parent(first)
        old_parent = os.dup(there)  # the way to the second may push the first out of the cache
        try:
            parent, name = self.parent(key)
            self._clear(parent, name)
            os.link(old_name, name, src_dir_fd=old_parent, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(old_parent)

    def make_special(self, key: bytes, kind: Kind, facts: Stat, extra: Extra) -> None:
        """Make a link, FIFO or device with its attributes."""
        parent, name = self.parent(key)
        self._clear(parent, name)
        if kind is Kind.SYMLINK:
            os.symlink(extra.target, name, dir_fd=parent)
        elif kind is Kind.FIFO:
            os.mkfifo(name, 0o600, dir_fd=parent)
        else:
            os.mknod(name, stat.S_IFMT(facts.mode) | 0o600, facts.rdev, dir_fd=parent)
        self.set_attributes(key, kind, facts, extra)

    def remove(self, key: bytes) -> None:
        """Remove a file that could not be completed."""
        parent, name = self.parent(key)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)

    def look(self, key: bytes) -> os.stat_result | None:
        """Return the facts of what is there, or None."""
        parent, name = self.parent(key)
        try:
            return os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return None

    def finish_file(self, descriptor: int, facts: Stat, extra: Extra, *, truncate: bool) -> None:
        """Set the attributes of an open file that was created for ``facts``; ``truncate``: it ends in a hole."""
        if truncate:
            os.ftruncate(descriptor, facts.size)
        if not self._plain(facts):
            if self._privileged:
                os.fchown(descriptor, facts.uid, facts.gid)
            os.fchmod(descriptor, stat.S_IMODE(facts.mode))
        for name, value in extra.xattrs:
            self._set_xattr(descriptor, name, value)
        os.utime(descriptor, ns=(facts.mtime_ns, facts.mtime_ns))

    def set_attributes(self, key: bytes, kind: Kind, facts: Stat, extra: Extra) -> None:
        """Set the attributes of anything but a regular file."""
        parent, name = self.parent(key) if key else (self._root, b".")
        if self._privileged:
            os.chown(name, facts.uid, facts.gid, dir_fd=parent, follow_symlinks=False)
        if kind is not Kind.SYMLINK:
            os.chmod(name, stat.S_IMODE(facts.mode), dir_fd=parent)
        place = b"/proc/self/fd/%d/%s" % (parent, name)
        for attribute, value in extra.xattrs:
            self._set_xattr(place, attribute, value)
        os.utime(name, ns=(facts.mtime_ns, facts.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _set_xattr(self, place: int | bytes, name: bytes, value: bytes) -> None:
        try:
            if isinstance(place, int):
                os.setxattr(place, name, value)
            else:
                os.setxattr(place, name, value, follow_symlinks=False)
        except PermissionError:
            if self._privileged or name.startswith(b"user."):
                raise

    def _clear(self, parent: int, name: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
