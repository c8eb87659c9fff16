"""Which filespaces an incremental without a file specification covers: DOMAIN statements over the mounted ones.

Statements add up from every source. ``ALL-LOCAL`` stands for the local file systems; a leading ``-`` removes. Removal
wins wherever it stands. Without any positive statement the domain is ALL-LOCAL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ALL_LOCAL = "ALL-LOCAL"
LOCAL_TYPES = frozenset(
    {"btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "jfs", "ntfs3", "reiserfs", "vfat", "xfs", "zfs"}
)


@dataclass(frozen=True, slots=True)
class MountFact:
    """One mounted file system: where, and of which type."""

    path: str
    type: str


def local_filespaces(mounts: Iterable[MountFact], roots: Sequence[str]) -> list[str]:
    """Return what ALL-LOCAL stands for, in order.

    Without ``roots``: every mounted file system of a local type. With ``roots``: each root itself and the local file
    systems mounted below it, and nothing else of the machine.
    """
    local = {mount.path for mount in mounts if mount.type in LOCAL_TYPES}
    if not roots:
        return sorted(local)
    bases = [root.rstrip("/") or "/" for root in roots]
    below = {path for path in local for base in bases if path.startswith(base.rstrip("/") + "/")}
    return sorted({*bases, *below})


def resolve(statements: Iterable[str], local: Sequence[str]) -> list[str]:
    """Return the filespaces that ``statements`` name, in the order named, without those removed."""
    named: list[str] = []
    removed: set[str] = set()
    for word in (word for statement in statements for word in statement.split()):
        if word.startswith("-"):
            removed.update(local if word[1:].upper() == ALL_LOCAL else [_clean(word[1:])])
        elif word.upper() == ALL_LOCAL:
            named.extend(local)
        else:
            named.append(_clean(word))
    if not named:
        named = list(local)
    return [name for name in dict.fromkeys(named) if name not in removed]


def _clean(name: str) -> str:
    return name.rstrip("/") or "/"
