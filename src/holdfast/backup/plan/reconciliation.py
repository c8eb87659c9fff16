"""Reconciliation of virtual volumes with the archive objects that keep them: the matrix of section 6.3 as one table.

The source's volumes and the target's files are compared both ways. What a pair looks like is a :class:`Row`; what to do
about it is read from ``ACTIONS``. A volume that only the volume history knows (a database backup) is reported, never
changed; the extra actions are for volumes of storage pools.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.backup.model.virtual import SourceVolume, TargetFile


class Row(enum.Enum):
    """A row of the matrix: what source and target say of one name."""

    NO_FILE = 1
    MARKED = 2
    DIFFERENT = 3
    EQUAL = 4
    UNKNOWN_FILE = 5
    UNKNOWN_MARKED = 6


class Action(enum.Enum):
    """What reconciliation does about a row."""

    REPORT = "report"
    VOLUME_UNAVAILABLE = "mark volume unavailable"
    REACTIVATE = "reactivate file"
    ADVISE_AUDIT = "advise audit volume"
    MARK_FILE = "mark file for deletion"


@dataclass(frozen=True, slots=True)
class Finding:
    """One name, its row and the actions to take, in order."""

    name: str
    row: Row
    actions: tuple[Action, ...]
    pool: str
    attributes_match: bool
    reason: str


_ANY, _POOL = False, True
_REPORTED = (Action.REPORT,)
ACTIONS: dict[tuple[Row, bool, bool], tuple[Action, ...]] = {
    # (row, storage-pool volume, attributes match) under FIX=YES
    (Row.NO_FILE, _ANY, False): _REPORTED,
    (Row.NO_FILE, _POOL, False): (Action.REPORT, Action.VOLUME_UNAVAILABLE),
    (Row.MARKED, _ANY, False): _REPORTED,
    (Row.MARKED, _ANY, True): _REPORTED,
    (Row.MARKED, _POOL, False): (Action.REPORT, Action.VOLUME_UNAVAILABLE),
    (Row.MARKED, _POOL, True): (
        Action.REPORT,
        Action.REACTIVATE,
        Action.VOLUME_UNAVAILABLE,
        Action.ADVISE_AUDIT,
    ),
    (Row.DIFFERENT, _ANY, False): _REPORTED,
    (Row.DIFFERENT, _POOL, False): (Action.REPORT, Action.VOLUME_UNAVAILABLE, Action.ADVISE_AUDIT),
    (Row.EQUAL, _ANY, True): (),
    (Row.EQUAL, _POOL, True): (),
    (Row.UNKNOWN_FILE, _ANY, False): (Action.REPORT, Action.MARK_FILE),
    (Row.UNKNOWN_MARKED, _ANY, False): (),
}

REASONS = {
    Row.NO_FILE: "the source knows the volume, the target has no file",
    Row.MARKED: "the file is marked for deletion at the target",
    Row.DIFFERENT: "size or date of the file differ from the volume",
    Row.EQUAL: "volume and file agree",
    Row.UNKNOWN_FILE: "the target has a file that the source does not know",
    Row.UNKNOWN_MARKED: "the target has a file that the source does not know, already marked for deletion",
}


def attributes_match(volume: SourceVolume, file: TargetFile) -> bool:
    """Return whether size and date agree. Which attributes count is [K]: change it here."""
    return volume.size_bytes == file.size_bytes and volume.written_ns == file.written_ns


def reconcile(volumes: Iterable[SourceVolume], files: Iterable[TargetFile], *, fix: bool) -> list[Finding]:
    """Return every finding, ordered by name; rows that call for nothing are left out."""
    known = {volume.name: volume for volume in volumes}
    kept = {file.name: file for file in files}
    findings = []
    for name in sorted({*known, *kept}):
        finding = _find(name, known.get(name), kept.get(name), fix)
        if finding is not None:
            findings.append(finding)
    return findings


def _find(name: str, volume: SourceVolume | None, file: TargetFile | None, fix: bool) -> Finding | None:
    row, match = _row(volume, file)
    pool = volume.pool if volume is not None else ""
    actions = ACTIONS[(row, bool(pool), match)]
    if not actions:
        return None
    return Finding(name, row, actions if fix else _REPORTED, pool, match, REASONS[row])


def _row(volume: SourceVolume | None, file: TargetFile | None) -> tuple[Row, bool]:
    if volume is None:
        assert file is not None
        return (Row.UNKNOWN_MARKED if file.marked else Row.UNKNOWN_FILE), False
    if file is None or not file.present:
        return Row.NO_FILE, False
    match = attributes_match(volume, file)
    if file.marked:
        return Row.MARKED, match
    return (Row.EQUAL, True) if match else (Row.DIFFERENT, False)
