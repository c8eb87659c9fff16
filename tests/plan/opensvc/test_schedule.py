"""When something is due: the language of service files, by examples and by what holds of any moment."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.dialects.opensvc.schedule import parse_schedule
from holdfast.kernel.errors import InputError

FRIDAY = "2015-02-27 10:00"  # the last Friday of February, in week 9


def at(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("definition", "moment", "due"),
    [
        ("", FRIDAY, False),
        ("@0", FRIDAY, False),
        ("*@0", FRIDAY, False),
        ("*", FRIDAY, True),
        ("*@61", FRIDAY, True),
        ("09:00", FRIDAY, True),
        ("10:01", FRIDAY, False),
        ("09:00-10:00", FRIDAY, False),
        ("09:00-10:20", FRIDAY, True),
        ("09:00-09:20,10:00-10:20", FRIDAY, True),
        ("22:00-02:00", "2015-02-28 01:59", True),
        ("22:00-02:00 fri", "2015-02-28 01:59", True),
        ("22:00-02:00 sat", "2015-02-28 01:59", False),
        ("* mon-fri", FRIDAY, True),
        ("* sat-mon", FRIDAY, False),
        ("* fri-mon", FRIDAY, True),
        ("* friday", FRIDAY, True),
        ("* 5", FRIDAY, True),
        ("* 0", "2015-03-01 10:00", True),
        ("* fri:last", FRIDAY, True),
        ("* fri:-1", FRIDAY, True),
        ("* fri:fourth", FRIDAY, True),
        ("* fri:first", FRIDAY, False),
        ("* *:last", FRIDAY, False),
        ("* *:-2", FRIDAY, True),
        ("* *:27", FRIDAY, True),
        ("* *:%2+1", FRIDAY, True),
        ("* *:%2", FRIDAY, False),
        ("* * 9", FRIDAY, True),
        ("* * 1-8", FRIDAY, False),
        ("* * %2+1", FRIDAY, True),
        ("* * * jan-feb", FRIDAY, True),
        ("* * * mar-jan", FRIDAY, False),
        ("* * * november-february", FRIDAY, True),
        ("* * * %2", FRIDAY, True),
        ("* * * 2", FRIDAY, True),
        ('["00:00-01:00", "* fri"]', FRIDAY, True),
        ('["*", "! * fri"]', FRIDAY, False),
        ('["! * wed", "*@1"]', FRIDAY, True),
        ('["*", "! 09:00-11:00"]', FRIDAY, False),
    ],
)
def test_what_never_ran_is_due_when_the_schedule_allows_it(definition: str, moment: str, due: bool) -> None:
    reason = parse_schedule(definition).due(at(moment), None)
    assert (reason == "") is due, reason


@pytest.mark.parametrize(
    ("definition", "last", "due"),
    [
        ("@60", "2015-02-27 09:00", True),
        ("@60", "2015-02-27 09:01", False),
        ("@1h", "2015-02-27 09:01", False),
        ("*", "2015-02-27 09:59", True),
        ("09:00-11:00", "2015-02-27 09:30", False),
        ("09:00-11:00", "2015-02-26 10:59", True),
        ("09:00-11:00@121", "2015-02-27 09:00", False),
        ("09:00-11:00@121", "2015-02-26 10:59", True),
        ("09:00-11:00@30", "2015-02-27 09:30", True),
        ("09:00-11:00@30", "2015-02-27 09:31", False),
    ],
)
def test_what_ran_is_due_again_after_its_interval_or_once_in_each_range(definition: str, last: str, due: bool) -> None:
    assert (parse_schedule(definition).due(at(FRIDAY), at(last)) == "") is due


@given(st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1)), st.integers(1, 500))
def test_a_nightly_job_that_is_looked_at_every_minute_runs_once_a_night(day: datetime, job: int) -> None:
    schedule = parse_schedule("~00:00-02:00@121")
    midnight, runs = day.replace(hour=0, minute=0, second=0, microsecond=0), list[datetime]()
    for minute in range(3 * 60):
        moment = midnight + timedelta(minutes=minute)
        if not schedule.due(moment, runs[-1] if runs else None, f"job {job}"):
            runs.append(moment)
    assert len(runs) == 1
    assert runs[0] < midnight + timedelta(hours=2)


@pytest.mark.parametrize(
    "definition",
    ["25:00-26:00", "* funday", "* * 54", "* * * 13", "@soon", "* * * * *", "[1]", "[", "* fri:32", "* *:%0", "12:60"],
)
def test_what_is_no_schedule_is_refused_with_an_example(definition: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_schedule(definition)
    assert "write it like" in caught.value.remedy


@given(st.text(alphabet='0123456789:-@~%+!*,[]" abdefijlmnorstuw', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(parse_schedule(text).due(at(FRIDAY), at(FRIDAY), "job"), str)
