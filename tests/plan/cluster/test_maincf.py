"""main.cf: what is read, what is refused and where, and that writing and reading again says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.cluster.config.builder import build
from holdfast.cluster.config.files import load, read_files
from holdfast.cluster.config.writer import dump, dump_types
from holdfast.cluster.model.configuration import Configuration, GroupLink
from holdfast.kernel.errors import InputError

ROOT = Path(__file__).parents[3]
TYPES = (ROOT / "src/holdfast/cluster/config/types.cf").read_text()
HEAD = 'include "types.cf"\ncluster c ( )\nsystem a ( )\nsystem b ( )\n'


def read(text: str) -> Configuration:
    return build({"main.cf": text, "types.cf": TYPES})


def test_the_example_is_read_and_dumped_alike() -> None:
    found = load(ROOT / "examples" / "two-sites")
    files = dict(read_files(ROOT / "examples" / "two-sites"))
    files["main.cf"] = dump(found)
    assert build(files) == found
    group = next(iter(found.groups.values()))
    mirror = next(one for one in group.resources.values() if one.type.name == "MetroMirror")
    assert mirror.get("LocalStorageImageID", "hosta") == "IBM.2107-75FA120"
    assert mirror.get("LocalStorageImageID", "hostc") == "IBM.2107-75FA150"
    assert mirror.get("VolIds") == ("1260", "1261")
    assert mirror.number("MonitorInterval") == 300
    assert not group.same_zone("hosta", "hostc")


def test_oddities_of_real_files() -> None:
    found = read(
        HEAD + "group g (\n SystemList = { a, b = 5 }\n )\n// a comment\n"
        'Application dsmcad.vcs ( StartProgram @a = " /x -y" // why\n'
        'StartProgram@b = "say \\"hi\\" \\\\" Critical=0 )\n'
        "FileOnOff f1()\ndsmcad.vcs requires f1"
    )
    resource = found.groups["g"].resources["dsmcad.vcs"]
    assert found.groups["g"].priorities == {"a": 0, "b": 5}
    assert resource.get("StartProgram", "a") == " /x -y"
    assert resource.get("StartProgram", "b") == 'say "hi" \\'
    assert not resource.critical
    assert found.groups["g"].links == (("dsmcad.vcs", "f1"),)


def test_missing_priorities_continue_and_group_links_default_to_firm() -> None:
    found = read(
        HEAD + "group h (\n SystemList = { b, a }\n )\n"
        "group g (\n SystemList = { a = 3, b }\n )\nrequires group h online"
    )
    assert found.groups["h"].priorities == {"b": 0, "a": 1}
    assert found.groups["g"].priorities == {"a": 3, "b": 4}
    assert found.groups["g"].group_links == (GroupLink("h", "online", "local", "firm"),)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("group g (\n SystemList = { a, z }\n )", 6, 2, "'z', which is not in the cluster"),
        ("group g ( )\nNoSuch x ( )", 6, 1, "type 'NoSuch' is not known"),
        ("group g ( )\nFileOnOff x ( Path = y )", 6, 15, "no attribute 'Path'"),
        ("group g ( )\nFileOnOff x ( )\nFileOnOff y ( )\nx requires y\ny requires x", 9, 1, "closes a circle"),
        ("group g ( )\nrequires group h\ngroup h ( )\nrequires group g", 8, 1, "'h requires group g' closes a circle"),
        ("group g ( )\nrequires group g", 6, 1, "closes a circle"),
        ("".join(f"group g{n} ( )\nrequires group g{n + 1}\n" for n in range(5)) + "group g5 ( )", 6, 1, "chain of 6"),
        ("group g ( )\nFileOnOff x ( )\nx requires y", 7, 1, "'y' is not a resource"),
        ("group g ( )\nFileOnOff x ( )\nFileOnOff x ( )", 7, 1, "stands twice"),
        ("group g ( )\ngroup g ( )", 6, 1, "stands twice"),
        ("group g ( )\nFileOnOff x ( PathName @q = y )", 6, 15, "'q' is not in the cluster"),
        ("group g ( AutoStart = 7 )", 5, 11, "0 or 1"),
        ("group g ( OnlineRetryLimit = many )", 5, 11, "whole number"),
        ('group g ( Data = "open )', 5, 18, "does not end on its line"),
        ("group g ( # note\n)", 5, 11, "does not start a comment"),
        ("group g (\n SystemList = { a b }\n)", 6, 19, "expected ',' or '}'"),
        ("group g (", 5, 10, "the end of the file"),
        ("system a ( )", 5, 1, "stands twice"),
        ("nonsense ( )", 5, 1, "does not start a block"),
        ('include "other.cf"', 5, 9, "cannot be read"),
        ("group g ( SystemList = { a } AutoStartList = { b } )", 5, 30, "not in SystemList"),
    ],
)
def test_refusals_name_the_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read(HEAD + text)
    error = refused.value
    assert message in error.message
    assert (error.file, error.line, error.column) == ("main.cf", line, column)
    assert error.remedy


def test_types_are_dumped_alike() -> None:
    found = read(HEAD)
    again = build({"main.cf": HEAD, "types.cf": dump_types(found.types)})
    assert again.types == found.types
