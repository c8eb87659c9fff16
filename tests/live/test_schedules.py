"""Schedules end to end: commands of administrators, what a node is told and reports, the server's own loop."""

from __future__ import annotations

import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab
from office import Office

from holdfast.backup.service.prompting import ACKNOWLEDGED, PROMPT_BYTES, read_prompt
from holdfast.backup.session import messages as m

NIGHTLY = """
register node vcsshare secret
register node other secret
define schedule standard nightly action=incremental starttime=22:00 startdate=11/20/2026 duration=4 -
  options="-subdir=yes"
define association standard nightly vcs*
"""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path / "server")
    office.macro(NIGHTLY)
    office.manager.round()
    yield office
    office.close()


def events(office: Office, options: str = "begind=-5 endd=+5") -> list[tuple[str, str]]:
    """(day of the window, status)."""
    return [(row[0][:5], row[-1]) for row in office.run(f"q event standard nightly {options}").rows]


def test_a_node_is_told_its_next_window_and_the_event_follows_its_reports(office: Office) -> None:
    (row,) = office.asks().rows
    assert (row.name, row.action, row.options, row.status) == ("NIGHTLY", "INCREMENTAL", "-subdir=yes", "")
    assert row.window_ns == 4 * 3600 * 10**9
    assert 0 <= row.assigned_ns - row.start_ns < 3600 * 10**9, "the start is spread over a quarter of the window"
    assert events(office, "begind=today endd=+1") == [("11/27", "Future"), ("11/28", "Future")]
    office.clock("11-27 22:30")
    assert events(office, "begind=today") == [("11/27", "Pending")]
    (row,) = office.asks().rows
    assert isinstance(office.reports(row, "Started"), m.Done)
    assert events(office, "begind=today") == [("11/27", "Started")]
    # the system dies; its successor asks and runs it again
    (again,) = office.asks().rows
    assert (again.start_ns, again.status) == (row.start_ns, "Started")
    office.reports(again, "Restarted")
    office.clock("11-28 03:00")
    assert events(office, "begind=-1 endd=-1") == [("11/27", "Restarted")], "it may end after its window"
    office.reports(again, "Completed")
    (following,) = office.asks().rows
    assert following.start_ns - row.start_ns == 86_400 * 10**9
    shown = office.run("q event standard nightly begind=-1 endd=-1 f=d").rows[0]
    assert shown[6:8] == ("Completed", "0")
    assert any("ANR2507I" in line for line in office.log("NIGHTLY"))
    assert office.asks("OTHER").rows == ()


def test_what_nobody_started_is_missed_also_while_the_server_was_down(office: Office) -> None:
    office.clock("11-28 02:00")
    assert [line for line in office.log() if line.startswith("ANR2578W")] == [
        "ANR2578W Schedule NIGHTLY in domain STANDARD for node VCSSHARE has missed its scheduled start up window."
    ]
    office.close()
    office.open()
    office.clock("12-01 12:00")
    assert events(office) == [(f"11/{day}", "Missed") for day in (27, 28, 29, 30)] + [
        (f"12/0{day}", "Future") for day in range(1, 7)
    ]
    assert len([line for line in office.log() if line.startswith("ANR2578W")]) == 4
    assert len(events(office, "begind=-5 endd=+5 ex=yes")) == 4


def test_an_idle_server_writes_nothing_about_its_schedules(office: Office) -> None:
    office.clock("11-27 12:10")
    with sqlite3.connect(office.directory / "catalog.db") as watcher:
        version = watcher.execute("PRAGMA data_version").fetchone()
        for minute in range(11, 50):
            office.clock(f"11-27 12:{minute}")
        assert watcher.execute("PRAGMA data_version").fetchone() == version
        office.clock("11-28 02:00")
        assert watcher.execute("PRAGMA data_version").fetchone() != version


def test_a_failed_event_is_an_exception_and_names_its_code(office: Office) -> None:
    office.clock("11-27 22:30")
    (row,) = office.asks().rows
    office.reports(row, "Started")
    office.reports(row, "Failed", 12)
    assert events(office, "begind=today ex=yes") == [("11/27", "Failed")]
    assert any("ANR2579E" in line and "return code 12" in line for line in office.log("NIGHTLY"))
    assert office.asks().rows[0].start_ns > row.start_ns, "a failed event is not run again"


def test_a_node_reports_only_on_windows_of_its_own(office: Office) -> None:
    office.clock("11-27 22:30")
    (row,) = office.asks().rows
    assert isinstance(office.reports(row, "Started", node="OTHER"), m.Failed)
    assert isinstance(office.reports(row, "Missed"), m.Failed)
    moved = m.ScheduleRow("NIGHTLY", "", "", "", row.start_ns + 1, 0, 5, 25, 0, "")
    assert isinstance(office.reports(moved, "Completed"), m.Failed)
    assert events(office, "begind=today") == [("11/27", "Pending")]


