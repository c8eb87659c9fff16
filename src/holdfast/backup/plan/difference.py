"""The incremental difference: two streams in key order, the scanner's and the server's, merged into what to do.

Nothing is sorted or held: both sides already come in tree order, so a filespace of any size is merged in constant
memory. An object whose place could not be read is neither changed nor expired: not seeing is not the same as gone.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator

import msgspec

from holdfast.backup.model.objects import Entry, Kind, Known, under


class Verdict(enum.IntEnum):
    """What the client does about one object."""

    SKIP = 0
    STORE = 1
    UPDATE = 2
    REBIND = 3
    EXPIRE = 4
    RECHECK = 5
    """Only the change time moved: compare what costs system calls, then :func:`settle`."""
    FAILED = 6


class Difference(msgspec.Struct, frozen=True, gc=False):
    """One object and its verdict; ``entry`` is None when it is gone, ``known`` when it is new."""

    verdict: Verdict
    entry: Entry | None
    known: Known | None


def difference(local: Iterable[Entry], server: Iterable[Known]) -> Iterator[Difference]:
    """Merge the two streams. Both must be in strictly rising key order."""
    known_stream = iter(server)
    known = next(known_stream, None)
    blocked: bytes | None = None
    for entry in local:
        while known is not None and known.key < entry.key:
            if blocked is None or not under(known.key, blocked):
                yield Difference(Verdict.EXPIRE, None, known)
            known = next(known_stream, None)
        match = known if known is not None and known.key == entry.key else None
        if match is not None:
            known = next(known_stream, None)
        if entry.kind is Kind.UNREADABLE:
            blocked = entry.key
            yield Difference(Verdict.FAILED, entry, match)
            continue
        yield Difference(compare(entry, match), entry, match)
    while known is not None:
        if blocked is None or not under(known.key, blocked):
            yield Difference(Verdict.EXPIRE, None, known)
        known = next(known_stream, None)


def compare(entry: Entry, known: Known | None) -> Verdict:
    """Return the verdict on an object that exists, from what one lstat tells."""
    if known is None or known.kind != entry.kind:
        return Verdict.STORE
    here, there = entry.stat, known.stat
    if here == there:
        return Verdict.SKIP if entry.mgmtclass == known.mgmtclass else Verdict.REBIND
    if entry.kind is not Kind.FILE:
        return Verdict.STORE
    if (here.size, here.mtime_ns, here.ino) != (there.size, there.mtime_ns, there.ino):
        return Verdict.STORE
    return Verdict.RECHECK


def settle(entry: Entry, known: Known, extra: bytes) -> Verdict:
    """Return UPDATE when a known attribute explains the new change time, otherwise STORE: the content may differ."""
    here, there = entry.stat, known.stat
    attributes = (here.mode, here.uid, here.gid, here.nlink) != (there.mode, there.uid, there.gid, there.nlink)
    return Verdict.UPDATE if attributes or extra != known.extra else Verdict.STORE
