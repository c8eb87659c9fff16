"""The tokens of main.cf and of type files: the first of three stages (tokens, syntax tree, configuration).

Every token knows its place, so that each later complaint can point at its cause; line and column are only counted when
somebody complains. The reader takes more than the strict form: bare numbers, names with dots, ``//`` comments
anywhere, a missing final newline. Comments are set aside: the grammar does not see them, the writer gets them back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from holdfast.kernel.errors import InputError


@dataclass(slots=True)
class Source:
    """One file's text; ``comments`` are those that :func:`tokenize` came by."""

    name: str
    text: str
    comments: list[Comment] = field(default_factory=list)


@dataclass(slots=True)
class Place:
    """Where something stands: ``offset`` characters into a file."""

    source: Source
    offset: int

    @property
    def file(self) -> str:
        """The file's name."""
        return self.source.name

    @property
    def line(self) -> int:
        """The line, from 1."""
        return self.source.text.count("\n", 0, self.offset) + 1

    @property
    def column(self) -> int:
        """The column, from 1."""
        return self.offset - self.source.text.rfind("\n", 0, self.offset)

    def error(self, message: str, remedy: str) -> InputError:
        """Return an :class:`InputError` that points here."""
        return InputError(message, file=self.file, line=self.line, column=self.column, remedy=remedy)


@dataclass(slots=True)
class Comment:
    """``//`` and the ``text`` after it. ``alone`` when nothing stands before it on its line."""

    text: str
    place: Place
    alone: bool


@dataclass(slots=True)
class Token:
    """``kind`` is ``word``, ``string``, ``end`` or the punctuation mark itself; ``text`` is without quotes."""

    kind: str
    text: str
    source: Source
    offset: int

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.source, self.offset)


_TOKEN = re.compile(
    r"""[ \t\r\f\v\n]*
      (?: (?P<comment>//[^\n]*)
        | "(?P<string>(?:[^"\\\n]|\\.)*)"
        | (?P<word>-?[A-Za-z0-9_][A-Za-z0-9_.\-:]*)
        | (?P<mark>[(){}\[\]=,@])
        | (?P<end>\Z)
        | (?P<misfit>[\s\S]) )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")


def tokenize(source: Source) -> list[Token]:
    """Return the tokens of a file and an ``end`` token; its comments are left in ``source.comments``.

    Raises :class:`InputError` at a character that fits none.
    """
    tokens: list[Token] = []
    source.comments.clear()
    for match in _TOKEN.finditer(source.text):
        kind = match.lastgroup or "end"
        text, offset = match[kind], match.start(kind)
        if kind == "mark":
            tokens.append(Token(text, text, source, offset))
        elif kind == "word":
            tokens.append(Token(kind, text, source, offset))
        elif kind == "string":
            plain = _ESCAPE.sub(r"\1", text) if "\\" in text else text
            tokens.append(Token(kind, plain, source, offset - 1))
        elif kind == "comment":
            start = source.text.rfind("\n", 0, offset) + 1
            alone = not source.text[start:offset].strip()
            source.comments.append(Comment(text[2:].rstrip(), Place(source, offset), alone))
        elif kind == "misfit":
            raise _misfit(text, Place(source, offset))
        else:
            tokens.append(Token("end", "", source, offset))
            break
    return tokens


def _misfit(letter: str, place: Place) -> InputError:
    if letter == '"':
        return place.error("a quoted text does not end on its line", 'close it with "')
    if letter == "#":
        return place.error("'#' does not start a comment here", "write // instead")
    return place.error(f"{letter!r} is not expected here", "put texts with special characters in double quotes")
