"""Storage pools, device classes and pool volumes: their states as enums and their defaults (sections 3 and 4)."""

from __future__ import annotations

import enum

from holdfast.kernel.sizes import GIB, MIB

NAME_LIMIT = 30
DEFAULT_SERVER_CAPACITY_BYTES = 500 * MIB
DEFAULT_FILE_CAPACITY_BYTES = 10 * GIB
MINIMUM_CAPACITY_BYTES = 1 * MIB


class DeviceType(enum.StrEnum):
    """How the volumes of a device class are kept."""

    FILE = "FILE"
    SERVER = "SERVER"


class PoolType(enum.StrEnum):
    """A primary pool receives client data; a copy pool holds second copies of it."""

    PRIMARY = "PRIMARY"
    COPY = "COPY"


class VolumeStatus(enum.StrEnum):
    """How full a volume is."""

    EMPTY = "EMPTY"
    FILLING = "FILLING"
    FULL = "FULL"
    PENDING = "PENDING"


class VolumeAccess(enum.StrEnum):
    """What may be done with a volume. DESTROYED marks a lost primary volume that RESTORE STGPOOL replaces."""

    READWRITE = "READWRITE"
    READONLY = "READONLY"
    UNAVAILABLE = "UNAVAILABLE"
    OFFSITE = "OFFSITE"
    DESTROYED = "DESTROYED"


READABLE = frozenset({VolumeAccess.READWRITE, VolumeAccess.READONLY})
