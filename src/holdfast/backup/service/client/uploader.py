"""From chunks to groups on the wire: gather about 4 MiB, ask what is kept, compress, send; bounded at every stage.

The caller's thread gathers; two workers ask, compress and send (compression releases the GIL). ``drain`` waits until
all that was gathered has been sent, which is what a commit needs: a version may be committed only behind its chunks.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import zstandard

from holdfast.backup.service.client.fingerprints import Fingerprints
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.kernel.sizes import MIB

GROUP_BYTES = 4 * MIB
_WORKERS = 2
LEVEL = 3


class Uploader:
    """Sends new chunks of one session. One thread may call ``keep`` and ``drain``."""

    def __init__(self, session: Session, ask_first: bool) -> None:
        self._session, self._ask_first = session, ask_first
        self._pending: dict[str, tuple[list[bytes], list[bytes], int]] = {}
        self._seen: dict[str, Fingerprints] = {}
        self._under_way: deque[Future[int]] = deque()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="compress")
        self._local = threading.local()
        self.sent_bytes = 0

    def keep(self, pool: str, name: bytes, data: bytes | memoryview) -> None:
        """Take a chunk; content seen before in this run is dropped at once."""
        seen = self._seen.get(pool)
        if seen is None:
            seen = self._seen[pool] = Fingerprints()
        if not seen.add(name):
            return
        names, parts, size = self._pending.get(pool, ([], [], 0))
        names.append(name)
        parts.append(data if isinstance(data, bytes) else bytes(data))
        size += len(data)
        if size >= GROUP_BYTES:
            self._pending.pop(pool, None)
            self._submit(pool, names, parts)
        else:
            self._pending[pool] = (names, parts, size)

    def drain(self) -> None:
        """Return when everything taken has been sent. Raises what went wrong in a worker."""
        for pool, (names, parts, _) in self._pending.items():
            self._submit(pool, names, parts)
        self._pending.clear()
        self._settle(0)

    def close(self) -> None:
        """Stop the workers; what they have not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, pool: str, names: list[bytes], parts: list[bytes]) -> None:
        self._under_way.append(self._pool.submit(self._send, pool, names, parts))
        self._settle(_WORKERS + 1)

    def _settle(self, left: int) -> None:
        while len(self._under_way) > left:
            self.sent_bytes += self._under_way.popleft().result()

    def _send(self, pool: str, names: list[bytes], parts: list[bytes]) -> int:
        if self._ask_first:
            reply = self._session.call(lambda seq: m.Have(seq, pool, tuple(names)))
            assert isinstance(reply, m.HaveReply)
            new = [n for n, kept in enumerate(reply.kept) if not kept]
            names, parts = [names[n] for n in new], [parts[n] for n in new]
        if not names:
            return 0
        lengths = tuple(len(part) for part in parts)
        data = self._compressor().compress(b"".join(parts))
        self._session.send(m.Group(pool, tuple(names), lengths, data))
        return len(data)

    def _compressor(self) -> zstandard.ZstdCompressor:
        if not hasattr(self._local, "compressor"):
            self._local.compressor = zstandard.ZstdCompressor(level=LEVEL)
        compressor: zstandard.ZstdCompressor = self._local.compressor
        return compressor
