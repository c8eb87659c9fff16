"""The manual pages: one for every noun and dialect command, clean for groff, and saying what ``--help`` says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from holdfast.app.main import DIALECTS, NOUNS, native_root
from holdfast.app.man import write_pages
from holdfast.cli.man import escape
from holdfast.cli.tree import examples_of, walk

PAGES = ["holdfast.1", *(f"holdfast-{noun}.1" for noun in NOUNS), *(f"{name}.1" for name in DIALECTS)]
needs_groff = pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("man")
    write_pages(made)
    return made


def rendered(page: Path) -> str:
    """The page as a person reads it, on lines long enough for any of ours."""
    words = ["groff", "-k", "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=400n", str(page)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == "", "groff complains"
    return re.sub(r"\s+", " ", done.stdout.replace("‐", "-").replace("−", "-"))


def test_there_is_a_page_for_every_noun_and_dialect_command(directory: Path) -> None:
    assert sorted(path.name for path in directory.iterdir()) == sorted(PAGES)


@needs_groff
@pytest.mark.parametrize("name", PAGES)
def test_groff_reads_the_page_without_a_complaint(name: str, directory: Path) -> None:
    text = rendered(directory / name)
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"):
        assert f" {section} " in f" {text}"
    assert f"{name.removesuffix('.1')} - " in text


@needs_groff
@pytest.mark.parametrize("noun", NOUNS)
def test_a_nouns_page_says_what_its_help_says(noun: str, directory: Path) -> None:
    text = rendered(directory / f"holdfast-{noun}.1")
    root = native_root()
    command = root.get_command(click.Context(root), noun)
    assert command is not None
    for node in walk(command, click.Context(command, info_name=noun), ("holdfast", noun)):
        if node.is_group:
            continue
        assert " ".join((*node.words, *node.command.collect_usage_pieces(node.context))) in text
        for example in examples_of(node.command):
            assert re.sub(r"\s+", " ", example) in text
        for param in node.command.params:
            record = param.get_help_record(node.context) if isinstance(param, click.Option) else None
            if record is not None:
                assert " ".join(re.sub(r"\s+", " ", part) for part in record) in text


def test_every_form_of_a_dialect_is_on_its_page(directory: Path) -> None:
    for name, form in (
        ("hagrp", "hagrp -switch"),
        ("hares", "hares -action"),
        ("dscli", "failoverpprc [-cascade]"),
        ("dsmadmc", "REConcile Volumes"),
        ("dsmc", "dsmc restore"),
    ):
        text = (directory / f"{name}.1").read_text().replace("\\-", "-")
        assert form in text, f"{name} lacks {form}"


@needs_groff
def test_groffs_complaints_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "bad.1"
    page.write_text('.TH "BAD" 1 "" "x" "y"\n.SH NAME\nbad \\- a page\n.NOSUCH macro\n')
    with pytest.raises(AssertionError, match="complains"):
        rendered(page)


def test_text_of_the_tree_cannot_become_roff() -> None:
    assert escape(".SH X\n'br\na\\fB-b") == "\\&.SH X\n\\&'br\na\\efB\\-b"


def test_the_command_lists_what_it_wrote(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "holdfast", "man", "--into", str(tmp_path / "man1"), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert sorted(Path(name).name for name in json.loads(done.stdout)["pages"]) == sorted(PAGES)
    assert all(Path(name).read_text().startswith(".TH ") for name in json.loads(done.stdout)["pages"])
