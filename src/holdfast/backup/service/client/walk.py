"""The walk of a command that names files: only the directories on the way are entered, to any depth.

Like the scanner it goes by directory descriptors and follows no link, so no path is too long and nothing can be swapped
in under it. Only the last few levels hold a descriptor: a directory above is opened again as ``..`` of the one below it
and must be the one it was. Directories are looked at when they are passed and told only when something below them is
meant, so that what is stored can be put back where it belongs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from holdfast.backup.model.clientmessages import text
from holdfast.backup.model.objects import Entry, Extra, Kind, Stat
from holdfast.backup.plan.filespec import FileSpec, select
from holdfast.backup.plan.inclexcl import Decision
from holdfast.backup.service.client.scan import facts, kind_of, read_extra

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_LEVELS = 32
_NOTHING = Stat(0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Found:
    """An object that is meant; ``extra`` was read already if it is a directory."""

    entry: Entry
    extra: Extra | None = None

    @property
    def key(self) -> bytes:
        """Where it stands."""
        return self.entry.key

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self.entry.kind


@dataclass(frozen=True, slots=True)
class Judge:
    """The include-exclude list as one command uses it: ``enter`` for directories, ``decide`` for everything else."""

    enter: Callable[[str], bool]
    decide: Callable[[str], Decision]


@dataclass(slots=True)
class _Level:
    descriptor: int
    identity: tuple[int, int]
    key: bytes
    path: str
    names: Iterator[bytes] = field(default_factory=lambda: iter(()))


class Walk:
    """Walks one filespace for some specifications. While an object is handled, ``directory`` and ``name`` open it."""

    def __init__(
        self,
        root: bytes,
        specs: Sequence[FileSpec],
        judge: Judge,
        default_class: str,
        warn: Callable[[str], None],
    ) -> None:
        self._root, self._specs, self._judge, self._default, self._warn = root, specs, judge, default_class, warn
        self._prefix = specs[0].filespace.rstrip("/")
        self.directory = -1
        self.name = b"."
        self._levels: list[_Level] = []
        self._device = 0
        self.excluded: list[str] = []
        """Objects named one by one that the include-exclude list leaves out."""

    def found(self) -> Iterator[Found]:
        """Yield what is meant, in key order, each with the directories on the way before it."""
        return select(self._objects(), self._specs)

    def _objects(self) -> Iterator[Found]:
        descriptor = os.open(self._root, _DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
        top = os.fstat(descriptor)
        self._device = top.st_dev
        self.directory, self.name = descriptor, b"."
        try:
            entry = Entry(b"", Kind.DIRECTORY, facts(top), self._default)
            yield Found(entry, read_extra(descriptor, b".", Kind.DIRECTORY))
            if (listing := self._enter(descriptor, top, b"", self._prefix)) is not None:
                yield listing
            while self._levels:
                level = self._levels[-1]
                name = next(level.names, None)
                if name is None:
                    self._leave()
                else:
                    yield from self._object(level, name)
        finally:
            for level in self._levels:
                if level.descriptor >= 0:
                    os.close(level.descriptor)
            self._levels.clear()

    def _object(self, level: _Level, name: bytes) -> Iterator[Found]:
        key = level.key + b"\0" + name if level.key else name
        if not (any(spec.fits(key) for spec in self._specs) or self._enters(key)):
            return
        path = f"{level.path}/{os.fsdecode(name)}"
        try:
            found = os.stat(name, dir_fd=level.descriptor, follow_symlinks=False)
            kind = kind_of(found.st_mode)
            extra = read_extra(level.descriptor, name, kind) if kind is Kind.DIRECTORY else None
        except FileNotFoundError:
            return
        except OSError as error:
            yield self._unreadable(key, path, error)
            return
        if kind is None:
            return
        if kind is Kind.DIRECTORY:
            yield from self._below(level, key, name, path, found, extra)
            return
        decision = self._judge.decide(path)
        if not decision.included:
            self._left_out(key, path)
            return
        self.directory, self.name = level.descriptor, name
        yield Found(Entry(key, kind, facts(found), decision.mgmtclass or self._default))

    def _below(
        self, level: _Level, key: bytes, name: bytes, path: str, found: os.stat_result, extra: Extra | None
    ) -> Iterator[Found]:
        if not self._judge.enter(path) and not self._leads_to_a_named_file(key):
            self._left_out(key, path)
            return
        self.directory, self.name = level.descriptor, name
        yield Found(Entry(key, Kind.DIRECTORY, facts(found), self._default), extra)
        if found.st_dev != self._device or not self._enters(key):
            return
        try:
            descriptor = os.open(name, _DIRECTORY_FLAGS, dir_fd=level.descriptor)
        except OSError as error:
            yield self._unreadable(key, path, error)
            return
        if (listing := self._enter(descriptor, found, key, path)) is not None:
            yield listing

    def _enters(self, key: bytes) -> bool:
        return any(spec.enters(key) for spec in self._specs)

    def _leads_to_a_named_file(self, key: bytes) -> bool:
        named = [spec.named for spec in self._specs if spec.named is not None and not spec.subdir]
        return any(name.startswith(key + b"\0") for name in named)

    def _left_out(self, key: bytes, path: str) -> None:
        if any(spec.named == key for spec in self._specs):
            self.excluded.append(path)

    def _enter(self, descriptor: int, found: os.stat_result, key: bytes, path: str) -> Found | None:
        """List a directory and go into it; None unless it cannot be read."""
        try:
            names = iter(sorted(os.fsencode(name) for name in os.listdir(descriptor)))
        except OSError as error:
            os.close(descriptor)
            return self._unreadable(key, path, error)
        self._levels.append(_Level(descriptor, (found.st_dev, found.st_ino), key, path, names))
        if len(self._levels) > _OPEN_LEVELS:
            above = self._levels[-_OPEN_LEVELS - 1]
            if above.descriptor >= 0:
                os.close(above.descriptor)
                above.descriptor = -1
        return None

    def _leave(self) -> None:
        left = self._levels.pop()
        try:
            if self._levels and self._levels[-1].descriptor < 0:
                self._open_again(left.descriptor, self._levels[-1])
        finally:
            os.close(left.descriptor)

    def _open_again(self, below: int, level: _Level) -> None:
        descriptor = os.open(b"..", _DIRECTORY_FLAGS, dir_fd=below)
        found = os.fstat(descriptor)
        level.descriptor = descriptor
        if (found.st_dev, found.st_ino) != level.identity:
            self._warn(text("ANS4047E", path=level.path, reason="the directory was moved while it was read"))
            level.names = iter(())

    def _unreadable(self, key: bytes, path: str, error: OSError) -> Found:
        self._warn(f"{text('ANS4007E', path=path)} ({error.strerror})")
        return Found(Entry(key, Kind.UNREADABLE, _NOTHING))
