"""The contents of restored files: groups fetched once each in the order they lie, spread over the files that need them.

Files come in windows, so memory does not grow with the tree. Two workers decompress ahead; two writers, each with the
directories it is given, create and write files side by side, since most of a restore is the file system's own work. A
group that cannot be read fails the objects that need it, by name and with the volume, and nothing else.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from zlib import crc32

import zstandard

from holdfast.backup.service.client.tree import Tree
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m

_LOCATE = 5_000
_AHEAD = 6
_OPEN_FILES = 128
_WRITERS = 2
_Run = tuple[int, int, int]
"""Offset in the file, offset in the group, length."""


@dataclass(slots=True)
class File:
    """A file to write: its version, its key below the destination, and how many of its pieces are still to come."""

    version: m.StoredVersion
    key: bytes
    left: int
    created: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file; ``reason`` is empty when it is whole."""

    file: File
    reason: str = ""


class Filling:
    """Writes windows of files below one destination; ``report`` hears of each file once, from the caller's thread."""

    def __init__(self, session: Session, destination: str, report: Callable[[Outcome], None]) -> None:
        self._session, self._report = session, report
        self._writers = [_Writer(destination) for _ in range(_WRITERS)]
        self._decompressors = ThreadPoolExecutor(2, thread_name_prefix="decompress")
        self.transferred_bytes = 0

    def close(self) -> None:
        """End the workers; files that are not whole are left as they are."""
        self._decompressors.shutdown(cancel_futures=True)
        for writer in self._writers:
            writer.close()

    def write(self, files: list[File]) -> None:
        """Write a window of files. Raises ``Unavailable`` when the session breaks."""
        by_group = self._by_group(files)
        empty: list[tuple[int, list[_Run]]] = [(number, []) for number, file in enumerate(files) if file.left == 0]
        written = deque([self._spread(files, empty, b"")])
        fetching: deque[tuple[int, Future[tuple[m.Fetched, bytes]]]] = deque()
        waiting = deque(sorted(by_group))
        while waiting or fetching:
            while waiting and len(fetching) < _AHEAD:
                group = waiting.popleft()
                fetching.append((group, self._fetch(group)))
            group, future = fetching.popleft()
            written.append(self._spread_group(files, by_group.pop(group), future))
            while len(written) > _AHEAD // 2:
                self._settle(written.popleft())
        while written:
            self._settle(written.popleft())

    def _settle(self, futures: list[Future[list[Outcome]]]) -> None:
        for future in futures:
            for outcome in future.result():
                self._report(outcome)

    def _by_group(self, files: list[File]) -> dict[int, list[tuple[int, int, int, int]]]:
        """Return for each group which (file, file offset, group offset, length) its bytes go to."""
        wanted = sorted({chunk for file in files for chunk, _ in file.version.pieces if chunk})
        asked = []
        for start in range(0, len(wanted), _LOCATE):
            part = tuple(wanted[start : start + _LOCATE])
            asked.append((part, self._session.ask(lambda seq, p=part: m.Locate(seq, p))))  # type: ignore[misc]
        places: dict[int, tuple[int, int, int]] = {}
        for part, future in asked:
            reply = future.result()
            assert isinstance(reply, m.Located)
            places.update(zip(part, reply.places, strict=True))
        by_group: dict[int, list[tuple[int, int, int, int]]] = {}
        for number, file in enumerate(files):
            at = 0
            for chunk, length in file.version.pieces:
                if chunk:
                    group, offset, _ = places[chunk]
                    by_group.setdefault(group, []).append((number, at, offset, length))
                at += length
        return by_group

    def _fetch(self, group: int) -> Future[tuple[m.Fetched, bytes]]:
        asked = self._session.ask(lambda seq: m.Fetch(seq, group))
        return self._decompressors.submit(_decompress, asked)

    def _spread_group(
        self, files: list[File], runs: list[tuple[int, int, int, int]], future: Future[tuple[m.Fetched, bytes]]
    ) -> list[Future[list[Outcome]]]:
        fetched, data = future.result()
        self.transferred_bytes += len(fetched.data)
        per_file: dict[int, list[_Run]] = {}
        for number, at, offset, length in runs:
            per_file.setdefault(number, []).append((at, offset, length))
        if fetched.damage:
            reason = f"its data on volume {fetched.volume} cannot be read: {fetched.damage}"
            return self._hand_out(files, list(per_file.items()), lambda writer, part: writer.fail(part, reason))
        return self._spread(files, list(per_file.items()), data)

    def _spread(
        self, files: list[File], work: list[tuple[int, list[_Run]]], data: bytes
    ) -> list[Future[list[Outcome]]]:
        return self._hand_out(files, work, lambda writer, part: writer.write(part, data))

    def _hand_out(
        self,
        files: list[File],
        work: list[tuple[int, list[_Run]]],
        act: Callable[[_Writer, list[tuple[File, list[_Run]]]], Future[list[Outcome]]],
    ) -> list[Future[list[Outcome]]]:
        """Give each writer its share: all that lies in one directory goes to the same one."""
        shares: list[list[tuple[File, list[_Run]]]] = [[] for _ in self._writers]
        for number, runs in work:
            file = files[number]
            shares[crc32(file.key.rpartition(b"\0")[0]) % _WRITERS].append((file, runs))
        return [act(writer, share) for writer, share in zip(self._writers, shares, strict=True) if share]


class _Writer:
    """One thread that creates and writes files; it keeps those open that are not whole yet."""

    def __init__(self, destination: str) -> None:
        self._tree = Tree(destination)
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
        self._tree.close()

    def write(self, work: list[tuple[File, list[_Run]]], data: bytes) -> Future[list[Outcome]]:
        return self._thread.submit(self._write_all, work, memoryview(data))

    def fail(self, work: list[tuple[File, list[_Run]]], reason: str) -> Future[list[Outcome]]:
        return self._thread.submit(self._fail_all, [file for file, _ in work], reason)

    def _write_all(self, work: list[tuple[File, list[_Run]]], data: memoryview) -> list[Outcome]:
        done = []
        for file, runs in work:
            if file.failed:
                continue
            try:
                if self._write_one(file, runs, data):
                    done.append(Outcome(file))
            except OSError as error:
                done.append(self._fail_one(file, error.strerror or str(error)))
        return done

    def _write_one(self, file: File, runs: list[_Run], data: memoryview) -> bool:
        """Write what came of a file; return whether it is whole now."""
        version = file.version
        descriptor = self._descriptor(file)
        for at, offset, length in runs:
            _write(descriptor, data[offset : offset + length], at)
        file.left -= len(runs)
        if file.left:
            return False
        hole_last = bool(version.pieces) and not version.pieces[-1][0]
        self._tree.finish_file(descriptor, version.stat, version.extra, truncate=hole_last)
        os.close(self._open.pop(file.key))
        return True

    def _descriptor(self, file: File) -> int:
        known = self._open.get(file.key)
        if known is not None:
            self._open.move_to_end(file.key)
            return known
        descriptor = self._tree.reopen(file.key) if file.created else self._tree.create(file.key, file.version.stat)
        file.created = True
        self._open[file.key] = descriptor
        if len(self._open) > _OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _fail_all(self, files: list[File], reason: str) -> list[Outcome]:
        return [self._fail_one(file, reason) for file in files if not file.failed]

    def _fail_one(self, file: File, reason: str) -> Outcome:
        file.failed = True
        descriptor = self._open.pop(file.key, -1)
        if descriptor >= 0:
            os.close(descriptor)
        if file.created:
            self._tree.remove(file.key)
        return Outcome(file, reason)


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
