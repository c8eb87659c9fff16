"""The logs that VCS users read: what is written when, how it is rotated, and what ``hamsg`` finds in it."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import Phase, ResourceFact, ResourceState
from holdfast.cluster.service.records import State
from holdfast.dialects.vcs.commands import run
from holdfast.dialects.vcs.enginelog import EngineLog
from holdfast.dialects.vcs.session import Host, VcsWire

GROUP = build(
    {"main.cf": "type Application ( str X )\nsystem a ( )\ngroup web ( SystemList = { a } )\nApplication app ( )\n"}
).groups["web"]
OFFLINE = ResourceFact(ResourceState.OFFLINE, probed=True)
ONLINE = ResourceFact(ResourceState.ONLINE, probed=True)
LIFE = (
    ResourceFact(),
    OFFLINE,
    replace(OFFLINE, phase=Phase.STARTING),
    ONLINE,
    replace(OFFLINE, phase=Phase.CLEANING, detail="it is gone"),
    replace(OFFLINE, faulted=True, detail="it is gone"),
    OFFLINE,
)


def live(log: EngineLog) -> None:
    log.said(1000.0, "info", "a coordinates in epoch 1")
    for before, after in pairwise(LIFE):
        log.changed(1000.0, GROUP, "app", before, after)


def texts(path: Path) -> list[str]:
    return [line[20:] for line in path.read_text().splitlines()]


def test_a_life_is_written_as_vcs_users_know_it(tmp_path: Path) -> None:
    live(EngineLog(tmp_path, "a"))
    assert texts(tmp_path / "engine_A.log") == [
        "VCS INFO V-16-1-50000 a coordinates in epoch 1",
        "VCS INFO V-16-1-10305 Resource app (Group: web) is offline on System a",
        "VCS NOTICE V-16-1-10301 Initiating Online of Resource app (Group: web) on System a",
        "VCS INFO V-16-1-10298 Resource app (Group: web) is online on System a",
        "VCS NOTICE V-16-1-10307 Initiating Clean of Resource app (Group: web) on System a: it is gone",
        "VCS INFO V-16-1-10305 Resource app (Group: web) is offline on System a",
        "VCS ERROR V-16-1-10303 Resource app (Group: web) is FAULTED on System a: it is gone",
        "VCS NOTICE V-16-1-10302 Fault of Resource app (Group: web) is cleared on System a",
    ]
    assert len(texts(tmp_path / "Application_A.log")) == 7
    stamps = {line[:19] for line in (tmp_path / "engine_A.log").read_text().splitlines()}
    assert all(re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", stamp) for stamp in stamps)


def test_a_large_log_becomes_b_then_c_then_goes(tmp_path: Path) -> None:
    log = EngineLog(tmp_path, "a", limit_bytes=200)
    for number in range(40):
        log.said(1000.0, "info", f"line {number}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engine_A.log", "engine_B.log", "engine_C.log"]
    assert all(path.stat().st_size <= 200 for path in tmp_path.iterdir())
    assert texts(tmp_path / "engine_A.log")[-1].endswith("line 39")


def test_a_directory_that_cannot_be_written_is_complained_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").write_text("no directory")
    live(EngineLog(tmp_path / "logs", "a"))
    assert capsys.readouterr().err.count("cannot be written") == 1


@pytest.mark.parametrize(
    ("words", "code", "lines", "says"),
    [
        (["engine_A"], 0, 8, "epoch 1"),
        (["Application_A.log"], 0, 7, "app"),
        (["-any", "-sev", "E"], 0, 1, "FAULTED"),
        (["-any", "-otype", "RES", "-oname", "app", "-msgid", "10298", "engine"], 0, 1, "is online"),
        (["-any", "-oname", "ap"], 0, 0, ""),
        (["-list"], 0, 2, "engine"),
        (["nothing"], 1, 1, "no log 'nothing'"),
        (["-any", "-sev", "X"], 1, 1, "a severity is one of"),
    ],
)
def test_hamsg(
    words: list[str], code: int, lines: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live(EngineLog(tmp_path, "a"))
    wire = VcsWire(State, lambda request, _wait_s: request, lambda _path: None, local=Host("a", "", str(tmp_path)))  # type: ignore[arg-type,return-value]
    assert run("hamsg", words, wire) == code
    out = "".join(capsys.readouterr())
    assert len(out.splitlines()) == lines
    assert says in out
