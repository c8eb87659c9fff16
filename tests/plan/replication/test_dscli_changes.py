"""A change over several pairs, against an array that does some of them and a dscli that tells any part of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from holdfast.kernel.errors import HoldfastError, Refusal, Refused, Unavailable
from holdfast.replication.drivers.ds8000 import Call, Changed, NotDone, Request, changing, drive, insist
from holdfast.replication.drivers.dscli_answer import NO_CONSOLE, ExitKind, Message, Output
from holdfast.replication.drivers.dscli_process import NotStarted

SEED = 20261126
ARRAY = "IBM.2107-75FA150"
PAIRS = ("1260:1260", "1261:1261", "1262:1362")


@dataclass
class Box:
    """Does of a command what it may do, and tells of it what reaches the caller."""

    may: dict[str, bool]
    tells: dict[str, bool]
    ending: ExitKind | None
    first_dead: bool = False
    done: set[str] = field(default_factory=set)
    typed: list[Call] = field(default_factory=list)

    def run(self, call: Call) -> Output:
        self.typed.append(call)
        if self.first_dead and not call.second:
            return Output((Message(NO_CONSOLE, "E", "dscli", "", "no"),), (), ExitKind.CONNECTION)
        if not call.changes:
            rows = [{"ID": pair, "State": "Suspended" if pair in self.done else "Full Duplex"} for pair in PAIRS]
            return Output((), tuple(rows), ExitKind.DONE, 1)
        wanted = [pair for pair in PAIRS if pair in call.words]
        self.done |= {pair for pair in wanted if self.may[pair]}
        if self.ending is None:
            raise Unavailable("did not end")
        told = [
            Message(
                "CMUC00157I" if pair in self.done else "CMUN03924E", "I" if pair in self.done else "E", "", pair, ""
            )
            for pair in wanted
            if self.tells[pair]
        ]
        return Output(tuple(told), (), self.ending)


def each(values: st.SearchStrategy[bool]) -> st.SearchStrategy[dict[str, bool]]:
    return st.fixed_dictionaries(dict.fromkeys(PAIRS, values))


endings = st.sampled_from([None, *(kind for kind in ExitKind if kind not in (ExitKind.SYNTAX, ExitKind.LOGIN))])


@seed(SEED)
@settings(deadline=None, max_examples=400, database=None)
@given(each(st.booleans()), each(st.booleans()), endings, st.booleans(), st.booleans())
def test_what_is_told_of_each_pair_is_what_the_array_did(
    may: dict[str, bool], tells: dict[str, bool], ending: ExitKind | None, second: bool, first_dead: bool
) -> None:
    box = Box(may, tells, ending, first_dead and second)
    changed = drive(changing(Request("pause", ARRAY, PAIRS, "R"), {}, second), box.run)
    assert set(changed.done) == box.done
    assert set(changed.refused) == set(PAIRS) - box.done
    assert not changed.unknown
    assert all(not call.second or box.first_dead or ending is ExitKind.CONNECTION for call in box.typed), (
        "the second console is used for connection errors only"
    )
    if ending is ExitKind.DONE and not box.first_dead and all(may.values()) and all(tells.values()):
        assert len(box.typed) == 1, "what plainly succeeded needs no look"


def test_nothing_is_looked_for_when_nothing_was_begun() -> None:
    for ending in (ExitKind.SYNTAX, ExitKind.LOGIN):
        box = Box(dict.fromkeys(PAIRS, False), dict.fromkeys(PAIRS, False), ending)
        changed = drive(changing(Request("pause", ARRAY, PAIRS, "R"), {}, True), box.run)
        assert (len(box.typed), set(changed.refused)) == (1, set(PAIRS))

    def refuse(error: HoldfastError) -> None:
        def run(call: Call) -> Output:
            raise error

        drive(changing(Request("pause", ARRAY, PAIRS, "R"), {}, True), run)

    for error in (NotStarted("no time"), Refused(Refusal("dscli-missing", "not there"))):
        with pytest.raises(type(error)):
            refuse(error)


def test_pairs_that_are_as_wanted_are_not_typed() -> None:
    box = Box(dict.fromkeys(PAIRS, True), dict.fromkeys(PAIRS, True), ExitKind.DONE)
    changed = drive(changing(Request("pause", ARRAY, PAIRS, "R"), {PAIRS[0]: "Suspended"}, False), box.run)
    assert changed.done == PAIRS
    assert PAIRS[0] not in box.typed[0].words
    assert drive(
        changing(Request("pause", ARRAY, PAIRS, "R"), dict.fromkeys(PAIRS, "Suspended"), False), box.run
    ).complete
    assert len(box.typed) == 1


def test_the_error_names_what_took_effect_and_what_did_not() -> None:
    with pytest.raises(NotDone, match="took effect on 1260:1260, not on 1261:1261") as raised:
        insist(
            Request("pause", ARRAY, PAIRS), Changed((PAIRS[0],), {PAIRS[1]: "CMUN03924E no"}, code="dscli-CMUN03924E")
        )
    assert raised.value.refusal.code == "dscli-CMUN03924E"
    with pytest.raises(Unavailable, match="is not known"):
        insist(Request("pause", ARRAY, PAIRS), Changed(unknown=dict.fromkeys(PAIRS, "late"), code="dscli-late"))
