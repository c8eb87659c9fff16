"""What bringing mirrored volumes online takes, decided from what ``lspprc`` shows at the local array.

Seed document 002 says it in prose: volumes that are writable need only the lock file; targets in Target Full Duplex
are failed over, and failed back if the old source can be reached; everything else is not safe. This module is that
prose as a table: one row per state, and the worst row decides; what the other array says can only make it worse. It
never looks at whether the other site is alive: who may be source at all was settled by the cluster's evidence before
the agent was called, and by the pair's record, which the array itself obeys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from holdfast.replication.model.boxes import PairView, classify


class Need(IntEnum):
    """What one volume needs to become writable here; a larger one outweighs a smaller."""

    NOTHING = 0
    FAILOVER = 1
    WAIT = 2
    FAULT = 3


@dataclass(frozen=True, slots=True)
class PairRow:
    """One line of ``lspprc``: the volume at the local array, the state and the reason that are shown."""

    volume: str
    state: str
    reason: str = "-"


@dataclass(frozen=True, slots=True)
class OtherSide:
    """What the other array shows of a pair: its state, "" for no such pair, and the tracks that it has not sent."""

    state: str = ""
    missing_tracks: int | None = None


@dataclass(frozen=True, slots=True)
class OnlineDecision:
    """What to do: the volumes to fail over, or wait, or give up; ``reasons`` has one line per volume."""

    need: Need
    failover: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


_NEEDS: dict[str, tuple[Need, str]] = {
    "Full Duplex": (Need.NOTHING, "is source and in sync"),
    "Copy Pending": (Need.NOTHING, "is source and copies"),
    "Suspended": (Need.NOTHING, "is source, suspended"),
    "Target Full Duplex": (Need.FAILOVER, "is target and in sync"),
    "Target Copy Pending": (Need.WAIT, "is target and not yet in sync"),
    "Target Suspended": (Need.FAULT, "is target and was suspended: its data may be stale"),
}


def decide_online(volumes: Sequence[str], rows: Sequence[PairRow], split_takeover: bool = False) -> OnlineDecision:
    """Decide from the rows of the local array; with ``split_takeover`` a suspended target is failed over too."""
    shown = {row.volume: row for row in rows}
    needs: dict[str, Need] = {}
    reasons: list[str] = []
    for volume in volumes:
        row = shown.get(volume)
        need, why = _NEEDS.get(row.state, (Need.FAULT, f"is {row.state}")) if row else (Need.FAULT, "has no pair")
        if row and row.state == "Target Suspended" and split_takeover:
            need, why = Need.FAILOVER, "is target and was suspended; SplitTakeover permits it"
        if row and row.reason == "Superseded":
            need, why = Need.FAULT, "was source, but the other array is source now"
        needs[volume] = need
        reasons.append(f"{volume} {why}")
    worst = max(needs.values(), default=Need.FAULT)
    failover = tuple(v for v, need in needs.items() if need is Need.FAILOVER) if worst is Need.FAILOVER else ()
    return OnlineDecision(worst, failover, tuple(reasons))


def with_other_box(
    decision: OnlineDecision,
    rows: Sequence[PairRow],
    others: Mapping[str, OtherSide] | None,
    split_takeover: bool = False,
) -> OnlineDecision:
    """Return a decision as it stands once the other box was asked; ``others``: what it shows of each
    volume's pair, None when it did not answer, which changes nothing.

    The other box may have gone on alone: suspended with tracks that were not sent, or with the pair removed; or it may
    have taken over while a source here was away. Only ``split_takeover`` accepts that.
    """
    if others is None or split_takeover:
        return decision
    shown = {row.volume: row.state for row in rows}
    needs, reasons = [decision.need], list(decision.reasons)
    for volume in others:
        other = others.get(volume, OtherSide())
        view = classify(shown.get(volume), other.state, other.missing_tracks)
        if view is PairView.TARGET_BEHIND and volume in decision.failover:
            needs.append(Need.FAULT)
            told = f"shows {other.state}" if other.state else "has no such pair any more"
            reasons.append(f"{volume}: the other array {told} and may have writes that are missing here")
        elif view is PairView.BOTH_SOURCE:
            needs.append(Need.FAULT)
            reasons.append(f"{volume}: the other array says that it is source too ({other.state}): it took over")
        elif view is PairView.COPYING and shown.get(volume) == "Target Full Duplex":
            needs.append(Need.WAIT)
            reasons.append(f"{volume}: the other array is copying")
    return OnlineDecision(max(needs), decision.failover if max(needs) is Need.FAILOVER else (), tuple(reasons))


def safe_to_fault(volumes: Sequence[str], rows: Sequence[PairRow]) -> bool:
    """Whether an interrupted online left the volumes usable: all on the same side of the mirror, none unknown."""
    states = [row.state for row in rows if row.volume in volumes]
    if len(states) < len(volumes) or any(state not in _NEEDS for state in states):
        return False
    return len({state.startswith("Target") for state in states}) == 1
