"""dsmadmc as people and scripts use it: layouts, files, macros with values, return codes, a conversation."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import backup_lab

from holdfast.runtime.secretfile import write_secret

HOLDFAST = [sys.executable, "-m", "holdfast.app.main", "dsmadmc"]


class Desk:
    """A dsm.sys and a password file for one server, and a way to run dsmadmc there."""

    def __init__(self, lab: backup_lab.Lab) -> None:
        server = lab.server("DELHI")
        self.directory = lab.directory
        host, _, port = server.config.address.rpartition(":")
        (self.directory / "dsm.sys").write_text(
            f"SErvername DELHI\n  TCPServeraddress {host}\n  TCPPort {port}\n  TLSIDENTITY {lab.directory / 'client'}\n"
        )
        write_secret(self.directory / "admin", (server.config.directory / "admin.password").read_bytes())
        self.env = {**os.environ, "DSM_DIR": str(self.directory)}
        self.options = ["-id=admin", f"-passwordfile={self.directory / 'admin'}", "-se=DELHI"]

    def run(self, *arguments: str, code: int = 0, text: str = "") -> str:
        command = [*HOLDFAST, *self.options, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self.env, timeout=60, input=text)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    lab = backup_lab.Lab(tmp_path_factory.mktemp("lab"))
    desk = Desk(lab)
    desk.run(text="register node one secret contact='Ann, of Delhi'\nregister node two secret\n")
    yield desk
    lab.close()


def test_layouts_for_programs(desk: Desk) -> None:
    assert desk.run("-dataonly=yes", "-comma", "q", "node", "one") == "ONE,(?),STANDARD,<1,<1,No,CLIENT\n"
    assert desk.run("-dataonly=yes", "-tab", "q", "node", "one").split("\t")[:2] == ["ONE", "(?)"]
    detailed = desk.run("-dataonly=yes", "-comma", "q", "node", "one", "f=d")
    assert '"Ann, of Delhi"' in detailed
    listed = desk.run("-dataonly=yes", "-displaymode=list", "q", "node", "one")
    assert "Node Name: ONE\n" in listed
    wide = desk.run("-displaymode=table", "q", "node", "one", "f=d")
    assert "Ann, of Delhi" in wide
    assert ": Ann" not in wide


def test_select_from_the_command_line(desk: Desk) -> None:
    asked = "select node_name, contact from nodes where node_name='ONE'"
    assert desk.run("-dataonly=yes", "-comma", asked) == 'ONE,"Ann, of Delhi"\n'
    assert desk.run("-dataonly=yes", "-tab", *asked.split()) == "ONE\tAnn, of Delhi\n"
    none = desk.run("-dataonly=yes", "select node_name from nodes where locked='YES'", code=11)
    assert none == "ANR2034E SELECT: No match found using this criteria.\n"


def test_numbers_are_those_of_the_c_locale_whatever_the_environment_says(desk: Desk) -> None:
    asked = ("-dataonly=yes", "-comma", "select est_capacity_mb, 1234567.5, 1000000 from stgpools")
    plain = desk.run(*asked)
    desk.env.update(LC_ALL="fr_FR.UTF-8", LANG="de_DE.UTF-8")
    assert desk.run(*asked) == plain
    assert ",1234567.5,1000000" in plain
    assert plain.isascii()


def test_without_dataonly_it_says_what_it_did(desk: Desk) -> None:
    said = desk.run("q", "node", "nobody", code=11)
    assert "ANS8000I Server command: 'q node nobody'." in said
    assert "ANS8001I Return code 11." in said
    assert said.endswith("ANS8002I Highest return code was 11.\n")
    quiet = desk.run("-quiet", "q", "node", "nobody", code=11)
    assert quiet == ""


def test_output_goes_to_a_file(desk: Desk) -> None:
    out = desk.directory / "out.txt"
    assert desk.run(f"-outfile={out}", "-dataonly=yes", "-comma", "q", "node") == ""
    assert [line.split(",")[0] for line in out.read_text().splitlines()] == ["ONE", "TWO"]
    assert "none/out" in desk.run("-outfile=/none/out", "q", "node", code=1)


def test_macros_take_values_and_other_macros(desk: Desk) -> None:
    inner, outer = desk.directory / "inner.mac", desk.directory / "outer.mac"
    inner.write_text("define domain %1 description='%2'\n")
    outer.write_text(f"macro {inner} one 'the first'\nmac {inner} two second\ncommit\n")
    desk.run("-itemcommit", "macro", str(outer))
    assert "the first" in desk.run("-dataonly=yes", "q", "domain", "one")
    inner.write_text("define domain %3\n")
    assert "inner.mac:1" in desk.run("macro", str(outer), code=1)
    outer.write_text(f"macro {outer}\n")
    assert "circle" in desk.run("macro", str(outer), code=1)


def test_a_script_prints_what_its_commands_answer(desk: Desk) -> None:
    desk.run(text="define script show 'q node one'\nupdate script show 'q domain nowhere'\n")
    said = desk.run("-dataonly=yes", "run", "show", code=11)
    assert "ONE" in said
    assert "ANR2034E QUERY DOMAIN" in said
    assert "ANR1462I" in said


def test_passwords_do_not_reach_the_log_from_inside_a_script(desk: Desk) -> None:
    desk.run(text="define script secrets 'register node three hidden1'\nupdate script secrets 'upd node $1 hidden2'\n")
    desk.run("define", "schedule", "s", "type=admin", "cmd='update node three password=hidden3'", code=3)
    desk.run("run", "secrets", "three")
    log = desk.run("-dataonly=yes", "q", "actlog", "se=ANR2017I")
    assert "register node three ?***?" in log
    assert not any(f"hidden{number}" in log for number in (1, 2, 3))


@pytest.mark.parametrize("option", ["-frobnicate", "-id", "-displaymode=wide"])
def test_wrong_options_are_named(desk: Desk, option: str) -> None:
    assert "ANS1107E" in desk.run(option, "q", "node", code=1)


def test_a_conversation_at_a_terminal(desk: Desk) -> None:
    master, slave = pty.openpty()
    command = [*HOLDFAST, *desk.options]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=desk.env, close_fds=True)
    os.close(slave)
    heard = b""

    def until(wanted: bytes) -> bytes:
        nonlocal heard
        deadline = time.monotonic() + 30
        while wanted not in heard:
            assert time.monotonic() < deadline, heard
            heard += os.read(master, 4096)
        said, _, heard = heard.partition(wanted)
        return said

    try:
        until(b"tsm: DELHI>")
        os.write(master, b"frobnicate all\n")
        assert b"ANR2000E" in until(b"tsm: DELHI>")
        os.write(master, b"define domain -\n")
        until(b"cont> ")
        os.write(master, b"spoken\n")
        assert b"ANR1500I" in until(b"tsm: DELHI>")
        os.write(master, b"delete domain spoken\n")
        until(b"proceed? (Yes (Y)/No (N)) ")
        os.write(master, b"n\n")
        until(b"tsm: DELHI>")
        os.write(master, b"q domain spoken\n")
        assert b"SPOKEN" in until(b"tsm: DELHI>")
        os.write(master, b"delete domain spoken\n")
        until(b"proceed? (Yes (Y)/No (N)) ")
        os.write(master, b"y\n")
        assert b"deleted" in until(b"tsm: DELHI>")
        os.write(master, b"quit\n")
        until(b"Highest return code was 0")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_console_mode_shows_what_the_server_does(desk: Desk) -> None:
    command = [*HOLDFAST, *desk.options, "-consolemode"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=desk.env) as console:
        try:
            assert console.stdout is not None
            assert "Session established" in console.stdout.readline()
            console.stdout.readline()
            time.sleep(0.5)  # it has asked for the last number once; nothing tells from outside
            desk.run("define", "domain", "watched")
            for line in console.stdout:
                if "ANR1500I" in line and "WATCHED" in line:
                    break
            else:
                pytest.fail("the console ended")
        finally:
            console.terminate()
