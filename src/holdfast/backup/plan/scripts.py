"""Server scripts, read whole before anything runs: lines in, statements out, and where to go after each.

A script is a list of commands with labels, ``IF (condition) ...``, ``GOTO label``, ``EXIT``, and ``PARALLEL`` ...
``SERIAL`` around commands that may run side by side. ``$1``, ``$2`` ... stand for the values that RUN names. A line
that ends in ``-`` goes on in the next; comments stand between ``/*`` and ``*/``. Raises ``InputError`` with the number
of the line.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.backup.model.returncodes import known, meets
from holdfast.kernel.errors import InputError

STEP_LIMIT = 10_000
"""No script takes more steps: a GOTO that goes back for ever ends here."""
_LABEL = re.compile(r"([A-Za-z_][\w]{0,29}):\s*(.*)", re.DOTALL)
_IF = re.compile(r"IF\s*\(([^)]*)\)\s*(.*)", re.IGNORECASE | re.DOTALL)
_GOTO = re.compile(r"GOTO\s+(\w+)", re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_PLACE = re.compile(r"\$(\d{1,2})")


class Kind(enum.Enum):
    """What a statement does."""

    COMMAND = "command"
    GOTO = "goto"
    EXIT = "exit"
    SERIAL = "serial"
    PARALLEL = "parallel"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: done when the return code of the last command meets one of ``conditions`` (none: always)."""

    line: int
    kind: Kind
    text: str = ""
    conditions: tuple[str, ...] = ()

    def applies(self, code: int) -> bool:
        """Return whether the statement is done after a command that returned ``code``."""
        return not self.conditions or any(meets(code, word) for word in self.conditions)


@dataclass(frozen=True, slots=True)
class Script:
    """A script that was read: every GOTO has its label, every ``$n`` its value."""

    statements: tuple[Statement, ...]
    labels: Mapping[str, int]

    def target(self, statement: Statement) -> int:
        """Return the position that a GOTO leads to."""
        return self.labels[statement.text]


def read_script(name: str, lines: Iterable[tuple[int, str]], values: Sequence[str]) -> Script:
    """Read a script: pairs of line number and text, in order."""
    statements: list[Statement] = []
    labels: dict[str, int] = {}
    for number, raw in _joined(lines):
        text = _substituted(name, number, raw, values)
        if label := _LABEL.fullmatch(text):
            if label[1].lower() in labels:
                raise _error(name, number, f"the label {label[1]} stands twice", "name it once")
            labels[label[1].lower()] = len(statements)
            text = label[2].strip()
            if not text:
                statements.append(Statement(number, Kind.NOTHING))
                continue
        if text:
            statements.append(_statement(name, number, text))
    for statement in statements:
        if statement.kind is Kind.GOTO and statement.text not in labels:
            raise _error(name, statement.line, f"there is no label {statement.text}", f"write {statement.text}:")
    return Script(tuple(statements), labels)


def _joined(lines: Iterable[tuple[int, str]]) -> Iterable[tuple[int, str]]:
    """Yield statements with the number of their first line: continued lines as one, without comments."""
    parts, first = "", 0
    for number, raw in lines:
        text = _COMMENT.sub(" ", raw).strip()
        first = first or number
        if text.endswith("-"):
            parts += text[:-1].rstrip() + " "
            continue
        yield first, (parts + text).strip()
        parts, first = "", 0
    if parts.strip():
        yield first, parts.strip()


def _substituted(name: str, number: int, text: str, values: Sequence[str]) -> str:
    def value(found: re.Match[str]) -> str:
        position = int(found[1])
        if not 1 <= position <= len(values):
            raise _error(name, number, f"no value for {found[0]}", f"RUN {name} with {position} values or more")
        return values[position - 1]

    return _PLACE.sub(value, text)


def _statement(name: str, number: int, text: str) -> Statement:
    conditions: tuple[str, ...] = ()
    if condition := _IF.fullmatch(text):
        conditions = tuple(word.strip().upper() for word in condition[1].split(","))
        wrong = [word for word in conditions if not known(word)]
        if wrong:
            raise _error(name, number, f"{wrong[0]!r} is no return code", "OK, WARNING, ERROR or RC_...")
        text = condition[2].strip()
        if not text:
            raise _error(name, number, "nothing follows the IF", "write a command, GOTO or EXIT")
    if goto := _GOTO.fullmatch(text):
        return Statement(number, Kind.GOTO, goto[1].lower(), conditions)
    word = text.upper()
    if word in ("EXIT", "SERIAL", "PARALLEL"):
        return Statement(number, Kind[word], "", conditions)
    return Statement(number, Kind.COMMAND, text, conditions)


def _error(name: str, number: int, message: str, remedy: str) -> InputError:
    return InputError(message, file=f"script {name}", line=number, remedy=remedy)
