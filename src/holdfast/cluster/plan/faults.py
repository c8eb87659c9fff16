"""What a monitor's finding means, and what follows a clean: fault handling as pure functions.

The order of VCS: tolerate, clean, restart, give up. The worker keeps the :class:`Counters` and hands them in with the
time; these functions compare them with the resource's limits, so that each path can be read (and tested) as a table.
A resource that has been quiet for its ConfInterval starts with a clean sheet; timeouts of monitor are forgotten an hour
after the last one. Source: ``cluster.md`` sections 5.1 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from holdfast.cluster.model.configuration import Resource
from holdfast.cluster.model.facts import CleanReason, ResourceState

TIMEOUTS_FORGOTTEN_S = 3600.0
PATIENCE_S = 5.0
"""The least time for a resource to reach its state after the entry point, however short its monitor interval is."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What has happened to a resource since it was last stable. ``troubled_at`` and ``timed_out_at`` are seconds of the
    caller's monotonic clock: when it was last seen not online, and when monitor last ran out of time."""

    tolerated: int = 0
    restarts: int = 0
    retries: int = 0
    timeouts: int = 0
    troubled_at: float = 0.0
    timed_out_at: float = 0.0


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


def conf_interval_s(resource: Resource, system: str = "") -> float:
    """Return after how many quiet seconds earlier trouble is forgotten: ConfInterval, but never so short that the
    tolerated monitors do not fit in."""
    interval = resource.number("MonitorInterval", system)
    cycle = interval + resource.number("MonitorTimeout", system)
    floor = cycle * resource.number("ToleranceLimit", system) + interval + 10
    return float(max(resource.number("ConfInterval", system), floor))


def patience_s(resource: Resource, limit: str, system: str = "") -> float:
    """Return how long a resource may take to reach its state after online or offline has returned: OnlineWaitLimit or
    OfflineWaitLimit monitor intervals, but no longer than the entry point itself was given."""
    waits = float(resource.number(limit, system) * resource.number("MonitorInterval", system))
    return max(PATIENCE_S, min(waits, float(resource.number(limit.replace("WaitLimit", "Timeout"), system))))


def judge(
    resource: Resource,
    before: ResourceState,
    seen: ResourceState | None,
    counters: Counters,
    now: float = 0.0,
    system: str = "",
) -> Finding:
    """Judge a monitor of an idle resource that was ``before``; ``seen`` is None when the monitor timed out."""
    known = _forgotten(resource, counters, now, system)
    if seen is not ResourceState.ONLINE:
        known = replace(known, troubled_at=now)
    if seen is None or seen is ResourceState.UNKNOWN:
        return _unseen(resource, before, seen, known, now, system)
    if seen is ResourceState.OFFLINE and before is ResourceState.ONLINE:
        if known.tolerated < resource.number("ToleranceLimit", system):
            return Finding(Verdict.TOLERATE, replace(known, tolerated=known.tolerated + 1))
        return Finding(Verdict.CLEAN, replace(known, tolerated=0, timeouts=0))
    return Finding(Verdict.FINE, known)


def _forgotten(resource: Resource, counters: Counters, now: float, system: str) -> Counters:
    if now - counters.troubled_at > conf_interval_s(resource, system):
        counters = replace(counters, tolerated=0, restarts=0)
    if now - counters.timed_out_at > TIMEOUTS_FORGOTTEN_S:
        counters = replace(counters, timeouts=0)
    return counters


def _unseen(
    resource: Resource, before: ResourceState, seen: ResourceState | None, known: Counters, now: float, system: str
) -> Finding:
    if seen is None:
        known = replace(known, timeouts=known.timeouts + 1, timed_out_at=now)
    limit = resource.number("FaultOnMonitorTimeouts", system)
    if before is ResourceState.ONLINE and limit and known.timeouts >= limit:
        return Finding(Verdict.CLEAN, replace(known, timeouts=0), CleanReason.MONITOR_HUNG)
    return Finding(Verdict.TOLERATE, known)


def after_clean(
    resource: Resource, reason: CleanReason, counters: Counters, abandoned: bool = False, system: str = ""
) -> tuple[Sequel, Counters]:
    """Return what follows a clean that succeeded, and the counters after it.

    ``abandoned``: a start that was ended because what the resource needs went away. That is no fault of its own.
    """
    kept = replace(counters, tolerated=0, timeouts=0)
    if abandoned or reason in (CleanReason.OFFLINE_HUNG, CleanReason.OFFLINE_INEFFECTIVE):
        return Sequel.STAY_OFFLINE, replace(kept, retries=0)
    if reason in (CleanReason.ONLINE_HUNG, CleanReason.ONLINE_INEFFECTIVE):
        if counters.retries < resource.number("OnlineRetryLimit", system):
            return Sequel.TRY_AGAIN, replace(kept, retries=counters.retries + 1)
        return Sequel.FAULT, Counters()
    if counters.restarts < resource.number("RestartLimit", system):
        return Sequel.TRY_AGAIN, replace(kept, restarts=counters.restarts + 1, retries=0)
    return Sequel.FAULT, Counters()
