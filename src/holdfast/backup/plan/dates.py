"""Dates and times as administrators write them: ``12/31/2026``, ``TODAY-5``, ``-1``, ``NOW-01:30``, ``+02:00``.

The forms are those of the administrative language (sections 7 and 8); ``2026-12-31`` is taken as well. ``now`` is an
argument. Raises ``InputError`` that says what would be understood.
"""

from __future__ import annotations

import datetime
import re

from holdfast.kernel.errors import InputError

_RELATIVE_DAY = re.compile(r"(?:TODAY)?(?:([+-])(\d{1,5}))?", re.IGNORECASE)
_RELATIVE_TIME = re.compile(r"(?:NOW)?(?:([+-])(\d{1,3}):(\d{2}))?", re.IGNORECASE)
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})")
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_DATE_REMEDY = "write MM/DD/YYYY, YYYY-MM-DD, TODAY, TODAY-n or -n"
_TIME_REMEDY = "write HH:MM, HH:MM:SS, NOW, NOW-HH:MM or -HH:MM"


def read_date(text: str, now: datetime.datetime) -> datetime.date:
    """Return the day that ``text`` names."""
    try:
        if text and (found := _RELATIVE_DAY.fullmatch(text)):
            days = int(found[2] or 0)
            return now.date() + datetime.timedelta(days=-days if found[1] == "-" else days)
        if found := _AMERICAN.fullmatch(text):
            year = int(found[3]) + (2000 if len(found[3]) == 2 else 0)
            return datetime.date(year, int(found[1]), int(found[2]))
        if found := _ISO.fullmatch(text):
            return datetime.date(int(found[1]), int(found[2]), int(found[3]))
    except (ValueError, OverflowError) as error:
        raise InputError(f"ANR2165E Invalid date - {text}: {error}", remedy=_DATE_REMEDY) from error
    raise InputError(f"ANR2165E Invalid date - {text}", remedy=_DATE_REMEDY)


def moment(date: str, time: str, now: datetime.datetime, default: datetime.datetime) -> datetime.datetime:
    """Return the moment that a date and a time name; what is empty is taken from ``default``.

    ``NOW-01:30`` counts from this time of the named day and may cross midnight.
    """
    day = read_date(date, now) if date else default.date()
    if not time:
        return datetime.datetime.combine(day, default.time())
    if found := _RELATIVE_TIME.fullmatch(time):
        shift = datetime.timedelta(hours=int(found[2] or 0), minutes=int(found[3] or 0))
        base = datetime.datetime.combine(day, now.time())
        return base - shift if found[1] == "-" else base + shift
    if found := _CLOCK.fullmatch(time):
        hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
        if hour < 24 and minute < 60 and second < 60:
            return datetime.datetime.combine(day, datetime.time(hour, minute, second))
    raise InputError(f"ANR2166E Invalid time - {time}", remedy=_TIME_REMEDY)
