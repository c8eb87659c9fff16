"""File specifications: what each means, and what it leaves alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.backup.model.objects import Entry, Kind, Stat, under
from holdfast.backup.plan.access import AccessRule, permitted
from holdfast.backup.plan.filespec import FileSpec, parse_spec, select
from holdfast.kernel.errors import InputError

KNOWN = ["/", "/home", "/home/team", "/VCS"]
STAT = Stat(0o100644, 0, 0, 0, 0, 0, 1, 1)


@pytest.mark.parametrize(
    ("text", "filespace", "directory", "last"),
    [
        ("/VCS/db/*.log", "/VCS", b"db", "*.log"),
        ("/VCS", "/VCS", b"", ""),
        ("/VCS/", "/VCS", b"", "*"),
        ("/home/team/x", "/home/team", b"", "x"),
        ("{/home}/team/x", "/home", b"team", "x"),
        ("{/}/home/team/x", "/", b"home\0team", "x"),
        ("/etc/a/b", "/", b"etc\0a", "b"),
        ("/homestead/x", "/", b"homestead", "x"),
    ],
)
def test_the_longest_filespace_is_taken_unless_braces_say_otherwise(
    text: str, filespace: str, directory: bytes, last: str
) -> None:
    spec = parse_spec(text, KNOWN)
    assert (spec.filespace, spec.directory, spec.last) == (filespace, directory, last)


@pytest.mark.parametrize("text", ["/VCS/*/x", "/VCS/a?/b/c", "{/VCS", "relative", "/VCS/[b-a]"])
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="ANS1081E"):
        parse_spec(text, KNOWN)


@pytest.mark.parametrize(
    ("last", "subdir", "key", "fits"),
    [
        ("ab?", False, b"d\0abc", True),
        ("ab?", False, b"d\0ab", False),
        ("ab*ef*rs", False, b"d\0abefghrs", True),
        ("*.*", False, b"d\0noext", False),
        ("[a-m]x", False, b"d\0cx", True),
        ("[a-m]x", False, b"d\0zx", False),
        ("[a-m]x", False, b"d\0[a-m]x", True),
        ("*", False, b"d\0s\0x", False),
        ("*", True, b"d\0s\0x", True),
        ("*.c", True, b"d\0s\0x.c", True),
        ("s", False, b"d\0s\0x", False),
        ("s", True, b"d\0s\0x", True),
        ("s", True, b"d\0t\0s", True),
        ("", False, b"d", True),
        ("", False, b"d\0x", False),
        ("", True, b"d\0x", True),
        ("*", True, b"other", False),
    ],
)
def test_what_a_specification_means(last: str, subdir: bool, key: bytes, fits: bool) -> None:
    assert FileSpec("/VCS", b"d", last, subdir).fits(key) is fits


_names = st.sampled_from([b"a", b"b", b"c", b"d.x", b"e"])
_paths = st.lists(_names, min_size=1, max_size=4).map(b"\0".join)


@settings(derandomize=True, max_examples=200)
@given(files=st.frozensets(_paths, max_size=20), last=st.sampled_from(["a", "*", "*.x", "?", ""]), subdir=st.booleans())
def test_everything_that_fits_comes_with_the_directories_on_its_way(
    files: frozenset[bytes], last: str, subdir: bool
) -> None:
    directories = {b"\0".join(key.split(b"\0")[:n]) for key in files for n in range(len(key.split(b"\0")))}
    entries = [
        Entry(key, Kind.DIRECTORY if key in directories else Kind.FILE, STAT) for key in sorted(files | directories)
    ]
    spec = FileSpec("/VCS", b"a", last, subdir)
    found = [entry.key for entry in select(entries, [spec])]
    wanted = {entry.key for entry in entries if spec.fits(entry.key)}
    above = {key for key in directories if any(under(one, key) for one in wanted)}
    assert found == sorted(wanted | above)
    for entry in entries:
        if spec.fits(entry.key):
            assert all(spec.enters(key) for key in directories if under(entry.key, key) and key != entry.key)


def test_access_covers_what_its_pattern_names_and_the_way_to_it() -> None:
    rules = [AccessRule(1, "backup", "/VCS/open/*/*", "N"), AccessRule(2, "backup", "/VCS/one/file", "N")]
    assert permitted(rules, "/VCS", b"open\0x\0y")
    assert permitted(rules, "/VCS", b"one\0file")
    assert not permitted(rules, "/VCS", b"one\0other")
    assert not permitted(rules, "/VCS", b"openly\0x")
    assert not permitted(rules, "/OTHER", b"open\0x")
    assert permitted(rules, "/VCS", b"one", directory=True)
    assert permitted(rules, "/VCS", b"", directory=True)
    assert not permitted(rules, "/VCS", b"secret", directory=True)
