"""Volumes and everything else an array must remember, as one value that is replaced whole.

:class:`ArrayImage` is the array's memory apart from the volumes' bytes and the bitmaps. The shell writes it to disk in
one atomic step, so a crash leaves either the array before a command or the array after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.model.flash import Flash
from holdfast.replication.model.pairs import Pair


@dataclass(frozen=True, slots=True)
class Volume:
    """A fixed-block volume. ``id`` is four hexadecimal digits, LSS first."""

    id: str
    name: str
    size_bytes: int
    pool: str = "P0"

    @property
    def lss(self) -> str:
        """The logical subsystem: the first two digits."""
        return self.id[:2]

    @property
    def tracks(self) -> int:
        """How many 64 KiB tracks the volume has; the last may be short."""
        return -(-self.size_bytes // TRACK_BYTES)


@dataclass(frozen=True, slots=True)
class ArrayImage:
    """Volumes by id, pairs by local volume, flash relations by target volume, barred host keys, and a counter.

    ``barred[host]`` is the highest key of that host that may no longer write. ``sequence`` grows with each bitmap
    that is made and with each revocation, so names and confirmations are never reused.
    """

    image: str
    volumes: dict[str, Volume] = field(default_factory=dict)
    pairs: dict[str, Pair] = field(default_factory=dict)
    flashes: dict[str, Flash] = field(default_factory=dict)
    barred: dict[str, int] = field(default_factory=dict)
    sequence: int = 0
