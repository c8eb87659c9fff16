"""Migration: when a pool gives data to the next one of its hierarchy, and which.

A pool of sequential volumes counts volumes and gives whole ones, those written longest ago first; a pool of random
access volumes counts bytes and gives what one filespace holds, the largest first (section 4). Migration begins at
HIGHMIG and goes on until LOWMIG is reached. What is younger than MIGDELAY stays, unless MIGCONTINUE lets it go when
nothing older is left. Every candidate that stays carries its reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.backup.plan.expiration import DAY_NS
from holdfast.kernel.errors import Refusal


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """How full a pool is. ``used`` and ``capacity`` count volumes for a sequential pool and bytes for one of DISK;
    a capacity of 0 is none that is known (no MAXSCRATCH), and then nothing migrates by itself."""

    name: str
    next_pool: str
    sequential: bool
    used: int
    capacity: int
    highmig_pct: int = 90
    lowmig_pct: int = 70
    migdelay_days: int = 0
    migcontinue: bool = True

    @property
    def percent(self) -> float:
        """How full it is, 0 to 100."""
        return 100.0 * self.used / self.capacity if self.capacity else 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """What could go as one: a volume, or what one filespace holds in a DISK pool. ``obstacle`` says why it cannot."""

    id: int
    name: str
    bytes: int
    written_ns: int
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class Migration:
    """What goes from ``pool`` to ``next_pool``, in order; ``stays`` names the others with their reasons.

    ``short``: even with all of it gone the low threshold is not reached."""

    pool: str
    next_pool: str
    goes: tuple[int, ...]
    stays: tuple[tuple[str, str], ...]
    reason: str
    short: bool


def due(load: PoolLoad) -> bool:
    """Return whether the high threshold is reached. HIGHMIG=100 never migrates by itself."""
    return bool(load.next_pool) and load.highmig_pct < 100 and load.percent >= load.highmig_pct and load.used > 0


def migrate(
    load: PoolLoad, candidates: Iterable[Candidate], now_ns: int, low_pct: int | None = None
) -> Migration | Refusal:
    """Choose what migrates until ``low_pct`` (the pool's LOWMIG when None) is reached."""
    if not load.next_pool:
        return Refusal("no-next-pool", f"pool {load.name} has no next storage pool", "UPDATE STGPOOL ... NEXTSTGPOOL=")
    low = load.lowmig_pct if low_pct is None else low_pct
    left = load.used
    target = load.capacity * low / 100 if load.capacity else 0.0
    young_after = now_ns - load.migdelay_days * DAY_NS
    usable = [c for c in candidates if not c.obstacle]
    stays = [(c.name, c.obstacle) for c in candidates if c.obstacle]
    old = [c for c in usable if c.written_ns <= young_after]
    young = [c for c in usable if c.written_ns > young_after]
    goes: list[int] = []
    for turn, group in ((0, old), (1, young)):
        for candidate in sorted(group, key=lambda c: _order(load, c)):
            if left <= target:
                stays.append((candidate.name, f"{low} % is reached without it"))
            elif turn and not load.migcontinue:
                stays.append((candidate.name, f"younger than MIGDELAY={load.migdelay_days} and MIGCONTINUE=NO"))
            else:
                goes.append(candidate.id)
                left -= 1 if load.sequential else candidate.bytes
    reason = f"{load.percent:.0f} % of {load.name} is used, down to {low} %"
    return Migration(load.name, load.next_pool, tuple(goes), tuple(stays), reason, left > target)


def _order(load: PoolLoad, candidate: Candidate) -> tuple[int, int]:
    return (candidate.written_ns, candidate.id) if load.sequential else (-candidate.bytes, candidate.id)
