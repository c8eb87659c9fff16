"""The functions that statements and views of SELECT use (``hf_...``), in Python for databases that call it.

Times are texts in the server's wall clock, ``2026-11-27 22:00:00.000000``: they compare as texts. What cannot be
computed is NULL, as it is for any SQL function of a missing value.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

_NS = 1_000_000_000
_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_FORMAT = "%Y-%m-%d %H:%M:%S.%f"


def stamp(at_ns: Any) -> str | None:
    """Return a time in nanoseconds as text; NULL for none."""
    if not isinstance(at_ns, int) or at_ns <= 0:
        return None
    return datetime.datetime.fromtimestamp(at_ns / _NS).strftime(_FORMAT)


def _read(text: Any) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(str(text).strip()) if text is not None else None
    except ValueError:
        return None


def _safe(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that answers NULL where ``function`` cannot."""

    def call(*values: Any) -> Any:
        try:
            return function(*values)
        except (ValueError, TypeError, OverflowError, AttributeError, IndexError):
            return None

    return call


def _shift(at: Any, amount: Any, unit: str) -> str | None:
    moment = _read(at)
    if moment is None:
        return None
    if unit in _SECONDS:
        return (moment + datetime.timedelta(seconds=float(amount) * _SECONDS[unit])).strftime(_FORMAT)
    months = moment.year * 12 + moment.month - 1 + int(amount) * (12 if unit == "year" else 1)
    for day in range(moment.day, 27, -1):
        try:
            return moment.replace(year=months // 12, month=months % 12 + 1, day=day).strftime(_FORMAT)
        except ValueError:
            continue
    return moment.replace(year=months // 12, month=months % 12 + 1).strftime(_FORMAT)


def _span(left: Any, right: Any, unit: str) -> int | None:
    begin, end = _read(right), _read(left)
    if begin is None or end is None:
        return None
    if unit in _SECONDS:
        return int((end - begin).total_seconds() / _SECONDS[unit])
    months = (end.year - begin.year) * 12 + end.month - begin.month
    return months // 12 if unit == "year" else months


def _decimal(value: Any, _precision: Any = 15, scale: Any = 0) -> float | int | None:
    if value is None:
        return None
    rounded = round(float(value), int(scale))
    return rounded if int(scale) else int(rounded)


def _part(name: str) -> Callable[[Any], int | None]:
    def part(at: Any) -> int | None:
        moment = _read(at)
        return getattr(moment, name) if moment is not None else None

    return part


def _directory(key: Any) -> str:
    parts = bytes(key).split(b"\0")[:-1]
    return "/" + "".join(f"{part.decode('utf-8', 'replace')}/" for part in parts)


def _name(key: Any) -> str:
    return bytes(key).split(b"\0")[-1].decode("utf-8", "replace")


def functions(now_ns: int) -> list[tuple[str, int, Callable[..., Any]]]:
    """Return (name, number of arguments or -1, function) of each; ``now_ns`` is what the clock shows."""
    now = datetime.datetime.fromtimestamp(now_ns / _NS)
    table: list[tuple[str, int, Callable[..., Any]]] = [
        ("hf_ts", 1, stamp),
        ("hf_now", 0, lambda: now.strftime(_FORMAT)),
        ("hf_today", 0, lambda: now.strftime("%Y-%m-%d")),
        ("hf_clock", 0, lambda: now.strftime("%H:%M:%S")),
        ("hf_shift", 3, _shift),
        ("hf_span", 3, _span),
        ("hf_decimal", -1, _decimal),
        ("hf_integer", 1, lambda value: None if value is None else int(float(value))),
        ("hf_float", 1, lambda value: None if value is None else float(value)),
        ("hf_char", -1, lambda value, *_: None if value is None else str(value)),
        ("hf_date", 1, lambda at: (_read(at) or now.fromisoformat("x")).strftime("%Y-%m-%d")),
        ("hf_time", 1, lambda at: (_read(at) or now.fromisoformat("x")).strftime("%H:%M:%S")),
        (
            "hf_timestamp",
            -1,
            lambda *parts: (_read(" ".join(map(str, parts))) or now.fromisoformat("x")).strftime(_FORMAT),
        ),
        ("hf_days", 1, lambda at: (_read(at) or now.fromisoformat("x")).toordinal()),
        ("hf_dayofweek", 1, lambda at: (_read(at) or now.fromisoformat("x")).isoweekday() % 7 + 1),
        ("hf_posstr", 2, lambda text, part: str(text).find(str(part)) + 1),
        ("hf_locate", 2, lambda part, text: str(text).find(str(part)) + 1),
        ("hf_left", 2, lambda text, count: str(text)[: max(int(count), 0)]),
        ("hf_right", 2, lambda text, count: str(text)[-int(count) :] if int(count) > 0 else ""),
        ("hf_hl", 1, _directory),
        ("hf_ll", 1, _name),
        *((f"hf_{name}", 1, _part(name)) for name in ("year", "month", "day", "hour", "minute", "second")),
    ]
    return [(name, count, _safe(function)) for name, count, function in table]
