"""Macro files: ``%1`` ... replaced by values, ``MACRO file`` inside a macro taken in, then read as a whole.

Every error names the file and line where it stands, also in a macro that another one takes in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from holdfast.dialects.tsm.language import Request, Token, parse, statements
from holdfast.kernel.errors import InputError
from holdfast.runtime.textfile import read_text

_DEPTH = 10
_PLACE = re.compile(r"%(\d{1,2})")


def read_macro_file(path: Path, values: Sequence[str] = (), depth: int = 0) -> list[Request]:
    """Return every command of a macro file, with ``values`` for ``%1``, ``%2`` ... Raises ``InputError``."""
    if depth >= _DEPTH:
        raise InputError(f"macros take one another in deeper than {_DEPTH}", file=str(path), remedy="is it a circle?")
    return read_macro_text(_substituted(read_text(path), values, str(path)), str(path), depth)


def read_macro_text(text: str, file: str, depth: int = 0) -> list[Request]:
    """Return every command of a text that may take macro files in."""
    requests: list[Request] = []
    for tokens in statements(text, file):
        if takes_in(tokens[0].text):
            name, values = _named(tokens, file)
            requests += read_macro_file(name, values, depth + 1)
        else:
            requests.append(parse(tokens, file))
    return requests


def takes_in(word: str) -> bool:
    """Return whether a command's first word is MACRO."""
    return len(word) >= 2 and "macro".startswith(word.lower())


def _named(tokens: list[Token], file: str) -> tuple[Path, list[str]]:
    if len(tokens) < 2:
        raise InputError(
            "MACRO needs a file", file=file, line=tokens[0].line, column=tokens[0].column, remedy="name it"
        )
    words = [token.text.strip("\"'") for token in tokens[1:]]
    return Path(words[0]), words[1:]


def _substituted(text: str, values: Sequence[str], file: str) -> str:
    def value(found: re.Match[str]) -> str:
        position = int(found[1])
        if not 1 <= position <= len(values):
            line = text.count("\n", 0, found.start()) + 1
            raise InputError(
                f"no value for {found[0]}", file=file, line=line, remedy=f"MACRO FILE with {position} values"
            )
        return values[position - 1]

    return _PLACE.sub(value, text) if values else text
