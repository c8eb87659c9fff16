"""Client options as TSM clients keep them: ``dsm.opt`` names a server, ``dsm.sys`` holds a stanza for it (11.3).

Keywords may be shortened to their capitals. Options that this client reads and does not act on stand in the table too,
so that an existing file is accepted; a word that stands nowhere is an error with its place, and nothing is done.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from holdfast.backup.plan.inclexcl import Rules, Statement, parse_list, parse_statement
from holdfast.kernel.errors import InputError

DEFAULT_SYSFILE = "/opt/tivoli/tsm/client/ba/bin/dsm.sys"
KEYWORDS = (
    "SErvername", "NODename", "TCPServeraddress", "TCPPort", "COMMMethod", "PASSWORDAccess", "PASSWORDDIR",
    "INCLExcl", "DOMain", "ERRORLOGName", "SCHEDLOGName", "ERRORLOGRetention", "SCHEDLOGRetention", "SCHEDMODe",
    "MANAGEDServices", "HTTPport", "TCPCLIENTAddress", "TCPCLIENTPort", "CHAngingretries", "COMPRESSIon", "SUbdir",
    "QUIET", "DATEformat", "REPlace", "DEFAULTServer", "CLUSTERnode", "QUERYSCHedperiod", "RETRYPeriod",
    "MAXCMDRetries", "PRESchedulecmd", "POSTSchedulecmd", "PRENSchedulecmd", "POSTNSchedulecmd", "SCHEDCMDDisabled",
    "SCHEDRESTRetrdisabled", "SESSIONINITiation", "RESOURceutilization", "INVENTORYDIR",
    "TESTFlag", "TCPBuffsize", "TCPWindowsize", "TXNBytelimit", "VIRTUALMountpoint",
    "TLSIDENTITY", "TLSSERVERNAME", "ALLLOCALROOT",
)  # fmt: skip
"""The last three are Holdfast's: identity directory, name in the server's certificate, roots of ALL-LOCAL."""


class Imposed(Protocol):
    """An option of the server's client option set."""

    @property
    def name(self) -> str:
        """The option's name."""

    @property
    def value(self) -> str:
        """Its value; for INCLEXCL a whole statement."""

    @property
    def force(self) -> bool:
        """Whether it overrides the client's."""


_MANY = frozenset({"DOMAIN", "INCLEXCL", "ALLLOCALROOT", "TESTFLAG", "VIRTUALMOUNTPOINT"})


@dataclass(slots=True)
class ClientOptions:
    """The options in effect; ``values`` holds those that appear once, by full name in capitals."""

    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    option_set: list[Statement] = field(default_factory=list)
    """Include-exclude statements of the server's client option set: asked first, so that nothing overrules them."""
    stanza: tuple[str, int] = ("", 0)
    """File and line at which the server's stanza begins."""

    def rules(self) -> Rules:
        """Return the include-exclude list in effect."""
        return Rules(self.statements, self.option_set)

    def copy(self) -> ClientOptions:
        """Return options that can be changed without changing these."""
        lists = {name: list(lines) for name, lines in self.lists.items()}
        return ClientOptions(dict(self.values), lists, list(self.statements), list(self.option_set), self.stanza)

    def under(self, option_set: Iterable[Imposed]) -> ClientOptions:
        """Return these options as the server's client option set changes them.

        INCLEXCL statements are asked before all others; another option overrides the client's when it is forced, and
        otherwise counts only where the client has none. What this client does not know is passed over: an option set
        is made for many clients.
        """
        found = self.copy()
        found.option_set = []
        for imposed in option_set:
            name = imposed.name.upper()
            if name in ("INCLEXCL", "INCLUDE", "EXCLUDE"):
                found.option_set.append(parse_statement(imposed.value, "client option set", 0))
            elif name in _MANY and (imposed.force or not found.lists.get(name)):
                found.lists[name] = [imposed.value]
            elif name not in _MANY and (imposed.force or not found.get(name)):
                found.values[name] = imposed.value
        return found

    def get(self, name: str, default: str = "") -> str:
        """Return an option's value."""
        return self.values.get(name, default)

    def need(self, name: str, file: str) -> str:
        """Return an option's value or raise ``InputError``."""
        if not self.values.get(name):
            place, line = self.stanza if self.stanza[1] else (file, 0)
            raise InputError(
                f"option {name} is missing",
                file=place,
                line=line,
                column=1 if line else 0,
                remedy=f"add {name} to the stanza of server {self.get('SERVERNAME')}",
            )
        return self.values[name]

    def set(self, name: str, value: str) -> None:
        """Take one option."""
        if name in _MANY:
            self.lists.setdefault(name, []).append(value)
        else:
            self.values[name] = value


@dataclass(frozen=True, slots=True)
class _Line:
    keyword: str
    value: str
    file: str
    number: int
    column: int
    text: str

    def error(self, text: str, remedy: str) -> InputError:
        """Return the complaint about this line."""
        return InputError(text, file=self.file, line=self.number, column=self.column, remedy=remedy)


