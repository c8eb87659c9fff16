"""dscli password files: user names and passwords, encrypted with a key that lies beside the file.

Both files have mode 600. This keeps passwords out of arguments, listings and backups of the file alone; whoever can
read both can read the passwords, as with the original.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from holdfast.kernel.errors import InputError
from holdfast.runtime.secretfile import read_secret, write_secret


class Record(msgspec.Struct):
    """One user's password at one management console ("" for any)."""

    user: str
    console: str
    sealed: bytes


def default_path() -> Path:
    """Return the password file that is used when none is named."""
    return Path.home() / "dscli" / "security.dat"


def add(path: Path, user: str, console: str, password: str) -> bool:
    """Add or replace a record; True when the file was created."""
    created = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    if created:
        write_secret(_key_path(path), os.urandom(32))
    records = [] if created else _records(path)
    kept = [record for record in records if (record.user, record.console) != (user, console)]
    nonce = os.urandom(12)
    sealed = nonce + _cipher(path).encrypt(nonce, password.encode(), f"{user}\0{console}".encode())
    write_secret(path, msgspec.json.encode([*kept, Record(user, console, sealed)]))
    return created


def find(path: Path, user: str, console: str) -> tuple[str, str]:
    """Return user and password for a console; without ``user`` the first that fits. Raises :class:`InputError`."""
    fitting = [record for record in _records(path) if not user or record.user == user]
    exact = [record for record in fitting if record.console == console] or fitting
    if not exact:
        raise InputError(f"holds no password of {user or 'any user'}", file=str(path), remedy="use managepwfile")
    record = exact[0]
    seal = f"{record.user}\0{record.console}".encode()
    plain: bytes = _cipher(path).decrypt(record.sealed[:12], record.sealed[12:], seal)
    return record.user, plain.decode()


def _records(path: Path) -> list[Record]:
    try:
        return msgspec.json.decode(read_secret(path), type=list[Record])
    except msgspec.DecodeError as error:
        raise InputError("is not a password file", file=str(path), remedy="make it with managepwfile") from error


def _key_path(path: Path) -> Path:
    return path.with_name(path.name + ".key")


def _cipher(path: Path):  # type: ignore[no-untyped-def]
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(read_secret(_key_path(path)))
