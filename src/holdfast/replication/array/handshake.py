"""The negotiation of NBD as a machine: bytes of the client in, bytes for it out, no I/O.

It ends with an export that is open, or with the client gone. A volume's bare name, as LIST gives it, can be looked at
but not opened: opening takes ``<host>.<key>/<volume>``. Structured replies and the context ``base:allocation`` are
given to whoever asks for them; TLS where the array has it to offer, and nothing but that where it is required.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from holdfast.replication.array import nbd
from holdfast.replication.array.nbd import Export, Option, OptionReply

_FLAGS = struct.Struct(">I")
_ALLOCATION = "base:allocation"


@dataclass
class Handshake:
    """One client's negotiation. ``volumes`` gives names and sizes; ``open_export`` an export, or why it may not be
    opened (it is opened then and there); ``offers_tls`` and ``requires_tls`` say what the array does."""

    volumes: Callable[[], Mapping[str, int]]
    open_export: Callable[[str], Export | str]
    offers_tls: bool = False
    requires_tls: bool = False
    export: Export | None = None
    over: bool = False
    """The client leaves, or was refused in a way that only a closed connection can say."""
    structured: bool = False
    block_status: bool = False
    wants_tls: bool = False
    """TLS was agreed on: the next bytes are its, and nothing said before counts."""
    encrypted: bool = False
    _flags: int | None = None
    _said: list[bytes] = field(default_factory=list)

    def take(self, data: bytearray) -> bytes:
        """Take whole messages off the front of ``data``; return what is to be sent. What is left once the export is
        open are requests. Raises ``ProtocolError``."""
        if self._flags is None and len(data) >= _FLAGS.size:
            (self._flags,) = _FLAGS.unpack_from(data)
            del data[: _FLAGS.size]
        while self._flags is not None and self.export is None and not (self.over or self.wants_tls):
            if len(data) < nbd.OPTION_HEAD.size:
                break
            option, length = nbd.decode_option(bytes(data[: nbd.OPTION_HEAD.size]))
            end = nbd.OPTION_HEAD.size + length
            if len(data) < end:
                break
            body = bytes(data[nbd.OPTION_HEAD.size : end])
            del data[:end]
            self._option(option, body)
        said, self._said = b"".join(self._said), []
        return said

    def secured(self) -> None:
        """TLS stands; the client begins anew with its options."""
        self.wants_tls, self.encrypted, self.structured, self.block_status = False, True, False, False

    def _reply(self, option: int, kind: OptionReply, data: bytes = b"") -> None:
        self._said.append(nbd.encode_option_reply(option, kind, data))

    def _option(self, option: int, body: bytes) -> None:
        if option == Option.ABORT:
            self._reply(option, OptionReply.ACK)
            self.over = True
        elif option == Option.STARTTLS:
            self._start_tls(option, body)
        elif self.requires_tls and not self.encrypted:
            self.over = option == Option.EXPORT_NAME
            self._reply(option, OptionReply.ERR_TLS_REQD, b"this array speaks TLS only")
        elif option == Option.EXPORT_NAME:
            self._export_name(body)
        elif option == Option.LIST:
            self._list(option)
        elif option in (Option.GO, Option.INFO):
            self._go(option, nbd.decode_go(body))
        elif option == Option.STRUCTURED_REPLY:
            self.structured = not body
            self._reply(option, OptionReply.ERR_INVALID if body else OptionReply.ACK)
        elif option in (Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT):
            self._contexts(option, body)
        else:
            self._reply(option, OptionReply.ERR_UNSUP)

    def _start_tls(self, option: int, body: bytes) -> None:
        if body or self.encrypted:
            self._reply(option, OptionReply.ERR_INVALID)
        elif not self.offers_tls:
            self._reply(option, OptionReply.ERR_POLICY, b"this array has no TLS to offer")
        else:
            self._reply(option, OptionReply.ACK)
            self.wants_tls = True

    def _list(self, option: int) -> None:
        for volume in sorted(self.volumes()):
            name = volume.encode()
            self._reply(option, OptionReply.SERVER, struct.pack(">I", len(name)) + name)
        self._reply(option, OptionReply.ACK)

    def _go(self, option: int, name: str) -> None:
        bare = self.volumes().get(name.upper())
        if option == Option.INFO and bare is not None:
            self._describe(option, bare)
            return
        opened = self.open_export(name)
        if isinstance(opened, str):
            known = nbd.parse_export(name) is not None
            self._reply(option, OptionReply.ERR_POLICY if known else OptionReply.ERR_UNKNOWN, opened.encode())
            return
        self._describe(option, self.volumes()[opened.volume])
        if option == Option.GO:
            self.export = opened

    def _describe(self, option: int, size_bytes: int) -> None:
        self._reply(option, OptionReply.INFO, nbd.export_info(size_bytes))
        self._reply(option, OptionReply.INFO, nbd.block_info())
        self._reply(option, OptionReply.ACK)

    def _export_name(self, body: bytes) -> None:
        opened = self.open_export(body.decode("utf-8", "replace"))
        if isinstance(opened, str):
            self.over = True
            return
        assert self._flags is not None
        padding = b"" if self._flags & nbd.CLIENT_NO_ZEROES else bytes(124)
        self._said.append(struct.pack(">QH", self.volumes()[opened.volume], nbd.TRANSMISSION_FLAGS) + padding)
        self.export = opened

    def _contexts(self, option: int, body: bytes) -> None:
        asked = nbd.decode_contexts(body)
        choosing = option == Option.SET_META_CONTEXT
        if choosing and not self.structured:
            self._reply(option, OptionReply.ERR_INVALID, b"structured replies come first")
            return
        given = any(one == _ALLOCATION or (not choosing and one == "base:") for one in asked)
        given = given or (not choosing and not asked)
        if choosing:
            self.block_status = given
        if given:
            self._reply(option, OptionReply.META_CONTEXT, struct.pack(">I", nbd.ALLOCATION_ID) + _ALLOCATION.encode())
        self._reply(option, OptionReply.ACK)
