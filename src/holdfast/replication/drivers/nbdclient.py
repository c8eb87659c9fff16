"""A small synchronous NBD client: for programs that use a volume raw, and for tests.

One request at a time, errors as ``OSError`` with the server's error number. A connection that ends raises
``ConnectionError``; whether the request took effect is then unknown.
"""

from __future__ import annotations

import os
import socket
import struct
from types import TracebackType
from urllib.parse import unquote, urlsplit

from holdfast.kernel.errors import InputError, Refusal, Refused, Unavailable
from holdfast.replication.array import nbd


class NbdClient:
    """An open export. ``timeout_s`` bounds each answer."""

    def __init__(self, host: str, port: int, export: str, timeout_s: float | None = 30.0) -> None:
        try:
            self._socket = socket.create_connection((host, port), timeout=5.0)
        except OSError as error:
            raise Unavailable(f"cannot reach the array at {host}:{port}: {error}") from error
        self._socket.settimeout(timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._handle = 0
        try:
            self.size_bytes = self._negotiate(export)
        except BaseException:
            self._socket.close()
            raise

    @classmethod
    def open(cls, uri: str, timeout_s: float | None = 30.0) -> NbdClient:
        """Open ``nbd://host:port/export``. Raises ``Refused`` with the server's reason, or ``Unavailable``."""
        parts = urlsplit(uri)
        if parts.scheme != "nbd" or not parts.hostname:
            raise InputError(f"{uri!r} is not an NBD address", remedy="write nbd://HOST:PORT/EXPORT")
        return cls(parts.hostname, parts.port or 10809, unquote(parts.path.lstrip("/")), timeout_s)

    def pread(self, length: int, offset: int) -> bytes:
        """Return ``length`` bytes from ``offset``."""
        return self._request(nbd.Command.READ, offset, length, receive=length)

    def pwrite(self, data: bytes, offset: int, fua: bool = False) -> None:
        """Write ``data``; with ``fua`` it is durable when this returns."""
        self._request(nbd.Command.WRITE, offset, len(data), data, flags=nbd.FLAG_FUA if fua else 0)

    def zero(self, length: int, offset: int) -> None:
        """Make a range read as zeros."""
        self._request(nbd.Command.WRITE_ZEROES, offset, length)

    def trim(self, length: int, offset: int) -> None:
        """Give a range back; it may read as zeros afterwards."""
        self._request(nbd.Command.TRIM, offset, length)

    def flush(self) -> None:
        """Make every write that was answered durable."""
        self._request(nbd.Command.FLUSH, 0, 0)

    def close(self) -> None:
        """Say goodbye and close. Idempotent."""
        if self._socket.fileno() != -1:
            try:
                self._socket.sendall(nbd.encode_request(nbd.Command.DISC, 0, 0, 0))
            except OSError:
                self._handle = 0
            self._socket.close()

    def __enter__(self) -> NbdClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _request(
        self, command: int, offset: int, length: int, data: bytes = b"", *, flags: int = 0, receive: int = 0
    ) -> bytes:
        self._handle += 1
        self._socket.sendall(nbd.encode_request(command, self._handle, offset, length, flags) + data)
        magic, error, handle = nbd.REPLY.unpack(self._receive(nbd.REPLY.size))
        if magic != nbd.REPLY_MAGIC or handle != self._handle:
            raise ConnectionError("the server answered out of order")
        if error:
            raise OSError(error, os.strerror(error))
        return self._receive(receive)

    def _negotiate(self, export: str) -> int:
        if self._receive(len(nbd.GREETING))[:16] != nbd.GREETING[:16]:
            raise Unavailable("the other side is not an NBD server")
        self._socket.sendall(struct.pack(">I", nbd.CLIENT_FIXED | nbd.CLIENT_NO_ZEROES))
        self._socket.sendall(nbd.encode_option(nbd.Option.GO, nbd.encode_go(export)))
        size = 0
        while True:
            _, kind, length = nbd.decode_option_reply(self._receive(nbd.OPTION_REPLY_HEAD.size))
            data = self._receive(length)
            if kind == nbd.OptionReply.ACK:
                return size
            if kind == nbd.OptionReply.INFO and data[:2] == b"\0\0":
                _, size, _ = nbd.EXPORT_INFO.unpack(data)
            elif kind >= nbd.OptionReply.ERR_UNSUP:
                raise Refused(Refusal("export-refused", data.decode("utf-8", "replace") or f"error {kind:#x}"))

    def _receive(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            chunk = self._socket.recv(min(length - len(parts), 1 << 20))
            if not chunk:
                raise ConnectionError("the array closed the connection")
            parts += chunk
        return bytes(parts)
