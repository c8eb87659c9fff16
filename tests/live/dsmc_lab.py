"""A dsmc at a desk: option files for nodes of a real server, commands run as typed, what they print on both streams."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import backup_lab

from holdfast.backup.service.client.login import save_password
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm import dsmc
from holdfast.dialects.tsm.language import read_command


@dataclass
class Printed:
    """What a command printed, and how it ended."""

    out: str
    err: str
    code: int

    @property
    def both(self) -> str:
        return self.out + self.err

    @property
    def rows(self) -> list[list[str]]:
        """The rows of a table, split at blanks."""
        lines = self.out.splitlines()
        dashes = next(n for n, line in enumerate(lines) if line.startswith("--"))
        return [line.split() for line in lines[dashes + 1 :]]

    def number(self, label: str) -> int:
        """Return the number that the summary shows behind ``label``."""
        line = next(line for line in self.out.splitlines() if line.startswith(label))
        return int(line.removeprefix(label).split()[0].replace(",", ""))


@dataclass
class DsmcLab:
    """One server, nodes with option files below ``directory``, and the file system ``fs`` that they back up."""

    lab: backup_lab.Lab
    directory: Path
    fs: Path = field(init=False)
    rules: Path = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.fs = self.directory / "VCS"
        self.fs.mkdir()
        self.rules = self.directory / "inclexcl"
        self.rules.write_text("")

    def node(self, name: str = "", *, register: str = "", extra: str = "") -> Path:
        """Register a node and write its option files, in a directory of its name; return the path of dsm.opt."""
        name = name or f"NODE{next(self._numbers)}"
        server = self.lab.servers["DELHI"]
        words = dict(word.split("=") for word in register.split())
        server.run("register node", name=name, password="secret", domain="STANDARD", **words)
        home = self.directory / name.lower()
        home.mkdir()
        host, _, port = server.config.address.rpartition(":")
        (home / "dsm.opt").write_text("SErvername TSM_VCS\n")
        (home / "dsm.sys").write_text(
            f"SErvername TSM_VCS\n  TCPServeraddress {host}\n  TCPPort {port}\n  TLSSERVERNAME DELHI\n"
            f"  TLSIDENTITY {self.lab.directory / 'client'}\n  NODename {name}\n  PASSWORDDIR {home}\n"
            f"  DOMain {self.fs}\n  INCLExcl {self.rules}\n{extra}"
        )
        save_password(home, name, "DELHI", b"secret")
        return home / "dsm.opt"

    def admin(self, text: str) -> m.Outcome:
        """Give the server a command; expect that it succeeds."""
        request = read_command(text)
        reply = self.lab.servers["DELHI"].run(request.operation, **request.args)
        assert reply.code == 0, reply.messages
        return reply

    def run(self, optfile: Path, *words: str, code: int = 0, answers: str | None = None) -> Printed:
        """Run dsmc; expect its exit code."""
        out, err = io.StringIO(), io.StringIO()
        stdin = None if answers is None else io.StringIO(answers)
        with contextlib.redirect_stderr(err):
            ended = dsmc.main([*words, f"-optfile={optfile}"], out, stdin)
        printed = Printed(out.getvalue(), err.getvalue(), ended)
        assert ended == code, printed.both
        return printed

    def write(self, **files: str) -> None:
        """Write files below the file system; ``__`` in a name is a directory."""
        for name, content in files.items():
            path = self.fs / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[DsmcLab]:
    """Start a server with its lab; end it."""
    lab = backup_lab.Lab(directory)
    try:
        lab.server("DELHI")
        yield DsmcLab(lab, directory)
    finally:
        lab.close()


def names(top: Path) -> list[str]:
    """Return every path below ``top``, sorted."""
    found = []
    for directory, directories, files in os.walk(top):
        below = Path(directory).relative_to(top)
        found += [str(below / name) for name in (*directories, *files)]
    return sorted(found)
