"""What every ``dsmc`` verb works with: the command line, the options, a session when it is needed, and a person to ask.

The session is opened when it is first used, so a command that only looks at local files needs no server. Questions are
asked only on a terminal, or of the input that was handed in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Protocol, TextIO

from holdfast.backup.service.client.bringback import Ask
from holdfast.backup.service.client.choose import list_filespaces
from holdfast.backup.service.client.dates import moment, stamp
from holdfast.backup.service.client.incremental import Say
from holdfast.backup.service.client.login import Login
from holdfast.backup.service.client.namedfiles import absolute, read_filelist
from holdfast.backup.service.client.options import DEFAULT_SYSFILE, ClientOptions, load_options
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm.dsmcwords import QUERIES, Arguments, full_word
from holdfast.kernel.errors import InputError


class Writes(Protocol):
    """What a command prints into."""

    def write(self, text: str, /) -> int:
        """Take text."""

    def flush(self) -> None:
        """Let nothing wait."""


OK, SKIPPED, WARNING, ERROR = 0, 4, 8, 12


class Desk:
    """One command at work. Use as a context manager: leaving it ends the session.

    A ``scheduled`` one has nobody to ask and prints everything into its log."""

    def __init__(
        self,
        read: Arguments,
        options: ClientOptions,
        out: Writes,
        optfile: Path,
        stdin: TextIO | None = None,
        *,
        scheduled: bool = False,
    ) -> None:
        self.read, self.options, self.out, self.optfile = read, options, out, optfile
        self._stdin, self._scheduled = stdin, scheduled
        self._open: Session | None = None

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._open is not None:
            self._open.close(orderly=kind is None)

    @property
    def local(self) -> bool:
        """Whether the command needs no server."""
        words = self.read.words
        return self.read.verb == "query" and bool(words) and full_word(words[0], QUERIES) == "options"

    @cached_property
    def login(self) -> Login:
        """Where to sign on, and as whom."""
        return Login.of(self.options, str(self.optfile), self.read.options.get("VIRTUALNODENAME", ""))

    @property
    def session(self) -> Session:
        """The session, opened when it is first asked for; with FROMNODE it acts for that node.

        From then on the options are those that the server's client option set leaves."""
        if self._open is None:
            self._open = self.login.open()
            self.options = self.options.under(self._open.welcome.options)
            if self.read.options.get("FROMNODE"):
                node = self.read.options["FROMNODE"]
                self._open.call(lambda seq: m.ActFor(seq, node))
        return self._open

    @property
    def say(self) -> Say | None:
        """Takes a line per object, unless QUIET."""
        quiet = self.read.has("QUIET") or self.options.get("QUIET").lower().startswith("y")
        return None if quiet else self._say

    def _say(self, line: str) -> None:
        self.out.write(f"{line}\n")

    @property
    def subdir(self) -> bool:
        """Whether subdirectories are meant."""
        return self.options.get("SUBDIR", "no").lower().startswith("y")

    @property
    def ask(self) -> Ask | None:
        """Asks the person at the terminal; None when nobody is there."""
        if self._scheduled or (self._stdin is None and not sys.stdin.isatty()):
            return None
        return self._ask

    def _ask(self, question: str) -> str:
        self.out.write(question)
        self.out.flush()
        line = (self._stdin or sys.stdin).readline()
        if not line:
            raise InputError("the input ended at a question", remedy="answer it, or name an option that decides")
        return line.strip()

    def confirm(self, question: str) -> bool:
        """Return whether the person agrees; NOPROMPT agrees beforehand. Raises ``InputError`` when nobody is there."""
        if self.read.has("NOPROMPT"):
            return True
        if self.ask is None:
            raise InputError(f"{question} Nobody is there to answer", remedy="add -noprompt")
        return self.ask(f"{question} (Yes (Y)/No (N)) ").lower().startswith("y")

    def specs(self, what: str, words: list[str] | None = None) -> list[str]:
        """Return the file specifications of the command: its words, or those of -FILELIST."""
        if self.read.options.get("FILELIST"):
            return read_filelist(Path(self.read.options["FILELIST"]))
        given = self.read.words if words is None else words
        if not given:
            raise InputError(f"{what} needs a file specification", remedy=f"dsmc {what} '/VCS/*' -subdir=yes")
        return [absolute(word) for word in given]

    def moment(self, name: str, *, late: bool) -> int | None:
        """Return the point in time of ``PIT``, ``FROM`` or ``TO`` options, or None."""
        options = self.read.options
        return moment(options.get(f"{name}DATE", ""), options.get(f"{name}TIME", ""), late=late)

    def stamp(self, at_ns: int) -> str:
        """Return a time in the option file's DATEFORMAT."""
        return stamp(at_ns, self.options.get("DATEFORMAT", "1"))

    def filespaces(self) -> list[str]:
        """Return the names of the filespaces the server keeps for the node."""
        return [row.name for row in list_filespaces(self.session)]

    def summary(self, block: str) -> None:
        """Print the summary of a command; in a scheduled event it stands between its records."""
        if self._scheduled:
            self.out.write(f"--- SCHEDULEREC STATUS BEGIN\n{block}\n--- SCHEDULEREC STATUS END\n")
        else:
            self.out.write(f"\n{block}\n")

    def complain(self, *lines: str) -> None:
        """Print lines on standard error; a scheduled event has only its log."""
        stream: Writes = self.out if self._scheduled else sys.stderr
        for line in lines:
            stream.write(f"{line}\n")


Verb = Callable[[Desk], int]


def load(read: Arguments) -> ClientOptions:
    """Return the options of the option file, with what the command line says instead."""
    return overruled(load_options(optfile_of(read), server=read.options.get("SERVERNAME", "")), read)


def overruled(options: ClientOptions, read: Arguments) -> ClientOptions:
    """Return options as a command line overrules them."""
    found = options.copy()
    if read.options.get("DOMAIN"):
        found.lists["DOMAIN"] = [read.options["DOMAIN"]]
    for name in ("SUBDIR", "REPLACE", "DATEFORMAT", "ERRORLOGNAME", "SCHEDLOGNAME", "SCHEDMODE"):
        if name in read.options:
            found.values[name] = read.options[name]
    if read.has("ABSOLUTE"):
        found.values["ABSOLUTE"] = "yes"
    return found


def optfile_of(read: Arguments) -> Path:
    """Return the option file in effect: -OPTFILE, DSM_CONFIG, or dsm.opt in the usual place."""
    usual = f"{Path(DEFAULT_SYSFILE).parent}/dsm.opt"
    return Path(read.options.get("OPTFILE") or os.environ.get("DSM_CONFIG") or usual)
