"""``dsmc``: the backup-archive client's command line. One verb, one session, one exit code.

Exit codes: 0 all well, 4 some objects skipped, 8 warnings, 12 errors (section 10.3). Each family of verbs has a module
of its own; here stand the way in, the banner, macros and the interactive loop.
"""

from __future__ import annotations

import datetime
import shlex
import sys
from pathlib import Path
from typing import TextIO

from holdfast.backup.model.clientmessages import text
from holdfast.backup.service.client.dates import stamp
from holdfast.backup.service.client.login import Login
from holdfast.backup.service.client.options import ClientOptions
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm import dsmcschedule
from holdfast.dialects.tsm.dsmcdesk import ERROR, Desk, load, optfile_of
from holdfast.dialects.tsm.dsmcverbs import VERBS, verb
from holdfast.dialects.tsm.dsmcwords import Arguments, read_arguments
from holdfast.kernel.errors import HoldfastError, InputError
from holdfast.runtime.textfile import read_text


def main(arguments: list[str], out: TextIO, stdin: TextIO | None = None) -> int:
    """Run dsmc; return its exit code."""
    try:
        read = read_arguments(arguments)
        options = load(read)
        if read.verb == "macro":
            return _macro(read, options, out, stdin)
        if read.verb == "schedule":
            return dsmcschedule.schedule(read, options)
        if read.verb in ("", "loop"):
            return _loop(read, options, out, stdin)
        return run(read, options, out, stdin)
    except HoldfastError as error:
        sys.stderr.write(f"{error}\n")
        return ERROR


def run(read: Arguments, options: ClientOptions, out: TextIO, stdin: TextIO | None = None) -> int:
    """Run one command; return its exit code."""
    with Desk(read, options, out, optfile_of(read), stdin) as desk:
        if not desk.local:
            banner(desk.session.welcome, desk.login, out, options.get("DATEFORMAT", "1"))
        return verb(read)(desk)


def banner(welcome: m.Welcome, login: Login, out: TextIO, dateformat: str = "1") -> None:
    """Print who talks to whom."""
    now = stamp(int(datetime.datetime.now().timestamp() * 1e9), dateformat)
    out.write(
        "Holdfast\nCommand Line Backup-Archive Client Interface\n"
        f"  Client {welcome.level}\n  Client date/time: {now}\n\n"
        f"Node Name: {login.node}\nSession established with server {welcome.server}: Linux\n"
        f"  Server {welcome.level}\n  Server date/time: {stamp(welcome.server_time_ns, dateformat)}  "
        f"Last access: {stamp(welcome.last_access_ns, dateformat)}\n\n"
    )


def _macro(read: Arguments, options: ClientOptions, out: TextIO, stdin: TextIO | None) -> int:
    """Run every line of a file. The whole file is read before its first command runs."""
    if len(read.words) != 1:
        raise InputError("MACRO needs one file", remedy="dsmc macro FILE")
    path = Path(read.words[0])
    commands = [_line(line, str(path), number) for number, line in enumerate(read_text(path).split("\n"), 1)]
    highest = 0
    for command in commands:
        if command is not None:
            command.options = {**read.options, **command.options}
            highest = max(highest, _guarded(command, options, out, stdin))
    out.write(f"{text('ANS1895I', code=highest)}\n")
    return highest


def _line(line: str, file: str, number: int) -> Arguments | None:
    try:
        words = shlex.split(line, comments=False)
    except ValueError as error:
        raise InputError(str(error), file=file, line=number, column=1, remedy="close the quote") from error
    if not words or words[0].startswith(("*", "/*")):
        return None
    try:
        read = read_arguments(words)
    except InputError as error:
        raise InputError(error.message, file=file, line=number, column=1, remedy=error.remedy) from error
    if read.verb not in VERBS:
        remedy = f"one of {', '.join(VERBS)}"
        raise InputError(f"'{words[0]}' cannot stand in a macro", file=file, line=number, column=1, remedy=remedy)
    return read


def _guarded(read: Arguments, options: ClientOptions, out: TextIO, stdin: TextIO | None) -> int:
    try:
        return run(read, options, out, stdin)
    except HoldfastError as error:
        sys.stderr.write(f"{error}\n")
        return ERROR


def _loop(read: Arguments, options: ClientOptions, out: TextIO, stdin: TextIO | None) -> int:
    """Ask for commands until there is no more, or until ``quit``."""
    source = sys.stdin if stdin is None else stdin
    highest = 0
    while True:
        out.write("dsmc> ")
        out.flush()
        line = source.readline()
        if not line or line.strip().lower() in ("quit", "q", "exit"):
            out.write("\n")
            return highest
        try:
            command = _line(line, "command", 1)
        except InputError as error:
            sys.stderr.write(f"{error.message}\n  remedy: {error.remedy}\n")
            continue
        if command is not None:
            command.options = {**read.options, **command.options}
            highest = max(highest, _guarded(command, options, out, source))
