"""What a monitor's finding means, and what follows a clean: fault handling as two pure functions.

The order of VCS: tolerate, clean, restart, give up. Counting is done by the caller; these functions compare counts
with the resource's limits, so that each path can be read (and tested) as a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from holdfast.cluster.model.configuration import Resource
from holdfast.cluster.model.facts import CleanReason, ResourceState


@dataclass(frozen=True, slots=True)
class Counters:
    """What has happened to a resource since it was last stable."""

    tolerated: int = 0
    restarts: int = 0
    retries: int = 0
    timeouts: int = 0


class Verdict(Enum):
    """What to do about a monitor's finding."""

    FINE = "fine"
    TOLERATE = "tolerate"
    CLEAN = "clean"


class Sequel(Enum):
    """What follows a clean that succeeded."""

    TRY_AGAIN = "try again"
    FAULT = "fault"
    STAY_OFFLINE = "stay offline"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, the counters after it, the reason for a clean."""

    verdict: Verdict
    counters: Counters
    reason: CleanReason = CleanReason.UNEXPECTED_OFFLINE


def judge(resource: Resource, before: ResourceState, seen: ResourceState | None, counters: Counters) -> Finding:
    """Judge a monitor of an idle resource that was ``before``; ``seen`` is None when the monitor timed out."""
    if seen is None or seen is ResourceState.UNKNOWN:
        timeouts = counters.timeouts + (1 if seen is None else 0)
        now = Counters(counters.tolerated, counters.restarts, counters.retries, timeouts)
        limit = resource.number("FaultOnMonitorTimeouts")
        if before is ResourceState.ONLINE and limit and timeouts >= limit:
            return Finding(Verdict.CLEAN, now, CleanReason.MONITOR_HUNG)
        return Finding(Verdict.TOLERATE, now)
    if seen is ResourceState.OFFLINE and before is ResourceState.ONLINE:
        if counters.tolerated < resource.number("ToleranceLimit"):
            return Finding(Verdict.TOLERATE, Counters(counters.tolerated + 1, counters.restarts, counters.retries, 0))
        return Finding(Verdict.CLEAN, Counters(0, counters.restarts, counters.retries, 0))
    return Finding(Verdict.FINE, Counters(0, counters.restarts, counters.retries, 0))


def after_clean(
    resource: Resource, reason: CleanReason, counters: Counters, abandoned: bool = False
) -> tuple[Sequel, Counters]:
    """Return what follows a clean that succeeded, and the counters after it.

    ``abandoned``: a start that was ended because what the resource needs went away. That is no fault of its own.
    """
    if abandoned or reason in (CleanReason.OFFLINE_HUNG, CleanReason.OFFLINE_INEFFECTIVE):
        return Sequel.STAY_OFFLINE, Counters(restarts=counters.restarts)
    if reason in (CleanReason.ONLINE_HUNG, CleanReason.ONLINE_INEFFECTIVE):
        if counters.retries < resource.number("OnlineRetryLimit"):
            return Sequel.TRY_AGAIN, Counters(restarts=counters.restarts, retries=counters.retries + 1)
        return Sequel.FAULT, Counters()
    if counters.restarts < resource.number("RestartLimit"):
        return Sequel.TRY_AGAIN, Counters(restarts=counters.restarts + 1)
    return Sequel.FAULT, Counters()
