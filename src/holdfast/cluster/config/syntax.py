"""The grammar: tokens to a syntax tree, by recursive descent, one function per rule.

The tree says what was written and where, and checks nothing else; names and types are the builder's business. A new
block of the language is one more entry in ``_BLOCKS`` and one more function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.cluster.config.tokens import Place, Token, tokenize


@dataclass(frozen=True, slots=True)
class Element:
    """One element inside braces: ``key`` or ``key = value``."""

    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """``Name [@system] = value``: a scalar text, or the elements that stood in braces."""

    name: str
    system: str
    value: str | tuple[Element, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Declaration:
    """One line of a type block: ``[static|temp] kind Name[] = value``."""

    name: str
    kind: str
    brackets: str
    static: bool
    temp: bool
    value: str | tuple[Element, ...] | None
    place: Place


@dataclass(slots=True)
class Block:
    """A named block. ``word`` is cluster, system, group, type, remotecluster, heartbeat, or a resource's type."""

    word: str
    name: str
    place: Place
    assignments: list[Assignment] = field(default_factory=list)
    declarations: list[Declaration] = field(default_factory=list)
    resources: list[Block] = field(default_factory=list)
    links: list[tuple[str, str, Place]] = field(default_factory=list)
    group_links: list[tuple[str, tuple[str, ...], Place]] = field(default_factory=list)


@dataclass(slots=True)
class File:
    """What one file says: its includes (name and place) and its blocks in order."""

    includes: list[tuple[str, Place]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)


def parse_file(text: str, name: str) -> File:
    """Return the tree of one file. Raises :class:`InputError` at the first token that fits no rule."""
    return _Parser(list(tokenize(text, name))).file()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens, self._at = tokens, 0
        self._blocks: dict[str, Callable[[Token], Block]] = {
            "cluster": self._plain, "system": self._plain, "remotecluster": self._plain, "heartbeat": self._plain,
            "group": self._group, "type": self._type,
        }  # fmt: skip

    def file(self) -> File:
        result = File()
        while self._peek().kind != "end":
            token = self._expect("word", "a block such as 'group'")
            if token.text == "include":
                named = self._scalar("the name of a file")
                result.includes.append((named.text, named.place))
            elif token.text in self._blocks:
                result.blocks.append(self._blocks[token.text](token))
            else:
                raise token.place.error(
                    f"{token.text!r} does not start a block",
                    "expected include, cluster, system, group or type; a resource stands after its group",
                )
        return result

    def _plain(self, word: Token) -> Block:
        block = Block(word.text, self._scalar(f"the name of the {word.text}").text, word.place)
        if self._peek().kind == "(":
            block.assignments = self._assignments()
        return block

    def _group(self, word: Token) -> Block:
        block = self._plain(word)
        while self._peek().kind in ("word", "string") and not self._starts_block():
            first = self._next()
            second = self._scalar("a resource name or 'requires'")
            if first.text == "requires" and second.text == "group":
                block.group_links.append(self._group_link(first.place))
            elif second.text == "requires" and second.kind == "word":
                child = self._scalar("the name of the required resource")
                block.links.append((first.text, child.text, first.place))
            else:
                resource = Block(first.text, second.text, first.place)
                resource.assignments = self._assignments()
                block.resources.append(resource)
        return block

    def _starts_block(self) -> bool:
        token = self._peek()
        return token.kind == "word" and (token.text in self._blocks or token.text == "include")

    def _group_link(self, place: Place) -> tuple[str, tuple[str, ...], Place]:
        child = self._scalar("the name of the required group").text
        words: list[str] = []
        allowed = {"online", "offline", "local", "global", "remote", "soft", "firm", "hard"}
        while self._peek().kind == "word" and self._peek().text in allowed:
            words.append(self._next().text)
        return child, tuple(words), place

    def _assignments(self) -> list[Assignment]:
        self._expect("(", "'('")
        found: list[Assignment] = []
        while self._peek().kind != ")":
            name = self._expect("word", "an attribute name or ')'")
            self._brackets()
            system = ""
            if self._peek().kind == "@":
                self._next()
                system = self._scalar("the name of a system").text
            self._expect("=", "'='")
            found.append(Assignment(name.text, system, self._value(), name.place))
        self._next()
        return found

    def _type(self, word: Token) -> Block:
        block = Block("type", self._scalar("the name of the type").text, word.place)
        self._expect("(", "'('")
        while self._peek().kind != ")":
            block.declarations.append(self._declaration())
        self._next()
        return block

    def _declaration(self) -> Declaration:
        token = self._expect("word", "a declaration such as 'str Name' or ')'")
        place, static, temp = token.place, token.text == "static", token.text == "temp"
        if static or temp:
            token = self._expect("word", "str, int, boolean or keylist")
        if token.text not in ("str", "int", "boolean", "keylist"):
            raise token.place.error(f"{token.text!r} is not a kind of attribute", "use str, int, boolean or keylist")
        name = self._expect("word", "an attribute name")
        brackets = self._brackets()
        value: str | tuple[Element, ...] | None = None
        if self._peek().kind == "=":
            self._next()
            value = self._value()
        return Declaration(name.text, token.text, brackets, static, temp, value, place)

    def _brackets(self) -> str:
        kind = self._peek().kind
        if kind not in ("[", "{"):
            return ""
        self._next()
        self._expect("]" if kind == "[" else "}", "the closing bracket")
        return "[]" if kind == "[" else "{}"

    def _value(self) -> str | tuple[Element, ...]:
        if self._peek().kind != "{":
            return self._scalar("a value").text
        self._next()
        elements: list[Element] = []
        while self._peek().kind != "}":
            if elements:
                self._expect(",", "',' or '}'")
                if self._peek().kind == "}":
                    break
            key = self._scalar("a value or '}'").text
            value = None
            if self._peek().kind == "=":
                self._next()
                value = self._scalar("a value").text
            elements.append(Element(key, value))
        self._next()
        return tuple(elements)

    def _scalar(self, what: str) -> Token:
        if self._peek().kind not in ("word", "string"):
            return self._expect("word", what)
        return self._next()

    def _expect(self, kind: str, what: str) -> Token:
        token = self._peek()
        if token.kind != kind:
            seen = "the end of the file" if token.kind == "end" else repr(token.text)
            raise token.place.error(f"expected {what}, found {seen}", "correct the line; nothing was changed")
        return self._next()

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token
