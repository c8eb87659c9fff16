"""Virtual volumes: names and facts of the archive objects that keep one server's volumes on another.

The one naming table. Marked [K]: recalled, not confirmed; change it here and nowhere else.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

ARCHIVE_FILESPACE = "ADSM.SERVER"
DEFAULT_PREFIX = "ADSM"
DEFAULT_GRACE_DAYS = 5


class VolumeUse(enum.StrEnum):
    """What a volume holds. The value is the low-level qualifier of its name [K]."""

    POOL = "BFS"
    DATABASE = "DBB"
    SNAPSHOT = "DSS"
    EXPORT = "EXP"
    PLAN = "RPF"


def volume_name(source: str, use: VolumeUse, number: int) -> str:
    """Return the name of a server's volume: ``DELHI.BFS.000000007`` [K]."""
    return f"{source}.{use.value}.{number:09d}"


def archive_name(prefix: str, volume: str) -> str:
    """Return the full name of the archive object that keeps ``volume`` at the target: ``ADSM.DELHI.BFS...`` [S]."""
    return f"{prefix}.{volume}"


@dataclass(frozen=True, slots=True)
class SourceVolume:
    """A virtual volume as its source server knows it; ``pool`` is empty when only the volume history knows it."""

    name: str
    size_bytes: int
    written_ns: int
    pool: str


@dataclass(frozen=True, slots=True)
class TargetFile:
    """An archive object as the target sees it on its medium. ``present`` is False when the bytes are gone."""

    name: str
    size_bytes: int
    written_ns: int
    marked: bool
    present: bool
