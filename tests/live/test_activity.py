"""Processes, sessions and the activity log, as an administrator watches and ends them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab
from office import Office

from holdfast.backup.service.admin.dispatch import perform
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import HoldfastError


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path / "server")
    yield office
    office.close()


def logged(office: Office, options: str, code: int = 0) -> list[str]:
    return [row[1].split()[0] for row in office.run(f"q actlog {options}", code=code).rows]


def test_the_activity_log_is_filtered(office: Office) -> None:
    office.clock("11-28 09:00")
    office.run("issue message information 'early bird'")
    office.clock("11-29 11:30")
    office.run("issue message warning 'node VCSSHARE is late'")
    office.run("issue message error 'something about vcsshare2'")
    office.clock("11-29 12:00")
    assert logged(office, "se=issue") == ["ANR1497W", "ANR1498E"], "the last hour, to begin with"
    assert logged(office, "begind=-1 begint=08:00 se=issue") == ["ANR1496I", "ANR1497W", "ANR1498E"]
    assert logged(office, "begind=11/28/2026 begint=08:00 endd=-1 endt=10:00 se=issue") == ["ANR1496I"]
    assert logged(office, "begint=now-00:10 se=issue", code=11) == []
    assert logged(office, "msgno=1498,1496") == ["ANR1498E"]
    assert logged(office, "nodename=vcsshare") == ["ANR1497W"]
    assert logged(office, "severity=error se=issue") == ["ANR1498E"]
    assert logged(office, "originator=client", code=11) == []
    office.run("q actlog begind=+1", code=3)
    office.run("q actlog begind=yesterday", code=3)
    office.run("q actlog msgno=many", code=3)


def test_processes_are_listed_with_their_progress_and_cancelled(office: Office) -> None:
    none = office.run("q process", code=11)
    assert none.messages == ["ANR0944E QUERY PROCESS: No active processes found."]
    process = office.core.processes.begin("MIGRATE STGPOOL", office.core.now_ns())
    process.begin(10, "moving to NEXTPOOL", "records")
    process.advance(4, 1_000)
    assert office.run("q process").rows == [
        (str(process.number), "Migrate Stgpool", "moving to NEXTPOOL: 4 of 10 records, 1000 bytes")
    ]
    office.run(f"cancel process {process.number}")
    assert process.cancelled
    office.core.processes.end(process)
    office.run(f"cancel process {process.number}", code=11)


def test_status_and_options_show_what_was_set(office: Office) -> None:
    office.macro("set eventretention 5\nset invalidpwlimit 4")
    reply = office.run("q status")
    status = dict(zip(reply.columns, reply.rows[0], strict=True))
    assert status["Server Name"] == "DELHI"
    assert status["Event Record Retention Period (days)"] == "5"
    assert status["Invalid Sign-on Attempt Limit"] == "4"
    assert status["Query Schedule Period (hours)"] == "CLIENT"
    assert office.run("q option eventret*").rows == [("EVENTRETENTION", "5")]
    office.run("q option nowhere", code=11)


def test_a_session_is_seen_and_cancelled_and_what_it_committed_stays(tmp_path: Path) -> None:
    lab = backup_lab.Lab(tmp_path)
    server = lab.server("DELHI")
    try:
        server.run("register node", name="ONE", password="secret")
        session = lab.session("DELHI", "ONE")
        session.call(lambda seq: m.OpenFilespace(seq, "/data", "ext4"))
        session.call(lambda seq: m.Commit(seq, end=True))
        rows = {row[6]: row for row in server.run("query session").rows}
        assert set(rows) == {"Node", "Admin"}
        assert rows["Node"][8] == "ONE"
        assert int(rows["Node"][5]) > 0
        assert server.run("query session", type="SERVER").code == 11
        assert server.run("select", query="client_name from sessions where session_type='NODE'").rows == (("ONE",),)
        number = rows["Node"][0]
        assert server.run("cancel session", number=number).code == 0
        with pytest.raises(HoldfastError):
            session.call(m.ListFilespaces)
        session.close(orderly=False)
        assert server.run("cancel session", number=number).code == 11
        assert [row[8] for row in server.run("query session").rows] == ["ADMIN"]
        assert any("ANR0483W" in row[1] for row in server.run("query actlog").rows)
        assert server.run("query filespace", node="ONE").rows[0][1] == "/data"
        assert server.run("cancel session", number="ALL").code == 0
    finally:
        lab.close()


def test_disabled_sessions_stay_out_and_administrators_come_in(tmp_path: Path) -> None:
    lab = backup_lab.Lab(tmp_path)
    server = lab.server("DELHI")
    try:
        server.run("register node", name="ONE", password="secret")
        assert server.run("disable sessions").code == 0
        with pytest.raises(HoldfastError, match="disabled"):
            lab.session("DELHI", "ONE")
        server.stop()
        server.start()
        with pytest.raises(HoldfastError, match="disabled"):
            lab.session("DELHI", "ONE")
        assert server.run("enable sessions").code == 0
        lab.session("DELHI", "ONE").close()
    finally:
        lab.close()


def test_query_system_answers_for_everything_at_once(office: Office) -> None:
    office.run("register node one secret")
    reply = office.run("q system")
    shown = [text for text, _ in reply.parts]
    assert shown[:4] == ["QUERY STATUS", "QUERY OPTION", "QUERY STGPOOL", "QUERY DB"]
    assert "QUERY NODE" in shown
    assert all(part.rows for _, part in reply.parts)


@pytest.mark.parametrize(
    "what", ["stgpool", "volume", "devclass", "domain", "server", "node", "admin", "db", "filespace"]
)
def test_detailed_answers_are_lists_with_the_standard_columns_first(office: Office, what: str) -> None:
    standard, detailed = (perform(office.core, f"query {what}", {"format": f}) for f in ("standard", "detailed"))
    assert standard.code == detailed.code
    if what in ("stgpool", "domain", "devclass", "db"):
        assert detailed.layout == "list"
        assert detailed.columns[: len(standard.columns)] == standard.columns
        assert len(detailed.columns) > len(standard.columns)
    assert all(len(row) == len(detailed.columns) for row in detailed.rows)


def test_what_is_not_here_is_not_found(office: Office) -> None:
    for text in ("q drive", "q libvol", "q library", "q path"):
        assert "ANR2034E" in office.run(text, code=11).messages[0]
