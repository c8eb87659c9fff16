"""Objects: what a client finds in a filespace and what the server keeps of it.

A path is held as a *key*: the components below the filespace joined by NUL. NUL cannot stand in a name, so the key is
exact for any bytes, and plain byte order of keys is the order in which a tree is walked (``a``, ``a/b``, ``a-c``),
which lets client and server merge their streams without sorting. The filespace's root has the empty key.

These are msgspec structs because they travel and are stored by the hundred thousand.
"""

from __future__ import annotations

import enum

import msgspec


class Kind(enum.IntEnum):
    """What an object is. Sockets are not objects: they mean nothing without their process."""

    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    FIFO = 4
    CHARACTER_DEVICE = 5
    BLOCK_DEVICE = 6
    UNREADABLE = 7
    """A place that could not be looked at: nothing at or below it may be expired. Never stored."""


class Stat(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What lstat says of an object. Times are nanoseconds; ``rdev`` is 0 for anything but a device."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    ino: int
    nlink: int
    rdev: int = 0


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One object as the scanner found it."""

    key: bytes
    kind: Kind
    stat: Stat
    mgmtclass: str = ""


class Known(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An active version as the server lists it for the merge. ``extra`` is a digest of xattrs and link target.

    ``stored_ns`` is told only where a class's mode or frequency asks for it."""

    key: bytes
    kind: Kind
    stat: Stat
    extra: bytes
    mgmtclass: str
    stored_ns: int = 0


class Extra(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Attributes that cost a system call each: extended attributes (ACLs are among them) and the link target."""

    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    target: bytes = b""


class Piece(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A run of an object's bytes. ``chunk`` names the content; an empty name is a hole of ``length`` bytes."""

    chunk: bytes
    length: int


def key_of(relative: bytes) -> bytes:
    """Return the key of a path relative to the filespace's root."""
    return relative.strip(b"/").replace(b"/", b"\0")


def path_of(key: bytes) -> bytes:
    """Return the path below the filespace that ``key`` stands for, without a leading separator."""
    return key.replace(b"\0", b"/")


def encoded(text: str) -> bytes:
    """Return a path's bytes; odd bytes stand in the text as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def decoded(path: bytes) -> str:
    """Return a path as text, odd bytes as surrogates: :func:`encoded` gives them back."""
    return path.decode("utf-8", "surrogateescape")


def under(key: bytes, ancestor: bytes) -> bool:
    """Return whether ``key`` is ``ancestor`` or lies below it."""
    return not ancestor or key == ancestor or key.startswith(ancestor + b"\0")


def printable(path: bytes) -> str:
    """Return a path for people: invalid UTF-8 and control characters are escaped, so that one path is one line."""
    text = path.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
