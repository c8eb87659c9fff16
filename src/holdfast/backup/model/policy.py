"""Policy: domains hold policy sets, sets hold management classes, classes hold copy groups.

The defaults are those of ``backup-server.md`` section 2 and stand in the dataclasses alone. ``NOLIMIT`` is the largest
value of every count and retention, so planners need no special case for it.
"""

from __future__ import annotations

from dataclasses import dataclass

NOLIMIT = 2**31 - 1
STANDARD = "STANDARD"
ACTIVE = "ACTIVE"
"""The name of the copy of a policy set that ACTIVATE makes; it cannot be changed directly."""


@dataclass(frozen=True, slots=True)
class BackupCopyGroup:
    """Where backup versions go and how long they stay. Retention in days counts from the moment of inactivation."""

    destination: str
    verexists: int = 2
    verdeleted: int = 1
    retextra_days: int = 30
    retonly_days: int = 60
    frequency_days: int = 0
    mode: str = "MODIFIED"
    serialization: str = "SHRSTATIC"

    @property
    def by_date(self) -> bool:
        """Whether it matters when the active version was stored."""
        return self.frequency_days > 0 or self.mode == "ABSOLUTE"


def reading(serialization: str, retries: int) -> tuple[int, bool]:
    """Return how often a file that changes is read, and whether the last reading is kept although it changed.

    STATIC reads once and skips, SHRSTATIC reads up to four times or CHANGINGRETRIES, whichever is less, and skips;
    SHRDYNAMIC reads as often and keeps the last; DYNAMIC keeps the first."""
    shared = max(min(retries, 4), 1)
    return (shared if serialization.startswith("SHR") else 1), serialization.endswith("DYNAMIC")


@dataclass(frozen=True, slots=True)
class ArchiveCopyGroup:
    """Where archive objects go. Objects of nodes of type SERVER ignore ``retver_days``: only the source deletes.

    ``retinit`` says when the days begin: at CREATION or with an EVENT; ``retmin_days`` is the least after creation."""

    destination: str
    retver_days: int = 365
    retinit: str = "CREATION"
    retmin_days: int = 365
    serialization: str = "SHRSTATIC"


@dataclass(frozen=True, slots=True)
class ClassBinding:
    """What a client may bind to: a management class of the active set and the pool its backups go to."""

    name: str
    backup: BackupCopyGroup | None
    archive: ArchiveCopyGroup | None
    default: bool
