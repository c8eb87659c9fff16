"""The schedule language of service files: ``[!] TIMERANGES [DAYS [WEEKS [MONTHS]]]``, pure.

A definition is one pattern or a JSON list of them. Something is due when a pattern that includes allows the moment,
none that excludes (``!``) does, and it has not run within the pattern's interval. ``00:00-02:00@121`` is once in that
range, ``@60`` every hour, ``*`` always, an empty text or ``@0`` never.

Where agents roll a dice over a range to spread their load, a range that begins with ``~`` is entered here at a moment
that is drawn from the job's name and the day: as spread out, but the same whenever it is asked.
"""

from __future__ import annotations

import calendar
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.dialects.opensvc.values import duration_s
from holdfast.kernel.errors import InputError

_DAY_S = 86400
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG = {name.lower(): name[:3].lower() for name in (*calendar.day_name, *calendar.month_name) if name}
_NTH = {
    "first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "fifth": 5, "5th": 5,
    "last": -1,
}  # fmt: skip
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_NEVER_S, _ONCE_S = -1.0, -2.0
_PATTERNS = 100


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From ``begin_s`` to ``end_s`` of a day (an end before the begin lies on the next), with an interval in seconds.
    ``once``: only one run each time that the range comes around."""

    begin_s: int
    end_s: int
    interval_s: float
    once: bool = False
    spread: bool = False

    @property
    def never(self) -> bool:
        """Whether it allows nothing."""
        return self.interval_s == _NEVER_S

    @property
    def length_s(self) -> int:
        """How long it lasts."""
        return (self.end_s - self.begin_s) % _DAY_S or _DAY_S

    def opened(self, moment: datetime) -> datetime | None:
        """Return when the range that ``moment`` lies in began; None outside of it."""
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for day in (0, -1):
            begin = midnight + timedelta(days=day, seconds=self.begin_s)
            if begin <= moment < begin + timedelta(seconds=self.length_s):
                return begin
        return None


Test = Callable[[datetime], bool]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern; ``days``, ``weeks`` and ``months`` are tests of the day on which a range began."""

    exclude: bool
    ranges: tuple[TimeRange, ...]
    days: Test
    weeks: Test
    months: Test

    def open_ranges(self, moment: datetime) -> Iterator[tuple[TimeRange, datetime]]:
        """Yield the ranges that ``moment`` lies in, each with its begin."""
        for each in self.ranges:
            begin = each.opened(moment)
            if begin is not None and self.days(begin) and self.weeks(begin) and self.months(begin):
                yield each, begin


@dataclass(frozen=True, slots=True)
class Schedule:
    """A whole definition."""

    text: str
    patterns: tuple[Pattern, ...]

    def due(self, moment: datetime, last: datetime | None, job: str = "") -> str:
        """Return an empty text if ``job``, which ran last at ``last``, is due at ``moment``, else why it is not."""
        if not self.patterns:
            return "no schedule"
        if any(True for one in self.patterns if one.exclude for _ in one.open_ranges(moment)):
            return "excluded"
        reason = "not in an allowed range"
        for one in self.patterns:
            for each, begin in () if one.exclude else one.open_ranges(moment):
                reason = _too_soon(each, begin, moment, last, job)
                if not reason:
                    return ""
        return reason


def _too_soon(each: TimeRange, begin: datetime, moment: datetime, last: datetime | None, job: str) -> str:
    if each.never:
        return "interval set to 0"
    if last is not None and each.once and last >= begin:
        return "ran already in this range"
    if last is not None and not each.once and moment - last < timedelta(seconds=each.interval_s):
        return f"ran less than {each.interval_s / 60:g} minutes ago"
    if each.spread:
        drawn = hashlib.blake2b(f"{job} {begin:%Y-%m-%d}".encode(), digest_size=4).digest()
        start = begin + timedelta(seconds=each.length_s * 0.9 * int.from_bytes(drawn, "big") / 2**32)
        if moment < start:
            return f"starts at {start:%H:%M} in this range"
    return ""


def parse_schedule(text: str) -> Schedule:
    """Read a definition. Raises :class:`InputError` that names the part that is wrong."""
    bare = text.strip()
    parts = [bare]
    if bare.startswith("["):
        try:
            parts = json.loads(bare)
        except (json.JSONDecodeError, RecursionError) as error:
            raise _wrong(text, "is not a JSON list") from error
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts) or len(parts) > _PATTERNS:
            raise _wrong(text, f"is not a list of at most {_PATTERNS} texts")
    return Schedule(bare, tuple(_pattern(part.strip()) for part in parts if part.strip()))


def _wrong(text: str, what: str) -> InputError:
    remedy = 'write it like 00:00-02:00@121 mon-fri, or ["@60", "! * sun"]'
    return InputError(f"schedule {text!r} {what}", remedy=remedy)


def _pattern(text: str) -> Pattern:
    exclude = text.startswith("!")
    words = text.removeprefix("!").split()
    if not 1 <= len(words) <= 4:
        raise _wrong(text, "has not one to four fields")
    ranges, days, weeks, months = [*words, "*", "*", "*"][:4]
    found = tuple(_range(part, text) for part in ranges.split(","))
    return Pattern(exclude, found, _days(days, text), _numbers(weeks, _week, 1, 53, text), _months(months, text))


