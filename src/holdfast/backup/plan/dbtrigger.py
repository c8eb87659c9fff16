"""The database backup trigger: when the server backs its database up by itself, and whether whole (section 7).

It works in log mode ROLLFORWARD only. The log is what commits have written into volumes about the catalog since its
last backup. Every incremental counts towards NUMINCREMENTAL, whoever started it, and a full one begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

ROLLFORWARD = "ROLLFORWARD"
NORMAL = "NORMAL"


@dataclass(frozen=True, slots=True)
class Trigger:
    """What DEFINE DBBACKUPTRIGGER says. ``numincremental`` 0: every backup is a full one."""

    devclass: str
    incrdevclass: str
    logfull_pct: int = 50
    numincremental: int = 6


@dataclass(frozen=True, slots=True)
class LogState:
    """The recovery log and the series: bytes since the last backup, what the log may hold, increments since a full."""

    mode: str
    used_bytes: int
    capacity_bytes: int
    has_full: bool
    increments: int


@dataclass(frozen=True, slots=True)
class Due:
    """A backup that is due: ``full`` or an increment, to which device class, and why."""

    full: bool
    devclass: str
    reason: str


def due(trigger: Trigger, log: LogState) -> Due | None:
    """Return the backup that is due now, or None."""
    if log.mode != ROLLFORWARD or log.used_bytes * 100 < log.capacity_bytes * trigger.logfull_pct:
        return None
    percent = log.used_bytes * 100 // log.capacity_bytes
    reason = f"the log is {percent} % full, LOGFULLPCT={trigger.logfull_pct}"
    if not log.has_full:
        return Due(True, trigger.devclass, f"{reason}; there is no full backup yet")
    if log.increments >= trigger.numincremental:
        return Due(True, trigger.devclass, f"{reason}; {log.increments} increments since the last full backup")
    return Due(False, trigger.incrdevclass or trigger.devclass, reason)
