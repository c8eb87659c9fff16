"""The whole command tree, audited: help, examples that parse, options that say what they take, ``--json``, start-up."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from holdfast.app.drill import ROOT_SABOTAGES, SABOTAGES, STEP_NAMES
from holdfast.app.main import NOUNS, native_root
from holdfast.cli.conventions import ENVIRONMENT
from holdfast.cli.tree import Node, examples_of, walk
from holdfast.continuity.service.drill.runner import STEPS
from holdfast.lab.sabotage import WAYS

ROOT = native_root()
NODES = list(walk(ROOT, click.Context(ROOT, info_name="holdfast", **ROOT.context_settings), ("holdfast",)))
LEAVES = [node for node in NODES if not node.is_group]
WITHOUT_JSON = {
    "holdfast agent ocf": "prints and exits as OCF says",
    "holdfast system run": "runs until it is told to end",
    "holdfast array serve": "runs until it is told to end",
    "holdfast server run": "runs until it is told to end",
    "holdfast store serve": "runs until it is told to end",
    "holdfast completion bash": "prints a script for the shell",
    "holdfast completion zsh": "prints a script for the shell",
    "holdfast completion fish": "prints a script for the shell",
}
UNIT = re.compile(r"second|byte|how many|seed", re.IGNORECASE)
HEAVY = ("grpc", "cryptography", "sqlalchemy", "rich", "structlog", "zstandard", "holdfast.lab")


def name(node: Node) -> str:
    return " ".join(node.words)


@pytest.mark.parametrize("node", NODES, ids=name)
def test_every_command_has_help(node: Node) -> None:
    help_text = node.command.help or ""
    assert help_text.split("\n\n")[0].endswith("."), "help opens with a sentence"
    for param in node.command.params:
        if isinstance(param, click.Option):
            assert param.help, f"{param.opts[0]} says nothing about itself"


@pytest.mark.parametrize("node", LEAVES, ids=name)
def test_every_leaf_shows_an_example_below_its_options(node: Node) -> None:
    examples = examples_of(node.command)
    assert examples, "no example"
    for example in examples:
        assert name(node) in example, f"{example!r} is of another command"
    shown = node.command.get_help(node.context)
    for example in examples:
        assert f"    {example}\n" in f"{shown}\n", "the example is wrapped or missing"


@pytest.mark.parametrize("node", LEAVES, ids=name)
def test_examples_are_lines_that_the_command_takes(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_ARRAY", "10.77.1.20")
    (tmp_path / "array.toml").touch()
    (tmp_path / "ca").mkdir()
    for example in examples_of(node.command):
        words = shlex.split(re.sub(r"<\(|[<>|)].*", "", example), comments=True)
        start = len(node.words) + words.index("holdfast")
        node.command.make_context(node.words[-1], words[start:], parent=node.context.parent)


@pytest.mark.parametrize("node", LEAVES, ids=name)
def test_every_leaf_that_prints_a_result_has_json(node: Node) -> None:
    options = {option for param in node.command.params for option in param.opts}
    assert ("--json" in options) is (name(node) not in WITHOUT_JSON)


def test_commands_without_json_exist() -> None:
    assert set(WITHOUT_JSON) <= {name(node) for node in LEAVES}


@pytest.mark.parametrize("node", LEAVES, ids=name)
def test_options_show_unit_default_and_variable(node: Node) -> None:
    for param in node.command.params:
        record = param.get_help_record(node.context) if isinstance(param, click.Option) else None
        if record is None or not isinstance(param, click.Option):
            continue
        if isinstance(param.type, type(click.INT) | type(click.FLOAT)):
            assert UNIT.search(" ".join(record)), f"{param.opts[0]} does not say its unit"
            assert "[default: " in record[1] or param.required, f"{param.opts[0]} does not show its default"
        if param.envvar:
            assert f"env var: {param.envvar}" in record[1]
            assert param.envvar in dict(ENVIRONMENT), f"{param.envvar} is not documented"


def test_the_drills_choices_are_those_of_its_tables() -> None:
    assert tuple(step.name for step in STEPS) == STEP_NAMES
    assert tuple(sorted(WAYS)) == SABOTAGES
    assert tuple(name for name in sorted(WAYS) if WAYS[name].root_only) == ROOT_SABOTAGES


@pytest.mark.parametrize("noun", ["", *NOUNS])
def test_help_imports_nothing_heavy(noun: str) -> None:
    code = (
        "import sys; from holdfast.app.main import main; "
        f"code = main(['holdfast', *{noun.split()!r}, '--help']); "
        f"sys.stderr.write(' '.join(sorted(name for name in {HEAVY!r} if name in sys.modules))); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: holdfast")
    assert not done.stderr, f"--help of {noun or 'the root'} imports {done.stderr}"


def test_version() -> None:
    done = subprocess.run([sys.executable, "-m", "holdfast", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"holdfast \d+\.\d+\.\d+\n", done.stdout)
