"""When schedules run, by example: the windows of a timing, the turn of a node, what counts as missed."""

from __future__ import annotations

import datetime
import itertools
import random

import pytest

from holdfast.backup.model.schedules import EventStatus, Recorded, Timing, Window
from holdfast.backup.plan.dates import moment, read_date
from holdfast.backup.plan.schedules import missed, next_window, open_window, spread, starts, status, turn, windows
from holdfast.kernel.errors import InputError

HOUR = datetime.timedelta(hours=1)
WEEKDAYS, SATURDAY, SUNDAY = frozenset(range(5)), frozenset({5}), frozenset({6})


def at(text: str) -> datetime.datetime:
    """``11-27 01:00`` of 2026, a Friday."""
    return datetime.datetime.fromisoformat(f"2026-{text}" if len(text) < 12 else text)


def first(timing: Timing, since: str, count: int = 3) -> list[str]:
    return [start.strftime("%Y-%m-%d %H:%M") for start in itertools.islice(starts(timing, at(since)), count)]


@pytest.mark.parametrize(
    ("timing", "since", "expected"),
    [
        (Timing(at("11-01 01:00")), "11-27 00:00", ["2026-11-27 01:00", "2026-11-28 01:00", "2026-11-29 01:00"]),
        (Timing(at("11-01 01:00")), "11-27 01:00", ["2026-11-27 01:00", "2026-11-28 01:00", "2026-11-29 01:00"]),
        (Timing(at("11-01 01:00")), "11-27 01:01", ["2026-11-28 01:00", "2026-11-29 01:00", "2026-11-30 01:00"]),
        (Timing(at("12-01 01:00")), "11-27 00:00", ["2026-12-01 01:00", "2026-12-02 01:00", "2026-12-03 01:00"]),
        (
            Timing(at("11-27 00:30"), perunits="HOURS", period=8),
            "11-27 08:31",
            ["2026-11-27 16:30", "2026-11-28 00:30", "2026-11-28 08:30"],
        ),
        (Timing(at("11-27 01:00"), perunits="ONETIME"), "11-01 00:00", ["2026-11-27 01:00"]),
        (Timing(at("11-27 01:00"), perunits="ONETIME"), "11-28 00:00", []),
        # a day that the month does not have is its last day, and the next month has it again
        (
            Timing(at("10-31 01:00"), perunits="MONTHS"),
            "11-01 00:00",
            ["2026-11-30 01:00", "2026-12-31 01:00", "2027-01-31 01:00"],
        ),
        (
            Timing(at("2024-02-29 01:00"), perunits="YEARS"),
            "2025-01-01 00:00",
            ["2025-02-28 01:00", "2026-02-28 01:00", "2027-02-28 01:00"],
        ),
        # a start that falls on a day that does not fit moves on by whole days, and two never coincide
        (
            Timing(at("11-27 01:00"), days_of_week=WEEKDAYS),
            "11-27 00:00",
            ["2026-11-27 01:00", "2026-11-30 01:00", "2026-12-01 01:00"],
        ),
        (
            Timing(at("11-27 01:00"), perunits="WEEKS", days_of_week=SUNDAY),
            "11-27 00:00",
            ["2026-11-29 01:00", "2026-12-06 01:00", "2026-12-13 01:00"],
        ),
        (
            Timing(at("11-27 01:00"), last_day=datetime.date(2026, 11, 28)),
            "11-27 00:00",
            ["2026-11-27 01:00", "2026-11-28 01:00"],
        ),
    ],
)
def test_classic_schedules(timing: Timing, since: str, expected: list[str]) -> None:
    assert first(timing, since) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"days_of_month": frozenset({-1})}, ["2026-11-30 01:00", "2026-12-31 01:00", "2027-01-31 01:00"]),
        ({"days_of_month": frozenset({15, 31})}, ["2026-12-15 01:00", "2026-12-31 01:00", "2027-01-15 01:00"]),
        (
            {"weeks_of_month": frozenset({"LAST"}), "days_of_week": SATURDAY},
            ["2026-11-28 01:00", "2026-12-26 01:00", "2027-01-30 01:00"],
        ),
        (
            {"weeks_of_month": frozenset({"FIRST", "THIRD"}), "days_of_week": SUNDAY},
            ["2026-12-06 01:00", "2026-12-20 01:00", "2027-01-03 01:00"],
        ),
        (
            {"months": frozenset({3, 9}), "days_of_month": frozenset({1})},
            ["2027-03-01 01:00", "2027-09-01 01:00", "2028-03-01 01:00"],
        ),
        ({"months": frozenset({2}), "days_of_month": frozenset({29})}, ["2028-02-29 01:00", "2032-02-29 01:00"]),
        ({"months": frozenset({2}), "days_of_month": frozenset({30})}, []),
    ],
)
def test_enhanced_schedules(fields: dict[str, frozenset[int]], expected: list[str]) -> None:
    timing = Timing(at("11-01 01:00"), enhanced=True, **fields)  # type: ignore[arg-type]
    assert first(timing, "11-27 12:00", len(expected) or 1) == expected


