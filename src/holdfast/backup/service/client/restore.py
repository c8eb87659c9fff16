"""Restore: versions listed, chunks located, groups read once each in the order they lie, written where they belong.

Each group is fetched exactly once: first all files' pieces are sorted by group, then every group's bytes are spread
over the files that need them. Two workers decompress ahead, at most four groups are in memory. A group that cannot be
read fails the objects that need it, by name and with the volume, and nothing else.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import msgspec
import zstandard

from holdfast.backup.model.objects import Kind, path_of, printable
from holdfast.backup.service.client.tree import Tree
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m

_PAGE_ROWS = 5_000
_LOCATE = 5_000
_AHEAD = 4
_OPEN_FILES = 256
_rows = msgspec.msgpack.Decoder(list[m.StoredVersion])
Replace = Callable[[m.StoredVersion, os.stat_result], bool]
"""Asked about a version and what stands in its place: whether it is replaced."""
Place = Callable[[bytes], bytes]
"""Takes an object's key, returns the key below the destination."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which versions: of one filespace, at or below ``under`` (a key), as of ``pit_ns``.

    ``latest`` takes the newest version of everything, deleted objects included."""

    filespace: str
    under: bytes = b""
    pit_ns: int | None = None
    inactive: bool = False
    latest: bool = False


@dataclass(slots=True)
class RestoreFigures:
    """What a restore did. ``failures`` holds one line per object that could not be restored."""

    objects: int = 0
    objects_left: int = 0
    """Objects that stand there already and were not to be replaced."""
    objects_failed: int = 0
    bytes: int = 0
    transferred_bytes: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all well, 12 when an object could not be restored."""
        return 12 if self.objects_failed else 0


def list_versions(
    session: Session, chosen: Selection, contents: bool = True, limit: int | None = None
) -> Iterator[m.StoredVersion]:
    """Yield the chosen versions in key order; ``limit`` is the rows of a page."""
    decompress = zstandard.ZstdDecompressor().decompress
    after: bytes | None = None
    while True:
        reply = session.call(
            lambda seq, a=after: m.ListVersions(  # type: ignore[misc]
                seq,
                chosen.filespace,
                chosen.pit_ns,
                chosen.inactive,
                chosen.latest,
                chosen.under,
                a,
                limit or _PAGE_ROWS,
                contents,
            )
        )
        assert isinstance(reply, m.Page)
        rows = _rows.decode(decompress(reply.rows))
        yield from rows
        if reply.last or not rows:
            return
        after = rows[-1].key


@dataclass(slots=True)
class _File:
    version: m.StoredVersion
    left: int
    created: bool = False
    failed: bool = False


