"""Secrets live in files of mode 600 that are checked at every read, never in arguments, environment or logs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from holdfast.kernel.errors import InputError


def read_secret(path: Path) -> bytes:
    """Return the content of a secret file. Refuses a file that others can read or that another user owns.

    Raises :class:`InputError` with the remedy; the check and the read use one descriptor, so they see one file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        remedy = "check path and rights; an identity is made by holdfast authority issue"
        raise InputError(f"secret file cannot be read: {error.strerror}", file=str(path), remedy=remedy) from error
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(file.fileno())
        if stat.S_IMODE(facts.st_mode) & 0o077:
            mode = stat.S_IMODE(facts.st_mode)
            raise InputError(f"secret file has mode {mode:o}", file=str(path), remedy=f"chmod 600 {path}")
        if facts.st_uid not in (os.geteuid(), 0):
            raise InputError("secret file belongs to another user", file=str(path), remedy=f"chown root {path}")
        return file.read()


def write_secret(path: Path, content: bytes) -> None:
    """Write a secret durably with mode 600: a reader sees the old content or the new, never a part."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename, creation or removal inside ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
