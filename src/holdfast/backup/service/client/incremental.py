"""The incremental backup of one filespace: scan and inventory merged, content up, versions behind it, commit.

The flow: ``Scanner`` and the server's pages → ``plan.difference`` → per object store, update, rebind, expire or skip →
``Uploader`` for new content → versions in batches → commit. Only what the server has acknowledged is counted; a run
that is cut short is resumed by the next run's difference.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field

import msgspec
import zstandard
from blake3 import blake3

from holdfast.backup.model.objects import Entry, Extra, Kind, Known, Piece, path_of, printable
from holdfast.backup.plan.difference import Difference, Verdict, difference, settle
from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.client.content import Changed, Reader
from holdfast.backup.service.client.scan import Scanner, facts, read_extra
from holdfast.backup.service.client.uploader import Uploader
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m

_PAGE_ROWS = 5_000
_BATCH = 2_000
_COMMIT_OBJECTS = 50_000
_COMMIT_BYTES = 1024 * 1024 * 1024
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
    """One run over one filespace within a session."""

    def __init__(self, session: Session, source: Source, rules: Rules, say: Say | None, tries: int = 4) -> None:
        self._session, self._source, self._say = session, source, say
        self.figures = Figures()
        self._classes = {bound.name: bound for bound in session.welcome.classes if bound.pool}
        self._default = next((bound.name for bound in self._classes.values() if bound.default), "")
        self._tries = tries
        self._scanner = Scanner(os.fsencode(source.root), source.filespace, rules, self._default, self._warn)
        self._versions: list[m.NewVersion] = []
        self._expired: list[bytes] = []
        self._rebound: dict[str, list[bytes]] = {}
        self._linked: dict[tuple[int, int, int], tuple[Piece, ...]] = {}
        self._readers: dict[str, Reader] = {}
        self._since_commit = [0, 0]
        self._commits: list[Future[m.Message]] = []

    def run(self) -> Figures:
        """Back up the filespace. Raises ``Refused`` or ``Unavailable``; what was committed before stays."""
        started = time.monotonic()
        opened = self._session.call(lambda seq: m.OpenFilespace(seq, self._source.filespace, self._source.type))
        assert isinstance(opened, m.FilespaceOpened)
        self._uploader = Uploader(self._session, not opened.pool_empty)
        try:
            inventory = iter(()) if opened.empty else self._inventory()
            for item in difference(self._bound(self._scanner.entries()), inventory):
                self._handle(item)
            self._commit(end=True)
            self._await_commits(0)
        finally:
            self._uploader.close()
        self.figures.transferred_bytes = self._uploader.sent_bytes
        self.figures.retries = sum(reader.retries for reader in self._readers.values())
        self.figures.seconds = round(time.monotonic() - started, 3)
        return self.figures

    def _bound(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Bind entries to classes that exist; one that does not falls back to the default class."""
        for entry in entries:
            if entry.mgmtclass not in self._classes and entry.kind is not Kind.UNREADABLE:
                entry = msgspec.structs.replace(entry, mgmtclass=self._default)
            yield entry

    def _inventory(self) -> Iterator[Known]:
        """Yield the server's active versions; the next page is always under way."""
        decompress = zstandard.ZstdDecompressor().decompress
        after: bytes | None = None
        while True:
            reply = self._session.call(lambda seq, a=after: m.ListActive(seq, a, _PAGE_ROWS))  # type: ignore[misc]
            assert isinstance(reply, m.Page)
            rows = _known.decode(decompress(reply.rows))
            yield from rows
            if reply.last or not rows:
                return
            after = rows[-1].key

    def _handle(self, item: Difference) -> None:
        verdict = item.verdict
        if verdict is Verdict.EXPIRE:
            assert item.known is not None
            if self._say is not None:
                self._say(f"Expiring-->  {self._path(item.known.key)}")
            self._expired.append(item.known.key)
            self.figures.objects_expired += 1
            if len(self._expired) >= _BATCH:
                self._flush()
            return
        entry = item.entry
        assert entry is not None
        if verdict is Verdict.FAILED:
            self.figures.objects_failed += 1
            return
        self.figures.objects_inspected += 1
        self.figures.bytes_inspected += entry.stat.size
        if verdict is Verdict.REBIND:
            self._rebound.setdefault(entry.mgmtclass, []).append(entry.key)
            self.figures.objects_rebound += 1
        elif verdict is not Verdict.SKIP:
            self._changed(verdict, entry, item.known)

    def _changed(self, verdict: Verdict, entry: Entry, known: Known | None) -> None:
        directory, name = self._scanner.directory, self._scanner.name
        try:
            extra = read_extra(directory, name, entry.kind)
            digest = digest_of(extra)
            if verdict is Verdict.RECHECK:
                assert known is not None
                verdict = settle(entry, known, digest)
            pieces: tuple[Piece, ...] | None = ()
            if verdict is Verdict.UPDATE:
                pieces = None
            elif entry.kind is Kind.FILE:
                pieces, entry = self._content(entry, directory, name)
        except Changed:
            return self._fail(f"ANS4037E Object '{self._path(entry.key)}' changed during processing. Object skipped.")
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._fail(f"ANS4047E There is a read error on '{self._path(entry.key)}': {error.strerror}")
        self._stage(m.NewVersion(entry.key, entry.kind, entry.stat, extra, digest, entry.mgmtclass, pieces))
        return None

    def _content(self, entry: Entry, directory: int, name: bytes) -> tuple[tuple[Piece, ...], Entry]:
        pool = self._classes[entry.mgmtclass].pool
        link = (entry.stat.ino, entry.stat.ctime_ns, entry.stat.size)
        if entry.stat.nlink > 1 and link in self._linked:
            return self._linked[link], entry
        reader = self._readers.get(pool)
        if reader is None:
            naming = self._classes[entry.mgmtclass].naming
            reader = Reader(naming, lambda chunk, data: self._uploader.keep(pool, chunk, data), self._tries)
            self._readers[pool] = reader
        pieces, found = reader.read(directory, name)
        self._since_commit[1] += found.st_size
        stat = facts(found)
        if stat != entry.stat:
            entry = msgspec.structs.replace(entry, stat=stat)
        if stat.nlink > 1:
            self._linked[stat.ino, stat.ctime_ns, stat.size] = pieces
        return pieces, entry

    def _stage(self, version: m.NewVersion) -> None:
        if self._say is not None:
            self._say(self._line(version))
        self._versions.append(version)
        if version.pieces is None:
            self.figures.objects_updated += 1
        else:
            self.figures.objects += 1
            self.figures.bytes += version.stat.size
        self._since_commit[0] += 1
        if len(self._versions) >= _BATCH:
            self._flush()
        if self._since_commit[0] >= _COMMIT_OBJECTS or self._since_commit[1] >= _COMMIT_BYTES:
            self._commit()

    def _line(self, version: m.NewVersion) -> str:
        label = "Updating-->" if version.pieces is None else f"{LABELS[version.kind]}-->"
        return f"{label:<20}{version.stat.size:>14,} {self._path(version.key)} [Sent]"

    def _flush(self) -> None:
        if self._versions:
            rows = zstandard.ZstdCompressor(level=1).compress(msgspec.msgpack.encode(self._versions))
            self._session.send(m.Versions(rows))
            self._versions = []
        if self._expired:
            self._session.send(m.Expire(tuple(self._expired)))
            self._expired = []
        for mgmtclass, keys in self._rebound.items():
            self._session.send(m.Rebind(tuple(keys), mgmtclass))
        self._rebound = {}

    def _commit(self, end: bool = False) -> None:
        self._flush()
        self._uploader.drain()
        self._commits.append(self._session.ask(lambda seq: m.Commit(seq, end)))
        self._since_commit = [0, 0]
        self._await_commits(1)

    def _await_commits(self, open_ones: int) -> None:
        while len(self._commits) > open_ones:
            reply = self._commits.pop(0).result()
            assert isinstance(reply, m.Committed)
            self.figures.stored_bytes += reply.stored_bytes

    def _fail(self, text: str) -> None:
        self.figures.objects_failed += 1
        self.figures.failures.append(text)

    def _warn(self, text: str) -> None:
        self.figures.failures.append(text)

    def _path(self, key: bytes) -> str:
        return printable(self._source.filespace.rstrip("/").encode() + b"/" + path_of(key))


LABELS = {
    Kind.FILE: "Normal File",
    Kind.DIRECTORY: "Directory",
    Kind.SYMLINK: "Symbolic Link",
    Kind.FIFO: "Special File",
    Kind.CHARACTER_DEVICE: "Special File",
    Kind.BLOCK_DEVICE: "Special File",
}


def digest_of(extra: Extra) -> bytes:
    """Return the digest by which a change of what costs system calls is seen; nothing for nothing."""
    return blake3(msgspec.msgpack.encode(extra)).digest(8) if extra.xattrs or extra.target else b""
