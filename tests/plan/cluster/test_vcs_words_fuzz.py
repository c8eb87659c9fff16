"""Bad input: whatever words a VCS command gets, it answers or refuses, and changes all that it says or nothing."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.cluster.config.builder import build
from holdfast.cluster.config.edit import Draft, edit
from holdfast.cluster.model.facts import Request
from holdfast.cluster.service.records import ConfigRecord, State
from holdfast.dialects.vcs import queries
from holdfast.dialects.vcs.commands import FORMS, run
from holdfast.dialects.vcs.session import Host, VcsWire
from holdfast.kernel.errors import HoldfastError

FILES = {
    "main.cf": (
        "type FileOnOff ( static str ArgList[] = { PathName } static int NumThreads = 5 str PathName keylist Hosts )\n"
        "cluster c ( )\nsystem a ( )\nsystem b ( )\n"
        "group g ( SystemList = { a, b } )\nFileOnOff f ( PathName = x )\nFileOnOff h ( )\nf requires h\n"
        "group p ( SystemList = { a = 0 } )\nFileOnOff q ( )\n"
    )
}
COMMANDS = sorted(set(FORMS) - {"hacf", "hastart", "hamsg"})
PAIRS = sorted((name, f"-{form}") for name in COMMANDS for form in FORMS[name] if form)
WORDS = (
    "a", "b", "c", "g", "p", "f", "h", "q", "f,h", "FileOnOff", "SystemList", "PathName", "Hosts", "NumThreads", "Load",
    "State", "Frozen", "Enabled", "Limits", "UserNames", "Administrator", "OperatorGroup", "online", "local", "firm",
    "0", "1", "-1", "many", "", " ", "%-y", "%", "-", "--", "-sys", "-add", "-delete", "-update", "-keys", "-force",
    "-min", "-attribute", "-group", "-priv", "-clus", "-localclus", "-time", "Attr=Val", "State=~ONLINE", "x!=", "\x00",
    "\u00e4\n\u2028", "'", '"', "9" * 400, "{", "}", "@a", "new", "new2",
)  # fmt: skip
ARGUMENTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=6)
LINES = st.tuples(st.sampled_from(PAIRS), ARGUMENTS)


class Committed:
    """What is committed, as a store would hold it: replaced whole, or not at all."""

    def __init__(self) -> None:
        self.files = dict(FILES)
        self.commits = 0

    def state(self) -> State:
        return State(config=ConfigRecord(self.files), writable=True)

    def change(self, work, _force: bool) -> None:  # type: ignore[no-untyped-def]
        def whole(draft: Draft) -> None:
            work(draft)

        self.files = dict(edit(self.files, whole).files)
        self.commits += 1


@pytest.fixture(autouse=True, scope="module")
def _nothing_changes_by_itself() -> Iterator[None]:
    """So there is nothing to wait for; put back in the end, for the tests that do wait."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queries, "_WAIT_LIMIT_S", 0.0)
        yield


def submit(request: Request, _wait_s: float) -> Request:
    return request


@settings(max_examples=600, derandomize=True, deadline=None, print_blob=True)
@example([(("haattr", "-add"), ["FileOnOff", ""])])
@example([(("hasys", "-util"), [""])])
@given(st.lists(LINES, min_size=1, max_size=4))
def test_any_words_are_answered_or_refused(lines: list[tuple[tuple[str, str], list[str]]]) -> None:
    held = Committed()
    wire = VcsWire(
        held.state, submit, lambda _path: build(held.files), held.change, lambda _wish: True,
        lambda look: look(held.state()), lambda: "", lambda _user, _password: "", lambda _name, _arguments: (0, 0),
        acknowledge=lambda _alert, _reason: None, local=Host("a"),
    )  # fmt: skip
    for (name, form), words in lines:
        before, commits = dict(held.files), held.commits
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
            sys.stdin = io.StringIO("secret\n")
            try:
                code = run(name, [form, *(word for word in words if word != "-time")], wire)
            except HoldfastError as error:
                code = 1
                told.write(str(error))
            finally:
                sys.stdin = sys.__stdin__
        assert code in (0, 1)
        assert held.commits <= commits + 1, "one command is one transaction"
        if code:
            assert held.files == before, "a refused command changes nothing"
            assert told.getvalue().strip()
        build(held.files)
