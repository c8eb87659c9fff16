"""Reclamation: which sparse volumes are worth copying out, emptiest first, and why the others are left alone.

The threshold is the share of a volume's bytes that nothing needs any more. Of a copy pool, OFFSITE volumes are
reclaimed too, from other copies, at most OFFSITERECLAIMLIMIT of them in one run; those may be FILLING (section 4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.backup.model.pools import READABLE, VolumeAccess, VolumeStatus


@dataclass(frozen=True, slots=True)
class Fill:
    """A volume: bytes written to it, bytes of them that live."""

    id: int
    name: str
    size_bytes: int
    live_bytes: int
    status: VolumeStatus
    access: VolumeAccess
    mounted: bool = False

    @property
    def reclaimable_pct(self) -> float:
        """The share of the volume that nothing needs, 0 to 100."""
        return 100.0 * max(self.size_bytes - self.live_bytes, 0) / self.size_bytes if self.size_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Reclamation:
    """The volumes to reclaim in order, and what was passed over with its reason."""

    volumes: tuple[int, ...]
    passed_over: tuple[tuple[str, str], ...]


def reclaim(fills: Iterable[Fill], threshold_pct: int, offsite_limit: int) -> Reclamation:
    """Choose the volumes to reclaim. A threshold of 100 takes only what is wholly empty, which needs no copying."""
    chosen: list[Fill] = []
    passed: list[tuple[str, str]] = []
    offsite = 0
    for fill in sorted(fills, key=lambda f: (-f.reclaimable_pct, f.id)):
        reason = _obstacle(fill, threshold_pct)
        if not reason and fill.access is VolumeAccess.OFFSITE:
            offsite += 1
            if offsite > offsite_limit:
                reason = f"OFFSITERECLAIMLIMIT={offsite_limit} is reached"
        if reason:
            passed.append((fill.name, reason))
        else:
            chosen.append(fill)
    return Reclamation(tuple(fill.id for fill in chosen), tuple(passed))


def _obstacle(fill: Fill, threshold_pct: int) -> str:
    offsite = fill.access is VolumeAccess.OFFSITE
    if fill.access not in READABLE and not offsite:
        return f"its access is {fill.access.value}"
    if fill.mounted:
        return "it is mounted"
    if fill.status is not VolumeStatus.FULL and not (offsite and fill.status is VolumeStatus.FILLING):
        return f"it is {fill.status.value}"
    if fill.reclaimable_pct < threshold_pct:
        return f"{fill.reclaimable_pct:.0f} % reclaimable, below {threshold_pct} %"
    return ""
