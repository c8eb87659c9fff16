"""What would change between two configurations, item by item: the base of ``holdfast config diff`` and ``apply``.

Two configurations are compared as the items of their dumps, so whatever can be written can also be told apart. What
belongs to a block that comes or goes as a whole is not told line by line.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.cluster.config.comments import Key
from holdfast.cluster.config.writer import declaration, items
from holdfast.cluster.model.configuration import Configuration

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_BLOCKS = ("cluster", "system", "remotecluster", "heartbeat", "group", "resource", "type")


@dataclass(frozen=True, slots=True)
class Difference:
    """One item that is ``added``, ``removed`` or ``changed``; ``before`` and ``after`` as main.cf has it.

    ``what`` is group, resource, system, cluster, remotecluster, heartbeat, type, include, a link (``requires``,
    ``requires group``, ``atleast``) or ``attribute``, which belongs to the block ``of`` (``"group g"``).
    """

    kind: str
    what: str
    name: str
    of: str = ""
    before: str = ""
    after: str = ""

    def line(self) -> str:
        """Return it as a line for people."""
        told = f"{self.before} -> {self.after}" if self.kind == "changed" else self.after or self.before
        return f"{_SIGNS[self.kind]} {f'{self.of}: ' if self.of else ''}{told}"


def differences(before: Configuration, after: Configuration) -> tuple[Difference, ...]:
    """Return what makes ``after`` of ``before``: removals first, each in the order of its configuration."""
    old, new = _told(before), _told(after)
    removed = [key for key in old if key not in new]
    added = [key for key in new if key not in old]
    whole = {key for key in (*removed, *added) if len(key) <= 2}
    found = [_difference("removed", key, old[key], "") for key in removed if not _within(key, whole)]
    for key, text in new.items():
        if key in added and not _within(key, whole):
            found.append(_difference("added", key, "", text))
        elif key in old and old[key] != text:
            found.append(_difference("changed", key, old[key], text))
    return tuple(found)


def _within(key: Key, whole: set[Key]) -> bool:
    return key[0] in _BLOCKS and len(key) > 2 and key[:2] in whole


def _told(configuration: Configuration) -> dict[Key, str]:
    """Every item that says something, by its key; a resource also says in which group it is."""
    found: dict[Key, str] = {}
    group = ""
    for key, _, text in items(configuration):
        if not key or key[-1] == ")" or key[0] == "type":
            continue
        if key[0] == "cluster":
            key = ("cluster", "", *key[1:])
        group = key[1] if key[0] == "group" and len(key) == 2 else group
        text = text.removesuffix(" (")
        found[key] = f"{text} in group {group}" if key[0] == "resource" and len(key) == 2 else text
    for kind in configuration.types.values():
        found["type", kind.name] = f"type {kind.name}"
        for attribute in kind.attributes.values():
            found["type", kind.name, attribute.name] = declaration(attribute)
    return found


def _difference(kind: str, key: Key, before: str, after: str) -> Difference:
    if key[0] in _BLOCKS and len(key) > 2:
        place = f"@{key[3]}" if len(key) > 3 and key[3] else ""
        return Difference(kind, "attribute", key[2] + place, " ".join(filter(None, key[:2])), before, after)
    of = f"group {key[1]}" if key[0] == "requires group" else ""
    return Difference(kind, key[0], " ".join(key[1:]), of, before, after)
