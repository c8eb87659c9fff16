"""Which versions and archives a restore, a retrieve or a query means: the server's lists, narrowed to what was asked.

The lists come in key order and are never held: a file specification is applied as they pass. ``pit_ns`` is a point in
time, ``from_ns``/``to_ns`` bound when a version was stored; an object may come in several versions only where
``inactive`` asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeVar

import msgspec
import zstandard

from holdfast.backup.model.objects import Kind
from holdfast.backup.model.policy import ClassBinding
from holdfast.backup.plan.access import AccessRule
from holdfast.backup.plan.filespec import FileSpec, select
from holdfast.backup.service.client.restore import Selection, list_versions
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m

_PAGE_ROWS = 2_000
_archives = msgspec.msgpack.Decoder(list[m.StoredArchive])
_T = TypeVar("_T")
_V = TypeVar("_V", bound=m.StoredVersion)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is asked for. Several specifications are of one filespace."""

    specs: tuple[FileSpec, ...]
    pit_ns: int | None = None
    inactive: bool = False
    latest: bool = False
    from_ns: int | None = None
    to_ns: int | None = None
    description: str = ""

    @property
    def filespace(self) -> str:
        """The filespace of all specifications."""
        return self.specs[0].filespace

    @property
    def start(self) -> bytes:
        """The key at or below which everything that fits lies."""
        return self.specs[0].start if len(self.specs) == 1 else b""

    @property
    def shallow(self) -> bool:
        """Whether all that fits lies directly in ``start``, or is it."""
        return len(self.specs) == 1 and not self.specs[0].subdir

    def in_time(self, stored_ns: int) -> bool:
        """Return whether a version of this age counts."""
        return (self.from_ns is None or stored_ns >= self.from_ns) and (self.to_ns is None or stored_ns <= self.to_ns)


def chosen_versions(
    session: Session, choice: Choice, *, contents: bool = True, parents: bool = True
) -> Iterator[m.StoredVersion]:
    """Yield the versions that ``choice`` means, in key order; with ``parents`` the directories on the way to them too.

    What lies above the place that is looked at is asked for one by one, so a single file costs a handful of rows.
    """

    def listed(under: bytes, limit: int = 0, shallow: bool = False) -> Iterator[m.StoredVersion]:
        chosen = Selection(choice.filespace, under, choice.pit_ns, choice.inactive, choice.latest, shallow)
        return list_versions(session, chosen, contents, limit=limit or None)

    every = chain(_above(choice, listed) if parents else (), listed(choice.start, shallow=choice.shallow))
    return select((one for one in every if choice.in_time(one.stored_ns)), choice.specs, parents=parents)


def known_part(session: Session, choice: Choice) -> Iterator[m.StoredVersion]:
    """Yield the active versions that ``choice`` means and every directory that is kept at or above its reach."""

    def listed(under: bytes, limit: int = 0) -> Iterator[m.StoredVersion]:
        return list_versions(session, Selection(choice.filespace, under), limit=limit or None)

    for version in chain(_above(choice, listed), listed(choice.start)):
        if version.kind is Kind.DIRECTORY or any(spec.fits(version.key) for spec in choice.specs):
            yield version


def chosen_archives(
    session: Session, choice: Choice, *, contents: bool = True, parents: bool = True
) -> Iterator[m.StoredArchive]:
    """Yield the archive objects that ``choice`` means, by key and then from the oldest to the newest."""

    def listed(under: bytes, limit: int = 0) -> Iterator[m.StoredArchive]:
        return _list_archives(session, choice.filespace, under, contents, limit)

    wanted = (
        one
        for one in chain(_above(choice, listed) if parents else (), listed(choice.start))
        if choice.in_time(one.stored_ns) and (not choice.description or one.description == choice.description)
    )
    return select(wanted, choice.specs, parents=parents)


def _above(choice: Choice, listed: Callable[[bytes, int], Iterator[_V]]) -> Iterator[_V]:
    """Yield what is kept of the directories above the place where the listing starts, the root first."""
    if not choice.start:
        return
    names = choice.start.split(b"\0")
    for depth in range(len(names)):
        place = b"\0".join(names[:depth])
        yield from (one for one in islice(listed(place, 1), 1) if one.key == place)


def newest_of_each(versions: Iterable[m.StoredArchive]) -> Iterator[m.StoredArchive]:
    """Yield one archive object for each place, the youngest."""
    held: m.StoredArchive | None = None
    for version in versions:
        if held is not None and held.key != version.key:
            yield held
        held = version
    if held is not None:
        yield held


def _list_archives(
    session: Session, filespace: str, under: bytes, contents: bool, limit: int = 0
) -> Iterator[m.StoredArchive]:
    decompress = zstandard.ZstdDecompressor().decompress
    after: tuple[bytes, int] | None = None
    while True:
        reply = session.call(
            lambda seq, a=after: m.ListArchives(seq, filespace, under, a, limit or _PAGE_ROWS, contents)  # type: ignore[misc]
        )
        assert isinstance(reply, m.Page)
        rows = _archives.decode(decompress(reply.rows))
        yield from rows
        if reply.last or not rows:
            return
        after = (rows[-1].key, rows[-1].id)


def list_filespaces(session: Session) -> list[m.FilespaceRow]:
    """Return the filespaces of the signed-on node, or of the node it acts for."""
    return _page(session.call(lambda seq: m.ListFilespaces(seq)), m.FilespaceRow)


def list_classes(session: Session) -> list[ClassBinding]:
    """Return the management classes of the node's domain."""
    return _page(session.call(lambda seq: m.ListClasses(seq)), ClassBinding)


def list_access(session: Session) -> list[AccessRule]:
    """Return the rules of access that the node has set."""
    return _page(session.call(lambda seq: m.ListAccess(seq)), AccessRule)


def _page(reply: m.Message, kind: type[_T]) -> list[_T]:
    assert isinstance(reply, m.Page)
    return msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(reply.rows), type=list[kind])  # type: ignore[valid-type]


def delete_chosen(session: Session, filespace: str, ids: Iterable[int], *, archives: bool) -> int:
    """Delete versions or archive objects; return how many went. Raises ``Refused`` where the node may not."""
    gone, waiting = 0, list(ids)
    for start in range(0, len(waiting), _PAGE_ROWS):
        part = tuple(waiting[start : start + _PAGE_ROWS])
        reply = session.call(lambda seq, p=part: m.DeleteVersions(seq, filespace, p, archives))  # type: ignore[misc]
        assert isinstance(reply, m.Deleted)
        gone += reply.objects
    return gone
