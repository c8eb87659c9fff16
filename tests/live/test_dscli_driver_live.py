"""The DS8000 driver at work: with the software array's own dscli, and with a program that misbehaves in its place."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from arraylab import A, B, Lab, until
from baddscli import BadDscli, install_real

from holdfast.kernel.errors import HoldfastError, InputError, Refused, Unavailable
from holdfast.replication.drivers import dscli_process
from holdfast.replication.drivers.ds8000 import Console, Ds8000, NotDone, Request
from holdfast.replication.drivers.dscli_process import NotStarted, Turn
from holdfast.replication.drivers.dscli_stdin import run_lines

VOLUMES = ("1260", "1261")
PAIRS = tuple(f"{volume}:{volume}" for volume in VOLUMES)


class Desk:
    """A driver of each array through the program that can misbehave."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.bad = BadDscli(directory / "dscli", install_real(directory / "real"))
        self.pwfile = directory / "pw" / "security.dat"
        words = ["managepwfile", "-action", "add", "-name", "admin", "-pw", "-", "-pwfile", str(self.pwfile)]
        subprocess.run(
            [str(directory / "real" / "dscli"), *words], input="secret\n", text=True, check=True, capture_output=True
        )
        self.environment = {**self.bad.environment, "HOLDFAST_IDENTITY": str(lab.identity)}
        self.a, self.b = self.driver(lab.a.management, A), self.driver(lab.b.management, B)

    def console(self, hmc1: str, **more: object) -> Console:
        found = Console((str(self.bad.program),), hmc1, "admin", str(self.pwfile), environment=self.environment)
        return replace(found, **more)  # type: ignore[arg-type]

    def driver(self, hmc1: str, image: str, **more: object) -> Ds8000:
        return Ds8000(self.console(hmc1, **more), image)

    def mirrored(self) -> None:
        for box in (self.lab.a, self.lab.b):
            box.create(*VOLUMES, size_bytes=1 << 20)
        self.lab.a.client.change("mkpair", list(PAIRS), remote=B)
        for volume in VOLUMES:
            self.lab.a.wait_state("Full Duplex", volume)
            self.lab.b.wait_state("Target Full Duplex", volume)


