"""What is on its way to the server within one filespace: versions, expirations and rebindings in batches, and commits.

Versions travel behind the content they name. A commit is asked for and not waited for: the next one waits for the one
before it, so at most one is under way while scanning and reading go on. The server tells with each the filespace's
generation; it is empty when somebody else changed the filespace meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import msgspec
import zstandard

from holdfast.backup.service.client.uploader import Uploader
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m

_BATCH = 2_000
_COMMIT_OBJECTS = 10_000
_COMMIT_BYTES = 512 * 1024 * 1024
_encoder = msgspec.msgpack.Encoder()


class Staging:
    """Sends what a run decides. ``stored_bytes`` counts what commits acknowledged; ``wrap`` makes the message that
    carries objects."""

    def __init__(self, session: Session, uploader: Uploader, wrap: Callable[[bytes], m.Message] = m.Versions) -> None:
        self._session, self._uploader, self._wrap = session, uploader, wrap
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._versions: list[m.NewVersion] = []
        self._expired: list[bytes] = []
        self._rebound: dict[str, list[bytes]] = {}
        self._objects = self._bytes = 0
        self._commits: list[Future[m.Message]] = []
        self.stored_bytes = 0
        self.generation = b""

    def store(self, version: m.NewVersion, read_bytes: int) -> None:
        """Stage a version; ``read_bytes`` of content were read for it."""
        self._versions.append(version)
        self._objects += 1
        self._bytes += read_bytes
        if len(self._versions) >= _BATCH:
            self._flush()
        if self._objects >= _COMMIT_OBJECTS or self._bytes >= _COMMIT_BYTES:
            self.commit()

    def expire(self, key: bytes) -> None:
        """Stage that an object is gone."""
        self._expired.append(key)
        if len(self._expired) >= _BATCH:
            self._flush()

    def rebind(self, key: bytes, mgmtclass: str) -> None:
        """Stage that an object follows another class."""
        self._rebound.setdefault(mgmtclass, []).append(key)
        if len(self._rebound[mgmtclass]) >= _BATCH:
            self._flush()

    def commit(self, end: bool = False) -> None:
        """Ask for what was staged to be made durable; the last commit (``end``) is waited for."""
        self._uploader.drain()
        self._flush()
        self._commits.append(self._session.ask(lambda seq: m.Commit(seq, end)))
        self._objects = self._bytes = 0
        while len(self._commits) > (0 if end else 1):
            reply = self._commits.pop(0).result()
            assert isinstance(reply, m.Committed)
            self.stored_bytes += reply.stored_bytes
            self.generation = reply.generation

    def _flush(self) -> None:
        if self._versions:
            self._session.send(self._wrap(self._compressor.compress(_encoder.encode(self._versions))))
            self._versions = []
        if self._expired:
            self._session.send(m.Expire(tuple(self._expired)))
            self._expired = []
        for mgmtclass, keys in self._rebound.items():
            self._session.send(m.Rebind(tuple(keys), mgmtclass))
        self._rebound = {}
