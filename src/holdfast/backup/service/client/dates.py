"""Dates and times as the client's options write them and as its output shows them (DATEFORMAT 1 to 5, TIMEFORMAT 1).

What is read is told apart by its shape, so the option file's DATEFORMAT never changes what a command line means:
``11/20/2026`` is month first, ``20-11-2026`` and ``20.11.2026`` day first, and
``2026-11-20`` and ``2026.11.20`` year first.
"""

from __future__ import annotations

import datetime
import re

from holdfast.kernel.errors import InputError

FORMATS = {"1": "%m/%d/%Y", "2": "%d-%m-%Y", "3": "%Y-%m-%d", "4": "%d.%m.%Y", "5": "%Y.%m.%d"}
"""DATEFORMAT → layout; 1 is the default."""
_SHAPES = (
    (re.compile(r"\d{1,2}/\d{1,2}/\d{4}"), "%m/%d/%Y"),
    (re.compile(r"\d{1,2}-\d{1,2}-\d{4}"), "%d-%m-%Y"),
    (re.compile(r"\d{4}-\d{1,2}-\d{1,2}"), "%Y-%m-%d"),
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}"), "%d.%m.%Y"),
    (re.compile(r"\d{4}\.\d{1,2}\.\d{1,2}"), "%Y.%m.%d"),
)
_END_OF_DAY = "23:59:59.999999"


def moment(date: str, time: str, *, late: bool = True) -> int | None:
    """Return nanoseconds for a date and a time of day; None without either.

    Without a date it is today; without a time the end of the day, or with ``late`` False its beginning. A date may also
    be ISO with time and offset. Raises ``InputError``.
    """
    if not date and not time:
        return None
    if "T" in date:
        return _nanoseconds(date, date, time)
    day = _day(date) if date else datetime.date.today()
    default = _END_OF_DAY if late else "00:00:00"
    return _nanoseconds(f"{day.isoformat()}T{_padded(time) or default}", date, time)


def _day(date: str) -> datetime.date:
    for shape, layout in _SHAPES:
        if shape.fullmatch(date):
            try:
                return datetime.datetime.strptime(date, layout).date()
            except ValueError:
                break
    raise InputError(f"ANS1024E Invalid date '{date}'", remedy="write 2026-11-20 or 11/20/2026")


def _padded(time: str) -> str:
    return "0" + time if re.match(r"\d:", time) else time


def _nanoseconds(text: str, date: str, time: str) -> int:
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        remedy = "write 2026-11-20 and 13:45:10.250"
        raise InputError(f"ANS1024E {date} {time} is no point in time", remedy=remedy) from error
    whole = int(found.replace(microsecond=0).timestamp())
    return whole * 1_000_000_000 + found.microsecond * 1_000 + 999


def stamp(at_ns: int, dateformat: str = "1") -> str:
    """Return a time in the layout of DATEFORMAT; ``-`` for never."""
    if not at_ns:
        return "-"
    layout = FORMATS.get(dateformat, FORMATS["1"])
    return datetime.datetime.fromtimestamp(at_ns / 1e9).strftime(f"{layout} %H:%M:%S")
