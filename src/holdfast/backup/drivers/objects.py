"""Volumes in an S3 bucket: the media of a device class of type S3.

An object of S3 cannot grow, so a volume is a row of segments, ``VOLUME/OFFSET`` in hexadecimal: each as many bytes as
were appended up to a commit, or 32 MiB when that comes first. A segment is durable when its upload is answered; what
the catalog does not know behind it was never acknowledged, and is removed or overwritten when the volume is next opened
to grow. Reading asks for ranges of the segments that hold them. Retries of single requests are the library's.
"""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from holdfast.backup.ports import Appender, MediaFacts
from holdfast.kernel.errors import HoldfastError, InputError, Refusal, Refused, Unavailable
from holdfast.kernel.sizes import MIB
from holdfast.runtime.secretfile import read_secret

_SEGMENT_BYTES = 32 * MIB
_ATTEMPTS = 4
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where volumes are kept: ``endpoint`` is the service's address, ``credentials`` a file of mode 600."""

    endpoint: str
    bucket: str
    prefix: str
    region: str
    credentials: Path


def open_bucket(place: Bucket) -> S3Store:
    """Return the store. Raises ``InputError`` when the credentials' file cannot be used."""
    lines = read_secret(place.credentials).decode().split()
    if len(lines) != 2:
        remedy = "write the access key's id into its first line and the secret key into the second"
        raise InputError("the file does not hold two lines", file=str(place.credentials), remedy=remedy)
    return S3Store(
        place.bucket,
        prefix=place.prefix or None,
        endpoint=place.endpoint,
        region=place.region or "us-east-1",
        access_key_id=lines[0],
        secret_access_key=lines[1],
        virtual_hosted_style_request=False,
        client_options={"allow_http": place.endpoint.startswith("http://"), "timeout": "60s", "connect_timeout": "5s"},
        retry_config={"max_retries": _ATTEMPTS},
    )


class ObjectMedia:
    """The volumes of an S3 device class."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, list[tuple[int, int]]] = {}

    def append(self, name: str, at_bytes: int) -> Appender:
        """Open a volume to grow from ``at_bytes``."""
        segments = self._list(name)
        if any(offset < at_bytes < offset + length for offset, length in segments):
            raise HoldfastError(f"volume {name} has no end at {at_bytes}, as the catalog says", "run AUDIT VOLUME")
        kept = [one for one in segments if one[0] < at_bytes]
        if sum(length for _, length in kept) != at_bytes:
            raise HoldfastError(f"volume {name} is shorter than the catalog says", "run AUDIT VOLUME")
        for offset, _ in segments[len(kept) :]:
            self._delete(_key(name, offset))
        self._forget(name)
        return _ObjectAppender(self, name, at_bytes)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes."""
        segments = self._known.get(name)
        if segments is None or not segments or segments[-1][0] + segments[-1][1] < offset + length:
            segments = self._list(name)
        parts, at = [], offset
        first = max(bisect.bisect_right(segments, (offset, 1 << 62)) - 1, 0)
        for start, size in segments[first:]:
            if at >= offset + length or not start <= at < start + size:
                break
            end = min(start + size, offset + length)
            parts.append(self._range(name, start, at - start, end - at))
            at = end
        if at != offset + length:
            raise HoldfastError(f"volume {name} is short: {at - offset} of {length} bytes at {offset}")
        return b"".join(parts)

    def facts(self, name: str) -> MediaFacts | None:
        """Return size and date, or None."""
        try:
            found = [meta for page in obstore.list(self._store, prefix=f"{name}/") for meta in page]
        except BaseError as error:
            raise _failed(name, "looked at", error) from error
        if not found:
            return None
        newest = max(meta["last_modified"] for meta in found)
        size = max(_offset(meta["path"]) + meta["size"] for meta in found)
        return MediaFacts(size, int(newest.timestamp()) * _NS)

    def names(self) -> list[str]:
        """Return the names of all volumes of the bucket and prefix, sorted.

        From the segments themselves: some services go on listing the folder of a deleted volume for a while."""
        try:
            paths = [str(meta["path"]) for page in obstore.list(self._store) for meta in page]
        except BaseError as error:
            raise _failed("*", "listed", error) from error
        return sorted({path.partition("/")[0] for path in paths if "/" in path})

    def delete(self, name: str) -> None:
        """Remove all segments, the last one first: what is cut short is still a volume without holes."""
        for offset, _ in reversed(self._list(name)):
            self._delete(_key(name, offset))
        self._forget(name)

    def close(self) -> None:
        """Nothing is held between calls."""

    def put(self, name: str, offset: int, data: bytes) -> None:
        """Upload one segment; it is durable when this returns."""
        try:
            obstore.put(self._store, _key(name, offset), data)
        except BaseError as error:
            raise _failed(name, "written", error) from error
        self._forget(name)

    def _range(self, name: str, segment: int, start: int, length: int) -> bytes:
        try:
            return bytes(obstore.get_range(self._store, _key(name, segment), start=start, length=length))
        except FileNotFoundError as error:
            self._forget(name)
            raise HoldfastError(f"volume {name} has lost its segment at {segment}", "RESTORE VOLUME") from error
        except BaseError as error:
            self._forget(name)
            raise _failed(name, "read", error) from error

    def _list(self, name: str) -> list[tuple[int, int]]:
        try:
            found = [meta for page in obstore.list(self._store, prefix=f"{name}/") for meta in page]
        except BaseError as error:
            raise _failed(name, "listed", error) from error
        segments = sorted((_offset(meta["path"]), int(meta["size"])) for meta in found)
        with self._lock:
            self._known[name] = segments
        return segments

    def _delete(self, key: str) -> None:
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise _failed(key, "deleted", error) from error

    def _forget(self, name: str) -> None:
        with self._lock:
            self._known.pop(name, None)


def _key(name: str, offset: int) -> str:
    return f"{name}/{offset:016x}"


def _offset(path: str) -> int:
    try:
        return int(path.rpartition("/")[2], 16)
    except ValueError as error:
        raise HoldfastError(f"object {path} is no segment of a volume", "keep the prefix for volumes alone") from error


def _failed(name: str, what: str, error: BaseError) -> HoldfastError:
    reason = abridged_reason(error)
    if "status code: 507" in reason or "InsufficientStorage" in reason:
        return Refused(Refusal("no-storage", f"volume {name} cannot be {what}: {reason}", "free space in the bucket"))
    return Unavailable(f"volume {name} cannot be {what} in its bucket: {reason}", "check endpoint, bucket, credentials")


def abridged_reason(error: BaseError) -> str:
    """Return an error of the store as one line without its request's details."""
    return " ".join(str(error).split())[:200]


class _ObjectAppender:
    def __init__(self, media: ObjectMedia, name: str, at_bytes: int) -> None:
        self._media, self._name = media, name
        self._buffer = bytearray()
        self._uploaded = self._committed = self.size_bytes = at_bytes

    def write(self, data: bytes) -> None:
        self._buffer += data
        self.size_bytes += len(data)
        if len(self._buffer) >= _SEGMENT_BYTES:
            self._upload()

    def commit(self) -> int:
        self._upload()
        self._committed = self.size_bytes
        facts = self._media.facts(self._name)
        if facts is None or facts.size_bytes != self.size_bytes:
            raise HoldfastError(f"volume {self._name} is not what was uploaded", "AUDIT VOLUME")
        return facts.written_ns

    def close(self) -> None:
        self._buffer.clear()

    def _upload(self) -> None:
        if self._buffer:
            self._media.put(self._name, self._uploaded, bytes(self._buffer))
            self._uploaded += len(self._buffer)
            self._buffer.clear()
