"""The client's part in schedules: what is next, when it is tried again, what a code is worth, what a log keeps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from holdfast.backup.plan.clientschedule import (
    Conduct,
    Disposal,
    Retention,
    may_try_again,
    prune,
    result,
    upcoming,
    wait_ns,
)
from holdfast.kernel.errors import InputError

S = 1_000_000_000
HOUR = 3600 * S
NOW = 1_000 * HOUR


@dataclass(frozen=True)
class Row:
    name: str
    start_ns: int
    assigned_ns: int
    window_ns: int = 4 * HOUR
    status: str = ""


@dataclass(frozen=True)
class Word:
    schedmodes: str = "ANY"
    queryschedperiod_s: int | None = None
    maxcmdretries: int | None = None
    retryperiod_s: int | None = None


def test_the_next_turn_comes_first_and_what_was_interrupted_before_it() -> None:
    later = Row("later", NOW + HOUR, NOW + 2 * HOUR)
    sooner = Row("sooner", NOW - HOUR, NOW + HOUR)
    interrupted = Row("interrupted", NOW - 2 * HOUR, NOW - HOUR, status="Started")
    closed = Row("closed", NOW - 5 * HOUR, NOW - 4 * HOUR)
    assert upcoming([later, sooner], NOW) == sooner
    assert upcoming([later, sooner, interrupted], NOW) == interrupted
    assert upcoming([closed, later], NOW) == later
    assert upcoming([closed], NOW) is None


def test_an_event_waits_for_its_place_in_the_window_unless_it_was_interrupted() -> None:
    assert wait_ns(Row("a", NOW - HOUR, NOW + 5 * S), NOW) == 5 * S
    assert wait_ns(Row("a", NOW - HOUR, NOW - S), NOW) == 0
    assert wait_ns(Row("a", NOW - HOUR, NOW + 5 * S, status="Started"), NOW) == 0


def test_a_command_is_tried_again_within_its_window_and_not_for_ever() -> None:
    row = Row("a", NOW - HOUR, NOW)
    conduct = Conduct(retries=2, retry_s=1200)
    assert may_try_again(row, NOW, 1, conduct)
    assert may_try_again(row, NOW, 2, conduct)
    assert not may_try_again(row, NOW, 3, conduct)
    assert not may_try_again(row, NOW + 3 * HOUR - 1200 * S, 1, conduct)


@pytest.mark.parametrize(
    ("action", "code", "status"),
    [
        ("INCREMENTAL", 0, "Completed"),
        ("INCREMENTAL", 4, "Completed"),
        ("INCREMENTAL", 8, "Completed"),
        ("INCREMENTAL", 12, "Failed"),
        ("COMMAND", 0, "Completed"),
        ("COMMAND", 4, "Failed"),
    ],
)
def test_what_a_return_code_makes_of_an_event(action: str, code: int, status: str) -> None:
    assert result(action, code) == status


def test_the_server_overrules_the_client() -> None:
    mine = Conduct.of({"SCHEDMODE": "PRompted", "QUERYSCHEDPERIOD": "2", "RETRYPERIOD": "5", "MAXCMDRETRIES": "9"})
    assert mine == Conduct("PROMPTED", 7200, 9, 300)
    assert mine.under(Word()) == mine
    assert mine.under(Word("POLLING", 60, 0, 30)) == Conduct("POLLING", 60, 0, 30)


@pytest.mark.parametrize(
    "options", [{"SCHEDMODE": "sometimes"}, {"QUERYSCHEDPERIOD": "0"}, {"MAXCMDRETRIES": "x"}, {"RETRYPERIOD": "-1"}]
)
def test_options_that_cannot_be_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        Conduct.of(options)


@pytest.mark.parametrize(
    ("text", "retention"),
    [
        ("N", Retention()),
        ("14,D", Retention(14)),
        ("14, s", Retention(14, Disposal.SAVE)),
        ("7 S", Retention(7, Disposal.SAVE)),
        ("7", Retention(7)),
    ],
)
def test_retention_as_option_files_write_it(text: str, retention: Retention) -> None:
    assert Retention.of(text) == retention


@pytest.mark.parametrize("text", ["D", "7,X", "7 D S", "-1"])
def test_a_retention_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="SCHEDLOGRETENTION"):
        Retention.of(text)


def test_records_go_by_their_date_and_lines_without_one_go_along() -> None:
    lines = ["1 old", "  goes on", "5 new", "  stays", "2 late entry"]
    kept, gone = prune(lines, lambda line: float(line[0]) if line[0].isdigit() else None, 3.0)
    assert kept == ["5 new", "  stays"]
    assert gone == ["1 old", "  goes on", "2 late entry"]