def load_options(optfile: Path, sysfile: Path | None = None, server: str = "") -> ClientOptions:
    """Read ``dsm.opt``, then the stanza it names in ``dsm.sys``, or that of ``server``.

    Raises ``InputError`` with file, line and column."""
    user = _read(optfile)
    sysfile = sysfile or find_sysfile(optfile)
    system = _read(sysfile)
    naming = [line for line in user if line.keyword == "SERVERNAME"]
    naming += [line for line in system if line.keyword == "DEFAULTSERVER"]
    wanted = server or (naming[0].value if naming else "")
    known = sorted({line.value for line in system if line.keyword == "SERVERNAME"})
    if server and server.upper() not in {name.upper() for name in known}:
        remedy = f"name one of {', '.join(known)}"
        raise InputError(f"{sysfile} has no stanza for server {server!r}", remedy=remedy)
    if naming and known and wanted.upper() not in {name.upper() for name in known}:
        raise naming[0].error(f"{sysfile} has no stanza for server {wanted!r}", f"name one of {', '.join(known)}")
    stanza = _stanza(system, wanted, sysfile)
    options = ClientOptions()
    for line in (*stanza, *user):
        _take(options, line)
    options.values["SERVERNAME"] = wanted or options.get("SERVERNAME")
    options.stanza = (stanza[0].file, stanza[0].number)
    return options


def find_sysfile(optfile: Path) -> Path:
    """Return the ``dsm.sys`` in effect: that of DSM_DIR, else beside the option file, else the usual place."""
    candidates = [optfile.parent / "dsm.sys", Path(DEFAULT_SYSFILE)]
    if os.environ.get("DSM_DIR"):
        candidates.insert(0, Path(os.environ["DSM_DIR"]) / "dsm.sys")
    return next((path for path in candidates if path.exists()), candidates[0])


def _read(path: Path) -> list[_Line]:
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except OSError as error:
        remedy = "name it with -optfile, DSM_CONFIG or DSM_DIR, or create it"
        raise InputError(f"option file cannot be read: {error.strerror}", file=str(path), remedy=remedy) from error
    lines = []
    for number, raw in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*(\S+)\s*(.*?)\s*$", raw)
        if match is None or match[1].startswith("*"):
            continue
        keyword = _keyword(match[1], str(path), number, match.start(1) + 1)
        value = _unquoted(match[2], str(path), number, match.start(2) + 1) if keyword != "INCLUDE" else match[2]
        lines.append(_Line(keyword, value, str(path), number, match.start(1) + 1, raw))
    return lines


def _unquoted(value: str, file: str, line: int, column: int) -> str:
    if value[:1] not in ('"', "'"):
        return value
    if len(value) < 2 or value[-1] != value[0]:
        raise InputError(
            f"the quote {value[0]} is not closed", file=file, line=line, column=column, remedy=f"end it with {value[0]}"
        )
    return value[1:-1] if value[0] not in value[1:-1] else value


def _keyword(word: str, file: str, line: int, column: int) -> str:
    upper = word.upper()
    if upper.partition(".")[0] in ("INCLUDE", "EXCLUDE"):
        return "INCLUDE"
    for known in KEYWORDS:
        shortest = re.match(r"[A-Z]+", known)
        assert shortest is not None
        if known.upper().startswith(upper) and len(upper) >= len(shortest[0]):
            return known.upper()
    raise InputError(f"unknown option {word!r}", file=file, line=line, column=column, remedy="correct or remove it")


def _stanza(lines: list[_Line], wanted: str, sysfile: Path) -> list[_Line]:
    stanza: list[_Line] = []
    inside = found = False
    for line in lines:
        if line.keyword == "SERVERNAME":
            if found and line.value.upper() == stanza[0].value.upper():
                remedy = f"keep one; the other begins at line {stanza[0].number}"
                raise line.error(f"a stanza for server {line.value!r} stands twice", remedy)
            inside = not found and (not wanted or line.value.upper() == wanted.upper())
            found = found or inside
        elif line.keyword == "DEFAULTSERVER":
            continue
        elif (
            not found and not inside and not any(other.keyword == "SERVERNAME" for other in lines[: lines.index(line)])
        ):
            raise line.error(f"{line.keyword} stands outside a stanza", "begin the stanza with SERVERNAME")
        if inside:
            stanza.append(line)
    if not found:
        raise InputError(f"no stanza for server {wanted!r}", file=str(sysfile), remedy="SERVERNAME names a stanza")
    return stanza


def _take(options: ClientOptions, line: _Line) -> None:
    if line.keyword == "INCLUDE":
        options.statements.append(parse_statement(line.text, line.file, line.number))
        return
    if not line.value:
        raise line.error(f"{line.keyword} has no value", "give it one")
    if line.keyword == "TCPPORT" and not _is_port(line.value):
        raise line.error(f"{line.value!r} is not a port", "1 to 65535")
    if line.keyword == "DOMAIN" and "-" in line.value.split():
        raise line.error("a '-' in DOMAIN removes nothing", "write it directly before a file system: -/VCS")
    if line.keyword == "INCLEXCL":
        path = Path(line.value)
        try:
            text = path.read_text("utf-8", "surrogateescape")
        except OSError as error:
            text = f"INCLEXCL {path} cannot be read: {error.strerror}"
            raise line.error(text, "create the file; it may be empty") from error
        options.statements.extend(parse_list(text, str(path)))
    options.set(line.keyword, line.value)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536


def load_stanza(sysfile: Path, server: str) -> ClientOptions:
    """Read one stanza of ``dsm.sys`` alone, as dsmadmc does. Without a name: DEFAULTSERVER, or the first stanza."""
    system = _read(sysfile)
    wanted = server or next((line.value for line in system if line.keyword == "DEFAULTSERVER"), "")
    stanza = _stanza(system, wanted, sysfile)
    options = ClientOptions(stanza=(stanza[0].file, stanza[0].number))
    for line in stanza:
        if line.keyword == "TCPPORT":
            _take(options, line)
        elif line.keyword != "INCLUDE":
            options.set(line.keyword, line.value)
    return options
