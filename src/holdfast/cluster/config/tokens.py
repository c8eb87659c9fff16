"""The tokens of main.cf and of type files: the first of three stages (tokens, syntax tree, configuration).

Every token knows its file, line and column, so that each later complaint can point at its cause. The reader takes
more than the strict form: bare numbers, names with dots, ``//`` comments anywhere, a missing final newline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.kernel.errors import InputError


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: file name, line and column, both from 1."""

    file: str
    line: int
    column: int

    def error(self, message: str, remedy: str) -> InputError:
        """Return an :class:`InputError` that points here."""
        return InputError(message, file=self.file, line=self.line, column=self.column, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` is ``word``, ``string``, ``end`` or the punctuation mark itself; ``text`` is without quotes."""

    kind: str
    text: str
    place: Place


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\v]+|//[^\n]*)
      | (?P<newline>\n)
      | "(?P<string>(?:[^"\\\n]|\\.)*)"
      | (?P<word>-?[A-Za-z0-9_][A-Za-z0-9_.\-:]*)
      | (?P<mark>[(){}\[\]=,@])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")


def tokenize(text: str, file: str) -> Iterator[Token]:
    """Yield the tokens of ``text`` and an ``end`` token. Raises :class:`InputError` at a character that fits none."""
    position, line, start = 0, 1, 0
    while position < len(text):
        place = Place(file, line, position - start + 1)
        match = _TOKEN.match(text, position)
        if match is None:
            raise _misfit(text[position], place)
        position = match.end()
        if match["newline"] is not None:
            line, start = line + 1, position
        elif match["string"] is not None:
            yield Token("string", _ESCAPE.sub(r"\1", match["string"]), place)
        elif match["word"] is not None:
            yield Token("word", match["word"], place)
        elif match["mark"] is not None:
            yield Token(match["mark"], match["mark"], place)
    yield Token("end", "", Place(file, line, position - start + 1))


def _misfit(letter: str, place: Place) -> InputError:
    if letter == '"':
        return place.error("a quoted text does not end on its line", 'close it with "')
    if letter == "#":
        return place.error("'#' does not start a comment here", "write // instead")
    return place.error(f"{letter!r} is not expected here", "put texts with special characters in double quotes")
