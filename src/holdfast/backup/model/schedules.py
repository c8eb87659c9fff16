"""Schedules and what became of them: the values of sections 8 and 11.3, without a clock.

A schedule opens a start-up window again and again. Whatever is started inside the window counts, however long it then
takes; what is not started before the window closes is missed. Times are those of the server's wall clock and carry no
zone: "every day at 01:00" stays 01:00 when the clocks change.
"""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass


class EventStatus(enum.Enum):
    """What became of one window for one node. The text is what QUERY EVENT shows."""

    FUTURE = "Future"
    PENDING = "Pending"
    STARTED = "Started"
    RESTARTED = "Restarted"
    IN_PROGRESS = "In Progress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    MISSED = "Missed"
    UNCERTAIN = "Uncertain"


FINAL = frozenset({EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.MISSED, EventStatus.UNCERTAIN})
"""Nothing follows on these."""
REPORTED = frozenset({EventStatus.STARTED, EventStatus.RESTARTED, EventStatus.COMPLETED, EventStatus.FAILED})
"""What a client may report of itself."""
EXCEPTIONS = frozenset({EventStatus.FAILED, EventStatus.MISSED, EventStatus.UNCERTAIN})
"""What QUERY EVENT EXCEPTIONSONLY=YES shows."""

ACTIONS = (
    "INCREMENTAL", "SELECTIVE", "ARCHIVE", "BACKUP", "RESTORE", "RETRIEVE", "IMAGEBACKUP", "IMAGERESTORE", "COMMAND",
    "MACRO",
)  # fmt: skip
DURATION_UNITS = ("HOURS", "MINUTES", "DAYS", "INDEFINITE")
PERIOD_UNITS = ("DAYS", "HOURS", "WEEKS", "MONTHS", "YEARS", "ONETIME")
WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
DAYS_OF_WEEK = ("ANY", "WEEKDAY", "WEEKEND", *WEEKDAYS)
MONTHS = (
    "JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE", "JULY", "AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER",
    "DECEMBER",
)  # fmt: skip
WEEKS_OF_MONTH = ("FIRST", "SECOND", "THIRD", "FOURTH", "LAST")


@dataclass(frozen=True, slots=True)
class Timing:
    """When a schedule's windows open, and for how long (``duration`` None: until the next one opens).

    A classic schedule repeats every ``period`` of ``perunits``; an enhanced one on the days that fit ``months``,
    ``days_of_month`` (negative: from the month's end) and ``weeks_of_month`` (empty: any).
    """

    start: datetime.datetime
    duration: datetime.timedelta | None = datetime.timedelta(hours=1)
    period: int = 1
    perunits: str = "DAYS"
    days_of_week: frozenset[int] = frozenset(range(7))
    last_day: datetime.date | None = None
    enhanced: bool = False
    months: frozenset[int] = frozenset()
    days_of_month: frozenset[int] = frozenset()
    weeks_of_month: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        assert self.period >= 1, "a period is at least 1"
        assert self.perunits in PERIOD_UNITS
        assert self.days_of_week, "no day of the week would ever fit"


@dataclass(frozen=True, slots=True)
class Window:
    """One start-up window: from ``start`` until just before ``end``."""

    start: datetime.datetime
    end: datetime.datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is on record of one window for one node."""

    status: EventStatus
    started: datetime.datetime | None = None