def test_the_servers_word_on_modes_and_periods(office: Office) -> None:
    told = office.asks()
    assert (told.schedmodes, told.queryschedperiod_s, told.maxcmdretries, told.retryperiod_s) == (
        "ANY",
        None,
        None,
        None,
    )
    office.macro("set schedmodes po\nset queryschedp 2\nset maxcmdr 0\nset retryp 5\nset random 0")
    told = office.asks()
    assert (told.schedmodes, told.queryschedperiod_s, told.maxcmdretries, told.retryperiod_s) == (
        "POLLING",
        7200,
        0,
        300,
    )
    assert told.rows[0].assigned_ns == told.rows[0].start_ns
    office.run("set maxcmdretries client")
    assert office.asks().maxcmdretries is None
    office.run("set randomize 51", code=3)


@pytest.mark.parametrize(
    ("text", "code", "complaint"),
    [
        ("def sch standard nightly", 10, "already defined"),
        ("def sch nowhere x", 11, "NOWHERE"),
        ("def sch standard x duration=2 durunits=days", 3, "longer than the period"),
        ("def sch standard x action=command", 3, "OBJECTS"),
        ("def sch standard x startt=25:00", 3, "25:00"),
        ("def sch standard x priority=11", 3, "PRIORITY"),
        ("def sch standard x month=march", 3, "MONTH"),
        ("def sch standard x scheds=enh period=2", 3, "PERIOD"),
        ("def sch standard x scheds=enh dayofm=1 dayofw=monday", 3, "DAYOFMONTH"),
        ("def sch standard x cmd='q stg'", 3, "CMD"),
        ("def sch x type=admin", 3, "CMD"),
        ("def sch x type=admin cmd='frobnicate all'", 3, "ANR2000E"),
        ("def assoc standard nowhere vcsshare", 11, "NOWHERE"),
        ("def assoc standard nightly vcsshare", 10, "already"),
        ("def assoc standard nightly nobody", 11, "nobody"),
        ("upd sch standard nowhere", 11, "NOWHERE"),
        ("del sch standard nowhere", 11, "NOWHERE"),
        ("q sched standard nowhere", 11, "ANR2034E"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(office: Office, text: str, code: int, complaint: str) -> None:
    before = office.run("q sched f=d").rows
    assert complaint in " ".join(office.run(text, code=code).messages)
    assert office.run("q sched f=d").rows == before


def test_update_keeps_what_is_not_named_and_delete_takes_everything_along(office: Office) -> None:
    office.run("upd sch standard nightly startt=23:30 dayofw=weekday,sunday")
    (row,) = office.run("q sched standard night*").rows
    assert row == ("STANDARD", "NIGHTLY", "Inc Bk", "11/20/2026 23:30:00", "4 H", "1 D", "Wee,Sun")
    assert office.run("q sched standard nightly f=d").rows[0][4] == "-subdir=yes"
    assert office.run("q assoc").rows == [("STANDARD", "NIGHTLY", "VCSSHARE")]
    office.run("del sch standard nightly")
    office.run("q assoc", code=11)
    assert office.asks().rows == ()


def test_an_action_is_offered_once_to_its_nodes_and_then_forgotten(office: Office) -> None:
    office.run("define clientaction vcs* action=command objects='sync' domain=standard")
    (action, nightly) = office.asks().rows
    assert (action.name, action.action, action.objects, nightly.name) == ("@1", "COMMAND", "sync", "NIGHTLY")
    assert office.asks("OTHER").rows == ()
    office.reports(action, "Started")
    office.reports(action, "Completed")
    assert [row.name for row in office.asks().rows] == ["NIGHTLY"]
    office.run("define clientaction nobody", code=11)
    office.run("define clientaction vcs* action=macro", code=3)
    office.clock("12-02 11:00")
    assert office.run("q sched standard @1").rows
    office.clock("12-31 11:00")
    office.run("q sched standard @1", code=11)
    office.macro("define clientaction vcs*\ndelete schedule standard @*")
    office.run("q sched standard @*", code=11)
    office.run("delete schedule standard", code=11)


def test_a_schedule_is_copied_to_another_domain(office: Office) -> None:
    office.macro("copy domain standard delhi\ncopy schedule standard nightly delhi")
    office.run("copy sched standard nightly delhi weekly")
    assert [row[1] for row in office.run("q sched delhi").rows] == ["NIGHTLY", "WEEKLY"]
    office.run("copy schedule standard nightly delhi", code=10)
    office.run("copy schedule standard nowhere delhi", code=11)


def until_logged(office: Office, id: str) -> None:
    """Wait until a message stands in the activity log."""
    for _ in range(500):
        if any(line.startswith(id) for line in office.log()):
            return
        time.sleep(0.02)
    pytest.fail(f"{id} is not in the log")


def test_administrative_schedules_run_at_the_server_and_leave_events(office: Office) -> None:
    office.run("def sch books type=admin cmd='define domain kept' active=yes startt=13:00 perunits=hours")
    assert office.run("q sched type=admin").rows[0][0] == "BOOKS"
    office.clock("11-27 12:59")
    office.run("q domain kept", code=11)
    office.clock("11-27 13:00")
    until_logged(office, "ANR2751I")
    office.run("q domain kept")
    office.clock("11-27 13:30")
    assert len([line for line in office.log() if line.startswith("ANR2750I")]) == 1, "once in a window"
    office.clock("11-27 14:00")
    until_logged(office, "ANR2752E")
    failed = [row for row in office.run("q event books type=admin f=d").rows if row[4] == "Failed"]
    assert len(failed) == 1
    assert "already defined" in failed[0][6]
    office.run("upd sch books type=admin active=no")
    office.clock("11-27 15:00")
    assert not any(row[0].endswith("15:00:00") for row in office.run("q event books type=admin").rows)


def test_a_command_cut_short_runs_again_in_its_window_and_is_uncertain_after_it(office: Office) -> None:
    office.run("def sch books type=admin cmd='define domain kept' active=yes startt=13:00 duration=1")
    office.now = office.now.replace(hour=13)
    assert office.manager.claim("BOOKS", office.core.now_ns() // 10**9 * 10**9, office.core.now_ns())
    office.close()  # the process ends before the command did
    office.open()
    office.now = office.now.replace(minute=30)
    office.manager.start()
    until_logged(office, "ANR2751I")
    office.manager.stop()
    office.run("q domain kept")
    office.now = office.now.replace(day=28, minute=0)
    assert office.manager.claim("BOOKS", office.core.now_ns() // 10**9 * 10**9, office.core.now_ns())
    office.close()
    office.open()
    office.now = office.now.replace(hour=20)
    office.manager.start()
    office.manager.stop()
    assert [row[-1] for row in office.run("q event books type=admin begind=today").rows] == ["Uncertain"]


def test_events_and_the_activity_log_are_kept_as_long_as_was_set(office: Office) -> None:
    office.clock("11-28 02:00")
    office.macro("set eventretention 2\nset actlogretention 3")
    office.clock("11-28 12:00")
    assert ("11/27", "Missed") in events(office)
    office.clock("12-01 12:00")
    office.run("q event standard nightly begind=-5 endd=-3", code=11)
    assert events(office, "begind=-1 endd=-1") == [("11/30", "Missed")]
    assert not any("ANR2578W" in line and "11/27" in line for line in office.log())
    assert not any("ANR2060I" in line for line in office.log()), "older than three days"


def test_a_node_in_prompted_mode_is_called_when_its_time_comes(office: Office) -> None:
    office.run("set randomize 0")
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(10)
        office.asks(address=f"127.0.0.1:{door.getsockname()[1]}")
        heard: list[tuple[str, str] | None] = []

        def listen() -> None:
            connection, _ = door.accept()
            with connection:
                heard.append(read_prompt(connection.recv(PROMPT_BYTES)))
                connection.sendall(ACKNOWLEDGED)

        thread = threading.Thread(target=listen)
        thread.start()
        office.clock("11-27 21:59")
        office.clock("11-27 22:00")
        thread.join(10)
        assert heard == [("DELHI", "VCSSHARE")]
        office.clock("11-27 22:01")
        (row,) = office.asks(address=f"127.0.0.1:{door.getsockname()[1]}").rows
        office.reports(row, "Started")
        office.clock("11-27 23:00")
        door.settimeout(0.2)
        with pytest.raises(TimeoutError):
            door.accept()
    office.clock("11-28 22:00")
    until_logged(office, "ANR2716E")


def test_schedules_over_a_real_session(tmp_path: Path) -> None:
    lab = backup_lab.Lab(tmp_path)
    server = lab.server("DELHI")
    try:
        server.run("register node", name="VCSSHARE", password="secret")
        assert server.run("define schedule", domain="STANDARD", schedule="NOW", startdate="-1", duration="12").code == 0
        assert server.run("define association", domain="STANDARD", schedule="NOW", nodes="VCSSHARE").code == 0
        with lab.session("DELHI", "VCSSHARE") as session:
            told = session.call(m.QuerySchedules)
            assert isinstance(told, m.Schedules)
            (row,) = told.rows
            done = session.call(lambda seq: m.ReportEvent(seq, "NOW", row.start_ns, "Started"))
            assert isinstance(done, m.Done)
        server.stop(9)
        server.start()
        assert server.run("query event", domain="STANDARD").rows[-1][-1] == "Started"
    finally:
        lab.close()
