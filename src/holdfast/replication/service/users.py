"""The array's dscli users: a file of mode 600, one line per user, ``name:group:salt:scrypt``.

Passwords are hashed with scrypt. A password that was right is remembered as a keyed hash for the process's life, so a
script of many commands pays for scrypt once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from holdfast.kernel.errors import InputError
from holdfast.replication.array.commands import refuse
from holdfast.runtime.secretfile import read_secret, write_secret

GROUPS = ("admin", "op_storage", "op_volume", "op_copy_services", "service", "monitor", "no_access")
_COST = {"n": 1 << 14, "r": 8, "p": 1}


class Users:
    """Checks names and passwords against the file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._pepper = os.urandom(32)
        self._proven: dict[str, tuple[bytes, str]] = {}

    def check(self, name: str, password: str, changes: bool) -> None:
        """Refuse a wrong name or password, and a change by a user who may only look."""
        line = _read(self._path).get(name) if self._path is not None else None
        if line is None:
            raise refuse("bad-login", "the user name or password is not valid")
        group, salt, expected = line.split(":")
        mark = hmac.digest(self._pepper, f"{line}\0{password}".encode(), "sha256")
        known = self._proven.get(name)
        if known is None or not hmac.compare_digest(known[0], mark):
            found = _hash(password, bytes.fromhex(salt))
            if not hmac.compare_digest(found, bytes.fromhex(expected)):
                raise refuse("bad-login", "the user name or password is not valid")
            self._proven[name] = (mark, group)
        if group == "no_access" or (changes and group == "monitor"):
            raise refuse("no-authority", f"user {name} of group {group} may not do this", "use an admin user")


def add_user(path: Path, name: str, password: str, group: str = "admin") -> None:
    """Add a user or change the password. Raises :class:`InputError` for a bad name or group."""
    if not name.isascii() or not name.replace("_", "").replace("-", "").isalnum():
        raise InputError(f"{name!r} is not a user name", remedy="use letters, digits, - and _")
    if group not in GROUPS:
        raise InputError(f"{group!r} is not a user group", remedy=f"use one of {', '.join(GROUPS)}")
    lines = _read(path)
    salt = os.urandom(16)
    lines[name] = f"{group}:{salt.hex()}:{_hash(password, salt).hex()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_secret(path, "".join(f"{key}:{value}\n" for key, value in sorted(lines.items())).encode())


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition(":") for line in read_secret(path).decode().splitlines() if line)
    return {name: rest for name, _, rest in pairs}


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, dklen=32, maxmem=64 << 20, **_COST)
