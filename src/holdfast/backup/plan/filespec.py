"""File specifications as people type them: ``/VCS/db/*.log``, ``{/usr}/local/etc/*``, ``/VCS/db/ledger``.

A specification names a filespace, a directory in it, and a last component in which ``*``, ``?`` and ``[a-m]`` are
wildcards; nowhere else. Braces name the filespace; without them the longest known filespace that begins the path is
taken, which is a trap when a file system is mounted in the middle of an old one. With ``subdir`` the last component is
looked for in every directory below, and a directory of that very name comes with all it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from holdfast.backup.model.objects import Kind, decoded, encoded, key_of, under
from holdfast.backup.plan.inclexcl import compile_pattern
from holdfast.kernel.errors import InputError

_WILD = re.compile(r"[*?]|\[[^\]]+\]")
EVERYTHING = "*"


class Keyed(Protocol):
    """Anything that stands at a place in a filespace."""

    @property
    def key(self) -> bytes:
        """Where it stands."""

    @property
    def kind(self) -> Kind:
        """What it is."""


_T = TypeVar("_T", bound=Keyed)


@dataclass(frozen=True)
class FileSpec:
    """One specification, read. ``directory`` is a key; ``last`` the last component, ``""`` for the directory itself."""

    filespace: str
    directory: bytes
    last: str
    subdir: bool = False

    @cached_property
    def wild(self) -> bool:
        """Whether the last component has wildcards."""
        return bool(_WILD.search(self.last))

    @cached_property
    def start(self) -> bytes:
        """The key at or below which everything that fits lies."""
        if not self.last or self.wild or self.subdir:
            return self.directory
        name = encoded(self.last)
        return self.directory + b"\0" + name if self.directory else name

    @cached_property
    def named(self) -> bytes | None:
        """The key of the one object that is named without wildcards, or None."""
        if self.wild or not self.last:
            return None
        name = encoded(self.last)
        return self.directory + b"\0" + name if self.directory else name

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return compile_pattern(self.last)

    def fits(self, key: bytes) -> bool:
        """Return whether the object at ``key`` is meant."""
        if not self.last:
            return under(key, self.directory) if self.subdir else key == self.directory
        if not key or not under(key, self.directory) or key == self.directory:
            return False
        above, _, name = key.rpartition(b"\0")
        if self.named is not None and self.subdir and under(key, self.named):
            return True
        return (self.subdir or above == self.directory) and self._fits_name(decoded(name))

    def _fits_name(self, name: str) -> bool:
        return name == self.last or self._pattern.fullmatch(name) is not None

    def enters(self, key: bytes) -> bool:
        """Return whether a walk has to go into the directory at ``key`` to find what fits."""
        if under(self.directory, key):
            return True
        return self.subdir and under(key, self.directory)


def parse_spec(text: str, filespaces: Iterable[str], subdir: bool = False) -> FileSpec:
    """Read a specification against the known filespaces. Raises ``InputError`` (ANS1081E, ANS1084E)."""
    name, rest = _split(text, list(filespaces))
    head, _, last = rest.rpartition("/")
    if "*" in head or "?" in head:
        raise InputError(
            f"ANS1081E Invalid search file specification '{text}': wildcards stand in the last component only",
            remedy="name the directory, and add -subdir=yes for what lies below it",
        )
    if rest.endswith("/"):
        last = EVERYTHING
    try:
        compile_pattern(last)
    except ValueError as error:
        raise InputError(f"ANS1081E Invalid search file specification '{text}': {error}", remedy="close it") from error
    return FileSpec(name, key_of(encoded(head)), last, subdir)


def _split(text: str, filespaces: list[str]) -> tuple[str, str]:
    if text.startswith("{"):
        name, closed, rest = text[1:].partition("}")
        if not closed or not name.startswith("/"):
            raise InputError(f"ANS1081E Invalid search file specification '{text}'", remedy="write {/usr}/local/etc/*")
        return name.rstrip("/") or "/", rest
    if not text.startswith("/"):
        raise InputError(f"ANS1081E Invalid search file specification '{text}'", remedy="write the full path")
    fitting = [name for name in filespaces if text == name or text.startswith(name.rstrip("/") + "/")]
    if not fitting:
        raise InputError(f"ANS1302E No objects on server match query: {text}", remedy="dsmc query filespace")
    name = max(fitting, key=len)
    return name, text[len(name.rstrip("/")) :]


def select(items: Iterable[_T], specs: Iterable[FileSpec], *, parents: bool = True) -> Iterator[_T]:
    """Yield what any of ``specs`` (of one filespace) means, in the order of ``items``, which must rise by key.

    With ``parents`` every directory on the way to something that fits comes too, before it. A place that could not be
    read always comes: nothing is known of what is below it.
    """
    wanted = tuple(specs)
    waiting: list[_T] = []
    for item in items:
        while waiting and not under(item.key, waiting[-1].key):
            waiting.pop()
        if item.kind is Kind.UNREADABLE or any(spec.fits(item.key) for spec in wanted):
            yield from (above for above in waiting if above.key != item.key)
            waiting.clear()
            yield item
        elif parents and item.kind is Kind.DIRECTORY:
            waiting.append(item)
