"""The DS8000 driver on recorded text: what it types for a request, what it understands of an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.dialects.dscli.grammar import UsageError, parse, split_globals, tokenize
from holdfast.dialects.dscli.layout import Layout, lay_out
from holdfast.kernel.errors import HoldfastError
from holdfast.replication.drivers import ds8000
from holdfast.replication.drivers.ds8000 import Request
from holdfast.replication.drivers.dscli_answer import ExitKind
from holdfast.replication.drivers.dscli_answer import parse as parse_answer
from holdfast.replication.model.boxes import PairView, classify

HERE = Path(__file__).parent
A, B = "IBM.2107-75FA120", "IBM.2107-75FA150"


def test_what_is_typed() -> None:
    pairs = ("1260:1260", "1261:1261")
    words = ds8000.commands(Request("failover", B, pairs, A), {"1260:1260": "Suspended"})
    assert " ".join(words) == f"failoverpprc -dev {B} -remotedev {A} -type mmir 1261:1261"
    assert ds8000.commands(Request("failover", B, pairs, A), dict.fromkeys(pairs, "Suspended")) == ()
    words = ds8000.commands(Request("resyncflash", A, ("0001:0002",), options=("-persist", "-record", "-cp")), {})
    assert " ".join(words) == f"resyncflash -dev {A} -persist -record -cp 0001:0002"
    assert "-quiet" in ds8000.commands(Request("rmflash", A, ("0001:0002",)), {})


def test_a_table_is_read_by_its_header() -> None:
    output = parse_answer((HERE / "lspprc.delim.txt").read_text(), "", 0)
    states = [(row["ID"], row["State"], row["Reason"], row["Out Of Sync Tracks"]) for row in output.rows]
    assert states == [
        ("1260:1260", "Target Full Duplex", "-", "0"),
        ("1261:1261", "Suspended", "Host Source", "17"),
    ]
    with pytest.raises(HoldfastError, match="2 of 3"):
        parse_answer("a|b|c\n=====\n1|2\n", "", 0)


def test_messages_are_matched_by_id() -> None:
    output = parse_answer((HERE / "resyncflash.stdin.txt").read_text(), "", 0)
    assert [(m.id, m.object) for m in output.messages] == [("CMUC00168I", "0001:0002"), ("CMUC00168I", "0101:0102")]
    failed = parse_answer("", "CMUN03901E resyncflash: 0001:0002: Copy Services operation failure: whatever\n", 4)
    assert (failed.failures[0].id, failed.ended) == ("CMUN03901E", ExitKind.SERVER)
    empty = parse_answer("CMUC00234I lsflash: No Flash Copy found.\n", "", 0)
    assert (empty.rows, empty.failures) == ((), ())
    assert parse_answer("", "Unsupported task\n", 2).failures, "any text on stderr is a failure"


def test_one_box_alone_proves_little() -> None:
    assert classify("Target Full Duplex", "Full Duplex") is PairView.TARGET_IN_SYNC
    assert classify("Target Full Duplex", "Suspended") is PairView.TARGET_BEHIND
    assert classify("Target Copy Pending", None) is PairView.COPYING
    assert classify(None, "Full Duplex") is PairView.ABSENT
    assert classify("Target Full Duplex", "") is PairView.TARGET_BEHIND, "the source has left the pair"
    assert classify("Target Full Duplex", "Suspended", 1) is PairView.TARGET_BEHIND
    assert classify("Target Full Duplex", "Suspended", 0) is PairView.TARGET_IN_SYNC, "frozen, nothing is missing"
    assert classify("Target Full Duplex", "Copy Pending") is PairView.COPYING
    assert classify("Target Full Duplex", None) is PairView.TARGET_IN_SYNC
    assert classify("Full Duplex", "Full Duplex") is PairView.BOTH_SOURCE
    assert classify("Full Duplex", "Suspended") is PairView.BOTH_SOURCE, "the other one took over"
    assert classify("Full Duplex", "Target Full Duplex") is PairView.SOURCE_IN_SYNC
    assert classify("Suspended", "Full Duplex") is PairView.SOURCE_ALONE, "an old source keeps its state"


def test_the_grammar() -> None:
    options, rest = split_globals(tokenize("-hmc1 10.1.1.1 -user opensvc lsflash -l -dev X 0001:0002  # note"))
    assert options == {"hmc1": "10.1.1.1", "user": "opensvc"}
    line = parse(rest)
    assert (line.command, line.options, line.parameters) == ("lsflash", {"l": "", "dev": "X"}, ("0001:0002",))
    assert parse(["lssi", "-v", "on", "-p", "off"]).parameters == ()
    for wrong in (["mkflsh"], ["mkflash", "-what"], ["mkflash", "-dev"]):
        with pytest.raises(UsageError):
            parse(wrong)


def test_the_layouts() -> None:
    columns, rows = ["Name", "cap (2^30B)", "n"], [["a", 1.0, 5], ["longer", 22.5, 17]]
    assert lay_out(columns, rows, Layout()) == [
        "Name   cap (2^30B) n",
        "=====================",
        "a              1.0  5",
        "longer        22.5 17",
    ]
    assert lay_out(columns, rows, Layout("delim", "|", header=False)) == ["a|1.0|5", "longer|22.5|17"]
    assert lay_out(columns, rows[:1], Layout("stanza"))[:2] == ["Name        a", "cap (2^30B) 1.0"]
    assert '<PROPERTY NAME="n"><VALUE>17</VALUE></PROPERTY>' in "".join(lay_out(columns, rows, Layout("xml")))
