"""What dscli may print, in every format, language and mood: the same rows come back, or a typed refusal.

The renderer of the formats is the software array's own; a test of its own holds the two apart from each other's habits.
"""

from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from holdfast.dialects.dscli.layout import Layout, lay_out
from holdfast.kernel.errors import HoldfastError, Refused
from holdfast.replication.drivers.dscli_answer import (
    LSFLASH_LONG,
    LSPPRC,
    LSPPRC_LONG,
    ExitKind,
    answers,
    insist_on_list,
    parse,
)

SEED = 20261126
BANNER = "Date/Time: September 18, 2014 11:04:04 PM CEST IBM DSCLI Version: 7.7.10.317 DS: IBM.2107-75FA120"
_LETTERS = string.ascii_letters + string.digits + "-:./()éß"
words = st.text(_LETTERS, min_size=1, max_size=9).filter(lambda text: not text.startswith("CMU"))
ids = st.integers(0, 0xFEFF).map(lambda number: f"{number:04X}:{number ^ 0x0100:04X}")
texts = st.lists(words, min_size=1, max_size=3).map(" ".join)
cells = st.one_of(texts, st.integers(0, 10**7))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str | int]]]:
    """Known columns in any order, ID among them, with unknown ones between them."""
    known = draw(st.lists(st.sampled_from(LSPPRC_LONG[1:] + LSFLASH_LONG[6:]), unique=True, max_size=8))
    unknown = draw(st.lists(st.sampled_from(["Zone", "Encrypted", "newColumn", "PPRC-X"]), unique=True, max_size=3))
    columns = draw(st.permutations(["ID", *known, *unknown]))
    rows = draw(
        st.lists(st.tuples(*(ids if name == "ID" else cells for name in columns)).map(list), min_size=1, max_size=6)
    )
    return list(columns), rows


@seed(SEED)
@settings(deadline=None, max_examples=150, database=None)
@given(tables(), st.booleans(), st.booleans(), st.booleans())
def test_the_same_rows_come_back_from_every_format(
    table: tuple[list[str], list[list[str | int]]], banner: bool, prompts: bool, paged: bool
) -> None:
    columns, rows = table
    expected = [dict(zip(columns, map(str, row), strict=True)) for row in rows]
    for layout in (Layout(), Layout("delim", "|"), Layout("delim", ","), Layout("stanza"), Layout("xml")):
        lines = lay_out(columns, rows, layout)
        if paged and layout.format in ("default", "delim"):
            lines = [*lines[:3], "Press Enter To Continue...", *lines[3:]]
        text = "\n".join([*([BANNER, ""] if banner else []), *lines]) + "\n"
        if prompts:
            text = f"{BANNER}\n\ndscli> {text}dscli> "
        output = parse(text.replace("\n", "\r\n"), "", 0, layout.delimiter if layout.format == "delim" else "|")
        assert list(output.rows) == expected, (layout, text)
        assert insist_on_list(output, ["lspprc"]).rows


@seed(SEED)
@settings(deadline=None, max_examples=300, database=None)
@given(st.text(max_size=300), st.text(max_size=60), st.integers(-20, 260))
def test_any_text_is_read_or_refused(stdout: str, stderr: str, code: int) -> None:
    with contextlib.suppress(Refused):
        output = insist_on_list(parse(stdout, stderr, code), ["lspprc"])
        assert output.tables or output.told_none, "no answer is never taken for an empty one"


@seed(SEED)
@settings(deadline=None, max_examples=200, database=None)
@given(st.integers(1, 400), st.sampled_from([Layout(), Layout("delim", "|"), Layout("stanza"), Layout("xml")]))
def test_an_answer_that_was_cut_off_gives_no_row_that_was_not_there(length: int, layout: Layout) -> None:
    rows = [
        ["1260:1260", "Full Duplex", "-", "Metro Mirror"],
        ["1261:1261", "Suspended", "Host Source", "Metro Mirror"],
    ]
    text = "\n".join(lay_out(list(LSPPRC[:4]), rows, layout))
    whole = [dict(zip(LSPPRC[:4], row, strict=True)) for row in rows]
    try:
        found = insist_on_list(parse(text[:length], "", 0), ["lspprc"]).rows
    except HoldfastError:
        return
    for row, known in zip(found, whole, strict=False):
        assert known["ID"].startswith(row["ID"])
        assert known["State"].startswith(row.get("State", ""))


GERMAN = "Kennung|Zustand|Grund|Art|Quell-LSS|Zeitlimit|Kritisch|Erster Durchlauf"


def test_foreign_names_are_read_by_their_positions_and_foreign_values_are_no_known_state() -> None:
    text = f"{GERMAN}\n{'=' * 40}\n1260:1260|Full Duplex|-|Metro Mirror|12|60|Disabled|Invalid\n"
    (row,) = insist_on_list(parse(text, "", 0, columns=LSPPRC), ["lspprc"]).rows
    assert (row["ID"], row["State"]) == ("1260:1260", "Full Duplex")
    more = text.replace("Durchlauf", "Durchlauf|Neu").replace("Invalid", "Invalid|x")
    (row,) = parse(more, "", 0, columns=LSPPRC).rows
    assert (row["State"], row["Neu"]) == ("Full Duplex", "x")
    with pytest.raises(Refused, match="without an ID") as refused:
        insist_on_list(parse(text, "", 0), ["lspprc"])
    assert refused.value.refusal.code == "dscli-unreadable"


def test_messages_are_known_by_id_in_any_language() -> None:
    text = "CMUC00196I Das Paar IBM.2107-75FA150/1260:IBM.2107-75FA120/1360 wurde umgekehrt.\n"
    output = parse(text, "CMUN03942E failoverpprc: 1261:1361: ça ne va pas\nirgendetwas\n", 4)
    assert [(one.id, one.object) for one in output.messages[:2]] == [
        ("CMUC00196I", "1260:1360"),
        ("CMUN03942E", "1261:1361"),
    ]
    assert output.messages[2].severity == "E", "any text on the error stream is a failure"
    assert output.ended is ExitKind.SERVER
    none = parse("CMUC00234I lspprc: Keine gefunden.\n", "", 0)
    assert insist_on_list(none, ["lspprc"]).rows == ()
    after = parse("CMUC00144W rmflash: Are you sure 1:2:? [y/n]: CMUC00140I rmflash: 1260:1360 gone.\n", "", 0)
    assert [one.id for one in after.messages] == ["CMUC00144W", "CMUC00140I"]


@pytest.mark.parametrize("text", ["Enter your username: ", "\nEnter your password:", "Enter the primary management "])
def test_a_log_in_prompt_is_a_refusal_with_the_remedy(text: str) -> None:
    if "console" not in text and "management" in text:
        text += "console IP address:"
    with pytest.raises(Refused, match="managepwfile") as refused:
        parse(text, "", 0)
    assert refused.value.refusal.code == "dscli-login-prompt"


def test_an_interactive_session_is_split_at_its_prompts() -> None:
    text = f"{BANNER}\n\ndscli> CMUC00234I lspprc: none\ndscli> A,B\n===\n1,2\ndscli> "
    assert [len(part.splitlines()) for part in answers(text)] == [1, 3, 0]


def test_hostile_xml_is_refused() -> None:
    bomb = '<IRETURNVALUE><!ENTITY a "aaaa"><INSTANCE/></IRETURNVALUE>'
    with pytest.raises(Refused, match="declarations"):
        parse(bomb, "", 0)
    with pytest.raises(Refused, match="cannot be read"):
        parse("<IRETURNVALUE><INSTANCE></IRETURNVALUE>", "", 0)