def _range(part: str, text: str) -> TimeRange:
    spread, bare = part.startswith("~"), part.removeprefix("~")
    clock, at, every = bare.partition("@")
    begin, end, whole = 0, 0, clock in ("", "*")
    if not whole:
        first, dash, last = clock.partition("-")
        begin = _clock(first, text)
        end = _clock(last, text) if dash else 0
    if at:
        try:
            interval = duration_s(every)
        except InputError as error:
            raise _wrong(text, f"has the interval {every!r}") from error
        length = (end - begin) % _DAY_S or _DAY_S
        once = not whole and interval > length
        return TimeRange(begin, end, interval or _NEVER_S, once, spread)
    return TimeRange(begin, end, 0.0, not whole, spread)


def _clock(text: str, whole: str) -> int:
    found = _CLOCK.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (99, 0, 0)
    if hours > 24 or minutes > 59 or seconds > 59 or (hours == 24 and (minutes or seconds)):
        raise _wrong(whole, f"has the time {text!r}")
    return (hours * 3600 + minutes * 60 + seconds) % _DAY_S


# --- days, weeks, months


def _any_of(tests: list[Test]) -> Test:
    return lambda moment: any(test(moment) for test in tests)


def _always(_moment: datetime) -> bool:
    return True


def _days(field: str, text: str) -> Test:
    return _any_of([_day(part, text) for part in field.split(",")])


def _day(part: str, text: str) -> Test:
    name, colon, filtered = part.partition(":")
    weekday = _always if name == "*" else _weekdays(name, text)
    if not colon:
        return weekday
    if filtered.startswith("%"):
        month_day = _modulo(filtered, lambda moment: moment.day, text)
        return lambda moment: weekday(moment) and month_day(moment)
    nth = _nth(filtered, text)
    single = name != "*" and "-" not in name
    return lambda moment: weekday(moment) and _is_nth(moment, nth, single)


def _weekdays(name: str, text: str) -> Test:
    first, dash, last = name.partition("-")
    low = _weekday(first, text)
    high = _weekday(last, text) if dash else low
    return lambda moment: (moment.weekday() - low) % 7 <= (high - low) % 7


def _weekday(name: str, text: str) -> int:
    short = _LONG.get(name.lower(), name.lower())
    if short in _WEEKDAYS:
        return _WEEKDAYS.index(short)
    if short.isdigit() and len(short) == 1 and int(short) <= 7:
        return (int(short) - 1) % 7  # 1 is Monday; 0 and 7 are Sunday
    raise _wrong(text, f"has the day {name!r}")


def _nth(word: str, text: str) -> int:
    if word in _NTH:
        return _NTH[word]
    bare = word.removeprefix("+")
    number = bare.removeprefix("-")
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:3]) <= 31):
        raise _wrong(text, f"has the day of the month {word!r}")
    return int(bare)


def _is_nth(moment: datetime, nth: int, of_weekday: bool) -> bool:
    """Whether a day is the nth of its month, or the nth such weekday of it; counted from the end below 0."""
    days = calendar.monthrange(moment.year, moment.month)[1]
    from_end = days - moment.day
    place = (moment.day - 1, from_end) if not of_weekday else ((moment.day - 1) // 7, from_end // 7)
    return place[0] == nth - 1 if nth > 0 else place[1] == -nth - 1


def _modulo(field: str, number: Callable[[datetime], int], text: str) -> Test:
    found = re.fullmatch(r"%(\d{1,3})(?:\+(\d{1,3}))?", field)
    if found is None or int(found[1]) == 0:
        raise _wrong(text, f"has {field!r}")
    modulo, shift = int(found[1]), int(found[2] or 0)
    return lambda moment: number(moment) % modulo == shift % modulo


def _week(moment: datetime) -> int:
    return moment.isocalendar().week


def _numbers(field: str, number: Callable[[datetime], int], low: int, high: int, text: str) -> Test:
    tests: list[Test] = []
    for part in field.split(","):
        if part == "*":
            tests.append(_always)
        elif part.startswith("%"):
            tests.append(_modulo(part, number, text))
        else:
            first, dash, last = part.partition("-")
            bounds = [first, last] if dash else [first, first]
            if not all(each.isascii() and each.isdigit() and low <= int(each[:4]) <= high for each in bounds):
                raise _wrong(text, f"has {part!r}")
            tests.append(_between(number, int(bounds[0]), int(bounds[1]), low, high))
    return _any_of(tests)


def _between(number: Callable[[datetime], int], first: int, last: int, low: int, high: int) -> Test:
    size = high - low + 1
    return lambda moment: (number(moment) - first) % size <= (last - first) % size


def _months(field: str, text: str) -> Test:
    named = re.sub(r"[a-zA-Z]+", lambda found: _month(found[0], text), field)
    return _numbers(named, lambda moment: moment.month, 1, 12, text)


def _month(name: str, text: str) -> str:
    short = _LONG.get(name.lower(), name.lower())
    if short not in _MONTHS:
        raise _wrong(text, f"has the month {name!r}")
    return str(_MONTHS.index(short) + 1)
