"""The ha… command lines that change a configuration, as changes of a :class:`Draft`: one table for all of them.

``hacf -cmdtocf`` interprets a whole file with it, ``hagrp -modify`` and its like one line on what is committed. The
two differ in three points, told by ``live``: a resource that is added to a running cluster is disabled until somebody
enables it, ``-local`` spreads the value there is, ``-override`` copies the type's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast.cluster.config.amend import Change
from holdfast.cluster.config.edit import Draft
from holdfast.cluster.config.syntax import Declaration, Words
from holdfast.cluster.model.attributes import TYPE_ATTRIBUTES
from holdfast.dialects.vcs.commandlines import KINDS
from holdfast.kernel.errors import Refusal, Refused

_KINDS = {option: kind.value for kind, option in KINDS.items()}
_MARKS = {"-scalar": "", "-vector": "[]", "-assoc": "{}", "-keylist": ""}
_HOW = {"-add": "add", "-delete": "delete", "-update": "update"}
_SCOPES = ("-sys", "-clus")
_UNDER = ("Mount", "IP", "IPMultiNIC", "NIC", "MultiNICB", "DiskGroup", "Volume", "LVMVolumeGroup", "MetroMirror")
"""Types that applications stand on; one that requires an application is most often a link the wrong way round."""

Step = Callable[[Sequence[str]], None]


class Interpreter:
    """Takes in one command line after the other. ``notices`` are codes of messages that a person should see."""

    def __init__(self, draft: Draft, live: bool = False) -> None:
        self._draft, self._live = draft, live
        self.notices: list[str] = []
        self._forms: dict[tuple[str, str], tuple[int, Step]] = {
            ("haclus", "-add"): (1, self._add_remote),
            ("haclus", "-delete"): (1, self._deletes("remotecluster")),
            ("haclus", "-modify"): (2, self._modify_cluster),
            ("hatype", "-add"): (1, self._adds("type")),
            ("hatype", "-delete"): (1, self._deletes("type")),
            ("hatype", "-modify"): (3, self._default),
            ("haattr", "-add"): (2, self._declare),
            ("haattr", "-delete"): (2, lambda words: draft.undeclare(words[0], words[1])),
            ("haattr", "-default"): (3, self._default),
            ("hares", "-add"): (3, self._add_resource),
            ("hares", "-delete"): (1, self._deletes("resource")),
            ("hares", "-modify"): (3, self._modifies("resource")),
            ("hares", "-link"): (2, self._link),
            ("hares", "-unlink"): (2, lambda words: draft.unlink(words[0], words[1].split(","))),
            ("hares", "-override"): (2, self._override),
            ("hares", "-undo_override"): (2, lambda words: draft.unset("resource", words[0], words[1])),
            ("hagrp", "-link"): (2, lambda words: draft.link_groups(words[0], words[1], words[2:])),
            ("hagrp", "-unlink"): (2, lambda words: draft.unlink_groups(words[0], words[1])),
            ("hagrp", "-enableresources"): (1, self._enable_resources("1")),
            ("hagrp", "-disableresources"): (1, self._enable_resources("0")),
        }
        for command, word in (("hahb", "heartbeat"), ("hasys", "system"), ("hagrp", "group")):
            self._forms[command, "-add"] = (1, self._adds(word))
            self._forms[command, "-delete"] = (1, self._deletes(word))
            self._forms[command, "-modify"] = (3, self._modifies(word))
        for command, word in (("hahb", "heartbeat"), ("hasys", "system"), ("hagrp", "group"), ("hares", "resource")):
            self._forms[command, "-local"] = (1, self._scopes(word, draft.localize))
            self._forms[command, "-global"] = (1, self._scopes(word, draft.globalize))
        self._forms["haclus", "-local"] = (1, lambda _words: None)

    def lacks(self, words: Sequence[str]) -> bool:
        """Whether a known command has too few words."""
        return len(words) - 2 < self._forms[words[0], words[1]][0]

    def line(self, words: Sequence[str]) -> None:
        """Take in one command. Raises ``Refused`` for one that is not known or cannot be."""
        found = self._forms.get((words[0], words[1] if len(words) > 1 else ""))
        if found is None:
            text = f"{' '.join(words[:2])} does not build a configuration"
            raise _no("bad-change", text, "remove the line or correct it")
        least, form = found
        if len(words) - 2 < least:
            raise _no("bad-change", f"{' '.join(words)} lacks words", f"{words[0]} {words[1]} takes at least {least}")
        form(words[2:])

    # --- blocks

    def _adds(self, word: str) -> Step:
        def add(words: Sequence[str]) -> None:
            self._draft.add(word, words[0])
            self.notices += [f"{word}-added"] if self._live else []

        return add

    def _add_remote(self, words: Sequence[str]) -> None:
        block = self._draft.add("remotecluster", words[0])
        if len(words) > 1:
            self._draft.assign(block, "ClusterAddress", "", Words((plain(words[1]),)))

    def _add_resource(self, words: Sequence[str]) -> None:
        _only_plain(words, "hares -add RESOURCE TYPE GROUP")
        self._draft.add_resource(words[0], words[1], words[2], enabled=not self._live)
        self.notices += ["resource-added"] if self._live else []

    def _deletes(self, word: str) -> Step:
        def delete(words: Sequence[str]) -> None:
            names = [one for one in words if one != "-force"]
            self._draft.delete(word, names[0] if names else "", force="-force" in words)

        return delete

    # --- values

    def _modifies(self, word: str) -> Step:
        def modify(words: Sequence[str]) -> None:
            values, scope = _scoped(words[2:])
            self._draft.modify(word, words[0], words[1], change_of(values), scope)

        return modify

    def _modify_cluster(self, words: Sequence[str]) -> None:
        values, scope = _scoped(words[1:])
        if scope and words[-2] == "-clus":
            self._draft.modify("remotecluster", scope, words[0], change_of(values))
        else:
            self._draft.modify_cluster(words[0], change_of(values), scope)

    def _default(self, words: Sequence[str]) -> None:
        if words[1] == "SourceFile":
            self._draft.move_type(words[0], words[2].removeprefix("./"))
        else:
            self._draft.default(words[0], words[1], change_of(words[2:]))

    def _scopes(self, word: str, spread: Callable[[str, str, str], None]) -> Step:
        def scope(words: Sequence[str]) -> None:
            if self._live and len(words) > 1:
                spread(word, words[0], words[1])

        return scope

    def _override(self, words: Sequence[str]) -> None:
        if not self._live:
            return
        resource, name = words[:2]
        block = self._draft.block("resource", resource)
        declared = {one.name: one for one in self._draft.block("type", block.word).declarations if one.static}
        if name in declared:
            value = declared[name].value
            self._draft.assign(block, name, "", Words(()) if value is None else value)
        elif name in TYPE_ATTRIBUTES:
            default = TYPE_ATTRIBUTES[name].default
            self._draft.assign(block, name, "", str(default) if isinstance(default, str | int) else ())
        else:
            raise _no("no-attribute", f"type {block.word} has no static attribute {name!r}", "see hatype -display")

    def _enable_resources(self, value: str) -> Step:
        def enable(words: Sequence[str]) -> None:
            for block in self._draft.block("group", words[0]).resources:
                self._draft.modify("resource", block.name, "Enabled", Change("set", (value,)))

        return enable

    def _declare(self, words: Sequence[str]) -> None:
        options = [word for word in words if word in ("-static", "-temp", *_KINDS, *_MARKS)]
        rest = [word for word in words if word not in options]
        if len(rest) < 2:
            text = "haattr -add needs a type and an attribute"
            raise _no("bad-change", text, "haattr -add TYPE ATTRIBUTE -string")
        kind = next((_KINDS[one] for one in options if one in _KINDS), "str")
        dimension = next((one for one in options if one in _MARKS), "-scalar")
        value = Words(tuple(map(plain, rest[2:]))) if len(rest) > 2 else None
        declaration = Declaration(
            rest[1], "keylist" if dimension == "-keylist" else kind, _MARKS[dimension], "-static" in options,
            "-temp" in options, value, self._draft.place,
        )  # fmt: skip
        self._draft.declare(rest[0], declaration)

    # --- links

    def _link(self, words: Sequence[str]) -> None:
        parent, child = words[:2]
        if len(words) == 4 and words[2] == "-min" and words[3].isdecimal():
            self._draft.link(parent, child.split(","), words[3])
        elif len(words) == 2 and not child.startswith("-"):
            self._draft.link(parent, [child])
            self._look_at_order(parent, child)
        else:
            meant = f"hares -link {words[-1]} {''.join(words[:-1])}" if len(words) == 3 else ""
            hint = f"; did you mean '{meant}', where {words[-1]} requires the other?" if meant else ""
            text = f"the link is not understood: 'hares -link {' '.join(words)}'{hint}"
            raise _no(
                "bad-link", text, "hares -link PARENT CHILD: the parent requires the child; atleast: P C,C -min N"
            )

    def _look_at_order(self, parent: str, child: str) -> None:
        above, below = self._draft.block("resource", parent).word, self._draft.block("resource", child).word
        if self._live and above in _UNDER and below not in _UNDER:
            self.notices.append("link-order")


def change_of(words: Sequence[str]) -> Change:
    """Return what the words after an attribute's name do to it."""
    if list(words) == ["-delete", "-keys"]:
        return Change("clear")
    how = _HOW.get(words[0], "set") if words else "set"
    values = words if how == "set" else words[1:]
    _only_plain(values, 'put the whole value in quotes, "/bin/x -y"; a % protects one that starts with -: %-y')
    return Change(how, tuple(map(plain, values)))


def plain(word: str) -> str:
    """Return a word without the ``%`` that protects it."""
    return word.removeprefix("%")


def _scoped(words: Sequence[str]) -> tuple[Sequence[str], str]:
    return (words[:-2], words[-1]) if len(words) > 2 and words[-2] in _SCOPES else (words, "")


def _only_plain(words: Sequence[str], remedy: str) -> None:
    for word in words:
        if word.startswith("-") and len(word) > 1 and not word[1:].isdigit():
            raise _no("bad-change", f"{word!r} looks like an option and is none here", remedy)


def _no(code: str, reason: str, remedy: str) -> Refused:
    return Refused(Refusal(code, reason, remedy))