class Restore:
    """One restore into one directory.

    ``strip`` is the key prefix that stands for the destination itself; ``place`` gives the key below the destination
    where that is not enough. ``replace`` says, or is asked, whether something that stands there is replaced.
    """

    def __init__(
        self,
        session: Session,
        destination: str,
        *,
        replace: bool | Replace = True,
        strip: bytes = b"",
        place: Place | None = None,
    ) -> None:
        self._session, self._replace, self._strip, self._move = session, replace, strip, place
        self._tree = Tree(destination)
        self.figures = RestoreFigures()
        self._filespace = ""
        self._open: OrderedDict[int, int] = OrderedDict()
        self._files: list[_File] = []

    def run(self, chosen: Selection, versions: Iterator[m.StoredVersion] | None = None) -> RestoreFigures:
        """Restore what was chosen, or ``versions`` of it (in key order, one of each place).

        Raises ``Refused`` or ``Unavailable``; single objects fail into the figures.
        """
        started = time.monotonic()
        self._filespace = chosen.filespace
        try:
            self._restore(list_versions(self._session, chosen) if versions is None else versions)
        finally:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()
            self._tree.close()
        self.figures.seconds = round(time.monotonic() - started, 3)
        return self.figures

    def _restore(self, versions: Iterator[m.StoredVersion]) -> None:
        directories: list[m.StoredVersion] = []
        links: dict[tuple[int, int, int], list[m.StoredVersion]] = {}
        for version in versions:
            if not self._wanted(version):
                continue
            if version.kind is Kind.DIRECTORY:
                directories.append(version)
                self._attempt(version, self._make_directory)
            elif version.stat.nlink > 1:
                identity = (version.stat.ino, version.stat.ctime_ns, version.stat.size)
                links.setdefault(identity, []).append(version)
                if len(links[identity]) == 1:
                    self._place(version)
            else:
                self._place(version)
        self._write_contents()
        for group in links.values():
            for other in group[1:]:
                self._attempt(other, partial(self._link, group[0]), count=True)
        for version in reversed(directories):
            self._attempt(version, self._finish, count=True)

    def _make_directory(self, version: m.StoredVersion) -> None:
        self._tree.make_directory(self._key(version))

    def _make_special(self, version: m.StoredVersion) -> None:
        self._tree.make_special(self._key(version), version.kind, version.stat, version.extra)

    def _link(self, first: m.StoredVersion, version: m.StoredVersion) -> None:
        self._tree.link(self._key(version), self._key(first))

    def _finish(self, version: m.StoredVersion) -> None:
        self._tree.set_attributes(self._key(version), version.kind, version.stat, version.extra)

    def _wanted(self, version: m.StoredVersion) -> bool:
        if self._replace is True or version.kind is Kind.DIRECTORY:
            return True
        found = self._tree.look(self._key(version))
        if found is None or (self._replace is not False and self._replace(version, found)):
            return True
        self.figures.objects_left += 1
        return False

    def _place(self, version: m.StoredVersion) -> None:
        if version.kind is Kind.FILE:
            self._files.append(_File(version, sum(1 for chunk, _ in version.pieces if chunk)))
            return
        self._attempt(version, self._make_special, count=True)

    def _write_contents(self) -> None:
        by_group = self._by_group()
        for number, file in enumerate(self._files):
            if file.left == 0:
                self._spread(number, b"", [])
        with ThreadPoolExecutor(2, thread_name_prefix="decompress") as pool:
            ahead: deque[tuple[int, Future[tuple[m.Fetched, bytes]]]] = deque()
            for group in sorted(by_group):
                ahead.append((group, self._fetch(group, pool)))
                if len(ahead) >= _AHEAD:
                    self._spread_group(*ahead.popleft(), by_group)
            while ahead:
                self._spread_group(*ahead.popleft(), by_group)

    def _by_group(self) -> dict[int, list[tuple[int, int, int, int]]]:
        """Return for each group which (file, file offset, group offset, length) its bytes go to."""
        wanted = sorted({chunk for file in self._files for chunk, _ in file.version.pieces if chunk})
        places: dict[int, tuple[int, int, int]] = {}
        for start in range(0, len(wanted), _LOCATE):
            part = tuple(wanted[start : start + _LOCATE])
            reply = self._session.call(lambda seq, p=part: m.Locate(seq, p))  # type: ignore[misc]
            assert isinstance(reply, m.Located)
            places.update(zip(part, reply.places, strict=True))
        by_group: dict[int, list[tuple[int, int, int, int]]] = {}
        for number, file in enumerate(self._files):
            at = 0
            for chunk, length in file.version.pieces:
                if chunk:
                    group, offset, _ = places[chunk]
                    by_group.setdefault(group, []).append((number, at, offset, length))
                at += length
        return by_group

    def _fetch(self, group: int, pool: ThreadPoolExecutor) -> Future[tuple[m.Fetched, bytes]]:
        asked = self._session.ask(lambda seq: m.Fetch(seq, group))
        return pool.submit(_decompress, asked)

    def _spread_group(
        self,
        group: int,
        future: Future[tuple[m.Fetched, bytes]],
        by_group: dict[int, list[tuple[int, int, int, int]]],
    ) -> None:
        fetched, data = future.result()
        self.figures.transferred_bytes += len(fetched.data)
        per_file: dict[int, list[tuple[int, int, int]]] = {}
        for number, at, offset, length in by_group.pop(group):
            per_file.setdefault(number, []).append((at, offset, length))
        for number, pieces in per_file.items():
            if fetched.damage:
                self._damaged(number, fetched)
            else:
                self._spread(number, data, pieces)

    def _spread(self, number: int, data: bytes, pieces: list[tuple[int, int, int]]) -> None:
        file = self._files[number]
        if file.failed:
            return
        try:
            descriptor = self._descriptor(number, file)
            view = memoryview(data)
            for at, offset, length in pieces:
                _write(descriptor, view[offset : offset + length], at)
            file.left -= len(pieces)
            if file.left == 0:
                self._tree.finish_file(descriptor, file.version.stat, file.version.extra)
                os.close(self._open.pop(number))
                self.figures.objects += 1
                self.figures.bytes += file.version.stat.size
        except OSError as error:
            self._fail(number, f"{error.strerror}")

    def _descriptor(self, number: int, file: _File) -> int:
        known = self._open.get(number)
        if known is not None:
            self._open.move_to_end(number)
            return known
        key = self._key(file.version)
        descriptor = self._tree.reopen(key) if file.created else self._tree.create(key)
        file.created = True
        self._open[number] = descriptor
        if len(self._open) > _OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _damaged(self, number: int, fetched: m.Fetched) -> None:
        if not self._files[number].failed:
            self._fail(number, f"its data on volume {fetched.volume} cannot be read: {fetched.damage}")

    def _fail(self, number: int, reason: str) -> None:
        file = self._files[number]
        file.failed = True
        if number in self._open:
            os.close(self._open.pop(number))
        if file.created:
            self._tree.remove(self._key(file.version))
        self._note(file.version, reason)

    def _attempt(self, version: m.StoredVersion, act: Callable[[m.StoredVersion], None], count: bool = False) -> None:
        try:
            act(version)
        except OSError as error:
            self._note(version, f"{error.strerror}")
        else:
            self.figures.objects += count

    def _note(self, version: m.StoredVersion, reason: str) -> None:
        path = printable(self._filespace.rstrip("/").encode() + b"/" + path_of(version.key))
        self.figures.objects_failed += 1
        self.figures.failures.append(f"ANS1228E Restoring of object '{path}' failed: {reason}")

    def _key(self, version: m.StoredVersion) -> bytes:
        if self._move is not None:
            return self._move(version.key)
        return version.key[len(self._strip) :].removeprefix(b"\0") if self._strip else version.key


def _decompress(asked: Future[m.Message]) -> tuple[m.Fetched, bytes]:
    fetched = asked.result()
    assert isinstance(fetched, m.Fetched)
    if fetched.damage:
        return fetched, b""
    return fetched, zstandard.ZstdDecompressor().decompress(fetched.data, max_output_size=sum(fetched.lengths))


def _write(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written
