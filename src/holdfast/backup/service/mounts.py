"""Mounted volumes: who appends where. A sequential volume has one writer; a DISK volume is shared within the server.

Every mount holds the volume's claim, so nothing deletes, audits with FIX or erases a volume under its writer. Records
are appended whole, under the mount's lock. Several sessions on one DISK volume may commit in any order: the size that
is recorded only grows, and what lies below it without a place is a record that was never acknowledged.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, update

from holdfast.backup.model.pools import DISK, VolumeStatus
from holdfast.backup.ports import Appender
from holdfast.backup.service.catalog.schema import volumes
from holdfast.backup.service.claims import volume_key

if TYPE_CHECKING:
    from holdfast.backup.service.core import Core


class Mount:
    """An open volume. ``room_bytes`` is what still fits."""

    def __init__(self, row: Any, appender: Appender, room_bytes: int) -> None:
        self.volume: int = row.id
        self.name: str = row.name
        self.pool: str = row.pool
        self.shared = row.devclass == DISK
        self._appender, self._room_bytes = appender, room_bytes
        self._lock = threading.Lock()
        self.users = 1
        self.fresh = row.size_bytes == 0

    def fits(self, size_bytes: int) -> bool:
        """Return whether a record fits; a volume that holds nothing yet takes a record of any size."""
        return size_bytes <= self._room_bytes or (self.fresh and not self.shared)

    def open(self, header: bytes) -> None:
        """Write the header of a volume that holds nothing yet."""
        self._appender.write(header)
        self._room_bytes -= len(header)

    def append(self, record: bytes) -> int | None:
        """Append a record whole; return its offset, or None when somebody else took the room."""
        with self._lock:
            if not self.fits(len(record)):
                return None
            offset = self._appender.size_bytes
            self._appender.write(record)
            self._room_bytes -= len(record)
            self.fresh = False
            return offset

    def sync(self) -> tuple[int, int]:
        """Make all records durable; return the volume's size in bytes and its date in nanoseconds."""
        with self._lock:
            size = self._appender.size_bytes
            return size, self._appender.commit()

    def close(self) -> None:
        """Close the volume; bytes after the last ``sync`` are dropped."""
        self._appender.close()


class Mounts:
    """The mounted volumes of one server process."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._shared: dict[int, Mount] = {}
        self._opening: set[int] = set()

    def claim(self, row: Any) -> bool:
        """Claim a volume for appending, or join those who share it; False when another has it."""
        if row.devclass != DISK:
            return self._core.claims.take(volume_key(row.id))
        with self._lock:
            if row.id in self._shared or row.id in self._opening:
                return True
            if not self._core.claims.take(volume_key(row.id)):
                return False
            self._opening.add(row.id)
            return True

    def unclaim(self, row: Any) -> None:
        """Give back a claim that was not used."""
        with self._lock:
            if row.id not in self._shared:
                self._opening.discard(row.id)
                self._core.claims.give(volume_key(row.id))

    def open(self, row: Any, room_bytes: int, header: bytes) -> Mount:
        """Mount a claimed volume. Raises what its medium raises; then the claim is given back."""
        with self._lock:
            known = self._shared.get(row.id)
            if known is not None:
                known.users += 1
                return known
            self._opening.discard(row.id)
            try:
                appender = self._core.media_of_class(row.devclass).append(row.name, row.size_bytes)
                mount = Mount(row, appender, room_bytes)
                if row.size_bytes == 0:
                    mount.open(header)
            except BaseException:
                self._core.claims.give(volume_key(row.id))
                raise
            if mount.shared:
                self._shared[row.id] = mount
            return mount

    def release(self, mount: Mount) -> None:
        """End one user's mount; the last one closes the volume and gives its claim back."""
        with self._lock:
            mount.users -= 1
            if mount.users:
                return
            self._shared.pop(mount.volume, None)
            try:
                mount.close()
            finally:
                self._core.claims.give(volume_key(mount.volume))


def record_size(connection: Connection, mount: Mount, synced: tuple[int, int], full: bool) -> None:
    """Write a mount's size, date and status; the recorded size never shrinks."""
    size, date = synced
    grown = (volumes.c.id == mount.volume, volumes.c.size_bytes <= size)
    connection.execute(update(volumes).where(*grown).values(size_bytes=size, written_ns=date))
    if not mount.shared:
        status = VolumeStatus.FULL if full else VolumeStatus.FILLING
        connection.execute(update(volumes).where(volumes.c.id == mount.volume).values(status=status.value))
