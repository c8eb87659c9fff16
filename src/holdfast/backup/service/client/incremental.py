"""The incremental backup of one filespace: scan and inventory merged, content up, versions behind it, commit.

The flow, a directory at a time: ``Scanner`` and the inventory → unchanged as a whole, or ``plan.difference`` → per
object store, update, rebind, expire or skip → ``Uploader`` for new content → ``Staging`` → commit. Only what the server
has acknowledged is counted; a run that is cut short is resumed by the next run's difference.

An object that changed within the last clock tick before it was read could change again without a sign: it is kept with
a change time of 0, so the next run reads it again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec
import zstandard
from blake3 import blake3

from holdfast.backup.model.objects import Entry, Extra, Kind, Known, Piece, path_of, printable
from holdfast.backup.model.policy import reading
from holdfast.backup.plan.copymode import honoured
from holdfast.backup.plan.difference import Difference, Verdict, compare, difference, settle
from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.client.content import Changed, Reader
from holdfast.backup.service.client.inventory import (
    Header,
    InventoryFile,
    InventoryWriter,
    Record,
    gathered,
    open_inventory,
    pack_rows,
    precedes,
)
from holdfast.backup.service.client.scan import Listing, Scanner, facts, read_extra
from holdfast.backup.service.client.staging import Staging
from holdfast.backup.service.client.uploader import Uploader
from holdfast.backup.service.connection import Session, answer
from holdfast.backup.session import messages as m

_PAGE_ROWS = 5_000
_TICK_NS = 20_000_000
"""Longer than the clock tick of any kernel's file times."""
_known = msgspec.msgpack.Decoder(list[Known])
Say = Callable[[str], None]
"""Takes a line for the person who watches."""


@dataclass(slots=True)
class Figures:
    """What a run did, in the words of the summary. Bytes are bytes; ``seconds`` is the elapsed time."""

    objects_inspected: int = 0
    objects: int = 0
    objects_updated: int = 0
    objects_rebound: int = 0
    objects_expired: int = 0
    objects_failed: int = 0
    retries: int = 0
    bytes_inspected: int = 0
    bytes: int = 0
    transferred_bytes: int = 0
    stored_bytes: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Add another filespace's figures to these."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def exit_code(self) -> int:
        """0 all well, 4 some objects skipped, 8 warnings, 12 errors (section 10.3)."""
        if self.errors:
            return 12
        if self.warnings:
            return 8
        return 4 if self.objects_failed else 0


@dataclass(frozen=True, slots=True)
class Source:
    """What to back up: the filespace's name, where its tree is mounted now, and its file system's type."""

    filespace: str
    root: str
    type: str = "EXT4"


