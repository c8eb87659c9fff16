"""The grammar: tokens to a syntax tree, by recursive descent, one function per rule.

The tree says what was written and where, and checks nothing else; names and types are the builder's business. A new
block of the language is one more entry in ``_BLOCKS`` and one more function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.cluster.config.tokens import Comment, Place, Source, Token, tokenize


@dataclass(slots=True)
class Element:
    """One element inside braces: ``key`` or ``key = value``."""

    key: str
    value: str | None


@dataclass(slots=True)
class Words:
    """A value as a command line gives it: what the words mean is told by the attribute that they are for.

    ``keys`` when each word is a key of its own, also where an association could be meant.
    """

    words: tuple[str, ...]
    keys: bool = False


Raw = str | tuple[Element, ...] | Words


@dataclass(slots=True)
class Assignment:
    """``Name [@system] = value``: a scalar text, or the elements that stood in braces."""

    name: str
    system: str
    value: Raw
    place: Place


@dataclass(slots=True)
class Declaration:
    """One line of a type block: ``[static|temp] kind Name[] = value``."""

    name: str
    kind: str
    brackets: str
    static: bool
    temp: bool
    value: Raw | None
    place: Place


@dataclass(slots=True)
class AtLeastLink:
    """``PARENT requires atleast MINIMUM from CHILD, CHILD``."""

    parent: str
    minimum: str
    children: tuple[str, ...]
    place: Place


@dataclass(slots=True)
class Block:
    """A named block. ``word`` is cluster, system, group, type, remotecluster, heartbeat, or a resource's type.

    ``end`` is the place of its closing bracket, if it has one.
    """

    word: str
    name: str
    place: Place
    assignments: list[Assignment] = field(default_factory=list)
    declarations: list[Declaration] = field(default_factory=list)
    resources: list[Block] = field(default_factory=list)
    links: list[tuple[str, str, Place]] = field(default_factory=list)
    at_least: list[AtLeastLink] = field(default_factory=list)
    group_links: list[tuple[str, tuple[str, ...], Place]] = field(default_factory=list)
    end: Place | None = None


@dataclass(slots=True)
class File:
    """What one file says: its includes (name and place), its blocks in order, and its comments."""

    includes: list[tuple[str, Place]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)


def parse_file(text: str, name: str) -> File:
    """Return the tree of one file. Raises :class:`InputError` at the first token that fits no rule."""
    source = Source(name, text)
    tree = _Parser(tokenize(source)).file()
    tree.comments = source.comments
    return tree


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens, self._at = tokens, 0
        self._blocks: dict[str, Callable[[Token], Block]] = {
            "cluster": self._plain, "system": self._plain, "remotecluster": self._plain, "heartbeat": self._plain,
            "Heartbeat": self._plain, "group": self._group, "type": self._type,
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
                    "expected include, cluster, remotecluster, heartbeat, system, group or type; "
                    "a resource stands after its group",
                )
        return result

    def _plain(self, word: Token) -> Block:
        block = Block(word.text.lower(), self._scalar(f"the name of the {word.text}").text, word.place)
        if self._peek().kind == "(":
            self._assignments(block)
        return block

    def _group(self, word: Token) -> Block:
        block = self._plain(word)
        while self._peek().kind in ("word", "string") and not self._starts_block():
            first = self._next()
            second = self._scalar("a resource name or 'requires'")
            if first.kind == second.kind == "word" and (first.text, second.text) == ("requires", "group"):
                block.group_links.append(self._group_link(first.place))
            elif second.text == "requires" and second.kind == "word":
                self._resource_link(block, first)
            else:
                resource = Block(first.text, second.text, first.place)
                self._assignments(resource)
                block.resources.append(resource)
        return block

    def _starts_block(self) -> bool:
        token = self._peek()
        return token.kind == "word" and (token.text in self._blocks or token.text == "include")

    def _resource_link(self, block: Block, parent: Token) -> None:
        child = self._scalar("the name of the required resource")
        if child.kind != "word" or child.text != "atleast" or not self._peek().text.isdecimal():
            block.links.append((parent.text, child.text, parent.place))
            return
        minimum = self._next().text
        self._expect_word("from")
        children = [self._scalar("the name of a resource").text]
        while self._peek().kind == ",":
            self._next()
            children.append(self._scalar("the name of a resource").text)
        block.at_least.append(AtLeastLink(parent.text, minimum, tuple(children), parent.place))

    def _expect_word(self, word: str) -> None:
        if self._peek().text != word:
            self._expect("end", repr(word))
        self._next()

    def _group_link(self, place: Place) -> tuple[str, tuple[str, ...], Place]:
        child = self._scalar("the name of the required group").text
        words: list[str] = []
        allowed = {"online", "offline", "local", "global", "remote", "soft", "firm", "hard"}
        while self._peek().kind == "word" and self._peek().text in allowed:
            words.append(self._next().text)
        return child, tuple(words), place

    def _assignments(self, block: Block) -> None:
        self._expect("(", "'('")
        found = block.assignments
        while self._peek().kind != ")":
            name = self._expect("word", "an attribute name or ')'")
            self._brackets()
            system = ""
            if self._peek().kind == "@":
                self._next()
                system = self._scalar("the name of a system").text
            self._expect("=", "'='")
            found.append(Assignment(name.text, system, self._value(), name.place))
        block.end = self._next().place

    def _type(self, word: Token) -> Block:
        block = Block("type", self._scalar("the name of the type").text, word.place)
        self._expect("(", "'('")
        while self._peek().kind != ")":
            block.declarations.append(self._declaration())
        block.end = self._next().place
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
        value: Raw | None = None
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
