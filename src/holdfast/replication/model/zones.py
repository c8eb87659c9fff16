"""Dates as dscli prints them, ``Thu Sep 18 23:04:04 CEST 2014``, read in whatever zone the array's clock is set to.

A zone's short name says its offset from UTC, but there is no list of such names that is free of doubles. The table
holds the names that administrators meet, ambiguous ones with their widest meaning; names that the caller's own system
uses come first. It is the one place to correct.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

ZONES_MINUTES: Mapping[str, int] = {
    "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 60, "BST": 60, "IST": 330, "CET": 60, "CEST": 120, "MET": 60,
    "MEST": 120, "MEZ": 60, "MESZ": 120, "EET": 120, "EEST": 180, "MSK": 180, "MSD": 240, "SAST": 120, "WAT": 60,
    "CAT": 120, "EAT": 180, "GST": 240, "PKT": 300, "NPT": 345, "BDT": 360, "ICT": 420, "WIB": 420, "WITA": 480,
    "WIT": 540, "SGT": 480, "MYT": 480, "HKT": 480, "PHT": 480, "AWST": 480, "JST": 540, "KST": 540, "ACST": 570,
    "ACDT": 630, "AEST": 600, "AEDT": 660, "NZST": 720, "NZDT": 780, "NST": -210, "NDT": -150, "AST": -240,
    "ADT": -180, "EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480,
    "PDT": -420, "AKST": -540, "AKDT": -480, "HST": -600, "BRT": -180, "BRST": -120, "ART": -180, "CLT": -240,
    "CLST": -180, "COT": -300, "PET": -300, "VET": -240, "IDT": 180, "TRT": 180, "AZT": 240, "UZT": 300, "ALMT": 360,
}  # fmt: skip
"""Short name of a zone → minutes east of UTC."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(r"(?:[A-Z][a-z]{2} )?([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\S+) (\d{4})")
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?")


def epoch_of(text: str, own_zones: Mapping[str, int]) -> float | None:
    """Return seconds since the epoch; None for what is no such date or names a zone that nobody knows.

    ``own_zones`` are the caller's zone names with their minutes east of UTC.
    """
    found = _DATE.fullmatch(text.strip())
    if found is None or found[1] not in _MONTHS:
        return None
    minutes = _minutes(found[6], own_zones)
    if minutes is None:
        return None
    month, clock = _MONTHS.index(found[1]) + 1, (int(found[3]), int(found[4]), min(int(found[5]), 59))
    try:
        local = datetime(int(found[7]), month, int(found[2]), *clock, tzinfo=UTC)
        return (local - timedelta(minutes=minutes)).timestamp()
    except (ValueError, OverflowError):
        return None


def _minutes(zone: str, own_zones: Mapping[str, int]) -> int | None:
    if zone in own_zones:
        return own_zones[zone]
    if zone in ZONES_MINUTES:
        return ZONES_MINUTES[zone]
    found = _OFFSET.fullmatch(zone)
    if found is None:
        return None
    size = int(found[2]) * 60 + int(found[3] or 0)
    return -size if found[1] == "-" else size
