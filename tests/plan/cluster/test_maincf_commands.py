"""hacf: a configuration as command lines and back, in files and for every configuration that can be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from configurations import BUNDLED, configurations
from hypothesis import Phase, given, settings

from holdfast.cluster.config.files import load
from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.service.records import State
from holdfast.dialects.vcs.commandfile import read_commands
from holdfast.dialects.vcs.commandlines import command_lines
from holdfast.dialects.vcs.commands import run
from holdfast.dialects.vcs.session import VcsWire
from holdfast.kernel.errors import InputError

ROOT = Path(__file__).parents[3]
FAST = (Phase.explicit, Phase.generate)
WIRE = VcsWire(State, lambda request, _wait_s: request, load)


@settings(max_examples=150, derandomize=True, deadline=None, print_blob=True, phases=FAST)
@given(configurations())
def test_commands_build_what_they_were_made_of(configuration: Configuration) -> None:
    text = command_lines(configuration)
    again = read_commands(text)
    assert again == configuration
    assert command_lines(again) == text


def test_hacf_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = ROOT / "examples" / "two-sites"
    assert run("hacf", ["-verify", str(example)], WIRE) == 0
    assert run("hacf", ["-cftocmd", str(example), "-dest", str(tmp_path)], WIRE) == 0
    lines = (tmp_path / "main.cmd").read_text().splitlines()
    assert "hares -add mnt_VCS Mount VCS_Cluster" in lines
    assert "hares -modify ora_mmir LocalStorageImageID IBM.2107-75FA150 -sys hostc" in lines
    for _ in range(2):
        assert run("hacf", ["-cmdtocf", str(tmp_path)], WIRE) == 0
    assert run("hacf", ["-verify", str(tmp_path)], WIRE) == 0
    assert load(tmp_path) == load(example)
    assert (tmp_path / "main.cf.previous").exists()
    assert capsys.readouterr() == ("", "")


def test_commands_as_people_write_them() -> None:
    found = read_commands(
        "haconf -makerw\n# the group\nhatype -add F\nhaattr -add F Path -string\nhaattr -add F Hosts -keylist\n"
        "hasys -add a\nhasys -add b\nhagrp -add g\nhagrp -modify g SystemList a 0 b 1\n"
        "hagrp -modify g AutoStartList a\n"
        "hares -add f F g\nhares -local f Path\nhares -modify f Path %-y -sys a\nhares -modify f Hosts -add x y\n"
        "hares -modify f Hosts -add z w\nhares -add h F g\nhares -link f h\nhaconf -dump -makero\n"
    )
    group = found.groups["g"]
    assert group.priorities == {"a": 0, "b": 1}
    assert group.resources["f"].get("Path", "a") == "-y"
    assert group.resources["f"].get("Hosts") == ("x", "y", "z", "w")
    assert group.links == (("f", "h"),)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("hagrp -add g\nhagrp -online g", 2, "does not build"),
        ("hares -add r T g", 1, "no group 'g'"),
        ("hagrp -add g\nhagrp -modify g Data 'open", 2, "cannot be read"),
        ("hagrp -add g\nhagrp -modify g AutoStart 7", 2, "0 or 1"),
        ("hagrp -add g\nhagrp -add g", 2, "added twice"),
        ("hagrp -add g\nhagrp -modify g SystemList a", 2, "in turn"),
        ("hagrp -add g\nhares -add r NoSuch g", 2, "'NoSuch' is not known"),
        ("hagrp -add g\nhagrp -link g g warm", 2, "'warm'"),
        ("hagrp", 1, "does not build"),
        ("hatype -add T\nhatype -modify T A 1", 2, "no attribute 'A'"),
    ],
)
def test_refusals_name_the_line(text: str, line: int, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read_commands(text)
    error = refused.value
    assert message in error.message
    assert (error.file, error.line) == ("main.cmd", line)
    assert error.remedy


def test_every_bundled_type_survives() -> None:
    assert read_commands(command_lines(Configuration(types=BUNDLED, includes=("types.cf",)))).types == BUNDLED
