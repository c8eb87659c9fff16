"""``diff`` and ``verify``: what differs between two states, and whether what is kept is what stands on the disk.

``verify`` reads back. A file is compared byte by byte with its source when the source has not changed since; a file
that has changed is read back all the same, so that damage at the server shows. A sample is drawn by the seed the caller
gives, so a run can be repeated.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.backup.model.objects import Entry, Kind, path_of, printable
from holdfast.backup.plan.comparison import Difference, State, compare
from holdfast.backup.plan.filespec import FileSpec
from holdfast.backup.plan.inclexcl import Rules
from holdfast.backup.service.client.choose import Choice, chosen_versions
from holdfast.backup.service.client.contents import Contents
from holdfast.backup.service.client.incremental import digest_of
from holdfast.backup.service.client.scan import read_extra
from holdfast.backup.service.client.walk import Judge, Walk
from holdfast.backup.service.connection import Session
from holdfast.backup.session import messages as m
from holdfast.kernel.errors import HoldfastError, Refused, Unavailable

_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """A filespace or a part of it, and where its tree is mounted now."""

    filespace: str
    under: bytes
    root: str


def differences(session: Session, place: Place, before_ns: int | None, after_ns: int | None) -> Iterator[Difference]:
    """Yield what changed from one point in time to another; None is what is active now."""
    return compare(_kept(session, place, before_ns), _kept(session, place, after_ns))


def differences_from_disk(
    session: Session, place: Place, at_ns: int | None, rules: Rules, problems: list[str]
) -> Iterator[Difference]:
    """Yield what changed on the disk since a point in time; what could not be looked at is added to ``problems``."""
    return compare(_kept(session, place, at_ns, contents=False), _on_disk(place, rules, problems))


def _kept(session: Session, place: Place, at_ns: int | None, contents: bool = True) -> Iterator[State]:
    for version in chosen_versions(session, Choice((_spec(place),), at_ns), parents=False):
        content = version.pieces if contents and version.kind is Kind.FILE else None
        yield State(version.key, version.kind, version.stat, digest_of(version.extra), content)


def _spec(place: Place) -> FileSpec:
    return FileSpec(place.filespace, place.under, "", subdir=True)


def _on_disk(place: Place, rules: Rules, problems: list[str]) -> Iterator[State]:
    judge = Judge(lambda path: rules.directory(path).included, rules.file)
    walk = Walk(os.fsencode(place.root), (_spec(place),), judge, "", problems.append)
    for found in walk.found():
        entry = found.entry
        if entry.kind is Kind.UNREADABLE or not _below(entry, place):
            continue
        try:
            extra = found.extra or read_extra(walk.directory, walk.name, entry.kind)
        except OSError:
            continue
        yield State(entry.key, entry.kind, entry.stat, digest_of(extra))


def _below(entry: Entry, place: Place) -> bool:
    return _spec(place).fits(entry.key)


@dataclass(slots=True)
class VerifyFigures:
    """What a verification found. ``failures`` holds one line per object that is not what it should be."""

    files_kept: int = 0
    files_read: int = 0
    files_equal: int = 0
    files_changed_since: int = 0
    bytes: int = 0
    fetched_bytes: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all well, 12 when an object is damaged or differs."""
        return 12 if self.failures else 0


def verify(session: Session, place: Place, sample_percent: float, rng: random.Random) -> VerifyFigures:
    """Read active versions back and compare them with the disk. Raises ``Unavailable`` or ``Refused``."""
    figures, contents = VerifyFigures(), Contents(session)
    root = os.open(place.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for version in chosen_versions(session, Choice((_spec(place),)), parents=False):
            if version.kind is not Kind.FILE:
                continue
            figures.files_kept += 1
            if rng.random() * 100 < sample_percent:
                _verify_file(contents, root, place, version, figures)
    finally:
        os.close(root)
    figures.fetched_bytes = contents.fetched_bytes
    return figures


def _verify_file(contents: Contents, root: int, place: Place, version: m.StoredVersion, figures: VerifyFigures) -> None:
    path = printable(os.fsencode(place.filespace.rstrip("/")) + b"/" + path_of(version.key))
    figures.files_read += 1
    figures.bytes += version.stat.size
    source = _source(root, version)
    equal = True
    try:
        for at in range(0, version.stat.size, _READ_BYTES):
            kept = contents.read(version, at, _READ_BYTES)
            if len(kept) != min(_READ_BYTES, version.stat.size - at):
                figures.failures.append(f"ANS1228E '{path}': bytes are missing at {at + len(kept)}")
                return
            equal = equal and (source < 0 or os.pread(source, _READ_BYTES, at) == kept)
    except (Unavailable, Refused):
        raise
    except (HoldfastError, OSError) as error:
        figures.failures.append(f"ANS1228E '{path}': {error}")
        return
    finally:
        if source >= 0:
            changed = _changed(source, version)
            os.close(source)
    if source < 0 or changed:
        figures.files_changed_since += 1
    elif equal:
        figures.files_equal += 1
    else:
        figures.failures.append(f"ANS1228E '{path}' differs from its source, which has not changed since the backup")


def _source(root: int, version: m.StoredVersion) -> int:
    """Open the file that a version was made from; -1 when it is gone, unreadable or another by now."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory, *names = root, *version.key.split(b"\0")
    try:
        for name in names[:-1]:
            below = os.open(name, flags | os.O_DIRECTORY, dir_fd=directory)
            if directory != root:
                os.close(directory)
            directory = below
        source = os.open(names[-1], flags | os.O_NONBLOCK, dir_fd=directory)
    except OSError:
        return -1
    finally:
        if directory != root:
            os.close(directory)
    if _changed(source, version):
        os.close(source)
        return -1
    return source


def _changed(source: int, version: m.StoredVersion) -> bool:
    found = os.fstat(source)
    kept = version.stat
    return (found.st_size, found.st_mtime_ns, found.st_ino) != (kept.size, kept.mtime_ns, kept.ino)
