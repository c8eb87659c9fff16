"""``dsmc``: incremental, restore and queries in the words and layout of the backup-archive client.

Options may be shortened to their capitals, stand anywhere, and are written ``-name=value``. Exit codes: 0 all well,
4 some objects skipped, 8 warnings, 12 errors (section 10.3).
"""

from __future__ import annotations

import datetime
import os
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

import msgspec
import zstandard

from holdfast.backup.model.objects import key_of, path_of, printable
from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.client.login import Login
from holdfast.backup.service.client.options import DEFAULT_SYSFILE, ClientOptions, load_options
from holdfast.backup.service.client.restore import Restore, Selection, list_versions
from holdfast.backup.service.client.run import point_in_time, run_session, sources
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.dialects.tsm.render import backup_summary, restore_summary, table
from holdfast.kernel.errors import HoldfastError, InputError, Refused

_OPTIONS = {
    "OPTFILE": 4, "SERVERNAME": 2, "SUBDIR": 2, "INACTIVE": 4, "LATEST": 2, "PITDATE": 4, "PITTIME": 4, "REPLACE": 3,
    "VIRTUALNODENAME": 12, "QUIET": 5, "DATEFORMAT": 4, "SNAPSHOTROOT": 12, "ERRORLOGNAME": 11, "DOMAIN": 3,
    "NOPROMPT": 4, "PRESERVEPATH": 8,
}  # fmt: skip
_VERBS = (("incremental", 1), ("restore", 3), ("query", 1))
_QUERIES = (("backup", 1), ("filespace", 1), ("inclexcl", 5))


@dataclass(slots=True)
class Arguments:
    """The command line, read: verb, positional words, options."""

    verb: str = ""
    words: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)


def read_arguments(arguments: list[str]) -> Arguments:
    """Read the command line. Raises ``InputError`` for an unknown verb or option."""
    read = Arguments()
    for word in arguments:
        if word.startswith("-") and len(word) > 1:
            name, _, value = word[1:].partition("=")
            upper = name.upper()
            full = next((o for o, short in _OPTIONS.items() if o.startswith(upper) and len(upper) >= short), None)
            if full is None:
                raise InputError(f"ANS1107E Invalid option/value: '{word}'", remedy="see the reference of dsmc")
            read.options[full] = value
        elif not read.verb:
            read.verb = _full(word, _VERBS)
        else:
            read.words.append(word)
    if not read.verb:
        raise InputError("a command is needed", remedy="dsmc incremental | restore | query backup|filespace|inclexcl")
    return read


def _full(word: str, choices: tuple[tuple[str, int], ...]) -> str:
    small = word.lower()
    for full, shortest in choices:
        if full.startswith(small) and len(small) >= shortest:
            return full
    raise InputError(f"ANS1138E The '{word}' command is not known", remedy=", ".join(full for full, _ in choices))


def main(arguments: list[str], out: TextIO) -> int:
    """Run dsmc; return its exit code."""
    try:
        return _run(read_arguments(arguments), out)
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return 12
    except HoldfastError as error:
        sys.stderr.write(f"{error}\n")
        return 12


def _run(read: Arguments, out: TextIO) -> int:
    optfile = Path(
        read.options.get("OPTFILE") or os.environ.get("DSM_CONFIG") or f"{Path(DEFAULT_SYSFILE).parent}/dsm.opt"
    )
    options = load_options(optfile)
    if read.options.get("DOMAIN"):
        options.lists["DOMAIN"] = [read.options["DOMAIN"]]
    if read.verb == "query" and read.words and _full(read.words[0], _QUERIES) == "inclexcl":
        return _query_inclexcl(options, out)
    login = Login.of(options, str(optfile), read.options.get("VIRTUALNODENAME", ""))
    if read.verb == "incremental":
        chosen = sources(options, [os.path.abspath(word) for word in read.words], _roots(read))
        with login.open() as session:
            _banner(session, login, out)
            say = None if "QUIET" in read.options else partial(print, file=out)
            done = run_session(session, options, chosen, say)
        out.write("\n" + backup_summary(done.total) + "\n")
        for text in (*done.total.warnings, *done.total.failures):
            sys.stderr.write(f"{text}\n")
        return done.total.exit_code
    with login.open() as session:
        if read.verb == "restore":
            _banner(session, login, out)
            return _restore(session, read, out)
        kind = _full(read.words[0] if read.words else "", _QUERIES)
        return _query_filespace(session, out) if kind == "filespace" else _query_backup(session, read, out)


def _roots(read: Arguments) -> dict[str, str]:
    """``-snapshotroot=/mnt/copy`` belongs to the one filespace that is named."""
    root = read.options.get("SNAPSHOTROOT", "")
    if not root:
        return {}
    if len(read.words) != 1:
        raise InputError(
            "SNAPSHOTROOT needs exactly one filespace", remedy="dsmc incremental /VCS -snapshotroot=/mnt/copy"
        )
    return {os.path.abspath(read.words[0]): root}


def _banner(session: Session, login: Login, out: TextIO) -> None:
    welcome = session.welcome
    now = datetime.datetime.now().strftime("%m/%d/%Y %H:%M:%S")
    out.write(
        "Holdfast\nCommand Line Backup-Archive Client Interface\n"
        f"  Client {welcome.level}\n  Client date/time: {now}\n\n"
        f"Node Name: {login.node}\nSession established with server {welcome.server}: Linux\n"
        f"  Server {welcome.level}\n  Server date/time: {stamp(welcome.server_time_ns)}  "
        f"Last access: {stamp(welcome.last_access_ns)}\n\n"
    )


