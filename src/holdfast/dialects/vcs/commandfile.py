"""The ha… command lines of a main.cmd back to a configuration, for ``hacf -cmdtocf``.

Each line adds to the same syntax trees that main.cf is parsed to, so that the builder checks both alike and a
complaint points at the line of the command file. Commands that change no configuration (``haconf``) are passed over;
any other that is not known is refused, since leaving it out would change what the file says.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from holdfast.cluster.config.builder import build_trees
from holdfast.cluster.config.syntax import Assignment, AtLeastLink, Block, Declaration, File, Words
from holdfast.cluster.config.tokens import Place, Source
from holdfast.cluster.model.configuration import Configuration
from holdfast.dialects.vcs.commandlines import KINDS

_KINDS = {option: kind.value for kind, option in KINDS.items()}
_MARKS = {"-scalar": "", "-vector": "[]", "-assoc": "{}", "-keylist": ""}
_LINK_WORDS = ("online", "offline", "local", "global", "remote", "soft", "firm", "hard")


def read_commands(text: str, name: str = "main.cmd") -> Configuration:
    """Return the configuration that command lines build. Raises :class:`InputError` with the line that cannot be."""
    reader, source, offset = _Reader(), Source(name, text), 0
    for line in text.split("\n"):
        place = Place(source, offset)
        offset += len(line) + 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise place.error(f"the line cannot be read: {error}", "close the quotes") from None
        reader.line(words, place)
    return reader.configuration()


class _Reader:
    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str], Block] = {}
        self._group_of: dict[str, Block] = {}
        self._files: dict[str, str] = {}
        self._forms: dict[tuple[str, str], tuple[int, Callable[[Sequence[str], Place], None]]] = {
            ("haclus", "-add"): (1, self._adds("remotecluster")),
            ("haclus", "-modify"): (2, self._modify_cluster),
            ("hahb", "-add"): (1, self._adds("heartbeat")),
            ("hahb", "-modify"): (3, self._modifies("heartbeat")),
            ("hasys", "-add"): (1, self._adds("system")),
            ("hasys", "-modify"): (3, self._modifies("system")),
            ("hagrp", "-add"): (1, self._adds("group")),
            ("hagrp", "-modify"): (3, self._modifies("group")),
            ("hagrp", "-link"): (2, self._link_groups),
            ("hares", "-add"): (3, self._add_resource),
            ("hares", "-modify"): (3, self._modifies("resource")),
            ("hares", "-link"): (2, self._link),
            ("hatype", "-add"): (1, self._adds("type")),
            ("hatype", "-modify"): (3, self._default),
            ("haattr", "-add"): (2, self._declare),
            ("haattr", "-default"): (3, self._default),
        }
        for command in ("hahb", "hasys", "hagrp", "hares", "haclus"):
            self._forms[command, "-local"] = (1, _nothing)
        self._forms["hares", "-override"] = (2, _nothing)

    def line(self, words: Sequence[str], place: Place) -> None:
        """Take in one command."""
        if words[0] == "haconf":
            return
        found = self._forms.get((words[0], words[1] if len(words) > 1 else ""))
        if found is None:
            raise place.error(f"{' '.join(words[:2])} does not build a configuration", "remove the line or correct it")
        least, form = found
        if len(words) - 2 < least:
            raise place.error(f"{' '.join(words)} lacks words", f"{words[0]} {words[1]} takes at least {least}")
        form(words[2:], place)

    def configuration(self) -> Configuration:
        """Build what the commands so far say."""
        trees = {"main.cf": File()}
        for (word, name), block in self._blocks.items():
            file = self._files.get(name, "main.cf") if word == "type" else "main.cf"
            if file not in trees:
                trees[file] = File()
                trees["main.cf"].includes.append((file, block.place))
            if word != "resource":
                trees[file].blocks.append(block)
        return build_trees(trees)

    def _adds(self, word: str) -> Callable[[Sequence[str], Place], None]:
        def add(words: Sequence[str], place: Place) -> None:
            if (word, words[0]) in self._blocks:
                raise place.error(f"{word} {words[0]!r} is added twice", "remove one of the lines")
            block = self._blocks[word, words[0]] = Block(word, words[0], place)
            if word == "remotecluster" and len(words) > 1:
                _assign(block, "ClusterAddress", "", Words((_plain(words[1]),)), place)

        return add

    def _add_resource(self, words: Sequence[str], place: Place) -> None:
        name, kind, group = words[:3]
        holder = self._block("group", group, place)
        self._adds("resource")(words, place)
        block = self._blocks["resource", name]
        block.word = kind
        holder.resources.append(block)
        self._group_of[name] = holder

    def _block(self, word: str, name: str, place: Place) -> Block:
        found = self._blocks.get((word, name))
        if found is None:
            raise place.error(f"there is no {word} {name!r} yet", "add it on a line above, or correct the name")
        return found

    def _modifies(self, word: str) -> Callable[[Sequence[str], Place], None]:
        def modify(words: Sequence[str], place: Place) -> None:
            _modify(self._block(word, words[0], place), words[1:], place)

        return modify

    def _modify_cluster(self, words: Sequence[str], place: Place) -> None:
        if len(words) > 2 and words[-2] == "-clus":
            _modify(self._block("remotecluster", words[-1], place), words[:-2], place)
            return
        block = self._blocks.setdefault(("cluster", ""), Block("cluster", "", place))
        if words[0] == "ClusterName":
            block.name = _plain(words[1])
        else:
            _modify(block, words, place)

    def _declare(self, words: Sequence[str], place: Place) -> None:
        options = [word for word in words if word in ("-static", "-temp", *_KINDS, *_MARKS)]
        plain = [word for word in words if word not in options]
        if len(plain) < 2:
            raise place.error("haattr -add needs a type and an attribute", "haattr -add TYPE ATTRIBUTE -string")
        kind = next((_KINDS[one] for one in options if one in _KINDS), "str")
        dimension = next((one for one in options if one in _MARKS), "-scalar")
        value = Words(tuple(map(_plain, plain[2:]))) if len(plain) > 2 else None
        declaration = Declaration(
            plain[1], "keylist" if dimension == "-keylist" else kind, _MARKS[dimension], "-static" in options,
            "-temp" in options, value, place,
        )  # fmt: skip
        self._block("type", plain[0], place).declarations.append(declaration)

    def _default(self, words: Sequence[str], place: Place) -> None:
        block, name = self._block("type", words[0], place), words[1]
        if name == "SourceFile":
            self._files[block.name] = words[2].removeprefix("./")
            return
        found = next((one for one in block.declarations if one.name == name), None)
        if found is None:
            raise place.error(f"type {block.name} has no attribute {name!r}", "declare it with haattr -add")
        before = found.value if isinstance(found.value, Words) else None
        found.value, found.place = _set(before, words[2:], place), place

    def _link(self, words: Sequence[str], place: Place) -> None:
        parent, child = words[:2]
        group = self._group_of.get(parent)
        if group is None:
            raise place.error(f"there is no resource {parent!r} yet", "add it on a line above, or correct the name")
        if len(words) == 4 and words[2] == "-min" and words[3].isdecimal():
            group.at_least.append(AtLeastLink(parent, words[3], tuple(child.split(",")), place))
        elif len(words) == 2:
            group.links.append((parent, child, place))
        else:
            raise place.error("the link is not understood", "hares -link PARENT CHILD, or PARENT CHILD,CHILD -min N")

    def _link_groups(self, words: Sequence[str], place: Place) -> None:
        unknown = [word for word in words[2:] if word not in _LINK_WORDS]
        if unknown:
            raise place.error(f"{unknown[0]!r} says nothing about a link", f"known are {' '.join(_LINK_WORDS)}")
        self._block("group", words[0], place).group_links.append((words[1], tuple(words[2:]), place))


def _nothing(_words: Sequence[str], _place: Place) -> None:
    """What the next lines say is enough."""


def _modify(block: Block, words: Sequence[str], place: Place) -> None:
    system = ""
    if len(words) > 2 and words[-2] in ("-sys", "-clus"):
        system, words = words[-1], words[:-2]
    name, values = words[0], words[1:]
    before = next((one for one in block.assignments if (one.name, one.system) == (name, system)), None)
    known = before.value if before is not None and isinstance(before.value, Words) else None
    _assign(block, name, system, _set(known, values, place), place)


def _assign(block: Block, name: str, system: str, value: Words, place: Place) -> None:
    for item in block.assignments:
        if (item.name, item.system) == (name, system):
            item.value, item.place = value, place
            return
    block.assignments.append(Assignment(name, system, value, place))


def _set(before: Words | None, words: Sequence[str], place: Place) -> Words:
    """What a value becomes: the words instead of it, nothing (``-delete -keys``), or more (``-add``)."""
    if list(words) == ["-delete", "-keys"]:
        return Words((), keys=True)
    if words and words[0] == "-add":
        more = tuple(map(_plain, words[1:]))
        keys = len(more) == 1
        if before is None or not before.words:
            return Words(more, keys)
        if before.keys != keys:
            raise place.error("keys are added with values and without", "add all of them the same way")
        return Words(before.words + more, keys)
    if words and words[0] in ("-delete", "-update"):
        raise place.error(f"{words[0]} changes what is not there yet", "give the whole value")
    return Words(tuple(map(_plain, words)))


def _plain(word: str) -> str:
    return word.removeprefix("%")
