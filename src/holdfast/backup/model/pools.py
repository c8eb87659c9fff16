"""Storage pools, device classes and pool volumes: their states as enums and their defaults (sections 3 and 4)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from holdfast.backup.model.policy import NOLIMIT
from holdfast.kernel.sizes import GIB, MIB

NAME_LIMIT = 30
POOL_LIMIT = 999
DEFAULT_SERVER_CAPACITY_BYTES = 500 * MIB
DEFAULT_FILE_CAPACITY_BYTES = 10 * GIB
MINIMUM_CAPACITY_BYTES = 1 * MIB
DISK = "DISK"
"""The name of the predefined device class of random access volumes; it cannot be defined, changed or deleted."""


class DeviceType(enum.StrEnum):
    """How the volumes of a device class are kept."""

    FILE = "FILE"
    DISK = "DISK"
    S3 = "S3"
    SERVER = "SERVER"


class PoolType(enum.StrEnum):
    """A primary pool receives client data; a copy pool holds second copies of it."""

    PRIMARY = "PRIMARY"
    COPY = "COPY"


class VolumeStatus(enum.StrEnum):
    """How full a volume is. PENDING: emptied, kept until REUSEDELAY is over. DISK volumes are ONLINE or OFFLINE."""

    EMPTY = "EMPTY"
    FILLING = "FILLING"
    FULL = "FULL"
    PENDING = "PENDING"
    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"


class VolumeAccess(enum.StrEnum):
    """What may be done with a volume. DESTROYED marks a lost primary volume that RESTORE STGPOOL replaces."""

    READWRITE = "READWRITE"
    READONLY = "READONLY"
    UNAVAILABLE = "UNAVAILABLE"
    OFFSITE = "OFFSITE"
    DESTROYED = "DESTROYED"


class Collocate(enum.StrEnum):
    """Whose data shares a volume. A node that is in no group is a group of its own."""

    NO = "NO"
    GROUP = "GROUP"
    NODE = "NODE"
    FILESPACE = "FILESPACE"


READABLE = frozenset({VolumeAccess.READWRITE, VolumeAccess.READONLY})


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What an administrator may set of a pool; field names are the catalog's column names.

    Days are whole days, percentages 0 to 100, ``maxsize_bytes`` 0 means NOLIMIT. ``lock_days`` is Holdfast's own
    RETENTIONLOCK: what the pool keeps cannot be deleted by anybody before it is that old.
    """

    description: str = ""
    next_pool: str = ""
    maxscratch: int = NOLIMIT
    highmig: int = 90
    lowmig: int = 70
    reclaim: int = 60
    reusedelay_days: int = 0
    access: str = VolumeAccess.READWRITE.value
    maxsize_bytes: int = 0
    collocate: str = Collocate.GROUP.value
    migdelay_days: int = 0
    migcontinue: bool = True
    migprocess: int = 1
    reclaimprocess: int = 1
    reclaim_pool: str = ""
    offsitereclaimlimit: int = NOLIMIT
    crcdata: bool = False
    cache: bool = False
    lock_days: int = 0


PRIMARY_DEFAULTS = PoolSettings()
COPY_DEFAULTS = PoolSettings(reclaim=100, collocate=Collocate.NO.value, highmig=100)
DISK_DEFAULTS = PoolSettings(reclaim=100, collocate=Collocate.NO.value, maxscratch=0)
