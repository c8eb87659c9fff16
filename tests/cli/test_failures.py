"""How commands end: what programs get on standard output, what people get on standard error, exit codes, colour."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from holdfast.app.main import native_root
from holdfast.cli.conventions import Failure
from holdfast.cli.frame import run_guarded
from holdfast.cli.tree import walk
from holdfast.kernel.errors import InputError, Refusal, Refused, Unavailable

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "examples" / "two-sites")
NOBODY = "127.0.0.1:1"
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*[34]\dm")


def run(*words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "DSM_"))}
    argv = [sys.executable, "-m", "holdfast", *words]
    return subprocess.run(
        argv, capture_output=True, text=True, input=stdin, env={**bare, **variables}, timeout=60, check=False
    )


def failure(*words: str, **variables: str) -> dict[str, Any]:
    """Run a command that must fail, with ``--json``; return its one document after checking both streams."""
    done = run(*words, "--json", **variables)
    document = json.loads(done.stdout)
    assert list(document) == ["error"]
    told: dict[str, Any] = document["error"]
    assert told["exit_code"] == done.returncode != 0
    assert told["text"].split("\n")[0] in done.stderr, "people are told the same"
    assert "Traceback" not in done.stderr
    plain = run(*words, **variables)
    assert (plain.returncode, plain.stdout) == (done.returncode, ""), "standard output belongs to results"
    return told


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"embedded://{tmp_path_factory.mktemp('store')}/cluster.db"
    assert run("cluster", "load", EXAMPLE, "--store", url).returncode == 0
    return url


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("identity")
    made = run("authority", "create", "--directory", str(directory / "ca"), "--json")
    assert json.loads(made.stdout) == {"directory": str(directory / "ca"), "created": True}
    again = run("authority", "create", "--directory", str(directory / "ca"), "--json")
    assert json.loads(again.stdout)["created"] is False
    run("authority", "issue", "admin:test", "--authority", str(directory / "ca"), "--into", str(directory / "tls"))
    return str(directory / "tls")


def test_a_refusal_has_its_code_and_exit_code_3(store: str) -> None:
    told = failure("group", "state", "nosuch", "--store", store)
    assert (told["id"], told["exit_code"], told["remedy"]) == ("no-group", 3, "holdfast group list")


def test_wrong_input_names_file_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text('include "types.cf"\ncluster c (\n  Nonsense ==\n)\n')
    told = failure("cluster", "verify", str(tmp_path / "main.cf"))
    assert (told["id"], told["exit_code"]) == ("input", 1)
    assert told["file"].endswith("main.cf")
    assert told["line"] >= 1
    assert told["remedy"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("grop", "list"), "group"),
        (("volumes", "list"), "volume"),
        (("hagr", "-state"), "hagrp"),
        (("group", "swich"), "switch"),
        (("server", "object", "lst"), "list"),
        (("group", "switch", "VCS_Cluster", "--wat", "3"), "--wait"),
    ],
)
def test_wrong_words_get_the_near_one(words: tuple[str, ...], meant: str) -> None:
    told = failure(*words)
    assert (told["id"], told["exit_code"]) == ("usage", 2)
    assert "Did you mean" in told["text"]
    assert repr(meant) in told["text"]
    assert told["remedy"].endswith("--help")


def test_a_word_that_is_near_to_nothing_gets_no_guess() -> None:
    assert "Did you mean" not in failure("xyzzy")["text"]


def test_a_store_that_is_not_named_or_not_there_says_what_to_set(tmp_path: Path) -> None:
    told = failure("group", "list")
    assert all(name in told["remedy"] for name in ("--store", "HOLDFAST_STORE", "HOLDFAST_SYSTEM_CONFIG"))
    missing = tmp_path / "typo" / "cluster.db"
    told = failure("group", "list", "--store", f"embedded://{missing}")
    assert str(missing) in told["text"]
    assert "HOLDFAST_STORE" in told["remedy"]
    assert not missing.parent.exists(), "looking must not make a store"


def test_a_store_or_array_that_cannot_be_reached_says_what_to_set(identity: str) -> None:
    url = f"served://{NOBODY}"
    told = failure("group", "list", "--store", url, HOLDFAST_IDENTITY=identity)
    assert told["id"] == "unavailable"
    assert NOBODY in told["text"]
    assert "--store" in told["remedy"]
    told = failure("volume", "list", "--array", NOBODY, HOLDFAST_IDENTITY=identity)
    assert told["id"] == "unavailable"
    assert all(name in told["remedy"] for name in ("--array", "HOLDFAST_ARRAY", "HOLDFAST_IDENTITY"))
    assert "HOLDFAST_ARRAY" in run("volume", "list", "--help").stdout


@pytest.mark.parametrize("address", ["127.0.0.1:port", ":7501", "host:0", "host:65536", "a:b:c"])
def test_an_address_that_is_none_is_wrong_usage(address: str) -> None:
    told = failure("volume", "list", "--array", address)
    assert (told["id"], told["exit_code"]) == ("usage", 2)
    assert address in told["text"]


@pytest.mark.parametrize("named", ["", "/no/such/directory"])
def test_an_identity_that_is_none_says_what_to_set(named: str) -> None:
    assert "HOLDFAST_IDENTITY" in failure("volume", "list", "--array", NOBODY, HOLDFAST_IDENTITY=named)["remedy"]
    url = f"served://{NOBODY}"
    assert "HOLDFAST_IDENTITY" in failure("group", "list", "--store", url, HOLDFAST_IDENTITY=named)["remedy"]


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for words in (
        ("server", "command", "--config", missing, "--macro", missing),
        ("authority", "issue", "x", "--authority", str(tmp_path), "--into", missing),
        ("dialect", "install", "--into", "/proc/holdfast"),
        ("man", "--into", "/proc/holdfast"),
        ("backup", "filespaces", "--optfile", missing),
    ):
        assert failure(*words)["exit_code"] == 1
    told = failure("snapshot", "list", "VCS_Cluster", HOLDFAST_SYSTEM_CONFIG=missing)
    assert told["file"] == missing
    assert "HOLDFAST_SYSTEM_CONFIG" in told["remedy"]


def test_a_dscli_user_needs_a_password(tmp_path: Path) -> None:
    users = tmp_path / "users"
    refused = run("array", "user", "admin", "--file", str(users), "--json")
    assert json.loads(refused.stdout)["error"]["id"] == "input"
    assert not users.exists()
    done = run("array", "user", "admin", "--file", str(users), "--json", stdin="secret\n")
    assert json.loads(done.stdout) == {"user": "admin", "group": "admin", "file": str(users)}
    assert "secret" not in users.read_text()


def test_results_are_one_document(store: str) -> None:
    for words in (("group", "list"), ("system", "list"), ("cluster", "state"), ("cluster", "events")):
        done = run(*words, "--store", store, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        json.loads(done.stdout)


def test_every_command_fails_as_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    root = native_root()
    for node in walk(root, click.Context(root, info_name="holdfast"), ("holdfast",)):
        words = [*node.words[1:], "--no-such-option", "--json"]
        assert run_guarded(root, words, "holdfast") == 2
        shown = capsys.readouterr()
        assert json.loads(shown.out)["error"]["id"] == "usage", node.words
        assert "no-such-option" in shown.err


def test_a_reader_that_has_gone_gets_no_traceback(store: str) -> None:
    dump, failing, dialect = ["cluster", "dump", "--store", store], ["group", "list", "--json"], ["hastatus", "-sum"]
    for words in (dump, ["--help"], failing, dialect):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-m", "holdfast", *words],
            stdout=writer,
            stderr=subprocess.PIPE,
            env={**os.environ, "HOLDFAST_STORE": "" if words is failing else store},
            check=False,
        )
        os.close(writer)
        assert done.returncode == 1, words
        assert b"Traceback" not in done.stderr, words
        assert b"Exception ignored" not in done.stderr, words


def test_ids_of_failures_are_stable() -> None:
    for error, found in (
        (Refused(Refusal("frozen", "the group is frozen")), ("frozen", 3)),
        (InputError("no such thing"), ("input", 1)),
        (InputError("ANR2000E Unknown command - QERY"), ("ANR2000E", 1)),
        (Unavailable("nobody answers"), ("unavailable", 1)),
    ):
        told = Failure.of(error)
        assert (told.id, told.exit_code) == found


REPORT = (
    "from holdfast.continuity.model.report import Report, StepResult; from holdfast.lab.narrate import print_report; "
    "print_report(Report(mode='user', seed=1, steps=[StepResult('boot', True, 1.0)]))"
)


def on_terminal(**variables: str) -> bytes:
    """Return what a terminal gets of a drill's closing table."""
    quiet = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", REPORT], stdout=theirs, env={**quiet, "TERM": "xterm-256color", **variables}
    ):
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    return shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side is closed: Linux says EIO where a pipe would end
        return b""


def test_colour_only_on_a_terminal_and_not_against_the_will() -> None:
    assert COLOUR.search(on_terminal())
    shown = on_terminal(NO_COLOR="1")
    assert b"boot" in shown
    assert not COLOUR.search(shown)
    quiet = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    piped = subprocess.run([sys.executable, "-c", REPORT], capture_output=True, env=quiet, check=True).stdout
    assert b"boot" in piped
    assert b"\x1b" not in piped
