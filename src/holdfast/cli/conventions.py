"""What holds for every native command, as data: exit codes, environment, and the shape of a failure under ``--json``.

``holdfast --help``, the manual pages and the reference all print these tables, so that they cannot disagree. Scripts
count on them: a code, a variable or an id may be added, but never gets another meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from holdfast.kernel.errors import HoldfastError, InputError, Refused, Unavailable

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_INTERRUPTED = 130

EXIT_CODES = (
    (0, "done"),
    (EXIT_FAILED, "failed, or a file or value that cannot be used; the remedy is printed"),
    (EXIT_USAGE, "wrong usage of the command line"),
    (EXIT_REFUSED, "refused: an expected no, with its reason and remedy"),
    (EXIT_INTERRUPTED, "interrupted"),
)
BACKUP_EXIT_CODES = (
    (4, "backup and restore: done, some objects were skipped"),
    (8, "backup and restore: done with warnings"),
    (12, "backup and restore: some objects failed, and are named on standard error"),
)
SERVER_EXIT = "server command, reconcile and object end with the highest return code of what the server answered."

ENVIRONMENT = (
    ("HOLDFAST_STORE", "The cluster's store: embedded:///PATH or served://HOST:PORT?identity=DIRECTORY."),
    ("HOLDFAST_SYSTEM_CONFIG", "The TOML file of this system; it names the store when nothing else does."),
    ("HOLDFAST_REASON", "Why a change is made; it is recorded with your name, also by the VCS commands."),
    ("HOLDFAST_IDENTITY", "Directory with the certificate and key of whoever runs the command."),
    ("HOLDFAST_ARRAY", "Management address of the array, HOST[:PORT]."),
    ("HOLDFAST_SYSTEM", "This system's name at the array."),
    ("HOLDFAST_INCARNATION", "This system's key at the array."),
    ("HOLDFAST_SERVER_CONFIG", "The TOML file of the backup server."),
    ("DSM_CONFIG", "The backup client's option file, dsm.opt."),
    ("DSM_DIR", "Directory of dsm.sys."),
    ("NO_COLOR", "When set, nothing is coloured. Without it only a terminal gets colour."),
)

_MESSAGE_ID = re.compile(r"[A-Z]{3,4}\d{4,5}[A-Z]?\b")


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as programs see it. ``id`` is stable; ``line`` and ``column`` (from 1) say where input is wrong."""

    id: str
    text: str
    remedy: str
    exit_code: int
    file: str = ""
    line: int = 0
    column: int = 0

    @classmethod
    def of(cls, error: HoldfastError) -> Failure:
        """Return what programs are told of ``error``."""
        code = EXIT_REFUSED if isinstance(error, Refused) else EXIT_FAILED
        if isinstance(error, InputError):
            found = (error.file, error.line, error.column)
            return cls(_id(error), error.message, error.remedy, code, *found)
        return cls(_id(error), error.message, error.remedy, code)

    def document(self) -> dict[str, Any]:
        """Return the one document that ``--json`` prints instead of a result."""
        place = {"file": self.file, "line": self.line, "column": self.column} if self.file else {}
        told = {"id": self.id, "text": self.text, "remedy": self.remedy, "exit_code": self.exit_code}
        return {"error": {**told, **place}}


def _id(error: HoldfastError) -> str:
    if isinstance(error, Refused):
        return error.refusal.code
    if found := _MESSAGE_ID.match(error.message):
        return found[0]
    for kind, name in ((InputError, "input"), (Unavailable, "unavailable")):
        if isinstance(error, kind):
            return name
    return "failed"


def exit_lines() -> list[str]:
    """Return the exit codes as lines for people."""
    codes = [f"{code:>3}  {meaning}" for code, meaning in (*EXIT_CODES[:4], *BACKUP_EXIT_CODES, EXIT_CODES[4])]
    return [*codes, f"     {SERVER_EXIT}"]
