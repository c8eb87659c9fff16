"""Include-exclude: the cases of the reference by example, then any list against a naive oracle."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.backup.plan.inclexcl import Rules, compile_pattern, parse_list
from holdfast.kernel.errors import InputError


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/ab?", "/abc", True),
        ("/ab?", "/ab", False),
        ("/a?b", "/a/b", False),
        ("/ab*ef*rs", "/abefghrs", True),
        ("/*.*", "/nodot", False),
        ("/*.*", "/a.b", True),
        ("/home/*", "/home/u/x", False),
        ("/.../core", "/core", True),
        ("/.../core", "/a/b/core", True),
        ("/.../core", "/a/score", False),
        ("/home/.../*", "/home/x", True),
        ("/home/.../*", "/home/a/b/x", True),
        ("/x[a-m]", "/xc", True),
        ("/x[a-m]", "/xz", False),
        ("/x[abc]", "/x/", False),
        (r"/x\*", "/x*", True),
        (r"/x\*", "/xy", False),
        ("/A", "/a", False),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert bool(compile_pattern(pattern).fullmatch(path)) is matches


SAMPLE = """\
* the sample of the reference
exclude /.../core
exclude /home/u/*
include /home/u/options.scr
include /home/u/driver5/.../* mcengbk2
exclude.dir /tmp
include /tmp/keep
exclude.fs /scratch
"""


def test_sample_list() -> None:
    rules = Rules(parse_list(SAMPLE, "inclexcl"))
    assert not rules.file("/a/core").included
    assert not rules.file("/home/u/x").included
    assert rules.file("/home/u/options.scr").included
    assert rules.file("/home/u/driver5/a/b").mgmtclass == "MCENGBK2"
    assert rules.file("/anything").included
    assert not rules.directory("/tmp").included  # nothing below can be rescued by an include
    assert not rules.filespace("/scratch").included
    assert [s.keyword for s in rules.evaluation_order()][:3] == ["exclude.fs", "exclude.dir", "include"]


def test_everything_excluded_but_one_class() -> None:
    rules = Rules(parse_list("EXCLUDE /.../*\nINCLUDE /data/.../* gold\n", "list"))
    assert not rules.file("/x").included
    assert rules.file("/data/a").mgmtclass == "GOLD"


def test_option_set_is_asked_first() -> None:
    rules = Rules(parse_list("include /a/x", "client"), parse_list("exclude /a/*", "option set"))
    assert not rules.file("/a/x").included


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("include /a\nexclud /b", "list:2:1"),
        ("  exclude.dri /b", "list:1:3"),
        ("exclude", "list:1:8"),
        ("exclude relative", "list:1:9"),
        ("exclude /a[b", "list:1:9"),
        ("exclude /a /b", "list:1:12"),
        ("include.dir /a", "list:1:1"),
    ],
)
def test_bad_lines_name_their_place(text: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_list(text, "list")
    assert str(caught.value).startswith(place)
    assert caught.value.remedy


def oracle(pattern: str, path: str) -> bool:
    """Match the slow and obvious way."""
    if not pattern:
        return not path
    if pattern.startswith("/...") and pattern[4:5] in ("", "/"):
        if oracle(pattern[4:], path):
            return True
        if path.startswith("/") and len(path) > 1 and path[1] != "/":
            end = path.find("/", 1)
            return oracle(pattern, path[end:] if end > 0 else "")
        return False
    if pattern[0] == "*":
        return oracle(pattern[1:], path) or (path[:1] not in ("", "/") and oracle(pattern, path[1:]))
    if pattern[0] == "?":
        return path[:1] not in ("", "/") and oracle(pattern[1:], path[1:])
    return path[:1] == pattern[0] and oracle(pattern[1:], path[1:])


_pieces = st.lists(st.sampled_from(["/", "/...", "a", "b", "*", "?", "."]), max_size=8).map(lambda p: "/" + "".join(p))
_paths = st.lists(st.sampled_from(["a", "b", "ab", ".", "ba."]), min_size=1, max_size=5).map(
    lambda p: "/" + "/".join(p)
)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(pattern=_pieces, path=_paths)
def test_patterns_match_as_the_oracle_does(pattern: str, path: str) -> None:
    assert bool(compile_pattern(pattern).fullmatch(path)) is oracle(pattern, path)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(lines=st.lists(st.tuples(st.booleans(), _pieces), max_size=6), path=_paths)
def test_the_last_matching_statement_decides(lines: list[tuple[bool, str]], path: str) -> None:
    rules = Rules(parse_list("\n".join(f"{'include' if i else 'exclude'} {p}" for i, p in lines), "list"))
    expected = next((include for include, pattern in reversed(lines) if oracle(pattern, path)), True)
    assert rules.file(path).included is expected
