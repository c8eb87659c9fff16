"""Golden sessions of dscli: what is typed at running arrays, and what they print, by the letter.

``a> `` and ``b> `` are commands at the two arrays, ``bare> `` ones without console and credentials; ``< `` is given on
standard input, ``script> `` and ``profile> `` are the lines of those files. What was printed stands below: standard
output as it is, standard error after ``! ``, an exit code other than 0 after ``= ``. Dates, addresses and directories
are written ``@DATE``, ``@HMC`` and so on.

Set ``HOLDFAST_WRITE_GOLDEN=1`` to write what is printed now; then read the difference.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "live"))

from arraylab import A, B, Lab

from holdfast.app.replication import connect
from holdfast.dialects.dscli.session import run

SESSIONS = sorted((Path(__file__).parent / "sessions").glob("*.txt"))
_DATES = (
    (re.compile(r"Date/Time: \w+ \d+, \d{4} \d+:\d\d:\d\d [AP]M \S+ "), "Date/Time: @DATE "),
    (re.compile(r"\b[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ \d{4}\b"), "@MOMENT"),
)


@dataclass
class Step:
    """One command with what is given to it, and the lines above it."""

    head: list[str]
    at: str
    words: str
    given: list[str] = field(default_factory=list)
    files: dict[str, list[str]] = field(default_factory=lambda: {"script": [], "profile": []})
    typed: list[str] = field(default_factory=list)


def steps_of(text: str) -> list[Step]:
    found: list[Step] = []
    head: list[str] = []
    for line in text.splitlines():
        mark, _, rest = line.partition(" ")
        if mark in ("a>", "b>", "bare>"):
            found.append(Step(head, mark[:-1], rest))
            found[-1].typed.append(line)
            head = []
        elif not found and line.startswith("#"):
            head.append(line)
        elif found and mark == "<":
            found[-1].given.append(rest)
            found[-1].typed.append(line)
        elif found and mark in ("script>", "profile>"):
            found[-1].files[mark[:-1]].append(rest)
            found[-1].typed.append(line)
    return found


class Desk:
    """Runs the steps."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab, self.directory = lab, directory
        self.names = {
            "@A": A, "@B": B, "@HMC": lab.a.management, "@PW": str(directory / "security.dat"),
            "@SCRIPT": str(directory / "script"), "@PROFILE": str(directory / "profile"),
        }  # fmt: skip

    def text(self, text: str) -> str:
        for name, value in sorted(self.names.items(), key=lambda item: -len(item[0])):
            text = re.sub(rf"{name}\b", value, text)
        return text

    def told(self, text: str) -> str:
        for name, value in sorted(self.names.items(), key=lambda item: -len(item[1])):
            text = text if name in ("@A", "@B") else text.replace(value, name)
        for pattern, name in _DATES:
            text = pattern.sub(name, text)
        return text

    def run(self, step: Step) -> list[str]:
        for name, lines in step.files.items():
            (self.directory / name).write_text(self.text("".join(f"{line}\n" for line in lines)))
        words = shlex.split(self.text(step.words))
        if step.at != "bare":
            address = {"a": self.lab.a, "b": self.lab.b}[step.at].management
            words = ["-hmc1", address, "-user", "admin", "-passwd", "secret", *words]
        given = io.StringIO(self.text("".join(f"{line}\n" for line in step.given)))
        out, err = io.StringIO(), io.StringIO()
        code = run(words, connect, given, out, err)
        printed = [line.rstrip() for line in out.getvalue().splitlines()]
        printed += [f"! {line}" for line in err.getvalue().splitlines()]
        return [self.told(line) for line in [*printed, *([f"= {code}"] if code else [])]]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    lab = Lab(tmp_path)
    monkeypatch.setenv("HOLDFAST_IDENTITY", str(lab.identity))
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        lab.start()
        yield Desk(lab, tmp_path)
    finally:
        lab.stop()


@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.stem)
def test_a_session_reads_by_the_letter(desk: Desk, path: Path) -> None:
    written = []
    for step in steps_of(path.read_text()):
        written += [*step.head, *step.typed, *desk.run(step), ""]
    text = "\n".join(written).rstrip() + "\n"
    if os.environ.get("HOLDFAST_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
