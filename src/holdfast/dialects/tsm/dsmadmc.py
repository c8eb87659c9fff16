"""``dsmadmc``: administrative commands from the command line, standard input or a macro file.

The whole input is checked before a session is opened. The exit code is the highest return code (section 1), so scripts
that count on 10 ("already there") and 11 ("nothing found") work.
"""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from holdfast.backup.service.client.login import DEFAULT_PORT, open_admin
from holdfast.backup.service.client.options import DEFAULT_SYSFILE, load_stanza
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm.language import Request, read_command, read_macro
from holdfast.dialects.tsm.render import separated, table
from holdfast.kernel.errors import InputError
from holdfast.runtime.identity import Identity
from holdfast.runtime.secretfile import read_secret
from holdfast.runtime.textfile import read_text

_OPTIONS = {
    "ID": 2, "PASSWORD": 2, "PASSWORDFILE": 9, "SERVERNAME": 2, "DATAONLY": 8, "COMMADELIMITED": 5,
    "TABDELIMITED": 3, "DISPLAYMODE": 7, "NOCONFIRM": 9, "ITEMCOMMIT": 5, "QUIET": 5, "OUTFILE": 3, "SYSFILE": 7,
    "ALWAYSPROMPT": 12,
}  # fmt: skip
"""Option → shortest form. PASSWORDFILE (keeps the secret out of the arguments) and SYSFILE are Holdfast's."""


@dataclass(slots=True)
class Arguments:
    """The command line, read."""

    options: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    @property
    def data_only(self) -> bool:
        """Whether only data is printed."""
        return self.options.get("DATAONLY", "no").lower().startswith("y")


def read_arguments(arguments: list[str]) -> Arguments:
    """Read options up to the first word that is none; the rest is the command."""
    read = Arguments()
    for position, word in enumerate(arguments):
        if not word.startswith("-"):
            read.words = arguments[position:]
            break
        name, _, value = word[1:].partition("=")
        upper = name.upper().replace("_", "")
        full = next((o for o, short in _OPTIONS.items() if o.startswith(upper) and len(upper) >= short), None)
        if full is None:
            raise InputError(f"ANS1107E Invalid option/value: '{word}'", remedy="see the reference of dsmadmc")
        read.options[full] = value
    return read


def main(arguments: list[str], out: TextIO, stdin: TextIO) -> int:
    """Run dsmadmc; return the highest return code."""
    read = read_arguments(arguments)
    requests = _requests(read, stdin)
    with _open(read) as session:
        if not read.data_only:
            out.write(f"Session established with server {session.welcome.server}: Linux\n  {session.welcome.level}\n\n")
        highest = 0
        for request in requests:
            highest = max(highest, run(session, request, read, out))
    if not read.data_only:
        out.write(f"ANS8002I Highest return code was {highest}.\n")
    return highest


def _requests(read: Arguments, stdin: TextIO) -> list[Request]:
    if not read.words:
        return read_macro(stdin.read(), "standard input")
    if read.words[0].lower() in ("macro", "mac"):
        if len(read.words) != 2:
            raise InputError("MACRO needs one file", remedy="dsmadmc macro FILE")
        path = Path(read.words[1].strip("\"'"))
        return read_macro(read_text(path), str(path))
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
    if not read.data_only:
        out.write(f"ANS8000I Server command: '{request.text}'.\n\n")
    if reply.rows:
        out.write(_rows(reply, read) + "\n")
    for text in reply.messages:
        out.write(f"{text}\n")
    if reply.code and not read.data_only:
        out.write(f"ANS8001I Return code {reply.code}.\n")
    if not read.data_only:
        out.write("\n")
    return reply.code


def _rows(reply: m.Outcome, read: Arguments) -> str:
    if "COMMADELIMITED" in read.options:
        return separated(reply.rows, ",")
    if "TABDELIMITED" in read.options:
        return separated(reply.rows, "\t")
    if read.options.get("DISPLAYMODE", "").upper().startswith("LIS") or reply.layout == "list":
        width = max(len(name) for name in reply.columns)
        return "\n\n".join(
            "\n".join(f"{name:>{width}}: {value}" for name, value in zip(reply.columns, row, strict=True))
            for row in reply.rows
        )
    if read.data_only:
        return "\n".join("  ".join(row).rstrip() for row in reply.rows)
    return table(reply.columns, reply.rows)
