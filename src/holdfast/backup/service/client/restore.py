"""Restore: versions listed, directories made, contents written a window at a time, links, and attributes last.

``Filling`` writes the files; what comes before and after is here. An object that cannot be restored is named in the
figures, and the rest is restored.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

import msgspec
import zstandard

from holdfast.backup.model.objects import Kind, path_of, printable
from holdfast.backup.service.client.filling import File, Filling, Outcome
from holdfast.backup.service.client.tree import Tree
from holdfast.backup.service.connection import Session, answer
from holdfast.backup.session import messages as m

_PAGE_ROWS = 5_000
_WINDOW = 32_768
"""Files whose contents are written together."""
Replace = Callable[[m.StoredVersion, os.stat_result], bool]
"""Asked about a version and what stands in its place: whether it is replaced."""
Place = Callable[[bytes], bytes]
"""Takes an object's key, returns the key below the destination."""
_rows = msgspec.msgpack.Decoder(list[m.StoredVersion])


@dataclass(frozen=True, slots=True)
class Selection:
    """Which versions: of one filespace, at or below ``under`` (a key), as of ``pit_ns``.

    ``latest`` takes the newest version of everything, deleted objects included; ``shallow`` only what lies directly in
    the directory ``under``, and that itself."""

    filespace: str
    under: bytes = b""
    pit_ns: int | None = None
    inactive: bool = False
    latest: bool = False
    shallow: bool = False


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

    def ask(after: bytes | None) -> Future[m.Message]:
        return session.ask(
            lambda seq: m.ListVersions(
                seq,
                chosen.filespace,
                chosen.pit_ns,
                chosen.inactive,
                chosen.latest,
                chosen.under,
                after,
                limit or _PAGE_ROWS,
                contents,
                chosen.shallow,
            )
        )

    asked = ask(None)
    while True:
        reply = answer(asked)
        assert isinstance(reply, m.Page)
        rows = _rows.decode(decompress(reply.rows))
        ended = reply.last or not rows
        if not ended:
            asked = ask(rows[-1].key)
        yield from rows
        if ended:
            return


def unfinished(version: m.StoredVersion, there: os.stat_result) -> bool:
    """Return whether what stands there is not yet this version: times are set last, a part of a file never has them."""
    kept = version.stat
    return (kept.mode, kept.size if version.kind is Kind.FILE else 0, kept.mtime_ns) != (
        there.st_mode,
        there.st_size if version.kind is Kind.FILE else 0,
        there.st_mtime_ns,
    )


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
        self._filling = Filling(session, destination, self._written)
        self.figures = RestoreFigures()
        self._filespace = ""
        self._files: list[File] = []

    def run(self, chosen: Selection, versions: Iterator[m.StoredVersion] | None = None) -> RestoreFigures:
        """Restore what was chosen, or ``versions`` of it (in key order, one of each place).

        Raises ``Refused`` or ``Unavailable``; single objects fail into the figures.
        """
        started = time.monotonic()
        self._filespace = chosen.filespace
        try:
            self._restore(list_versions(self._session, chosen) if versions is None else versions)
        finally:
            self._filling.close()
            self._tree.close()
        self.figures.transferred_bytes = self._filling.transferred_bytes
        self.figures.seconds = round(time.monotonic() - started, 3)
        return self.figures

    def _restore(self, versions: Iterator[m.StoredVersion]) -> None:
        directories: list[m.StoredVersion] = []
        links: dict[tuple[int, int, int], list[m.StoredVersion]] = {}
        for version in versions:
            if not self._wanted(version):
                if self._replace is unfinished and version.stat.nlink > 1:
                    identity = (version.stat.ino, version.stat.ctime_ns, version.stat.size)
                    links.setdefault(identity, []).append(version)  # others of its links may be missing yet
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
            if len(self._files) >= _WINDOW:
                self._write_contents()
        self._write_contents()
        for group in links.values():
            for other in group[1:]:
                self._attempt(other, partial(self._link, group[0]), count=True)
        for version in reversed(directories):
            self._attempt(version, self._finish, count=True)

    def _write_contents(self) -> None:
        files, self._files = self._files, []
        self._filling.write(files)

    def _written(self, outcome: Outcome) -> None:
        if outcome.reason:
            self._note(outcome.file.version, outcome.reason)
        else:
            self.figures.objects += 1
            self.figures.bytes += outcome.file.version.stat.size

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
            self._files.append(File(version, self._key(version), sum(1 for chunk, _ in version.pieces if chunk)))
            return
        self._attempt(version, self._make_special, count=True)

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