def stamp(at_ns: int) -> str:
    """Return a time in the default date format."""
    return datetime.datetime.fromtimestamp(at_ns / 1e9).strftime("%m/%d/%Y %H:%M:%S") if at_ns else "-"


def split_spec(session: Session, spec: str) -> tuple[str, bytes, str]:
    """Return filespace, key of the directory or object, and the last component when it is a wildcard.

    ``{/usr}/local/*`` names the filespace in braces; without, the longest filespace that begins the path is taken.
    """
    filespaces = [row.name for row in list_filespaces(session)]
    if spec.startswith("{"):
        name, _, rest = spec[1:].partition("}")
    else:
        fitting = [f for f in filespaces if spec == f or spec.startswith(f.rstrip("/") + "/")]
        if not fitting:
            raise InputError(f"ANS1302E No objects on server match query: {spec}", remedy="dsmc query filespace")
        name = max(fitting, key=len)
        rest = spec[len(name.rstrip("/")) :]
    head, _, last = rest.rpartition("/")
    if any(letter in head for letter in "*?"):
        raise InputError("ANS1081E Invalid search file specification: wildcards stand in the last component only")
    if "*" in last or "?" in last:
        return name, key_of(os.fsencode(head)), last
    return name, key_of(os.fsencode(rest)), ""


def list_filespaces(session: Session) -> list[m.FilespaceRow]:
    """Return the filespaces of the signed-on node."""
    reply = session.call(lambda seq: m.ListFilespaces(seq))
    assert isinstance(reply, m.Page)
    data = zstandard.ZstdDecompressor().decompress(reply.rows)
    return msgspec.msgpack.decode(data, type=list[m.FilespaceRow])


def _selection(session: Session, read: Arguments, spec: str) -> Selection:
    filespace, under, wildcard = split_spec(session, spec)
    if wildcard not in ("", "*"):
        raise InputError(
            f"ANS1081E Invalid search file specification '{spec}': only * is understood as a last component"
        )
    pit = point_in_time(read.options.get("PITDATE", ""), read.options.get("PITTIME", ""))
    return Selection(filespace, under, pit, "INACTIVE" in read.options, "LATEST" in read.options)


def _restore(session: Session, read: Arguments, out: TextIO) -> int:
    if not read.words:
        raise InputError("restore needs a file specification", remedy="dsmc restore '/VCS/*' /tmp/back/ -subdir=yes")
    chosen = _selection(session, read, read.words[0])
    destination = read.words[1] if len(read.words) > 1 else chosen.filespace
    inplace = len(read.words) == 1
    whole = read.words[0].endswith("*")  # /VCS/dir/* fills the destination, /VCS/dir or a file lands below it
    strip = chosen.under if whole else chosen.under.rpartition(b"\0")[0]
    replace = not read.options.get("REPLACE", "all").lower().startswith("n")
    restore = Restore(session, destination, replace=replace, strip=b"" if inplace else strip)
    done = restore.run(chosen)
    out.write("\nRestore processing finished.\n\n" + restore_summary(done) + "\n")
    for text in done.failures:
        sys.stderr.write(f"{text}\n")
    if not done.objects and not done.objects_failed:
        sys.stderr.write(f"ANS1302E No objects on server match query: {read.words[0]}\n")
        return 12
    return done.exit_code


def _query_backup(session: Session, read: Arguments, out: TextIO) -> int:
    if len(read.words) < 2:
        raise InputError("query backup needs a file specification", remedy="dsmc query backup '/VCS/*' -subdir=yes")
    chosen = _selection(session, read, read.words[1])
    deep = read.options.get("SUBDIR", "no").lower().startswith("y")
    rows = []
    for version in list_versions(session, chosen, contents=False):
        below = path_of(version.key[len(chosen.under) :]).strip(b"/")
        if not deep and b"/" in below:
            continue
        path = printable(chosen.filespace.rstrip("/").encode() + b"/" + path_of(version.key))
        state = "A" if version.inactive_ns is None else "I"
        rows.append((f"{version.stat.size:,}  B", stamp(version.stored_ns), version.mgmtclass, state, path))
    if not rows:
        sys.stderr.write("ANS1302E No objects on server match query\n")
        return 12
    out.write(table(("Size", "Backup Date", "Mgmt Class", "A/I", "File"), rows) + "\n")
    return 0


def _query_filespace(session: Session, out: TextIO) -> int:
    rows = [(str(n), stamp(row.ended_ns), row.type, row.name) for n, row in enumerate(list_filespaces(session), 1)]
    out.write(table(("#", "Last Incr Date", "Type", "File Space Name"), rows) + "\n")
    return 0


def _query_inclexcl(options: ClientOptions, out: TextIO) -> int:
    out.write("*** FILE INCLUDE/EXCLUDE ***\nMode Function  Pattern (match from top down)  Source File\n")
    out.write("---- --------- ------------------------------ -----------------\n")
    for statement in Rules(options.statements).evaluation_order():
        mode = "Incl" if statement.include else "Excl"
        function = {"file": "All", "archive": "Archive", "directory": "Directory", "filespace": "Filespace"}
        out.write(f"{mode} {function[statement.scope.value]:<9} {statement.pattern:<30} {statement.source}\n")
    return 0
