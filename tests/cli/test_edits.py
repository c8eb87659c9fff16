"""The verbs that change one thing of the configuration, as a person types them, and what they leave in the records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.app.main import main

MAIN_CF = 'include "types.cf"\ncluster shop ( )\nsystem hosta ( )\nsystem hostb ( )\n'


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOLDFAST_STORE", f"embedded://{tmp_path}/cluster.db")
    (tmp_path / "main.cf").write_text(MAIN_CF)
    assert run("cluster", "load", str(tmp_path)) == 0
    capsys.readouterr()


def run(*words: str) -> int:
    return main(["holdfast", *words])


def test_a_group_grows_verb_by_verb(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("group", "add", "web", "--on", "hosta", "--on", "hostb", "--reason", "the new shop") == 0
    assert run("resource", "add", "page", "FileOnOff", "web", "--set", "PathName=/run/page") == 0
    assert run("resource", "add", "disk", "FileOnOff", "web", "--disabled") == 0
    assert run("resource", "link", "page", "disk") == 0
    assert run("resource", "modify", "disk", "PathName", "/run/disk", "--system", "hostb") == 0
    monkeypatch.setenv("HOLDFAST_REASON", "priorities")
    assert run("group", "modify", "web", "AutoStartList", "hostb") == 0
    assert run("group", "modify", "web", "AutoStartList", "--add", "hosta") == 0
    assert run("type", "modify", "FileOnOff", "NumThreads", "3") == 0
    assert run("system", "modify", "hosta", "Limits", "CPU", "4") == 0
    assert run("cluster", "modify", "EngineShutdown", "Disable") == 0
    capsys.readouterr()
    assert run("cluster", "dump") == 0
    text = capsys.readouterr().out
    for line in (
        "SystemList = { hosta = 0, hostb = 1 }", "AutoStartList = { hostb, hosta }", "page requires disk",
        'PathName = "/run/page"', 'PathName@hostb = "/run/disk"', "Enabled = 0", "Limits = { CPU = 4 }",
    ):  # fmt: skip
        assert line in text
    assert run("cluster", "audit", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["reason"] for one in told][1] == "the new shop"
    assert told[-1]["reason"] == "priorities"
    assert "AutoStartList" in told[6]["text"]
    assert {one["by"] for one in told} != {""}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("group", "modify", "shop", "AutoStart", "1"), 3, "no group 'shop'"),
        (("system", "modify", "hosta", "Limits", "CPU", "many"), 0, ""),
        (("system", "modify", "hosta", "ShutdownTimeout", "soon"), 3, "whole number"),
        (("system", "modify", "hosta", "Limits"), 1, "no value"),
        (("system", "modify", "hosta", "Limits", "--add", "--delete", "CPU"), 1, "exclude"),
        (("system", "remove", "hostc"), 3, "no system 'hostc'"),
        (("resource", "add", "page", "NoType", "web"), 3, "no group 'web'"),
        (("type", "modify", "FileOnOff", "NoSuch", "1"), 3, "no attribute"),
    ],
)
def test_what_cannot_be_is_refused(
    words: tuple[str, ...], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cluster", "dump") == 0
    before = capsys.readouterr().out
    assert run(*words) == code
    assert says in capsys.readouterr().err
    assert run("cluster", "dump") == 0
    assert (capsys.readouterr().out == before) == (code != 0)


LAMP = """type Lamp (
	static str AgentDirectory = "/opt/lamp"
	static str ArgList[] = { Colour }
	str Colour = red
	)
"""


def test_a_type_file_is_taken_in_and_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "LampTypes.cf"
    file.write_text(LAMP)
    assert run("type", "import", str(file), "--reason", "lamps") == 0
    assert run("group", "add", "hall", "--on", "hosta") == 0
    assert run("resource", "add", "lamp", "Lamp", "hall", "--set", "Colour=blue") == 0
    file.write_text(LAMP.replace("str Colour = red", "str Colour = red\n\tint Watts = 40"))
    assert run("type", "import", str(file)) == 0
    assert run("resource", "modify", "lamp", "Watts", "60") == 0
    capsys.readouterr()
    assert run("cluster", "dump") == 0
    text = capsys.readouterr().out
    assert text.index('include "types.cf"') < text.index('include "LampTypes.cf"') < text.index("cluster shop")
    assert "Watts = 60" in text


def test_a_type_file_that_is_wrong_or_takes_away_what_is_used_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "LampTypes.cf"
    file.write_text(LAMP)
    assert run("type", "import", str(file)) == 0
    assert run("group", "add", "hall", "--on", "hosta") == 0
    assert run("resource", "add", "lamp", "Lamp", "hall", "--set", "Colour=blue") == 0
    run("cluster", "dump")
    before = capsys.readouterr().out
    for wrong in ("type (", LAMP.replace("str Colour = red", "str Size"), "type Chair ( )\n"):
        file.write_text(wrong)
        assert run("type", "import", str(file)) == 1
    said = capsys.readouterr().err
    assert "LampTypes.cf:1:6" in said
    run("cluster", "dump")
    assert capsys.readouterr().out in before
