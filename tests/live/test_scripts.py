"""Server scripts that run: branches, values, nesting, authority, and what is refused before anything ran."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from office import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path / "server")
    yield office
    office.close()


def script(office: Office, name: str, *lines: str) -> None:
    for number, line in enumerate(lines):
        quote = "'" if '"' in line else '"'
        office.run(f"{'update' if number else 'define'} script {name} {quote}{line}{quote}")


def test_a_script_recovers_from_what_it_expected(office: Office) -> None:
    script(
        office, "ensure", "query domain $1", "if(ok) goto there", "define domain $1 description='made by $2'", "exit",
        "there: issue message information 'kept $1'",
    )  # fmt: skip
    first = office.run("run ensure delhi ann")
    assert office.run("q domain delhi").rows[0][4] == "made by ann"
    assert [text for text, _ in first.parts] == ["query domain delhi", "define domain delhi description='made by ann'"]
    assert "ANR1462I" in first.messages[-1]
    office.run("run ensure delhi ann")
    assert any("ISSUE MESSAGE: kept delhi" in line for line in office.log("ANR1496I"))


def test_the_return_code_is_that_of_the_last_command(office: Office) -> None:
    script(office, "last", "q domain nowhere")
    assert "ANR1462I" in office.run("run last", code=11).messages[-1], "a warning is no failure"
    script(office, "failing", "remove node nobody", "delete domain standard", "if(error) exit", "define domain never")
    office.run("register node one secret")
    assert "ANR1463E" in office.run("run failing", code=13).messages[-1]
    office.run("q domain never", code=11)


def test_nothing_runs_when_a_line_is_wrong(office: Office) -> None:
    script(office, "wrong", "define domain first", "frobnicate all")
    assert "ANR2000E" in office.run("run wrong", code=3).messages[0]
    office.run("q domain first", code=11)
    script(office, "values", "define domain first", "define domain $1")
    assert "$1" in office.run("run values", code=3).messages[0]
    office.run("q domain first", code=11)


def test_scripts_run_scripts_but_not_for_ever(office: Office) -> None:
    script(office, "inner", "define domain $1")
    script(office, "outer", "run inner one", "run inner two")
    reply = office.run("run outer")
    assert [text for text, _ in reply.parts][:2] == ["define domain one", "run inner one"]
    office.run("q domain two")
    script(office, "circle", "run circle")
    assert "circle" in str(office.run("run circle", code=3).parts).lower()
    script(office, "loop", "again: q domain standard", "goto again")
    assert "steps" in office.run("run loop", code=4).parts[-1][1].messages[0]


def test_commands_side_by_side(office: Office) -> None:
    script(
        office, "both", "parallel", "define domain one", "define domain standard", "define domain two", "serial",
        "if(rc_exists) define domain three",
    )  # fmt: skip
    office.run("run both")
    assert [row[0] for row in office.run("q domain").rows] == ["ONE", "STANDARD", "THREE", "TWO"]


def test_a_script_runs_with_the_authority_of_who_runs_it(office: Office) -> None:
    script(office, "powerful", "register admin intruder secret", "grant authority intruder classes=system")
    office.run("register admin helper secret")
    office.run("run powerful", code=9, admin="HELPER")
    office.run("grant authority helper classes=operator")
    reply = office.run("run powerful", code=9, admin="HELPER")
    assert [part.code for _, part in reply.parts] == [9, 9]
    office.run("q admin intruder", code=11)


def test_lines_are_replaced_copied_and_deleted(office: Office) -> None:
    script(office, "s", "q node", "q db")
    office.run('update script s "q admin" line=1')
    office.run('update script s "q domain" line=3')
    assert office.run("q script s f=raw").rows == [("q admin",), ("q domain",), ("q db",)]
    office.macro("copy script s t\ndelete script s line=3\nrename script t u")
    assert office.run("q script f=lines").rows == [
        ("S", "1", "q admin"), ("S", "6", "q db"),
        ("U", "1", "q admin"), ("U", "3", "q domain"), ("U", "6", "q db"),
    ]  # fmt: skip
    office.run("delete script u")
    office.run("q script u", code=11)
    macro = [row[0] for row in office.run("q script s f=macro").rows]
    office.run("delete script s")
    office.macro("\n".join(macro))
    assert office.run("q script s f=raw").rows == [("q admin",), ("q db",)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("define script kept", 10), ("run nowhere", 11), ("update script nowhere 'q db'", 11),
        ("update script kept", 3),
        ("delete script kept line=7", 11), ("copy script kept kept", 10), ("define script new '' ", 3),
        ("rollback", 3), ("issue message loud 'x'", 3),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(office: Office, text: str, code: int) -> None:
    script(office, "kept", "q node")
    office.run(text, code=code)
    assert office.run("q script f=lines").rows == [("KEPT", "1", "q node")]


def test_preview_shows_and_runs_nothing(office: Office) -> None:
    script(office, "s", "define domain $1", "if(error) goto end", "define domain two", "end: exit")
    shown = office.run("run s one preview=yes").messages
    assert [text.partition(" : ")[2] for text in shown] == [
        "define domain one.", "IF(ERROR) GOTO end.", "define domain two.", "EXIT.",
    ]  # fmt: skip
    office.run("q domain one", code=11)


def test_a_schedule_can_run_a_script(office: Office) -> None:
    script(office, "s", "define domain $1")
    office.run("define schedule nightly type=admin cmd='run s night' active=yes starttime=22:00")
    office.clock("11-27 22:00")
    for _ in range(500):
        if office.run("q event nightly type=admin begind=today").rows[0][-1] == "Completed":
            break
        time.sleep(0.02)
    office.run("q domain night")