@pytest.fixture
def desk(lab: Lab, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(lab, tmp_path / "desk")
    yield made
    for pid in made.bad.running():
        os.kill(pid, 9)


@pytest.fixture(autouse=True)
def _directories(tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir(exist_ok=True)


def test_single_commands_lines_and_scripts_say_the_same(lab: Lab, desk: Desk) -> None:
    desk.mirrored()
    single = desk.a.states(VOLUMES)
    assert {pair: row["State"] for pair, row in single.items()} == dict.fromkeys(PAIRS, "Full Duplex")
    lines = ("setenv -banner off -header on -format delim", f"lspprc -l -dev {A} 1260-1261", f"lsflash -l -dev {A}")
    setting, listed, none = desk.a.run_lines(lines)
    assert (setting.messages, setting.rows) == ((), ())
    assert {row["ID"]: row for row in listed.rows} == single
    assert none.told_none
    script = desk.a.run_script([f"lspprc -l -dev {A} -fmt delim -delim '|' 1260-1261  # a comment", "", "lsflash"])
    assert {row["ID"]: row for row in script.rows} == single
    assert script.told_none
    wrong = desk.a.run_script(["rmpprc -quiet 1299:1299", "lsnothing", "lssi"])
    assert not wrong.clean
    assert len(wrong.failures) == 2, "the last line was still carried out"
    profile = desk.pwfile.with_name("dscli.profile")
    profile.write_text(
        f"hmc1: {lab.a.management}\nusername: admin\npwfile: {desk.pwfile}\nformat: stanza\nbanner: on\n"
    )
    by_profile = Ds8000(replace(desk.console(""), user="", pwfile="", profile=str(profile)), A)
    assert by_profile.states(VOLUMES) == single, "what a profile sets for people does not matter"
    assert all("secret" not in call for call in desk.bad.calls())


@pytest.mark.parametrize("style", ["default", "stanza", "xml", "delim"])
def test_whatever_format_the_array_prints_is_read(lab: Lab, desk: Desk, style: str) -> None:
    desk.mirrored()
    seen = desk.a.run(("lspprc", "-l", "-fmt", style, "-delim", "|", "1260-1261"))
    assert {row["ID"]: row for row in seen.rows} == desk.a.states(VOLUMES)


@pytest.mark.parametrize(
    ("mood", "error", "told"),
    [
        ("hang", Unavailable, "did not end within 1 s"),
        ("flood", Refused, "dscli-flood"),
        ("garbage", Refused, "dscli-"),
        ("silence", Refused, "dscli-unreadable"),
        ("prompt", Refused, "dscli-login-prompt"),
        ("crash", Refused, "dscli-UNKNOWN"),
        ("norights", Refused, "dscli-UNKNOWN"),
        ("code2", Refused, "dscli-CMUC09999E"),
        ("code3", Unavailable, "does not answer"),
        ("code4", Refused, "dscli-CMUC09999E"),
        ("code5", Refused, "dscli-CMUC09999E"),
        ("code6", Refused, "dscli-CMUC09999E"),
    ],
)
def test_a_bad_dscli_is_a_typed_failure_in_bounded_time_with_a_remedy(
    desk: Desk, mood: str, error: type[HoldfastError], told: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(dscli_process, "OUTPUT_LIMIT_BYTES", 1 << 20)
    caplog.set_level("INFO", logger="holdfast.replication.dscli")
    desk.bad.mood(mood)
    driver = desk.driver(desk.lab.a.management, A, timeout_s=1.0 if mood == "hang" else 20.0)
    began = time.monotonic()
    with pytest.raises(error) as raised:
        driver.states(VOLUMES)
    assert time.monotonic() - began < 15
    code = raised.value.refusal.code if isinstance(raised.value, Refused) else raised.value.message
    assert told in code
    assert raised.value.remedy
    assert str(desk.bad.program) in caplog.text, "the log tells of every run"
    until(lambda: not desk.bad.running(), what="nothing that it started is left")
    desk.bad.mood("")
    assert desk.a.states(VOLUMES) == {}


def test_a_bad_dscli_on_standard_input_is_bounded_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dscli_process, "OUTPUT_LIMIT_BYTES", 1 << 20)
    lines = "\n".join(["lsflash -l"] * 20_000)
    argv = desk.console(desk.lab.a.management).argv()
    for name, value in desk.environment.items():
        monkeypatch.setenv(name, value)
    for mood, error, told in (
        ("hang", Unavailable, "did not end within 1 s"), ("flood", Refused, "printed more than"),
        ("prompt", Refused, "asks for a user name"),
    ):  # fmt: skip
        desk.bad.mood(mood)
        began = time.monotonic()
        with pytest.raises(error, match=told):
            run_lines(argv, lines, 1.0 if mood == "hang" else 20.0, A)
        assert time.monotonic() - began < 15
        until(lambda: not desk.bad.running(), what="nothing that it started is left")
    desk.bad.mood("")
    said = run_lines(argv, f"lsflash -l -dev {A}\nquit", 20.0, A)
    assert "No Flash Copy found" in said.stdout
    assert "dscli>" not in said.stdout


def test_a_missing_program_and_a_bare_password_file_are_refused_before_anything_runs(desk: Desk) -> None:
    with pytest.raises(Refused, match="cannot be run") as refused:
        Ds8000(replace(desk.console("127.0.0.1:9"), program=("/nonexistent/dscli",)), A).states(VOLUMES)
    assert (refused.value.refusal.code, "/nonexistent" in refused.value.remedy) == ("dscli-missing", True)
    desk.bad.calls()
    desk.pwfile.chmod(0o640)
    for attempt in (lambda: desk.a.states(VOLUMES), lambda: desk.a.run_lines(["lssi"])):
        with pytest.raises(InputError, match="mode 640"):
            attempt()
    assert desk.bad.calls() == []


def test_dscli_gets_no_language_to_translate_to(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    desk.a.states(VOLUMES)
    assert set((desk.bad.directory / "locale").read_text().split()) == {"LC_ALL=C", "LANG=C"}


def test_the_second_console_is_tried_when_the_first_cannot_be_reached_and_never_after_a_refusal(
    lab: Lab, desk: Desk
) -> None:
    desk.mirrored()
    first = "127.0.0.13:9"
    desk.environment["FIRST"] = first
    desk.bad.mood("first-unreachable")
    driver = desk.driver(first, A, hmc2=lab.a.management)
    assert set(driver.states(VOLUMES)) == set(PAIRS)
    assert [call.split()[1] for call in desk.bad.calls()] == [first, lab.a.management]
    assert driver.change(Request("pause", A, PAIRS, B)).done == PAIRS
    typed = [call for call in desk.bad.calls() if "pausepprc" in call]
    assert [call.split()[1] for call in typed] == [first, lab.a.management]
    desk.bad.mood("")
    driver = desk.driver(lab.a.management, A, hmc2=first)
    with pytest.raises(Refused):
        driver.change(Request("pause", A, ("1299:1299",), B))
    assert len([call for call in desk.bad.calls() if "pausepprc" in call]) == 1


def test_a_connection_that_breaks_after_the_command_is_settled_by_a_look_and_nothing_is_done_twice(
    lab: Lab, desk: Desk
) -> None:
    desk.mirrored()
    desk.bad.mood("cut-off")
    driver = desk.driver(lab.a.management, A, hmc2="127.0.0.13:9")
    assert driver.change(Request("pause", A, PAIRS, B)).done == PAIRS
    assert len([call for call in desk.bad.calls() if "pausepprc" in call]) == 1
    assert lab.a.pair()["state"] == "Suspended"
    desk.bad.mood("")
    lab.a.client.change("resume", list(PAIRS), remote=B)
    lab.a.wait_state("Full Duplex")
    desk.bad.mood("die-after")
    assert desk.a.change(Request("pause", A, PAIRS, B)).done == PAIRS, "the program died, the pairs are paused"


def test_of_several_pairs_each_is_told_whether_it_was_done(lab: Lab, desk: Desk) -> None:
    desk.mirrored()
    with pytest.raises(NotDone, match="took effect on 1260:1260 1261:1261, not on 1299:1299") as raised:
        desk.a.change(Request("pause", A, ("1260:1260", "1299:1299", "1261:1261"), B))
    changed = raised.value.changed
    assert (changed.done, set(changed.refused), changed.unknown) == (PAIRS, {"1299:1299"}, {})
    assert changed.refused["1299:1299"].startswith("CMUN03920E")
    lab.a.create("1360", "1361", size_bytes=1 << 20)
    assert desk.a.change(Request("mkflash", A, ("1260:1360",), options=("-persist", "-record"))).done == ("1260:1360",)
    with pytest.raises(NotDone) as raised:
        desk.a.change(Request("rmflash", A, ("1260:1360", "1261:1361")))
    assert (raised.value.changed.done, list(raised.value.changed.refused)) == (("1260:1360",), ["1261:1361"])
    assert desk.a.flashes() == {}


def test_what_nobody_can_tell_is_said_to_be_unknown(desk: Desk) -> None:
    desk.mirrored()
    desk.bad.mood("hang")
    driver = desk.driver(desk.lab.a.management, A, timeout_s=1.0)
    with pytest.raises(Unavailable, match="is not known"):
        driver.change(Request("pause", A, PAIRS, B))
    desk.bad.mood("")
    assert desk.lab.a.pair()["state"] == "Full Duplex"


_OTHER = """\
import sys, time
from holdfast.replication.drivers.dscli_process import Turn
with Turn(sys.argv[1], sys.argv[2]).held(5):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_commands_for_one_array_wait_for_each_other_between_processes(lab: Lab, desk: Desk) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", _OTHER, A, lab.a.management], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "held\n"
        hasty = desk.driver(lab.a.management, A, turn_s=0.3)
        with pytest.raises(NotStarted, match="another dscli command"):
            hasty.states(VOLUMES)
        assert desk.bad.calls() == []
        assert desk.b.states(VOLUMES) == {}, "the other array is another turn"
        patient = threading.Thread(target=desk.a.states, args=(VOLUMES,))
        patient.start()
        other.kill()  # a lock ends with its holder
        patient.join(20)
        assert not patient.is_alive()
    finally:
        other.kill()
        other.wait()
    turn = Turn(A, lab.a.management)
    until(turn.take, what="the turn is free")
    turn.drop()
