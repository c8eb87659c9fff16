"""The documentation names things that exist: every path in backticks, every relative link, every native command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from holdfast.app.main import DIALECTS, NOUNS
from holdfast.continuity.service.drill.runner import STEPS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "STYLE.md", "CHANGELOG.md")),
        *(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
    ]
)
FILE = re.compile(r"[\w.@-]+(/[\w.@-]+)*/?")
SUFFIXES = {".py", ".md", ".toml", ".cf", ".mac", ".txt", ".in", ".json", ".opt", ".sys", ".yml"}
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?<![\w/.-])(?:\S*/)?holdfast ([a-z]+)(?: ([a-z][a-z-]*))?")


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


def looks_like_a_file(word: str) -> bool:
    """A relative path: with a folder and a suffix we use, or a folder of this repository written with its slash."""
    if not FILE.fullmatch(word):
        return False
    if word.endswith("/"):
        return True
    path = Path(word)
    return path.suffix in SUFFIXES and (len(path.parts) > 1 or path.suffix in (".py", ".md"))


def named_files(page: Path) -> Iterator[str]:
    for word in re.findall(r"`([^`\n]+)`", prose(page)):
        if looks_like_a_file(word):
            yield word


def grounds(word: str, page: Path) -> tuple[Path, ...]:
    """Where a path may begin: root, package, the page's folder; a bare floor (``plan/``, ``ports.py``) in a domain."""
    package = ROOT / "src" / "holdfast"
    floor = "/" not in word.rstrip("/")
    return (ROOT, package, page.parent, *(package / name for name in ("cluster", "replication", "backup") if floor))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    missing = [word for word in named_files(page) if not any((top / word).exists() for top in grounds(word, page))]
    assert not missing, f"{page.name} names what does not exist: {missing}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if "://" in target or target.startswith("#"):
            continue
        path = page.parent / target.partition("#")[0]
        built = (ROOT / "docs" / "_ext").exists() and "reference" in path.parts
        assert path.exists() or built, f"{page.name} links to {target}, which does not exist"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_native_commands_exist(page: Path) -> None:
    shown = [found for code in CODE.findall(page.read_text()) for found in COMMAND.findall(code)]
    for noun, verb in shown:
        assert noun in NOUNS or noun in DIALECTS, f"{page.name} shows `holdfast {noun}`, which does not exist"
        module, _, builder = NOUNS.get(noun, ("", ""))[0].partition(":")
        group = getattr(import_module(module), builder)() if module and verb else None
        known = group.commands if isinstance(group, click.Group) else {verb: None}
        assert verb in known, f"{page.name} shows `holdfast {noun} {verb}`, which does not exist"


def test_the_drills_steps_stand_in_the_architecture_table() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for name in (*(step.name for step in STEPS), "cleanup"):
        assert f"\n| {name} | `" in text, f"the step {name} is missing"
