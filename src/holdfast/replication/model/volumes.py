"""Volumes and everything else an array must remember, as one value that is replaced whole.

:class:`ArrayImage` is the array's memory apart from the volumes' bytes and the bitmaps. The shell writes it to disk in
one atomic step, so a crash leaves either the array before a command or the array after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.model.flash import Flash
from holdfast.replication.model.pairs import Pair
from holdfast.replication.model.paths import Path


@dataclass(frozen=True, slots=True)
class Features:
    """What an array may do that not every release of the original could. ``cascading``: a FlashCopy target may be the
    source of another FlashCopy (allowed since R8.3 [S]). ``explicit_paths``: a pair needs a path made by
    ``mkpprcpath``; otherwise a pair makes the path that it needs, unless that was removed by hand or by a freeze."""

    cascading: bool = False
    explicit_paths: bool = False


DEFAULT_FEATURES = Features()


@dataclass(frozen=True, slots=True)
class Volume:
    """A fixed-block volume. ``id`` is four hexadecimal digits, LSS first. ``thin``: it takes from its pool what is
    written (extent space efficient), not its whole size."""

    id: str
    name: str
    size_bytes: int
    pool: str = "P0"
    thin: bool = True

    @property
    def lss(self) -> str:
        """The logical subsystem: the first two digits."""
        return self.id[:2]

    @property
    def tracks(self) -> int:
        """How many 64 KiB tracks the volume has; the last may be short."""
        return -(-self.size_bytes // TRACK_BYTES)


@dataclass(frozen=True, slots=True)
class Pool:
    """An extent pool: what its volumes may take together."""

    id: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class VolumeGroup:
    """Volumes that are served to the hosts connected to the group. ``id`` is ``V`` and a number."""

    id: str
    name: str
    volumes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HostConnection:
    """A host as the array knows it by the name it shows when it connects; ``group`` is its volume group, if any."""

    id: str
    host: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class ArrayImage:
    """Volumes by id, pairs by local volume, flash relations by target volume, barred host keys, pools, volume groups
    and host connections by id, mirror paths by key, and a counter.

    ``barred[host]`` is the highest key of that host that may no longer write. ``sequence`` grows with each bitmap
    that is made and with each revocation, so names and confirmations are never reused.
    """

    image: str
    volumes: dict[str, Volume] = field(default_factory=dict)
    pairs: dict[str, Pair] = field(default_factory=dict)
    flashes: dict[str, Flash] = field(default_factory=dict)
    barred: dict[str, int] = field(default_factory=dict)
    sequence: int = 0
    pools: dict[str, Pool] = field(default_factory=dict)
    groups: dict[str, VolumeGroup] = field(default_factory=dict)
    hosts: dict[str, HostConnection] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
