"""Version expiration: which stored versions of one object policy no longer keeps.

Counts (VEREXISTS, VERDELETED) are applied when a version is stored or inactivated; days (RETEXTRA, RETONLY) when the
inventory is expired. The clock of both day rules starts when a version becomes inactive, not when it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.backup.model.policy import NOLIMIT, BackupCopyGroup

DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Version:
    """One stored version: ``inactive_ns`` is None while it is the active one."""

    id: int
    stored_ns: int
    inactive_ns: int | None


def over_count(versions: Sequence[Version], group: BackupCopyGroup) -> list[int]:
    """Return the ids of versions beyond the count that policy keeps, oldest last in ``versions`` or in any order."""
    newest_first = sorted(versions, key=lambda version: (version.inactive_ns is None, version.stored_ns), reverse=True)
    exists = bool(newest_first) and newest_first[0].inactive_ns is None
    limit = group.verexists if exists else group.verdeleted
    return [version.id for version in newest_first[limit:] if version.inactive_ns is not None]


def over_age(versions: Sequence[Version], group: BackupCopyGroup, now_ns: int) -> list[int]:
    """Return the ids of inactive versions that have been inactive longer than policy keeps them."""
    inactive = sorted((v for v in versions if v.inactive_ns is not None), key=lambda v: v.stored_ns, reverse=True)
    exists = len(inactive) < len(versions)
    gone = []
    for position, version in enumerate(inactive):
        last_of_deleted = position == 0 and not exists
        days = group.retonly_days if last_of_deleted else group.retextra_days
        assert version.inactive_ns is not None
        if days < NOLIMIT and version.inactive_ns + days * DAY_NS <= now_ns:
            gone.append(version.id)
    return gone


def expired(versions: Sequence[Version], group: BackupCopyGroup, now_ns: int) -> list[int]:
    """Return the ids of every version of one object that EXPIRE INVENTORY removes."""
    return sorted({*over_count(versions, group), *over_age(versions, group, now_ns)})


def cuts_of(group: BackupCopyGroup, now_ns: int) -> tuple[int, int]:
    """Return up to which time a version must have become inactive to be over RETEXTRA, and over RETONLY; -1: never."""
    extra_ns = now_ns - group.retextra_days * DAY_NS if group.retextra_days < NOLIMIT else -1
    only_ns = now_ns - group.retonly_days * DAY_NS if group.retonly_days < NOLIMIT else -1
    return extra_ns, only_ns


def doomed(versions: Sequence[tuple[int, int, int | None]], group: BackupCopyGroup, now_ns: int) -> list[int]:
    """Return what :func:`expired` returns, of (id, stored, inactive) from the oldest to the newest.

    The same rules in one pass without objects, for catalogs of millions; an active version is the newest."""
    count = len(versions)
    exists = versions[-1][2] is None
    limit = group.verexists if exists else group.verdeleted
    extra_ns, only_ns = cuts_of(group, now_ns)
    gone = []
    for position, (id, _, inactive_ns) in enumerate(versions, 1):
        if inactive_ns is None:
            continue
        cut_ns = only_ns if position == count and not exists else extra_ns
        if count - position >= limit or inactive_ns <= cut_ns:
            gone.append(id)
    return gone
