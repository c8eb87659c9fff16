"""Commands that name files: selective backup, archive, and the incremental of a part of a filespace.

A selective backup stores what is named whether it changed or not; an archive keeps it apart from all versions; an
incremental of a part compares only that part, and expires nothing outside of it. The include-exclude list is honoured
as section 13 says: archives listen to the archive statements alone, and exclude.dir does not stop a single file that is
named.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from holdfast.backup.model.clientmessages import text
from holdfast.backup.model.objects import Entry, Kind, Known
from holdfast.backup.plan.copymode import honoured
from holdfast.backup.plan.difference import Difference, Verdict, difference, settle
from holdfast.backup.plan.filespec import FileSpec
from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.client.choose import Choice, known_part
from holdfast.backup.service.client.delivery import Delivery, Terms
from holdfast.backup.service.client.incremental import Figures, Say, Source, digest_of
from holdfast.backup.service.client.scan import read_extra
from holdfast.backup.service.client.walk import Found, Judge, Walk
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m


@dataclass(frozen=True, slots=True)
class Order:
    """What a command asks for in one filespace: where it is read, what is meant, and the rules that hold."""

    source: Source
    specs: tuple[FileSpec, ...]
    rules: Rules
    tries: int = 4


class _Command:
    """What the three have in common: a walk, a delivery, and figures that are true when it returns."""

    def __init__(self, session: Session, order: Order, terms: Terms, say: Say | None) -> None:
        self.session, self.order = session, order
        self._seen: set[bytes] = set()
        self.delivery = Delivery(session, order.source, terms, self._open_at, say, order.tries)
        rules = order.rules
        judge = (
            Judge(lambda path: True, rules.archive)
            if terms.archive
            else Judge(lambda path: rules.directory(path).included, rules.file)
        )
        root = os.fsencode(order.source.root)
        self.walk = Walk(root, order.specs, judge, self.delivery.default, self.delivery.warn)

    def _open_at(self) -> tuple[int, bytes]:
        return self.walk.directory, self.walk.name

    def run(self) -> Figures:
        """Do it. Raises ``Refused`` or ``Unavailable``; what was committed before stays."""
        started = time.monotonic()
        try:
            self.delivery.open()
            self._deliver()
            figures = self.delivery.finish()
        finally:
            self.delivery.close()
        self._report_missing()
        figures.seconds = round(time.monotonic() - started, 3)
        return figures

    def _deliver(self) -> None:
        for found in self.walk.found():
            self._note(found.entry)
            if found.kind is Kind.UNREADABLE:
                self.delivery.figures.objects_failed += 1
            else:
                self.deliver(found)

    def deliver(self, found: Found) -> None:
        """Deliver one object that is meant."""
        self.delivery.store(found.entry, found.extra)

    def _note(self, entry: Entry) -> None:
        figures = self.delivery.figures
        figures.objects_inspected += 1
        figures.bytes_inspected += entry.stat.size
        self._seen.update(spec.named for spec in self.order.specs if spec.named == entry.key)

    def _report_missing(self) -> None:
        """Say which objects were named and not there, or left out by the include-exclude list."""
        figures = self.delivery.figures
        excluded = set(self.walk.excluded)
        figures.warnings.extend(text("ANS1115W", path=path) for path in sorted(excluded))
        for spec in self.order.specs:
            if spec.named is None or spec.named in self._seen or spec.subdir:
                continue
            path = self.delivery.path(spec.named)
            if path not in excluded:
                figures.errors.append(text("ANS4005E", path=path))


class Selective(_Command):
    """Stores what is named, changed or not."""

    def __init__(self, session: Session, order: Order, say: Say | None) -> None:
        super().__init__(session, order, Terms(), say)


class Archive(_Command):
    """Keeps what is named as archive objects; with ``delete`` the files go once the server has acknowledged them."""

    def __init__(self, session: Session, order: Order, terms: Terms, say: Say | None, delete: bool = False) -> None:
        super().__init__(session, order, terms, say)
        self._delete = delete
        self._kept: list[Entry] = []

    def deliver(self, found: Found) -> None:
        """Archive one object and remember it for deletion."""
        if self.delivery.store(found.entry, found.extra) and self._delete and found.kind is not Kind.DIRECTORY:
            self._kept.append(found.entry)

    def run(self) -> Figures:
        """Archive, then delete what was archived and is still the same."""
        figures = super().run()
        root = os.open(self.order.source.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for entry in self._kept:
                self._unlink(root, entry)
        finally:
            os.close(root)
        return figures

    def _unlink(self, root: int, entry: Entry) -> None:
        *above, name = entry.key.split(b"\0")
        opened = [root]
        try:
            for step in above:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                opened.append(os.open(step, flags, dir_fd=opened[-1]))
                if len(opened) > 2:
                    os.close(opened.pop(-2))
            found = os.stat(name, dir_fd=opened[-1], follow_symlinks=False)
            if (found.st_ino, found.st_mtime_ns) == (entry.stat.ino, entry.stat.mtime_ns):
                os.unlink(name, dir_fd=opened[-1])
            else:
                self.delivery.warn(text("ANS4037E", path=self.delivery.path(entry.key)))
        except OSError as error:
            self.delivery.warn(f"{text('ANS4007E', path=self.delivery.path(entry.key))} ({error.strerror})")
        finally:
            for descriptor in opened[1:]:
                os.close(descriptor)


class Partial(_Command):
    """The incremental of a part: what is named is compared with its active versions, nothing else is touched."""

    def __init__(self, session: Session, order: Order, say: Say | None) -> None:
        super().__init__(session, order, Terms(), say)
        self._usable = {bound.name for bound in session.welcome.classes if bound.pool}

    def _deliver(self) -> None:
        known = (_known(version) for version in known_part(self.session, Choice(self.order.specs)))
        welcome = self.session.welcome
        for item in honoured(difference(self._entries(), known), welcome.classes, welcome.server_time_ns):
            self._handle(item)

    def _entries(self) -> Iterator[Entry]:
        for found in self.walk.found():
            self._note(found.entry)
            self._current = found
            entry = found.entry
            if entry.mgmtclass not in self._usable and entry.kind is not Kind.UNREADABLE:
                entry = msgspec.structs.replace(entry, mgmtclass=self.delivery.default)
            yield entry

    def _handle(self, item: Difference) -> None:
        verdict, delivery = item.verdict, self.delivery
        if verdict is Verdict.EXPIRE:
            assert item.known is not None
            if any(spec.fits(item.known.key) for spec in self.order.specs):
                delivery.expire(item.known.key)
            return
        entry = item.entry
        assert entry is not None
        extra = self._current.extra
        if verdict is Verdict.RECHECK:
            assert item.known is not None
            try:
                extra = read_extra(self.walk.directory, self.walk.name, entry.kind) if extra is None else extra
            except OSError:
                return
            verdict = settle(entry, item.known, digest_of(extra))
        if verdict is Verdict.FAILED:
            delivery.figures.objects_failed += 1
            return
        if item.known is not None and item.known.mgmtclass != entry.mgmtclass:
            delivery.rebind(entry)
        if verdict in (Verdict.STORE, Verdict.UPDATE):
            delivery.store(entry, extra, content=verdict is Verdict.STORE)


def _known(version: m.StoredVersion) -> Known:
    digest = digest_of(version.extra)
    return Known(version.key, version.kind, version.stat, digest, version.mgmtclass, version.stored_ns)


def merged(figures: Sequence[Figures]) -> Figures:
    """Return the sum of several filespaces' figures."""
    total = Figures()
    for one in figures:
        total.add(one)
    total.seconds = round(total.seconds, 3)
    return total
