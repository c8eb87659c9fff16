"""Virtual volumes: the media of a SERVER device class, kept by another server as archive objects.

The session is opened when it is needed and held; a broken one is opened anew at the next call. The call that broke is
not repeated here: its volume must first be reopened at the committed size, which is its writer's business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from holdfast.backup.model.virtual import archive_name
from holdfast.backup.ports import Appender, Clock, MediaFacts
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import HoldfastError, Refused, Unavailable

_PART_BYTES = 4 * 1024 * 1024


class Link(Protocol):
    """An open session with the target."""

    welcome: m.Welcome

    def call(self, make: Callable[[int], m.Message]) -> m.Message:
        """Send a request, return its reply; raises ``Refused`` or ``Unavailable``."""

    def send(self, message: m.Message) -> None:
        """Send a message that wants no reply."""

    def close(self, orderly: bool = True) -> None:
        """End the session."""


class VirtualMedia:
    """The volumes that one target keeps for this server. ``connect`` opens a session."""

    def __init__(self, connect: Callable[[], Link], prefix: str, grace_days: Callable[[], int], clock: Clock) -> None:
        self._connect, self._prefix, self._grace_days, self._clock = connect, prefix, grace_days, clock
        self._idle: Link | None = None
        self._lock = threading.Lock()

    def append(self, name: str, at_bytes: int) -> Appender:
        """Open a volume to grow, in a session of its own: two volumes may grow at once."""
        link = self._connect()
        full_name = archive_name(self._prefix, name)
        try:
            link.call(lambda seq: m.OpenVolume(seq, full_name, at_bytes))
        except HoldfastError:
            link.close()
            raise
        return _VirtualAppender(link, at_bytes, self._clock)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return a range of a volume."""
        full_name = archive_name(self._prefix, name)
        reply = self._ask(lambda seq: m.ReadVolume(seq, full_name, offset, length))
        assert isinstance(reply, m.Bytes)
        if reply.missing:
            raise HoldfastError(f"virtual volume {name}: {reply.missing}")
        return reply.data

    def facts(self, name: str) -> MediaFacts | None:
        """Return the facts of the object behind a volume."""
        full_name = archive_name(self._prefix, name)
        found = next((file for file in self.files() if file.name == full_name and file.present), None)
        return MediaFacts(found.size_bytes, found.written_ns) if found else None

    def files(self) -> tuple[m.RemoteFile, ...]:
        """Return every object that the target keeps for this class."""
        reply = self._ask(lambda seq: m.ListFiles(seq, f"{self._prefix}."))
        assert isinstance(reply, m.Files)
        return reply.files

    def delete(self, name: str) -> None:
        """Mark the object for deletion at the target."""
        self.mark(archive_name(self._prefix, name), active=False)

    def names(self) -> list[str]:
        """Return the names of all volumes that the target keeps and has not marked."""
        start = archive_name(self._prefix, "")
        return [file.name.removeprefix(start) for file in self.files() if file.present and not file.marked]

    def mark(self, full_name: str, *, active: bool) -> None:
        """Mark an object for deletion, or make it active again."""
        grace = self._grace_days()
        self._ask(lambda seq: m.MarkFile(seq, full_name, active, grace))

    def close(self) -> None:
        """Close the held session."""
        with self._lock:
            link, self._idle = self._idle, None
        if link is not None:
            link.close()

    def _ask(self, make: Callable[[int], m.Message]) -> m.Message:
        with self._lock:
            held = self._idle is not None
            link = self._idle or self._connect()
            self._idle = link
            try:
                return link.call(make)
            except Unavailable:
                link.close(orderly=False)
                self._idle = None
                if not held:
                    raise
            self._idle = self._connect()
            return self._idle.call(make)


class _VirtualAppender:
    def __init__(self, link: Link, at_bytes: int, clock: Clock) -> None:
        self._link, self._clock = link, clock
        self.size_bytes = at_bytes
        self._written_ns = 0
        self._closed = False

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _PART_BYTES):
            self._link.send(m.Append(bytes(data[start : start + _PART_BYTES])))
        self.size_bytes += len(data)

    def commit(self) -> int:
        size, self._written_ns = self.size_bytes, self._clock()
        self._link.call(lambda seq: m.CommitVolume(seq, size, self._written_ns, False))
        return self._written_ns

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._link.close()
        except (Refused, Unavailable):
            return
