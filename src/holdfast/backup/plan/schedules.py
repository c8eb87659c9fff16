"""When schedules run: the windows of a timing, the one that matters now, and what an event's status is.

Nothing here reads a clock: ``now`` is an argument, and the random start inside a window is drawn from the names of
node and schedule, so that a node that asks twice gets the same answer and the nodes of one schedule spread.
"""

from __future__ import annotations

import calendar
import datetime
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from holdfast.backup.model.schedules import FINAL, EventStatus, Recorded, Timing, Window

_DAY = datetime.timedelta(days=1)
_FIXED = {"HOURS": datetime.timedelta(hours=1), "DAYS": _DAY, "WEEKS": datetime.timedelta(weeks=1)}
_MONTHS = {"MONTHS": 1, "YEARS": 12}
_SEARCH_DAYS = 366 * 8 + 2
"""How far an enhanced schedule is looked ahead: past the next 29 February, also over the turn of a century."""
FOREVER = datetime.datetime.max


def starts(timing: Timing, since: datetime.datetime) -> Iterator[datetime.datetime]:
    """Yield the starts of the windows that open at ``since`` or later, in order. May be endless."""
    found = _enhanced(timing, since) if timing.enhanced else _classic(timing, since)
    for start in found:
        if timing.last_day is not None and start.date() > timing.last_day:
            return
        yield start


def _classic(timing: Timing, since: datetime.datetime) -> Iterator[datetime.datetime]:
    """Each start is a multiple of the period, moved on by whole days until the day of the week fits."""
    before = None
    for base in _bases(timing, since - 7 * _DAY):
        start = base
        while start.weekday() not in timing.days_of_week:
            start += _DAY
        if start >= since and (before is None or start > before):
            before = start
            yield start


def _bases(timing: Timing, since: datetime.datetime) -> Iterator[datetime.datetime]:
    if timing.perunits == "ONETIME":
        yield timing.start
    elif timing.perunits in _FIXED:
        step = timing.period * _FIXED[timing.perunits]
        skipped = max(-((timing.start - since) // step), 0)
        for number in itertools.count(skipped):
            yield timing.start + number * step
    else:
        step_months = timing.period * _MONTHS[timing.perunits]
        gone = (since.year - timing.start.year) * 12 + since.month - timing.start.month
        for number in itertools.count(max(gone // step_months - 1, 0)):
            yield _months_later(timing.start, number * step_months)


def _months_later(start: datetime.datetime, months: int) -> datetime.datetime:
    """The same day so many months later; the month's last day where it has no such day."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)


def _enhanced(timing: Timing, since: datetime.datetime) -> Iterator[datetime.datetime]:
    first = max(since, timing.start)
    day, empty = first.date(), 0
    while empty < _SEARCH_DAYS:
        start = datetime.datetime.combine(day, timing.start.time())
        if start >= first and _fits(timing, day):
            empty = 0
            yield start
        day, empty = day + _DAY, empty + 1


def _fits(timing: Timing, day: datetime.date) -> bool:
    length = calendar.monthrange(day.year, day.month)[1]
    if timing.months and day.month not in timing.months:
        return False
    if timing.days_of_month and not {day.day, day.day - length - 1} & timing.days_of_month:
        return False
    weeks = {("FIRST", "SECOND", "THIRD", "FOURTH", "")[(day.day - 1) // 7]}
    if day.day + 7 > length:
        weeks.add("LAST")
    if timing.weeks_of_month and not weeks & timing.weeks_of_month:
        return False
    return day.weekday() in timing.days_of_week


def _end(timing: Timing, start: datetime.datetime) -> datetime.datetime:
    if timing.duration is not None:
        return start + timing.duration
    following = itertools.islice(starts(timing, start + datetime.timedelta(microseconds=1)), 1)
    return next(following, FOREVER)


def windows(timing: Timing, since: datetime.datetime, until: datetime.datetime) -> Iterator[Window]:
    """Yield the windows that open from ``since`` until before ``until``, in order."""
    for start in itertools.takewhile(lambda start: start < until, starts(timing, since)):
        yield Window(start, _end(timing, start))


def open_window(timing: Timing, now: datetime.datetime) -> Window | None:
    """Return the window that is open at ``now``: the latest, where two overlap."""
    reach = timing.duration
    since = timing.start if reach is None else now - reach
    found = None
    for window in windows(timing, max(since, timing.start), now + datetime.timedelta(microseconds=1)):
        if window.end > now:
            found = window
    return found


def next_window(timing: Timing, now: datetime.datetime) -> Window | None:
    """Return the first window that opens after ``now``; None when there is none."""
    start = next(starts(timing, now + datetime.timedelta(microseconds=1)), None)
    return None if start is None else Window(start, _end(timing, start))


@dataclass(frozen=True, slots=True)
class Turn:
    """What a node should do next for one schedule: the window, and why this one."""

    window: Window
    reason: str


def turn(timing: Timing, now: datetime.datetime, recorded: Mapping[datetime.datetime, Recorded]) -> Turn | None:
    """Return the window a node should work in: the open one unless it is settled, otherwise the next.

    A window whose work was started but not settled is still offered, also when another system asks: after a failover
    the event runs again as long as its window is open (section 11.3).
    """
    opened = open_window(timing, now)
    if opened is not None:
        record = recorded.get(opened.start)
        if record is None:
            return Turn(opened, "the window is open")
        if record.status not in FINAL:
            return Turn(opened, f"the window is open and the event is only {record.status.value}")
    following = next_window(timing, now)
    return None if following is None else Turn(following, "no window is open")


def status(window: Window, now: datetime.datetime, record: Recorded | None) -> EventStatus:
    """Return an event's status: what is recorded, or what the clock says of a window nobody reported on."""
    if record is not None:
        return record.status
    if now < window.start:
        return EventStatus.FUTURE
    return EventStatus.PENDING if now < window.end else EventStatus.MISSED


def missed(
    timing: Timing, since: datetime.datetime, now: datetime.datetime, recorded: Mapping[datetime.datetime, Recorded]
) -> list[Window]:
    """Return the windows that closed after ``since`` and by ``now`` with nothing on record."""
    reach = timing.duration
    first = timing.start if reach is None else max(since - reach, timing.start)
    return [w for w in windows(timing, first, now) if since < w.end <= now and w.start not in recorded]


def spread(window: Window, percent: int, key: str) -> datetime.datetime:
    """Return the start inside the first ``percent`` of a window (0 to 50) that ``key`` draws: always the same one."""
    assert 0 <= percent <= 50
    if window.end == FOREVER:
        return window.start
    drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    delay = (window.end - window.start) * (percent / 100) * drawn
    return window.start + datetime.timedelta(seconds=int(delay.total_seconds()))
