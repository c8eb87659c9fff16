"""Server scripts, by example: what is read, where it goes, what is refused."""

from __future__ import annotations

import pytest

from holdfast.backup.model.returncodes import SYMBOLS, Severity, meets, severity
from holdfast.backup.plan.scripts import Kind, read_script
from holdfast.kernel.errors import InputError

NIGHT = """\
/* the daily cycle,
   as everybody has it */
backup stgpool $1 -
  $2 wait=yes
if(error) goto failed
if(rc_notfound, exists) issue message warning "nothing to do"
parallel
backup db devclass=$3 type=full wait=yes
expire inventory wait=yes
serial
exit
failed: issue message severe "no copy of $1"
"""


def lines(text: str) -> list[tuple[int, str]]:
    return [(number * 5 + 1, line) for number, line in enumerate(text.splitlines())]


def test_a_script_is_read_into_statements() -> None:
    # a comment over two lines is two lines of a script: each must be one by itself
    text = NIGHT.replace("/* the daily cycle,\n   as everybody has it */", "/* the daily cycle */\n")
    script = read_script("NIGHT", lines(text), ["TAPEPOOL", "COPYPOOL", "VAULT"])
    shown = [(s.kind, s.text, s.conditions) for s in script.statements]
    assert shown == [
        (Kind.COMMAND, "backup stgpool TAPEPOOL COPYPOOL wait=yes", ()),
        (Kind.GOTO, "failed", ("ERROR",)),
        (Kind.COMMAND, 'issue message warning "nothing to do"', ("RC_NOTFOUND", "EXISTS")),
        (Kind.PARALLEL, "", ()),
        (Kind.COMMAND, "backup db devclass=VAULT type=full wait=yes", ()),
        (Kind.COMMAND, "expire inventory wait=yes", ()),
        (Kind.SERIAL, "", ()),
        (Kind.EXIT, "", ()),
        (Kind.COMMAND, 'issue message severe "no copy of TAPEPOOL"', ()),
    ]
    assert script.target(script.statements[1]) == 8
    assert script.statements[0].line == 11, "a statement has the number of its first line"


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("q node\nif(error) goto nowhere", 6, "no label nowhere"),
        ("q node $2", 1, "no value for $2"),
        ("q node\nif(rc_maybe) exit", 6, "'RC_MAYBE'"),
        ("if(error)", 1, "nothing follows"),
        ("a: q node\nA: q db", 6, "stands twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint.replace("$", r"\$")) as caught:
        read_script("S", lines(text), ["one"])
    assert (caught.value.file, caught.value.line) == ("script S", line)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("code", "word", "met"),
    [
        (0, "OK", True), (0, "RC_OK", True), (0, "error", False), (11, "WARNING", True), (11, "rc_notfound", True),
        (11, "notfound", True), (11, "ERROR", False), (4, "error", True), (4, "rc_error", True),
        (13, "rc_error", False),
        (13, "error", True), (13, "isreferenced", True),
    ],
)  # fmt: skip
def test_conditions(code: int, word: str, met: bool) -> None:
    assert meets(code, word) == met


def test_only_what_may_be_expected_is_a_warning() -> None:
    assert {name for name, code in SYMBOLS.items() if severity(code) is not Severity.ERROR} == {
        "RC_OK", "RC_EXISTS", "RC_NOTFOUND",
    }  # fmt: skip


def test_the_last_line_may_go_on_and_a_word_with_a_colon_is_no_label() -> None:
    script = read_script("S", lines("q node -"), [])
    assert [s.text for s in script.statements] == ["q node"]
    script = read_script("S", lines('issue message information "at: noon"'), [])
    assert script.labels == {}
