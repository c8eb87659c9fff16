"""Bad input: whatever stands in main.cf or main.cmd, it is read or refused at its place, never a crash."""

from __future__ import annotations

from collections.abc import Callable

from configurations import BITING, RESERVED, TYPES
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.cluster.config.builder import build
from holdfast.cluster.config.writer import dump
from holdfast.cluster.model.configuration import Configuration
from holdfast.dialects.vcs.commandfile import read_commands
from holdfast.kernel.errors import InputError

WORDS = (
    *RESERVED,
    *[
        "g",
        "h",
        "f",
        "a",
        "b",
        "FileOnOff",
        "Application",
        "SystemList",
        "PathName",
        "Capacity",
        "ClusterList",
        "atleast",
        "from",
        "online",
    ],
    "=",
    "(",
    ")",
    "{",
    "}",
    "@",
    ",",
    "[",
    "]",
    "//",
    "\n",
    "0",
    "1",
    "9" * 5000,
    '"x"',
    '"',
    "\\",
    "\x00",
    "#",
)
FIRST = 'include "types.cf"\ncluster c ( )\nsystem a ( )\ngroup g ( SystemList = { a } )\nFileOnOff f ( )\n'
COMMANDS = [
    "haclus",
    "hahb",
    "hasys",
    "hagrp",
    "hares",
    "hatype",
    "haattr",
    "haconf",
    "-add",
    "-modify",
    "-link",
    "-local",
    "-override",
    "-default",
    "-delete",
    "-keys",
    "-sys",
    "-clus",
    "-min",
    "-static",
    "-assoc",
    "-keylist",
    "-integer",
    "g",
    "h",
    "f",
    "a",
    "F",
    "SystemList",
    "Data",
    "ClusterName",
    "SourceFile",
    "'",
    "%",
    "%-",
    "1",
]


def attempt(read: Callable[[], Configuration]) -> Configuration | InputError:
    try:
        return read()
    except InputError as refused:
        return refused


@settings(max_examples=400, derandomize=True, deadline=None, print_blob=True)
@given(st.booleans(), st.lists(st.sampled_from([*WORDS, *BITING]), max_size=25))
def test_main_cf_is_read_or_refused(after_others: bool, words: list[str]) -> None:
    text = (FIRST if after_others else "") + " ".join(words)
    found = attempt(lambda: build({"main.cf": text, "types.cf": TYPES}))
    if isinstance(found, InputError):
        assert found.line >= 1
        assert found.column >= 1
        assert found.remedy
        return
    assert build({"main.cf": dump(found), "types.cf": TYPES}) == found


@settings(max_examples=400, derandomize=True, deadline=None, print_blob=True)
@given(st.lists(st.lists(st.sampled_from([*COMMANDS, *BITING]), max_size=7), max_size=6))
def test_commands_are_read_or_refused(lines: list[list[str]]) -> None:
    known = ["hatype -add F", "hasys -add a", "hagrp -add g", "hares -add f F g"]
    text = "\n".join([*known, *(" ".join(line) for line in lines)])
    found = attempt(lambda: read_commands(text))
    if isinstance(found, InputError):
        assert found.line >= 1
        assert found.remedy
