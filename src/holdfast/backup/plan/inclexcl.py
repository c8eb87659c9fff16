"""The include-exclude engine: which files count, and which management class they are bound to (section 13).

Order: ``exclude.fs`` and ``exclude.dir`` first, wherever they stand; then the other statements from the last to the
first, and the first that matches decides; a file that nothing matches is included with the default class. A plain
exclude never removes a directory. Patterns: ``?`` one character but not ``/``, ``*`` any run within one component,
``/...`` zero or more directories, ``[a-m]`` classes, ``\\`` escapes.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from holdfast.kernel.errors import InputError


class Scope(enum.Enum):
    """What a statement speaks of."""

    FILE = "file"
    ARCHIVE = "archive"
    DIRECTORY = "directory"
    FILESPACE = "filespace"
    OPTION = "option"
    """Compression, encryption and the like: evaluated after eligibility, never part of it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of an include-exclude list."""

    include: bool
    scope: Scope
    pattern: str
    mgmtclass: str = ""
    keyword: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an object counts, the class it is bound to ("" is the default), and the statement that decided."""

    included: bool
    mgmtclass: str = ""
    statement: Statement | None = None


_SCOPES = {
    "": Scope.FILE,
    "backup": Scope.FILE,
    "file": Scope.FILE,
    "file.backup": Scope.FILE,
    "archive": Scope.ARCHIVE,
    "dir": Scope.DIRECTORY,
    "fs": Scope.FILESPACE,
    "encrypt": Scope.OPTION,
    "compression": Scope.OPTION,
    "dedup": Scope.OPTION,
}
_WORD = re.compile(r'"[^"]*"|\'[^\']*\'|\S+')


def parse_list(text: str, file: str) -> list[Statement]:
    """Read an include-exclude file. ``*`` starts a comment line. Raises ``InputError`` with line and column."""
    statements = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("*"):
            statements.append(parse_statement(line, file, number))
    return statements


def parse_statement(line: str, file: str, number: int) -> Statement:
    """Read one statement: ``include|exclude[.kind] pattern [mgmtclass]``."""
    words = list(_WORD.finditer(line))
    keyword = words[0].group().lower()
    verb, _, kind = keyword.partition(".")
    at = words[0].start() + 1
    if verb not in ("include", "exclude") or kind not in _SCOPES:
        raise _error(f"{words[0].group()!r} is not a statement", file, number, at, "write include or exclude")
    if verb == "include" and kind == "dir":
        raise _error("include.dir does not exist", file, number, at, "directories are included unless exclude.dir")
    if len(words) < 2:
        raise _error(f"{keyword} needs a pattern", file, number, len(line) + 1, "write a full path, such as /VCS/*")
    for word in words[1:]:
        if word.group()[0] in "\"'" and (len(word.group()) < 2 or word.group()[-1] != word.group()[0]):
            remedy = f"end it with {word.group()[0]}"
            raise _error(f"the quote {word.group()[0]} is not closed", file, number, word.start() + 1, remedy)
    allowed = 3 if verb == "include" and _SCOPES[kind] in (Scope.FILE, Scope.ARCHIVE) else 2
    if len(words) > allowed:
        extra = words[allowed]
        raise _error(f"{extra.group()!r} is too much", file, number, extra.start() + 1, "quote a path with blanks")
    pattern = words[1].group().strip("\"'")
    if not pattern.startswith("/"):
        raise _error("a pattern starts at the root", file, number, words[1].start() + 1, f"write /.../{pattern}")
    try:
        compile_pattern(pattern)
    except ValueError as error:
        raise _error(str(error), file, number, words[1].start() + 1, "close the class with ]") from error
    mgmtclass = words[2].group().upper() if len(words) > 2 else ""
    return Statement(verb == "include", _SCOPES[kind], pattern, mgmtclass, keyword, file)


def _error(message: str, file: str, line: int, column: int, remedy: str) -> InputError:
    return InputError(message, file=file, line=line, column=column, remedy=remedy)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the pattern as a regular expression over whole paths. Raises ValueError for an open class."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("/...", at) and (at + 4 == len(pattern) or pattern[at + 4] == "/"):
            parts.append("(?:/[^/]+)*")
            at += 4
            continue
        letter = pattern[at]
        at += 1
        if letter == "*":
            parts.append("[^/]*")
        elif letter == "?":
            parts.append("[^/]")
        elif letter == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                raise ValueError("the character class is not closed")
            parts.append(_character_class(pattern[at:end]))
            at = end + 1
        elif letter == "\\" and at < len(pattern):
            parts.append(re.escape(pattern[at]))
            at += 1
        else:
            parts.append(re.escape(letter))
    return re.compile("".join(parts), re.DOTALL)


def _character_class(body: str) -> str:
    choices = []
    at = 0
    while at < len(body):
        if at + 2 < len(body) and body[at + 1] == "-":
            low, high = body[at], body[at + 2]
            if low > high:
                raise ValueError(f"the range {low}-{high} is empty")
            choices.append(f"{re.escape(low)}-{re.escape(high)}")
            at += 3
        else:
            choices.append(re.escape(body[at]))
            at += 1
    return f"(?!/)[{''.join(choices)}]"


class Rules:
    """Compiled statements, asked by full path (filespace name and all), as text with surrogates for odd bytes."""

    def __init__(self, statements: Iterable[Statement], option_set: Sequence[Statement] = ()) -> None:
        everything = [*statements, *option_set]
        self._files = self._compile(everything, Scope.FILE)
        self._archives = self._compile(everything, Scope.ARCHIVE)
        self._directories = self._compile(everything, Scope.DIRECTORY)
        self._filespaces = self._compile(everything, Scope.FILESPACE)
        self.plain = not (self._files or self._directories)

    @staticmethod
    def _compile(statements: Sequence[Statement], scope: Scope) -> list[tuple[re.Pattern[str], Statement]]:
        chosen = [statement for statement in statements if statement.scope is scope]
        return [(compile_pattern(statement.pattern), statement) for statement in reversed(chosen)]

    def file(self, path: str) -> Decision:
        """Return whether a file, link or device is backed up, directories above it aside."""
        return self._first(self._files, path)

    def archive(self, path: str) -> Decision:
        """Return whether a file is archived: only the archive statements speak."""
        return self._first(self._archives, path)

    def directory(self, path: str) -> Decision:
        """Return whether a directory and all below it is entered."""
        return self._first(self._directories, path)

    def filespace(self, name: str) -> Decision:
        """Return whether a filespace is processed; an excluded one keeps its versions untouched."""
        return self._first(self._filespaces, name)

    def evaluation_order(self) -> list[Statement]:
        """Return the statements from the first asked to the last: filespaces, directories, files, archives."""
        groups = (self._filespaces, self._directories, self._files, self._archives)
        return [statement for group in groups for _, statement in group]

    @staticmethod
    def _first(rules: list[tuple[re.Pattern[str], Statement]], path: str) -> Decision:
        for pattern, statement in rules:
            if pattern.fullmatch(path):
                return Decision(statement.include, statement.mgmtclass, statement)
        return Decision(True)
