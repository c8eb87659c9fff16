"""The few messages of etcd's v3 API that the store needs, in protobuf's wire format: bytes in, bytes out, no I/O.

Field numbers are those of etcd 3.4's ``rpc.proto`` and ``kv.proto``; they never change within v3. Twenty messages of
integers and bytes do not need a generated library and its version conflicts (decision 13). Unknown fields are skipped,
absent ones are 0, so newer servers are understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.kernel.errors import Unavailable
from holdfast.store.port import Compare, Put, Write

RANGE = "/etcdserverpb.KV/Range"
TXN = "/etcdserverpb.KV/Txn"
WATCH = "/etcdserverpb.Watch/Watch"
GRANT = "/etcdserverpb.Lease/LeaseGrant"
REVOKE = "/etcdserverpb.Lease/LeaseRevoke"
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"
TIME_TO_LIVE = "/etcdserverpb.Lease/LeaseTimeToLive"
MEMBER_LIST = "/etcdserverpb.Cluster/MemberList"
MEMBER_ADD = "/etcdserverpb.Cluster/MemberAdd"
MEMBER_REMOVE = "/etcdserverpb.Cluster/MemberRemove"
MEMBER_PROMOTE = "/etcdserverpb.Cluster/MemberPromote"

_EQUAL_MOD_REVISION = 2
_DELETED = 1
Field = tuple[int, "int | bytes"]


@dataclass(frozen=True, slots=True)
class Header:
    """Which cluster answered, and its revision at that moment."""

    cluster: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as etcd keeps it; ``deleted`` only in events."""

    key: bytes
    value: bytes
    revision: int
    lease: int
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class RangeAnswer:
    """One page of keys; ``more`` says that others follow."""

    header: Header
    entries: tuple[KeyValue, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class TxnAnswer:
    """What became of a transaction; after a conflict ``found`` has one range per compare, in order."""

    header: Header
    succeeded: bool
    found: tuple[RangeAnswer, ...]


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """A lease's remaining time in seconds: 0 or less when it is not known (any more)."""

    header: Header
    ttl_s: int


@dataclass(frozen=True, slots=True)
class WatchAnswer:
    """Events of whole commits, or a sign of life without any, or the end of the watch."""

    header: Header
    created: bool
    canceled: bool
    compacted: int
    reason: str
    events: tuple[KeyValue, ...]


# --- fields


def number(field: int, value: int) -> bytes:
    """Return one integer field; 0 is the default and takes no bytes."""
    return _varint(field << 3) + _varint(value) if value else b""


def blob(field: int, value: bytes) -> bytes:
    """Return one field of bytes or of a nested message, also when it is empty."""
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    if 0 <= value <= 0x7F:
        return bytes((value,))
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fields(message: bytes) -> list[Field]:
    """Return each ``(field number, integer or bytes)``. Raises ``Unavailable`` when this is no message."""
    found: list[Field] = []
    at, end = 0, len(message)
    try:
        while at < end:
            tag, at = _read_varint(message, at)
            kind = tag & 7
            if kind == 0:
                value, at = _read_varint(message, at)
                found.append((tag >> 3, value))
                continue
            size, at = _read_varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            if at + size > end:
                raise IndexError
            found.append((tag >> 3, message[at : at + size]))
            at += size
    except (IndexError, KeyError) as error:
        raise Unavailable("etcd's answer cannot be read", "is there an etcd of version 3.4 or later?") from error
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    byte = message[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = message[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value - (1 << 64) if value >> 63 else value, at + 1
        shift += 7


def _integer(value: int | bytes) -> int:
    return value if isinstance(value, int) else 0


def _message(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


# --- requests


def prefix_end(prefix: bytes) -> bytes:
    """Return the first key after all that begin with ``prefix``: etcd's ``range_end``."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\0"


def range_request(key: bytes, end: bytes = b"", limit: int = 0, revision: int = 0, keys_only: bool = False) -> bytes:
    """Ask for one key, or with ``end`` for all before it; ``revision`` 0 is the newest, read linearizably."""
    page = number(3, limit) + number(4, revision) + number(8, int(keys_only))
    return blob(1, key) + (blob(2, end) if end else b"") + page


def txn_request(root: bytes, compares: Sequence[Compare], writes: Sequence[Write]) -> bytes:
    """Ask for one transaction; when a compare fails, for what each compared key has instead."""
    conditions = b"".join(
        blob(1, number(2, _EQUAL_MOD_REVISION) + blob(3, root + one.key.encode()) + number(6, one.revision))
        for one in compares
    )
    wanted = b"".join(blob(2, _operation(root, one)) for one in writes)
    looks = b"".join(blob(3, blob(1, range_request(root + one.key.encode(), keys_only=True))) for one in compares)
    return conditions + wanted + looks


def _operation(root: bytes, write: Write) -> bytes:
    key = blob(1, root + write.key.encode())
    if isinstance(write, Put):
        return blob(2, key + blob(2, write.value) + number(3, write.lease))
    return blob(3, key)


def watch_request(key: bytes, end: bytes, start: int) -> bytes:
    """Ask for every event from revision ``start`` on."""
    return blob(1, blob(1, key) + blob(2, end) + number(3, start))


def progress_request() -> bytes:
    """Ask a watch for a sign of life."""
    return blob(3, b"")


def grant_request(ttl_s: int, lease: int) -> bytes:
    """Ask for the lease ``lease``."""
    return number(1, ttl_s) + number(2, lease)


def lease_request(lease: int) -> bytes:
    """Name a lease, to renew, revoke or look at it."""
    return number(1, lease)


# --- answers


def header_of(message: bytes) -> Header:
    """Return the header that every answer begins with."""
    for field, value in fields(message):
        if field == 1:
            found = dict(fields(_message(value)))
            return Header(_integer(found.get(1, 0)), _integer(found.get(3, 0)))
    return Header()


def range_answer(message: bytes) -> RangeAnswer:
    """Read the answer to :func:`range_request`."""
    entries, more = [], False
    for field, value in fields(message):
        if field == 2:
            entries.append(_key_value(_message(value)))
        elif field == 3:
            more = bool(value)
    return RangeAnswer(header_of(message), tuple(entries), more)


def txn_answer(message: bytes) -> TxnAnswer:
    """Read the answer to :func:`txn_request`."""
    succeeded, found = False, []
    for field, value in fields(message):
        if field == 2:
            succeeded = bool(value)
        elif field == 3:
            found += [range_answer(_message(inner)) for kind, inner in fields(_message(value)) if kind == 1]
    return TxnAnswer(header_of(message), succeeded, tuple(found))


def lease_answer(message: bytes) -> LeaseAnswer:
    """Read the answer to a grant, a renewal or a look."""
    found = dict(fields(message))
    return LeaseAnswer(header_of(message), _integer(found.get(3, 0)))


def watch_answer(message: bytes) -> WatchAnswer:
    """Read one answer of a watch."""
    found: dict[int, int | bytes] = {}
    events = []
    for field, value in fields(message):
        if field == 11:
            event = dict(fields(_message(value)))
            events.append(_key_value(_message(event.get(2, b"")), event.get(1, 0) == _DELETED))
        else:
            found[field] = value
    reason = _message(found.get(6, b"")).decode(errors="replace")
    compacted = _integer(found.get(5, 0))
    return WatchAnswer(header_of(message), bool(found.get(3)), bool(found.get(4)), compacted, reason, tuple(events))


def _key_value(message: bytes, deleted: bool = False) -> KeyValue:
    found = dict(fields(message))
    revision, lease = _integer(found.get(3, 0)), _integer(found.get(6, 0))
    return KeyValue(_message(found.get(1, b"")), _message(found.get(5, b"")), revision, lease, deleted)


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """One member; ``name`` and ``client_url`` are empty until it was started for the first time."""

    id: int
    name: str
    peer_url: str
    client_url: str
    learner: bool

    @property
    def address(self) -> str:
        """Where clients reach it, as HOST:PORT."""
        return self.client_url.rpartition("//")[2]


def members_answer(message: bytes) -> tuple[EtcdMember, ...]:
    """Return the members of the cluster."""
    return tuple(_member(_message(value)) for field, value in fields(message) if field == 2)


def _member(message: bytes) -> EtcdMember:
    found = dict(fields(message))
    name, peer, client = (_message(found.get(field, b"")).decode() for field in (2, 3, 4))
    return EtcdMember(_integer(found.get(1, 0)), name, peer, client, bool(found.get(5)))