class Incremental:
    """One run over one filespace within a session. ``inventory`` is where its inventory file lies, if anywhere; with
    ``absolute`` everything is stored as if it had changed."""

    def __init__(
        self,
        session: Session,
        source: Source,
        rules: Rules,
        say: Say | None,
        tries: int = 4,
        inventory: Path | None = None,
        absolute: bool = False,
    ) -> None:
        self._session, self._source, self._say = session, source, say
        self.figures = Figures()
        self._classes = {bound.name: bound for bound in session.welcome.classes if bound.pool}
        self._default = next((bound.name for bound in self._classes.values() if bound.default), "")
        self._special = tuple(bound for bound in self._classes.values() if bound.by_date)
        if absolute:
            bounds = self._classes.values()
            self._special = tuple(msgspec.structs.replace(b, mode="ABSOLUTE", frequency_days=0) for b in bounds)
        self._tries, self._path = tries, None if self._special else inventory
        own = inventory.absolute().parent if inventory is not None else None
        self._scanner = Scanner(os.fsencode(source.root), source.filespace, rules, self._default, self._fail, own)
        self._ground = _ground(rules, session)
        self._linked: dict[tuple[int, int, int], tuple[Piece, ...]] = {}
        self._readers: dict[str, Reader] = {}
        self._root: Known | None = None
        self._rows: list[Known] = []
        self._settled = True

    def run(self) -> Figures:
        """Back up the filespace. Raises ``Refused`` or ``Unavailable``; what was committed before stays."""
        started = time.monotonic()
        opened = self._session.call(lambda seq: m.OpenFilespace(seq, self._source.filespace, self._source.type))
        assert isinstance(opened, m.FilespaceOpened)
        uploader = self._uploader = Uploader(self._session, not opened.pool_empty)
        self._staging = Staging(self._session, uploader)
        kept = self._kept(opened)
        writer = InventoryWriter(self._path) if self._path is not None else None
        try:
            self._merge(self._records(opened, kept), writer)
            self._staging.commit(end=True)
            if writer is not None and self._staging.generation:
                writer.finish(Header(self._staging.generation, self._ground, self._root))
        finally:
            uploader.close()
            if writer is not None:
                writer.abandon()
            if kept is not None:
                kept.close()
        self.figures.stored_bytes = self._staging.stored_bytes
        self.figures.transferred_bytes = uploader.sent_bytes
        self.figures.retries = sum(reader.retries for reader in self._readers.values())
        self.figures.seconds = round(time.monotonic() - started, 3)
        return self.figures

    def _kept(self, opened: m.FilespaceOpened) -> InventoryFile | None:
        """Return the inventory file if it is that of the server's present state, under the same rules."""
        kept = open_inventory(self._path) if self._path is not None and opened.generation else None
        if kept is None or (kept.header.generation, kept.header.ground) == (opened.generation, self._ground):
            return kept
        kept.close()
        return None

    def _records(self, opened: m.FilespaceOpened, kept: InventoryFile | None) -> Iterator[Record]:
        if kept is not None:
            self._root = kept.header.root
            return kept.records()
        return iter(()) if opened.empty else gathered(self._below(self._listed()))

    def _below(self, rows: Iterator[Known]) -> Iterator[Known]:
        """Yield all rows but the filespace's own, which is kept aside."""
        for row in rows:
            if row.key:
                yield row
            else:
                self._root = row

    def _listed(self) -> Iterator[Known]:
        """Yield the server's active versions; the next page is under way while one is read."""
        decompress = zstandard.ZstdDecompressor().decompress

        def ask(after: bytes | None) -> Future[m.Message]:
            return self._session.ask(lambda seq: m.ListActive(seq, after, _PAGE_ROWS))

        asked = ask(None)
        while True:
            reply = answer(asked)
            assert isinstance(reply, m.Page)
            rows = _known.decode(decompress(reply.rows))
            ended = reply.last or not rows
            if not ended:
                asked = ask(rows[-1].key)
            yield from rows
            if ended:
                return

    def _merge(self, records: Iterator[Record], writer: InventoryWriter | None) -> None:
        """Handle every directory beside its record; a record that has no directory any more is of what is gone."""
        record = next(records, None)
        for listing in self._scanner.directories():
            while record is not None and precedes(record.key, listing.key):
                self._gone(record, writer)
                record = next(records, None)
            match = record if record is not None and record.key == listing.key else None
            if match is not None:
                record = next(records, None)
            new = self._directory(listing, match)
            if writer is not None:
                writer.add(new)
            if not listing.key:
                self._own(listing)
        while record is not None:
            self._gone(record, writer)
            record = next(records, None)

    def _own(self, listing: Listing) -> None:
        """The filespace's own directory, last of all."""
        self._rows = []
        entry = self._scanner.root(listing)
        self._handle(Difference(compare(entry, self._root), entry, self._root), listing.descriptor, b".")
        self._root = self._rows[0] if self._rows else None

    def _gone(self, record: Record, writer: InventoryWriter | None) -> None:
        if self._scanner.blocked and self._blocked(record.key):
            if writer is not None:
                writer.add(msgspec.structs.replace(record, digest=b""))
            return
        for known in record.rows():
            self._expire(known)

    def _blocked(self, key: bytes) -> bool:
        """Whether a place could not be looked at: it, or one above it."""
        names = key.split(b"\0")
        return any(b"\0".join(names[:depth]) in self._scanner.blocked for depth in range(len(names) + 1))

    def _directory(self, listing: Listing, record: Record | None) -> Record:
        """Handle what lies directly in a directory; return its record as it is now."""
        if listing.failed:
            return record or Record(listing.key, b"", 0, 0, pack_rows([]))
        if record is not None and record.digest and record.digest == listing.digest:
            self.figures.objects_inspected += record.objects
            self.figures.bytes_inspected += record.size_bytes
            return record
        self._rows, self._settled = [], not listing.unreadable
        before = (self.figures.objects_inspected, self.figures.bytes_inspected)
        start = len(listing.key) + 1 if listing.key else 0
        items = difference(self._bound(self._scanner.entries(listing)), record.rows() if record else ())
        for item in honoured(items, self._special, self._session.welcome.server_time_ns):
            key = item.entry.key if item.entry is not None else b""
            self._handle(item, listing.descriptor, key[start:])
        objects = self.figures.objects_inspected - before[0]
        size_bytes = self.figures.bytes_inspected - before[1]
        digest = listing.digest if self._settled else b""
        return Record(listing.key, digest, objects, size_bytes, pack_rows(self._rows))

    def _bound(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Bind entries to classes that exist; one that does not falls back to the default class."""
        for entry in entries:
            if entry.mgmtclass not in self._classes and entry.kind is not Kind.UNREADABLE:
                entry = msgspec.structs.replace(entry, mgmtclass=self._default)
            yield entry

    def _handle(self, item: Difference, directory: int, name: bytes) -> None:
        verdict, entry, known = item.verdict, item.entry, item.known
        if verdict is Verdict.EXPIRE:
            assert known is not None
            return self._expire(known)
        assert entry is not None
        if verdict is Verdict.FAILED:
            return self._unsettled(known)
        self.figures.objects_inspected += 1
        self.figures.bytes_inspected += entry.stat.size
        if known is not None and known.mgmtclass != entry.mgmtclass:
            self._staging.rebind(entry.key, entry.mgmtclass)
            self.figures.objects_rebound += 1
        if verdict is Verdict.SKIP:
            assert known is not None
            self._rows.append(known)
        elif verdict is Verdict.REBIND:
            assert known is not None
            self._rows.append(msgspec.structs.replace(known, mgmtclass=entry.mgmtclass))
        else:
            self._changed(item, directory, name)
        return None

    def _changed(self, item: Difference, directory: int, name: bytes) -> None:
        entry, known, verdict = item.entry, item.known, item.verdict
        assert entry is not None
        try:
            pieces: tuple[Piece, ...] | None = ()
            if entry.kind is Kind.FILE and verdict is Verdict.STORE:
                pieces, entry, extra = self._content(entry, directory, name)
                digest = digest_of(extra)
            else:
                extra = read_extra(directory, name, entry.kind)
                digest = digest_of(extra)
                if verdict is Verdict.RECHECK:
                    assert known is not None
                    verdict = settle(entry, known, digest)
                if verdict is Verdict.UPDATE:
                    pieces = None
                elif entry.kind is Kind.FILE:
                    pieces, entry, extra = self._content(entry, directory, name)
                    digest = digest_of(extra)
        except Changed:
            self._fail(f"ANS4037E Object '{self._place(entry.key)}' changed during processing. Object skipped.")
            return self._unsettled(known)
        except FileNotFoundError:
            return self._unsettled(known)
        except OSError as error:
            self._fail(f"ANS4047E There is a read error on '{self._place(entry.key)}': {error.strerror}")
            return self._unsettled(known)
        self._stage(m.NewVersion(entry.key, entry.kind, entry.stat, extra, digest, entry.mgmtclass, pieces))
        return None

    def _content(self, entry: Entry, directory: int, name: bytes) -> tuple[tuple[Piece, ...], Entry, Extra]:
        bound = self._classes[entry.mgmtclass]
        pool = bound.pool
        link = (entry.stat.ino, entry.stat.ctime_ns, entry.stat.size)
        if entry.stat.nlink > 1 and link in self._linked:
            return self._linked[link], entry, read_extra(directory, name, entry.kind)
        reader = self._readers.get(bound.name)
        if reader is None:
            tries = reading(bound.serialization, self._tries)
            reader = Reader(bound.naming, lambda chunk, data: self._uploader.keep(pool, chunk, data), *tries)
            self._readers[bound.name] = reader
        pieces, found, extra = reader.read(directory, name, entry.stat)
        stat = facts(found)
        if stat != entry.stat:
            entry = msgspec.structs.replace(entry, stat=stat)
            self._settled = False
        if stat.nlink > 1:
            self._linked[stat.ino, stat.ctime_ns, stat.size] = pieces
        elif stat.ctime_ns > time.time_ns() - _TICK_NS:
            entry = msgspec.structs.replace(entry, stat=msgspec.structs.replace(stat, ctime_ns=0))
            self._settled = False
        return pieces, entry, extra

    def _stage(self, version: m.NewVersion) -> None:
        if self._say is not None:
            self._say(self._line(version))
        if version.pieces is None:
            self.figures.objects_updated += 1
        else:
            self.figures.objects += 1
            self.figures.bytes += version.stat.size
        self._rows.append(Known(version.key, version.kind, version.stat, version.digest, version.mgmtclass))
        self._staging.store(version, version.stat.size if version.pieces else 0)

    def _line(self, version: m.NewVersion) -> str:
        label = "Updating-->" if version.pieces is None else f"{LABELS[version.kind]}-->"
        return f"{label:<20}{version.stat.size:>14,} {self._place(version.key)} [Sent]"

    def _expire(self, known: Known) -> None:
        if self._say is not None:
            self._say(f"Expiring-->  {self._place(known.key)}")
        self._staging.expire(known.key)
        self.figures.objects_expired += 1

    def _unsettled(self, known: Known | None) -> None:
        """The server keeps what it has of an object; the directory must be looked at again."""
        self._settled = False
        if known is not None:
            self._rows.append(known)

    def _fail(self, text: str) -> None:
        self.figures.objects_failed += 1
        self.figures.failures.append(text)

    def _place(self, key: bytes) -> str:
        return printable(self._source.filespace.rstrip("/").encode() + b"/" + path_of(key))


LABELS = {
    Kind.FILE: "Normal File",
    Kind.DIRECTORY: "Directory",
    Kind.SYMLINK: "Symbolic Link",
    Kind.FIFO: "Special File",
    Kind.CHARACTER_DEVICE: "Special File",
    Kind.BLOCK_DEVICE: "Special File",
}


def _ground(rules: Rules, session: Session) -> bytes:
    """Return a digest of all that decides over an unchanged object: the rules and the classes it may be bound to."""
    statements = [(s.include, s.scope.value, s.pattern, s.mgmtclass) for s in rules.evaluation_order()]
    return blake3(msgspec.msgpack.encode((statements, session.welcome.classes))).digest(16)


def digest_of(extra: Extra) -> bytes:
    """Return the digest by which a change of what costs system calls is seen; nothing for nothing."""
    return blake3(msgspec.msgpack.encode(extra)).digest(8) if extra.xattrs or extra.target else b""
