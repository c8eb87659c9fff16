"""The server's secrets: pool keys, passwords for other servers, verification codes. One file of mode 600.

They stand outside the catalog on purpose: the catalog goes to the vault, keys never do (but for the recovery kit, where
they are wrapped with a passphrase). And the verification code is lost with the machine, as it must be: a restored
server may read its vault, but writes only after FORCESYNC.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.kernel.errors import InputError
from holdfast.runtime.secretfile import read_secret, write_secret

FILE = "secrets"
_KIT_MAGIC = b"HFKIT001"


class PoolKey(msgspec.Struct, frozen=True):
    """The key that encrypts a pool's groups, and the one that names its chunks."""

    id: str
    cipher: bytes
    naming: bytes


class ServerSecret(msgspec.Struct, frozen=True):
    """What is needed to open a session with another server. ``reset`` asks it to take a new verification code."""

    password: bytes
    verification: bytes = b""
    reset: bool = False


class Secrets(msgspec.Struct, frozen=True):
    """Everything in the file."""

    pools: dict[str, PoolKey] = {}
    servers: dict[str, ServerSecret] = {}


class KeyRing:
    """The secrets file of one server directory; every change is durable before it is used."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._lock = threading.Lock()
        self._secrets = Secrets()
        if self._path.exists():
            self._secrets = msgspec.msgpack.decode(read_secret(self._path), type=Secrets)

    @property
    def secrets(self) -> Secrets:
        """All secrets, for the recovery kit."""
        return self._secrets

    def pool(self, name: str) -> PoolKey:
        """Return a pool's key, made at first use."""
        known = self._secrets.pools.get(name)
        if known is not None:
            return known
        with self._lock, self._alone():
            known = self._secrets.pools.get(name)
            if known is None:
                known = PoolKey(f"{name}/{os.urandom(6).hex()}", os.urandom(32), os.urandom(32))
                self._save(Secrets({**self._secrets.pools, name: known}, self._secrets.servers))
            return known

    def cipher(self, key_id: str) -> bytes:
        """Return the key of that id. Raises ``InputError`` when this server does not hold it."""
        for _ in range(2):
            for key in self._secrets.pools.values():
                if key.id == key_id:
                    return key.cipher
            with self._lock, self._alone():
                pass  # another process may have made it: the file was read again
        raise InputError(f"no key {key_id}", file=str(self._path), remedy="recover with the kit made by this server")

    def server(self, name: str) -> ServerSecret:
        """Return the secret for another server. Raises ``InputError`` when there is none."""
        secret = self._secrets.servers.get(name)
        if secret is None:
            raise InputError(f"no password for server {name}", remedy=f"UPDATE SERVER {name} PASSWORD=...")
        return secret

    def set_server(self, name: str, secret: ServerSecret | None) -> None:
        """Keep or drop the secret for another server."""
        with self._lock, self._alone():
            others = {key: value for key, value in self._secrets.servers.items() if key != name}
            self._save(Secrets(self._secrets.pools, others if secret is None else {**others, name: secret}))

    def replace(self, secrets: Secrets) -> None:
        """Take over all secrets of a recovery kit."""
        with self._lock:
            self._save(secrets)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes that share the directory from changing the file; begin with what it says now."""
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if self._path.exists():
                self._secrets = msgspec.msgpack.decode(read_secret(self._path), type=Secrets)
            yield
        finally:
            os.close(descriptor)

    def _save(self, secrets: Secrets) -> None:
        write_secret(self._path, msgspec.msgpack.encode(secrets))
        self._secrets = secrets


def chunk_key(naming: bytes) -> bytes:
    """Return the BLAKE3 key for chunk names: given to clients, and of no use for reading a pool."""
    return hmac.digest(naming, b"chunk names", "sha256")


def wrap(plain: bytes, passphrase: bytes) -> bytes:
    """Return ``plain`` sealed with a passphrase: scrypt (64 MiB), then AES-256-GCM."""
    salt, nonce = os.urandom(16), os.urandom(12)
    return _KIT_MAGIC + salt + nonce + AESGCM(_stretch(passphrase, salt)).encrypt(nonce, plain, _KIT_MAGIC)


def unwrap(sealed: bytes, passphrase: bytes, file: str) -> bytes:
    """Return what ``wrap`` sealed. Raises ``InputError`` for a wrong passphrase or a damaged file."""
    if sealed[:8] != _KIT_MAGIC:
        raise InputError("this is not a recovery kit", file=file, remedy="name the file that `server kit` wrote")
    try:
        return AESGCM(_stretch(passphrase, sealed[8:24])).decrypt(sealed[24:36], sealed[36:], _KIT_MAGIC)
    except InvalidTag as error:
        raise InputError("wrong passphrase, or the kit is damaged", file=file, remedy="try the other copy") from error


def _stretch(passphrase: bytes, salt: bytes) -> bytes:
    stripped = passphrase.rstrip(b"\r\n")
    return hashlib.scrypt(stripped, salt=salt, n=2**16, r=8, p=1, maxmem=128 * 1024 * 1024, dklen=32)