def test_the_open_window_and_the_next() -> None:
    nightly = Timing(at("11-01 22:00"), 4 * HOUR)
    assert open_window(nightly, at("11-27 23:00")) == Window(at("11-27 22:00"), at("11-28 02:00"))
    assert open_window(nightly, at("11-28 01:59")) == Window(at("11-27 22:00"), at("11-28 02:00"))
    assert open_window(nightly, at("11-28 02:00")) is None, "the end does not belong to it"
    assert next_window(nightly, at("11-27 22:00")) == Window(at("11-28 22:00"), at("11-29 02:00"))
    assert open_window(nightly, at("10-31 23:00")) is None, "it has not begun"
    whole = Timing(at("11-01 22:00"), None)
    assert open_window(whole, at("11-27 10:00")) == Window(at("11-26 22:00"), at("11-27 22:00"))


def test_a_node_turns_to_the_next_window_only_when_the_open_one_is_settled() -> None:
    nightly, now = Timing(at("11-01 22:00"), 4 * HOUR), at("11-27 23:00")
    start, following = at("11-27 22:00"), at("11-28 22:00")

    def turned(*recorded: EventStatus) -> datetime.datetime:
        found = turn(nightly, now, dict.fromkeys([start], Recorded(recorded[0])) if recorded else {})
        assert found is not None
        return found.window.start

    assert turned() == start
    assert turned(EventStatus.STARTED) == start, "it was interrupted: after a failover it runs again"
    assert turned(EventStatus.RESTARTED) == start
    assert turned(EventStatus.COMPLETED) == following
    assert turned(EventStatus.FAILED) == following
    assert turn(Timing(at("11-01 22:00"), perunits="ONETIME"), now, {}) is None


def test_status_of_what_nobody_reported() -> None:
    window = Window(at("11-27 22:00"), at("11-28 02:00"))
    assert status(window, at("11-27 21:59"), None) is EventStatus.FUTURE
    assert status(window, at("11-27 22:00"), None) is EventStatus.PENDING
    assert status(window, at("11-28 02:00"), None) is EventStatus.MISSED
    assert status(window, at("11-28 02:00"), Recorded(EventStatus.STARTED)) is EventStatus.STARTED


def test_missed_is_what_closed_since_the_last_look_without_a_word() -> None:
    nightly = Timing(at("11-01 22:00"), 4 * HOUR)
    look = at("11-26 12:00")
    assert [w.start for w in missed(nightly, look, at("11-28 02:00"), {})] == [at("11-26 22:00"), at("11-27 22:00")]
    assert [w.start for w in missed(nightly, look, at("11-28 01:59"), {})] == [at("11-26 22:00")]
    assert missed(nightly, at("11-28 02:00"), at("11-28 12:00"), {}) == [], "it was found by the look before"
    started = {at("11-26 22:00"): Recorded(EventStatus.STARTED)}
    assert [w.start for w in missed(nightly, look, at("11-28 02:00"), started)] == [at("11-27 22:00")]


