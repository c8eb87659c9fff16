"""Delivering objects one by one: content up, versions or archive objects behind it, commit, as an incremental does.

What names files (selective, archive, an incremental of a part) decides by itself what is delivered and hands it over
here. Everything is staged in batches and counts when the server has acknowledged the commit; whatever fails on the way
is one line in the figures and does not stop the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.backup.model.clientmessages import text
from holdfast.backup.model.objects import Entry, Extra, Kind, Piece, path_of, printable
from holdfast.backup.model.policy import reading
from holdfast.backup.service.client.content import Changed, Reader
from holdfast.backup.service.client.incremental import LABELS, Figures, Say, Source, digest_of
from holdfast.backup.service.client.scan import facts, read_extra
from holdfast.backup.service.client.staging import Staging
from holdfast.backup.service.client.uploader import Uploader
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import Refusal, Refused


@dataclass(frozen=True, slots=True)
class Terms:
    """How objects are kept: as backup versions, or (``archive``) as archive objects under a description."""

    archive: bool = False
    description: str = ""
    mgmtclass: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    pool: str
    naming: bytes
    serialization: str = "SHRSTATIC"


class Delivery:
    """One filespace's share of a command. ``open_at`` tells from which directory and name an entry is read."""

    def __init__(
        self,
        session: Session,
        source: Source,
        terms: Terms,
        open_at: Callable[[], tuple[int, bytes]],
        say: Say | None,
        tries: int,
    ) -> None:
        self._session, self._source, self._terms, self._open_at = session, source, terms, open_at
        self._say, self._tries = say, tries
        self.figures = Figures()
        self._places = places(session.welcome.classes, terms.archive)
        self.default = default_class(session.welcome.classes, terms)
        self._readers: dict[str, Reader] = {}
        self._linked: dict[tuple[int, int, int], tuple[Piece, ...]] = {}
        self._uploader: Uploader | None = None
        self._staging: Staging | None = None

    def open(self) -> None:
        """Open the filespace on the server."""
        opened = self._session.call(
            lambda seq: m.OpenFilespace(seq, self._source.filespace, self._source.type, whole=False)
        )
        assert isinstance(opened, m.FilespaceOpened)
        self._uploader = Uploader(self._session, not opened.pool_empty)
        self._staging = Staging(self._session, self._uploader, self._wrap)

    def _wrap(self, rows: bytes) -> m.Message:
        return m.Archive(rows, self._terms.description) if self._terms.archive else m.Versions(rows)

    @property
    def staging(self) -> Staging:
        """What is on its way; there is some once the filespace is open."""
        assert self._staging is not None
        return self._staging

    def store(self, entry: Entry, extra: Extra | None, *, content: bool = True) -> bool:
        """Read and stage one object; without ``content`` only its attributes. Return whether it was staged."""
        directory, name = self._open_at()
        mgmtclass = entry.mgmtclass if entry.mgmtclass in self._places else self.default
        try:
            if extra is None:
                extra = read_extra(directory, name, entry.kind)
            pieces: tuple[Piece, ...] | None = () if content else None
            stat = entry.stat
            if content and entry.kind is Kind.FILE:
                pieces, found = self._content(entry, mgmtclass, directory, name)
                stat = facts(found) if found is not None else stat
        except Changed:
            return self.fail(text("ANS4037E", path=self.path(entry.key)))
        except FileNotFoundError:
            return self.fail(text("ANS4005E", path=self.path(entry.key)))
        except OSError as error:
            return self.fail(text("ANS4047E", path=self.path(entry.key), reason=error.strerror))
        self._stage(m.NewVersion(entry.key, entry.kind, stat, extra, digest_of(extra), mgmtclass, pieces))
        return True

    def _content(
        self, entry: Entry, mgmtclass: str, directory: int, name: bytes
    ) -> tuple[tuple[Piece, ...], os.stat_result | None]:
        link = (entry.stat.ino, entry.stat.ctime_ns, entry.stat.size)
        if entry.stat.nlink > 1 and link in self._linked:
            return self._linked[link], None
        place, uploader = self._places[mgmtclass], self._uploader
        assert uploader is not None
        if mgmtclass not in self._readers:

            def keep(chunk: bytes, data: bytes | memoryview) -> None:
                uploader.keep(place.pool, chunk, data)

            self._readers[mgmtclass] = Reader(place.naming, keep, *reading(place.serialization, self._tries))
        pieces, found, _ = self._readers[mgmtclass].read(directory, name, entry.stat)
        if found.st_nlink > 1:
            self._linked[found.st_ino, found.st_ctime_ns, found.st_size] = pieces
        return pieces, found

    def expire(self, key: bytes) -> None:
        """Stage that an object's active version becomes inactive."""
        self._tell(f"Expiring-->  {self.path(key)}")
        self.staging.expire(key)
        self.figures.objects_expired += 1

    def rebind(self, entry: Entry) -> None:
        """Stage that an object's versions follow another class."""
        self._tell(f"Rebinding-->  {self.path(entry.key)}")
        self.staging.rebind(entry.key, entry.mgmtclass)
        self.figures.objects_rebound += 1

    def finish(self) -> Figures:
        """Commit what is staged and return the figures, all of them acknowledged."""
        self.staging.commit(end=True)
        assert self._uploader is not None
        self.figures.stored_bytes = self.staging.stored_bytes
        self.figures.transferred_bytes = self._uploader.sent_bytes
        self.figures.retries = sum(reader.retries for reader in self._readers.values())
        return self.figures

    def close(self) -> None:
        """Let the workers go."""
        if self._uploader is not None:
            self._uploader.close()

    def fail(self, line: str) -> bool:
        """Note one object that could not be delivered; always False."""
        self.figures.objects_failed += 1
        self.figures.failures.append(line)
        return False

    def warn(self, line: str) -> None:
        """Note what went wrong beside a single object."""
        self.figures.failures.append(line)

    def path(self, key: bytes) -> str:
        """Return an object's full path for people."""
        return printable(os.fsencode(self._source.filespace.rstrip("/")) + b"/" + path_of(key))

    def _stage(self, version: m.NewVersion) -> None:
        label = "Updating-->" if version.pieces is None else f"{LABELS[version.kind]}-->"
        self._tell(f"{label:<20}{version.stat.size:>14,} {self.path(version.key)} [Sent]")
        self.staging.store(version, version.stat.size if version.pieces else 0)
        if version.pieces is None:
            self.figures.objects_updated += 1
        else:
            self.figures.objects += 1
            self.figures.bytes += version.stat.size

    def _tell(self, line: str) -> None:
        if self._say is not None:
            self._say(line)


