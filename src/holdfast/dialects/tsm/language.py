"""Reading the administrative command language: text in, checked requests out, nothing run.

A macro is read as a whole before its first command runs: continuation by a trailing ``-`` (or ``\\``), comments ``/*
*/``, quoted values. Every error names file, line and column of the word that is wrong. Passwords are masked in the
text that goes to the activity log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from holdfast.dialects.tsm.grammar import Command, find, knows_verb
from holdfast.kernel.errors import InputError

_TOKEN = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
_QUOTED_OR_COMMENT = re.compile(r"""("[^"\n]*"|'[^'\n]*')|/\*.*?\*/""", re.DOTALL)
_QUOTED = re.compile(r"""("[^"\n]*"|'[^'\n]*')""")
_SECRET = frozenset({"password", "serverpassword"})
_COMMANDS = frozenset({"cmd", "command"})
_MAYBE_SECRET = re.compile(r"(pa\w*=|(?:reg|upd)\w*\s+(?:n|ad)\w*\s+\S+\s+)[^\s\"']+", re.IGNORECASE)
"""Of a command that cannot be read (a line of a script with substitutions): where a password would stand."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word and where it stands (from 1)."""

    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Request:
    """One command, checked: the operation, its parameters, and the text for the log with passwords masked."""

    operation: str
    args: dict[str, str]
    text: str
    line: int


def read_macro(text: str, file: str) -> list[Request]:
    """Return every command of a macro. Raises ``InputError`` for the first that is wrong; then none has run."""
    return [parse(tokens, file) for tokens in statements(text, file)]


def read_command(text: str, file: str = "command") -> Request:
    """Return one command."""
    found = statements(text, file)
    if len(found) != 1:
        raise InputError("exactly one command is expected", file=file, line=1, column=1, remedy="use MACRO for several")
    return parse(found[0], file)


def statements(text: str, file: str) -> list[list[Token]]:
    """Split text into commands: lists of words with their places."""
    commands: list[list[Token]] = []
    current: list[Token] = []
    hanging = Token("", 0, 0)
    for number, line in enumerate(_without_comments(text, file).split("\n"), 1):
        tokens = _words(line, number, file)
        if not tokens:
            continue
        hanging = tokens[-1]
        if not current and commands and "=" in tokens[0].text:
            current = commands.pop()  # a line that begins with KEY=VALUE can only go on with the command above
        continued = tokens[-1].text in ("-", "\\")
        if not continued and tokens[-1].text.endswith("-") and "=" not in tokens[-1].text:
            tokens[-1] = Token(tokens[-1].text[:-1], number, tokens[-1].column)
            current += tokens
            continue
        current += tokens[:-1] if continued else tokens
        if not continued and current:
            commands.append(current)
            current = []
    if current:
        raise _error("the command goes on in a line that is not there", hanging, file, "end it, or add the line")
    return commands


def _without_comments(text: str, file: str) -> str:
    """Return ``text`` with blanks in place of comments, so that every word keeps its place."""
    opened = _QUOTED_OR_COMMENT.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), text)
    start = _QUOTED.sub(lambda match: " " * len(match[0]), opened).find("/*")
    if start >= 0:
        before = opened[:start]
        place = Token("/*", before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise _error("the comment is not closed", place, file, "close it with */")
    return opened


def _words(line: str, number: int, file: str) -> list[Token]:
    found, end = [], 0
    for match in _TOKEN.finditer(line):
        if gap := line[end : match.start()].strip():
            break
        found.append(Token(match[0], number, match.start() + 1))
        end = match.end()
    else:
        gap = line[end:].strip()
    if gap:
        place = Token(gap, number, line.index(gap[0], end) + 1)
        raise _error(f"the quote {gap[0]} is not closed", place, file, f"end it with {gap[0]} on the same line")
    return found


def parse(tokens: list[Token], file: str) -> Request:
    """Check one command against the grammar."""
    command, rest = _command(tokens, file)
    args: dict[str, str] = {}
    if command.positionals and command.positionals[-1].endswith("..."):
        args[command.positionals[-1].rstrip(".")] = " ".join(token.text for token in rest)
        rest = []
    positionals = list(command.positionals)
    values = 0
    for token in rest:
        key, separator, value = token.text.partition("=")
        if separator and not key.startswith(("'", '"')) and _is_keyword(command, key, bool(positionals)):
            _keyword(command, args, token, key, value, file)
        elif positionals and positionals[0].endswith("*"):
            values += 1
            args[str(values)] = _unquote(token.text)
        elif positionals:
            args[positionals.pop(0)] = _unquote(token.text)
        else:
            raise _error(f"ANR2023E extraneous parameter - {token.text}", token, file, "remove it, or quote the value")
    missing = [name for name in command.positionals[: command.required] if not args.get(name.rstrip("."))]
    if missing:
        raise _error(
            f"ANR2022E parameters are missing - {', '.join(missing).upper()}", tokens[-1], file, _usage(command)
        )
    return Request(command.operation, args, masked(tokens, command), tokens[0].line)


def _is_keyword(command: Command, key: str, values_follow: bool) -> bool:
    """A value of RUN may look like KEY=VALUE; everywhere else that is a keyword, known or not."""
    takes_values = values_follow and command.positionals[-1].endswith("*")
    return not takes_values or any(word.fits(key) for word in command.keywords)


def _command(tokens: list[Token], file: str) -> tuple[Command, list[Token]]:
    first = tokens[0]
    command = find([token.text for token in tokens[:2]])
    if command is not None:
        return command, tokens[len(command.words) :]
    wrong = tokens[1] if knows_verb(first.text) and len(tokens) > 1 else first
    raise _error(f"ANR2000E Unknown command - {wrong.text.upper()}", wrong, file, "see the list of commands")


def _keyword(command: Command, args: dict[str, str], token: Token, key: str, value: str, file: str) -> None:
    word = next((word for word in command.keywords if word.fits(key)), None)
    if word is None:
        raise _error(f"ANR2020E invalid parameter - {key}", token, file, _usage(command))
    if word.full in args:
        raise _error(f"ANR2020E {word.full.upper()} stands twice", token, file, "name it once")
    if not value:
        raise _error(f"ANR2020E {word.full.upper()} has no value", token, file, "write KEY=VALUE without blanks")
    args[word.full] = _unquote(value)


def masked(tokens: list[Token], command: Command) -> str:
    """Return the command as one line, passwords as ``?***?``."""
    words, position = [], -len(command.words)
    for token in tokens:
        key, separator, value = token.text.partition("=")
        if separator and not key.startswith(("'", '"')):
            name = next((word.full for word in command.keywords if word.fits(key)), "")
            words.append(f"{key}={_discreet(name, value)}")
            continue
        names = command.positionals
        words.append(_discreet(names[position] if 0 <= position < len(names) else "", token.text))
        position += 1
    return " ".join(words)


def _discreet(name: str, text: str) -> str:
    """Return a value as the log may show it: no password, also not one inside a command that is kept for later."""
    if name in _SECRET:
        return "?***?"
    if name not in _COMMANDS:
        return text
    try:
        return f'"{read_command(_unquote(text)).text}"'
    except InputError:
        return _MAYBE_SECRET.sub(r"\1?***?", text)


def _usage(command: Command) -> str:
    keys = ", ".join(word.full.upper() for word in command.keywords) or "none"
    return f"{command.operation.upper()} {' '.join(command.positionals)}; keywords: {keys}"


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _error(message: str, token: Token, file: str, remedy: str) -> InputError:
    return InputError(message, file=file, line=token.line, column=token.column, remedy=remedy)
