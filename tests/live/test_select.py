"""SELECT as monitoring uses it: the product's tables, its dialect of SQL, and nothing that a SELECT must not reach."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab
from office import Office
from test_backup_roundtrip import back_up

from holdfast.backup.drivers import copyingselect, sqliteselect
from holdfast.backup.drivers.copyingselect import CopyingSelector
from holdfast.backup.service.admin.dispatch import perform
from holdfast.backup.service.catalog.schema import metadata
from holdfast.backup.service.catalog.views import BY_NAME, VIEWS
from holdfast.dialects.tsm.language import read_command
from holdfast.kernel.errors import InputError

SETUP = """
register node vcsshare secret contact='Ann'
register node other secret backdel=yes
define schedule standard nightly starttime=22:00 startdate=-3 duration=2
define association standard nightly vcsshare
define script s 'q node'
define cloptset linux
define clientopt linux inclexcl 'exclude /tmp/*'
"""


@pytest.fixture(scope="module", params=["in place", "copied"])
def office(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Office]:
    """A server whose catalog is asked in place, and one whose tables are copied first, as for any other database."""
    office = Office(tmp_path_factory.mktemp("office") / "server")
    if request.param == "copied":
        office.core.selector = CopyingSelector(office.core.database, metadata)
    office.macro(SETUP)
    office.manager.round()
    office.clock("11-28 03:00")
    yield office
    office.close()


def ask(office: Office, text: str, code: int = 0) -> list[tuple[str, ...]]:
    return office.run(text, code=code).rows


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_table_answers_with_its_columns(office: Office, name: str) -> None:
    table = {"syscat_tables": "syscat.tables", "syscat_columns": "syscat.columns"}.get(name, name)
    view = BY_NAME[name]
    reply = office.run(f"select count(*) from {table}")
    assert reply.columns == ("Unnamed[1]",)
    count = int(reply.rows[0][0])
    reply = office.run(f"select * from {table} fetch first 5 rows only", code=0 if count else 11)
    assert reply.columns == view.names
    assert len(reply.rows) == min(count, 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select node_name,contact from nodes where node_name like 'VCS%'", [("VCSSHARE", "Ann")]),
        ("SELECT NODE_NAME FROM NODES WHERE BACKDELETE='YES'", [("OTHER",)]),
        ("select domain_name, num_nodes from domains", [("STANDARD", "2")]),
        ("select count(*) from events where status='Missed'", [("1",)]),
        ("select status from events where scheduled_start>current_timestamp - 24 hours and status<>'Future'",
         [("Missed",)]),
        ("select schedule_name from client_schedules", [("NIGHTLY",)]),
        ("select node_name from associations where schedule_name='NIGHTLY'", [("VCSSHARE",)]),
        ("select count(*) from nodes where reg_time<current_timestamp - 1 day", [("0",)]),
        ("select count(*) from nodes where reg_time<(current_timestamp - 14 hours)", [("2",)]),
        ("select cast((current_timestamp-reg_time)hours as decimal(6,1)) from nodes fetch first 1 rows only",
         [("15.0",)]),
        ("select date(current_timestamp), hour(current_timestamp) from status", [("2026-11-28", "3")]),
        ("select stgpool_name, maxscratch, numscratchused from stgpools where stgpool_name='BACKUPPOOL'",
         [("BACKUPPOOL", "NOLIMIT", "0")]),
        ("select verexists, retonly, destination from bu_copygroups where set_name='ACTIVE'",
         [("2", "60", "BACKUPPOOL")]),
        ("select retver from ar_copygroups where set_name='ACTIVE'", [("365",)]),
        ("select system_priv, policy_priv from admins where admin_name='ADMIN'", [("YES", "NO")]),
        ("select option_value from clientopts", [("exclude /tmp/*",)]),
        ("select command from scripts where name='S'", [("q node",)]),
        ("select tabname from syscat.tables where tabname='DRIVES'", [("DRIVES",)]),
        ("select colname from syscat.columns where tabname='OPTIONS' order by colno",
         [("OPTION_NAME",), ("OPTION_VALUE",)]),
        ("select server_name, actlogretention from status", [("DELHI", "30")]),
        ("select count(*) from actlog where msgno=2578 and severity='W'", [("1",)]),
        ("select 1.50*2, 10/4.0, 'a' || 'b', null from status", [("3.0", "2.5", "ab", "")]),
        ("select decimal(12.3456,8,2) as x from status", [("12.35",)]),
        ("select n.node_name from nodes n, associations a where a.node_name=n.node_name", [("VCSSHARE",)]),
        ("select node_name from nodes where node_name in (select node_name from associations)", [("VCSSHARE",)]),
    ],
)  # fmt: skip
def test_what_monitoring_asks(office: Office, text: str, expected: list[tuple[str, ...]]) -> None:
    assert ask(office, text) == expected


def test_nothing_found_is_a_warning(office: Office) -> None:
    reply = office.run("select * from drives where online='NO'", code=11)
    assert reply.messages == ["ANR2034E SELECT: No match found using this criteria."]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("select * from nowhere", "ANR2939E The reference 'NOWHERE'"),
        ("select shoe_size from nodes", "ANR2940E The reference 'SHOE_SIZE'"),
        ("select * from nodes;", "';'"),
        ("select from where", "ANR2905E"),
        ("select * from nodes where node_name='x", "not closed"),
    ],
)
def test_wrong_sql_is_explained(office: Office, text: str, complaint: str) -> None:
    assert complaint in refused(office, text)


@pytest.mark.parametrize(
    "text",
    [
        "select stored_key from main.nodes",
        "select salt from main.admins",
        "select * from main.settings",
        "select * from settings",
        "select * from authorities",
        "select sql from sqlite_master",
        "select sql from temp.sqlite_master",
        "select * from sqlite_temp_master",
        "select * from pragma_table_info('nodes')",
        "select load_extension('x') from nodes",
        "select randomblob(1000000) from nodes",
        "select zeroblob(1000000) from nodes",
        "select readfile('/etc/passwd') from nodes",
        "select fts3_tokenizer('x') from nodes",
        "select * from (with recursive n(x) as (select 1 union all select x+1 from n) select x from n)",
        "select n.stored_key from nodes n",
        "select stored_key from nodes join main.nodes m on 1=1",
    ],
)
def test_what_a_select_must_not_reach(office: Office, text: str) -> None:
    assert refused(office, text)


def refused(office: Office, text: str) -> str:
    """Why a statement is refused, by the reader or by the server."""
    try:
        request = read_command(text)
    except InputError as error:
        return str(error)
    reply = perform(office.core, request.operation, request.args)
    assert reply.code in (3, 9), reply
    assert reply.rows == []
    return reply.messages[0]


def test_no_view_shows_a_secret() -> None:
    for view in VIEWS:
        text = view.sql("main").lower()
        assert not any(word in text for word in ("stored_key", "salt", "verification", "settings")), view.name


def test_a_statement_that_takes_too_long_is_ended(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqliteselect, "TIME_LIMIT_S", 0.2)
    joined = ", ".join(f"syscat.columns c{number}" for number in range(6))
    assert "took more than" in refused(office, f"select count(*) from {joined}")
    monkeypatch.setattr(sqliteselect, "ROW_LIMIT", 1_000)
    assert "rows" in refused(office, "select a.colname from syscat.columns a, syscat.columns b")


def test_a_table_too_large_to_copy_is_refused(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copyingselect, "ROWS_COPIED", 1)
    if isinstance(office.core.selector, CopyingSelector):
        assert "too many" in refused(office, "select * from nodes")
    else:
        assert len(ask(office, "select * from nodes")) == 2


def test_a_select_changes_nothing_and_sees_what_is_committed(office: Office) -> None:
    before = (office.directory / "catalog.db").read_bytes()
    ask(office, "select * from nodes")
    assert (office.directory / "catalog.db").read_bytes() == before
    with sqlite3.connect(office.directory / "catalog.db") as catalog:
        tables = {row[0] for row in catalog.execute("SELECT name FROM sqlite_master")}
    assert "stgpools" not in tables


def test_sessions_and_processes_leave_figures_in_the_summary(tmp_path: Path) -> None:
    lab = backup_lab.Lab(tmp_path)
    server = lab.server("DELHI")
    try:
        server.run("register node", name="N", password="secret")
        tree = tmp_path / "tree"
        tree.mkdir()
        (tree / "file").write_bytes(b"x" * 100_000)
        back_up(lab, tree)
        told = [row[1] for row in server.run("query actlog", originator="CLIENT").rows]
        assert any("ANE4954I (Node: N) Total number of objects backed up: 2" in line for line in told)
        assert any("ANE4961I" in line for line in told)
        server.run("expire inventory", wait="YES")
        rows = server.run("select", query="activity, entity, affected, successful from summary order by activity").rows
        assert rows[0][:2] == ("BACKUP", "N")
        assert int(rows[0][2]) == 2
        assert ("EXPIRATION", "", "0", "YES") in rows
        found = server.run("select", query="node_name, stgpool_name, num_files from occupancy where type='Bkup'").rows
        assert found == (("N", "BACKUPPOOL", "2"),)
        found = server.run("select", query="hl_name, ll_name, state, type from backups order by ll_name").rows
        assert found == (("/", "", "ACTIVE_VERSION", "DIR"), ("/", "file", "ACTIVE_VERSION", "FILE"))
        (row,) = server.run("query occupancy", node="N").rows
        assert row[:6] == ("N", "Bkup", "/fs", "1", "BACKUPPOOL", "2")
        (volume, *_) = server.run("query volume", stgpool="BACKUPPOOL").rows[0]
        held = server.run("query content", volume=volume).rows
        assert [(row[0], row[2], row[4], row[5]) for row in held] == [("N", "/fs", "/file", "100000")]
        assert server.run("query content", volume="NONE").code == 11
        assert server.run("query content", volume=volume, node="OTHER").code == 11
    finally:
        lab.close()