def test_consecutive_looks_find_each_missed_window_once(rng: random.Random) -> None:
    for _ in range(50):
        units = rng.choice(["HOURS", "DAYS", "WEEKS", "MONTHS"])
        timing = Timing(
            at("11-01 22:00"), rng.choice([HOUR / 60, HOUR, None]), rng.randint(1, 9), units,
            rng.choice([WEEKDAYS, SATURDAY, frozenset(range(7))]),
        )  # fmt: skip
        moments = sorted(at("11-01 00:00") + HOUR * rng.uniform(0, 5_000) for _ in range(20))
        found = [w for since, now in itertools.pairwise(moments) for w in missed(timing, since, now, {})]
        closed = [w for w in windows(timing, timing.start, moments[-1]) if moments[0] < w.end <= moments[-1]]
        assert found == closed


def test_starts_are_in_order_and_do_not_depend_on_where_the_look_begins(rng: random.Random) -> None:
    for _ in range(100):
        timing = Timing(
            at("11-01 22:00"), HOUR, rng.randint(1, 40), rng.choice(["HOURS", "DAYS", "WEEKS", "MONTHS", "YEARS"]),
            rng.choice([WEEKDAYS, SUNDAY, frozenset(range(7))]),
        )  # fmt: skip
        every = list(itertools.islice(starts(timing, timing.start), 60))
        assert every == sorted(set(every))
        since = rng.choice(every[:40])
        assert list(itertools.islice(starts(timing, since), 10)) == every[every.index(since) :][:10]


def test_the_random_start_stays_in_its_share_of_the_window_and_spreads() -> None:
    window = Window(at("11-27 22:00"), at("11-28 02:00"))
    drawn = [spread(window, 25, f"STANDARD/NIGHTLY/NODE{number}") for number in range(400)]
    assert drawn == [spread(window, 25, f"STANDARD/NIGHTLY/NODE{number}") for number in range(400)], "asked twice"
    assert min(drawn) >= window.start
    assert max(drawn) < window.start + HOUR
    quarters = [
        sum(window.start + HOUR * n / 4 <= d < window.start + HOUR * (n + 1) / 4 for d in drawn) for n in range(4)
    ]
    assert min(quarters) > 50, "the nodes of a schedule do not start together"
    assert spread(window, 0, "x") == window.start


NOW = at("2026-11-27 10:20:30")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", "2026-11-27"), ("TODAY-5", "2026-11-22"), ("-1", "2026-11-26"), ("+30", "2026-12-27"),
        ("12/31/2026", "2026-12-31"), ("1/2/27", "2027-01-02"), ("2026-02-03", "2026-02-03"),
    ],
)  # fmt: skip
def test_dates_as_administrators_write_them(text: str, expected: str) -> None:
    assert read_date(text, NOW).isoformat() == expected


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("", "", "2026-11-01T00:00:00"),
        ("", "21:00", "2026-11-01T21:00:00"),
        ("today", "now", "2026-11-27T10:20:30"),
        ("today", "now-01:30", "2026-11-27T08:50:30"),
        ("today", "+14:00", "2026-11-28T00:20:30"),
        ("-1", "", "2026-11-26T00:00:00"),
    ],
)
def test_moments(date: str, time: str, expected: str) -> None:
    assert moment(date, time, NOW, at("11-01 00:00")).isoformat() == expected


@pytest.mark.parametrize(
    ("date", "time"),
    [("13/31/2026", ""), ("02/30/2026", ""), ("yesterday", ""), ("", "24:00"), ("", "7"), ("", "later")],
)
def test_what_is_no_date_is_refused_with_a_remedy(date: str, time: str) -> None:
    with pytest.raises(InputError) as caught:
        moment(date, time, NOW, NOW)
    assert "write" in caught.value.remedy