def places(classes: Sequence[m.BoundClass], archive: bool) -> Mapping[str, _Place]:
    """Return where objects of each class go; a class without the copy group that is needed is left out."""
    if archive:
        return {bound.name: _Place(bound.archive_pool, bound.archive_naming) for bound in classes if bound.archive_pool}
    return {bound.name: _Place(bound.pool, bound.naming, bound.serialization) for bound in classes if bound.pool}


def default_class(classes: Sequence[m.BoundClass], terms: Terms) -> str:
    """Return the class of objects that nothing binds. Raises ``Refused`` when there is none that can take them."""
    usable = places(classes, terms.archive)
    if terms.mgmtclass:
        if terms.mgmtclass.upper() in usable:
            return terms.mgmtclass.upper()
        reason = (
            f"management class {terms.mgmtclass.upper()} takes no {'archives' if terms.archive else 'backups'} here"
        )
        raise Refused(Refusal("policy", reason, f"one of {', '.join(sorted(usable))}"))
    default = next((bound.name for bound in classes if bound.default), "")
    if default in usable:
        return default
    kind = "archive" if terms.archive else "backup"
    reason = f"the default management class {default} of this node's domain has no {kind} copy group"
    raise Refused(Refusal("policy", reason, f"DEFINE COPYGROUP TYPE={kind.upper()}, then ACTIVATE POLICYSET"))
