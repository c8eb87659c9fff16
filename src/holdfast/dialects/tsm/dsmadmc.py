"""``dsmadmc``: administrative commands from the command line, standard input, a macro file or a person at a terminal.

Commands that are not typed by a person are checked as a whole before a session is opened. The exit code is the highest
return code (section 1), so scripts that count on 10 ("already there") and 11 ("nothing found") work.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from holdfast.backup.service.client.login import DEFAULT_PORT, open_admin
from holdfast.backup.service.client.options import DEFAULT_SYSFILE, load_stanza
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm.adminoptions import Arguments, read_arguments
from holdfast.dialects.tsm.language import Request, read_command
from holdfast.dialects.tsm.macrofile import read_macro_file, read_macro_text, takes_in
from holdfast.dialects.tsm.render import plain, separated, table
from holdfast.kernel.errors import InputError
from holdfast.runtime.identity import Identity
from holdfast.runtime.secretfile import read_secret

_CONSOLE_EVERY_S = 1.0
_CONFIRMED = frozenset({"delete", "remove", "revoke"})
"""Verbs a person at a terminal is asked about."""


def main(arguments: list[str], out: TextIO, stdin: TextIO) -> int:
    """Run dsmadmc; return the highest return code."""
    read = read_arguments(arguments)
    person = not read.words and not read.has("CONSOLEMODE") and stdin.isatty()
    requests = [] if person or read.has("CONSOLEMODE") else _requests(read, stdin)
    with _open(read) as session, _output(read, out) as shown:
        if not read.data_only and not read.has("QUIET"):
            shown.write(f"Session established with server {session.welcome.server}: Linux\n")
            shown.write(f"  {session.welcome.level}\n\n")
        if read.has("CONSOLEMODE"):
            return _console(session, shown)
        if person:
            return _converse(session, read, shown, stdin)
        highest = 0
        for request in requests:
            highest = max(highest, run(session, request, read, shown))
        if not read.data_only and not read.has("QUIET"):
            shown.write(f"ANS8002I Highest return code was {highest}.\n")
    return highest


@contextmanager
def _output(read: Arguments, out: TextIO) -> Iterator[TextIO]:
    """Yield where output goes: the file that -OUTFILE= names, or the terminal."""
    name = read.options.get("OUTFILE", "")
    if not name or name == "yes":
        yield out
        return
    try:
        Path(name).write_text("")
    except OSError as error:
        raise InputError(f"-OUTFILE cannot be written: {error.strerror}", file=name, remedy="name another") from error
    with open(name, "w", encoding="utf-8", errors="surrogateescape") as file:
        yield file


def _requests(read: Arguments, stdin: TextIO) -> list[Request]:
    if not read.words:
        return read_macro_text(stdin.read(), "standard input")
    if takes_in(read.words[0]):
        if len(read.words) < 2:
            raise InputError("MACRO needs a file", remedy="dsmadmc macro FILE [values]")
        return read_macro_file(Path(read.words[1].strip("\"'")), read.words[2:])
    return [read_command(" ".join(read.words), "command line")]


def _open(read: Arguments) -> Session:
    directory = os.environ.get("DSM_DIR", "")
    sysfile = Path(read.options.get("SYSFILE") or (f"{directory}/dsm.sys" if directory else DEFAULT_SYSFILE))
    options = load_stanza(sysfile, read.options.get("SERVERNAME", ""))
    address = f"{options.need('TCPSERVERADDRESS', str(sysfile))}:{options.get('TCPPORT', DEFAULT_PORT)}"
    server = options.get("TLSSERVERNAME") or options.get("SERVERNAME")
    identity = Identity.load(Path(options.need("TLSIDENTITY", str(sysfile))))
    name = read.options.get("ID") or input("Enter your user id: ")
    return open_admin(address, server, identity, name, _password(read))


def _password(read: Arguments) -> bytes:
    if read.options.get("PASSWORDFILE"):
        return read_secret(Path(read.options["PASSWORDFILE"])).rstrip(b"\r\n")
    if read.options.get("PASSWORD"):
        return read.options["PASSWORD"].encode()
    return getpass.getpass("Enter your password: ").encode()


def run(session: Session, request: Request, read: Arguments, out: TextIO) -> int:
    """Run one command and print its answer; return its code."""
    reply = session.call(lambda seq: m.Run(seq, request.operation, request.args, request.text))
    assert isinstance(reply, m.Outcome)
    loud = not read.data_only and not read.has("QUIET")
    if loud:
        out.write(f"ANS8000I Server command: '{request.text}'.\n\n")
    answers: list[m.Outcome | m.Part] = [*reply.parts, reply]
    for part in answers:
        if part.rows:
            out.write(_rows(part, read) + "\n")
        if not read.has("QUIET"):
            for text in part.messages:
                out.write(f"{text}\n")
    if loud:
        out.write(f"ANS8001I Return code {reply.code}.\n\n" if reply.code else "\n")
    out.flush()
    return reply.code


def _rows(reply: m.Outcome | m.Part, read: Arguments) -> str:
    if read.has("COMMADELIMITED"):
        return separated(reply.rows, ",")
    if read.has("TABDELIMITED"):
        return separated(reply.rows, "\t")
    mode = read.options.get("DISPLAYMODE", "").upper()
    if mode.startswith("LIS") or (reply.layout == "list" and not mode.startswith("TAB")):
        width = max(len(name) for name in reply.columns)
        return "\n\n".join(
            "\n".join(f"{name:>{width}}: {value}".rstrip() for name, value in zip(reply.columns, row, strict=True))
            for row in reply.rows
        )
    return plain(reply.rows) if read.data_only else table(reply.columns, reply.rows)


def _console(session: Session, out: TextIO) -> int:
    """Print what the server writes into its activity log, as it comes, until interrupted."""
    last = "0"
    while True:
        args = {"after": last}
        reply = session.call(lambda seq, a=args: m.Run(seq, "query console", a, ""))  # type: ignore[misc]
        assert isinstance(reply, m.Outcome)
        for number, text in reply.rows:
            last = number
            if text:
                out.write(f"{text}\n")
        out.flush()
        time.sleep(_CONSOLE_EVERY_S)


def _converse(session: Session, read: Arguments, out: TextIO, stdin: TextIO) -> int:
    """Run what a person types until QUIT or the end of input; an error is told and the session goes on."""
    highest = 0
    while (text := _statement(session.welcome.server, out, stdin)) is not None:
        if text.lower() in ("quit", "qui", "exit"):
            break
        if not text:
            continue
        try:
            for request in read_macro_text(text, "command"):
                if _agreed(request, read, out, stdin):
                    highest = max(highest, run(session, request, read, out))
        except InputError as error:
            out.write(f"{error}\n")
    if not read.data_only:
        out.write(f"ANS8002I Highest return code was {highest}.\n")
    return highest


def _statement(server: str, out: TextIO, stdin: TextIO) -> str | None:
    """Return one command, which may go on over lines that end in ``-``; None at the end of input."""
    lines: list[str] = []
    while True:
        out.write(f"tsm: {server}>" if not lines else "cont> ")
        out.flush()
        line = stdin.readline()
        if not line:
            return None
        lines.append(line.rstrip("\n"))
        if not lines[-1].rstrip().endswith("-"):
            return "\n".join(lines).strip()


def _agreed(request: Request, read: Arguments, out: TextIO, stdin: TextIO) -> bool:
    if request.operation.split()[0] not in _CONFIRMED or read.has("NOCONFIRM"):
        return True
    out.write(f"{request.text}\nDo you wish to proceed? (Yes (Y)/No (N)) ")
    out.flush()
    return stdin.readline().strip().lower() in ("y", "yes")
