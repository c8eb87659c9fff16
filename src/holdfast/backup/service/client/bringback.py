"""Restore and retrieve as commands ask for them: which versions, where they land, what they may replace.

``Placement`` is PRESERVEPATH: below a destination the last directory of the specification is kept (``subtree``, when
subdirectories come too), the whole path (``complete``), nothing above the files that were meant (``nobase``), or no
directory at all (``none``). A destination that is there already never gets the attributes of the directory that was
asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from holdfast.backup.model.objects import Kind, key_of, path_of, printable, under
from holdfast.backup.plan.filespec import FileSpec
from holdfast.backup.service.client.choose import Choice, chosen_archives, chosen_versions, newest_of_each
from holdfast.backup.service.client.restore import Replace, Restore, RestoreFigures, Selection, unfinished
from holdfast.backup.service.client.telling import tell_fetched
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import InputError

PRESERVE = ("subtree", "complete", "nobase", "none")
REPLACE = ("all", "no", "prompt", "ifnewer", "unfinished")
"""``unfinished`` is Holdfast's: what is there whole from a restore that was cut short is left, the rest is replaced."""
Ask = Callable[[str], str]
"""Asks a person and returns the answer."""


@dataclass(frozen=True, slots=True)
class Landing:
    """Where things go and what they may replace. An empty destination is where they came from."""

    destination: str = ""
    preserve: str = "subtree"
    replace: str = "all"
    ask: Ask | None = None


def bring_back(
    session: Session,
    choice: Choice,
    landing: Landing,
    *,
    archives: bool = False,
    only: frozenset[int] | None = None,
) -> RestoreFigures:
    """Restore what ``choice`` means (``only``: those versions of it). Raises ``InputError`` before anything is done."""
    placement = Placement(choice.specs, landing.destination, landing.preserve)
    versions: Iterator[m.StoredVersion]
    if archives:
        versions = newest_of_each(one for one in chosen_archives(session, choice) if _meant(one, only))
    else:
        versions = (one for one in chosen_versions(session, choice) if _meant(one, only))
    replace = replacing(landing.replace, choice.filespace, landing.ask)
    restore = Restore(session, placement.root, replace=replace, place=placement.place)
    done = restore.run(Selection(choice.filespace), (one for one in versions if placement.keeps(one)))
    tell_fetched(session, done, retrieved=archives)
    return done


def _meant(version: m.StoredVersion, only: frozenset[int] | None) -> bool:
    return only is None or version.id in only or version.kind is Kind.DIRECTORY


class Placement:
    """Maps keys of a filespace to keys below ``root``."""

    def __init__(self, specs: tuple[FileSpec, ...], destination: str, preserve: str) -> None:
        if preserve not in PRESERVE:
            raise InputError(f"ANS1107E Invalid option/value: PRESERVEPATH={preserve}", remedy=", ".join(PRESERVE))
        self._specs, self._preserve = specs, preserve
        self.root = destination or specs[0].filespace
        self._rename = b""
        self._in_place = not destination
        self._created = not os.path.isdir(self.root)
        first = specs[0]
        one_file = len(specs) == 1 and first.named is not None and not first.subdir
        if destination and one_file and self._created and not destination.endswith("/"):
            self.root, name = os.path.split(os.path.abspath(destination))
            self._rename = os.fsencode(name)

    def keeps(self, version: m.StoredVersion) -> bool:
        """Return whether this version has a place at all, and is wanted there.

        A directory that is only on the way is brought back where it is missing, and left alone where it is not.
        """
        if self._in_place:
            return self._asked_for(version) or not self._stands(version.key)
        if version.kind is Kind.DIRECTORY and (self._preserve == "none" or self._rename):
            return False
        base = self._base(version.key)
        if base is None:
            return self._preserve == "complete"
        if version.key != base.directory or self._preserve == "complete":
            return True
        return self._prefix(base) != b"" or (self._created and version.kind is Kind.DIRECTORY)

    def _asked_for(self, version: m.StoredVersion) -> bool:
        return version.kind is not Kind.DIRECTORY or any(spec.fits(version.key) for spec in self._specs)

    def _stands(self, key: bytes) -> bool:
        return os.path.isdir(os.path.join(os.fsencode(self.root), path_of(key)))

    def place(self, key: bytes) -> bytes:
        """Return where an object goes."""
        if self._in_place:
            return key
        if self._rename:
            return self._rename
        if self._preserve == "none":
            return key.rpartition(b"\0")[2]
        if self._preserve == "complete":
            return _joined(key_of(os.fsencode(self._specs[0].filespace)), key)
        base = self._base(key)
        assert base is not None, "only what keeps() allows is placed"
        rest = key[len(base.directory) :].removeprefix(b"\0")
        return _joined(self._prefix(base), rest)

    def _base(self, key: bytes) -> FileSpec | None:
        holding = [spec for spec in self._specs if under(key, spec.directory)]
        return next((spec for spec in holding if spec.fits(key)), holding[0] if holding else None)

    def _prefix(self, spec: FileSpec) -> bytes:
        if self._preserve == "subtree" and spec.subdir and not spec.named:
            return spec.directory.rpartition(b"\0")[2]
        return b""


def _joined(above: bytes, below: bytes) -> bytes:
    return above + b"\0" + below if above and below else above or below


def replacing(how: str, filespace: str, ask: Ask | None) -> bool | Replace:
    """Return what decides whether an existing file is replaced. Raises ``InputError`` for an unknown word."""
    found = [word for word in REPLACE if word.startswith(how.lower())] if how else []
    if how.lower() in ("yes", "y"):
        found = ["all"]
    if len(found) != 1:
        raise InputError(f"ANS1107E Invalid option/value: REPLACE={how}", remedy=", ".join(REPLACE))
    if found[0] == "ifnewer":
        return lambda version, there: version.stat.mtime_ns > there.st_mtime_ns
    if found[0] == "unfinished":
        return unfinished
    if found[0] == "prompt":
        return Prompt(filespace, ask).replaces if ask is not None else True
    return found[0] == "all"


class Prompt:
    """Asks a person about each file that exists, until the answer is for all."""

    def __init__(self, filespace: str, ask: Ask) -> None:
        self._filespace, self._ask = filespace, ask
        self._settled: bool | None = None

    def replaces(self, version: m.StoredVersion, _there: os.stat_result) -> bool:
        """Return whether this file is replaced."""
        if self._settled is not None:
            return self._settled
        path = printable(os.fsencode(self._filespace.rstrip("/")) + b"/" + path_of(version.key))
        while True:
            answer = self._ask(
                f"File '{path}' exists. Replace it? 1. yes  2. all from here on  3. no  4. none from here on: "
            ).strip()
            if answer in ("1", "3"):
                return answer == "1"
            if answer in ("2", "4"):
                self._settled = answer == "2"
                return self._settled
