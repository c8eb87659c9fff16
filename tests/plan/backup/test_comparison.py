"""What differs between two states of a filespace, and how long archives stay."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.backup.model.objects import Kind, Stat
from holdfast.backup.model.policy import NOLIMIT, ArchiveCopyGroup, BackupCopyGroup, ClassBinding
from holdfast.backup.plan.comparison import Change, Difference, State, compare
from holdfast.backup.plan.expiration import DAY_NS
from holdfast.backup.plan.retention import archive_ended, retention_days

STAT = Stat(0o100644, 1, 2, 5, 10, 20, 7, 1)


def state(key: bytes, kind: Kind = Kind.FILE, content: object = 1, extra: bytes = b"", **stat: int) -> State:
    return State(key, kind, msgspec.structs.replace(STAT, **stat), extra, content)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([state(b"a")], [state(b"a", ctime_ns=21)], []),
        ([state(b"a")], [], [Difference(b"a", Change.REMOVED)]),
        ([], [state(b"a")], [Difference(b"a", Change.ADDED)]),
        ([state(b"a")], [state(b"a", content=2)], [Difference(b"a", Change.CONTENT)]),
        ([state(b"a")], [state(b"a", size=6)], [Difference(b"a", Change.CONTENT)]),
        ([state(b"a")], [state(b"a", mtime_ns=11)], [Difference(b"a", Change.ATTRIBUTES, ("mtime_ns",))]),
        ([state(b"a")], [state(b"a", content=None, mtime_ns=11)], [Difference(b"a", Change.CONTENT, ("mtime_ns",))]),
        ([state(b"a")], [state(b"a", extra=b"acl")], [Difference(b"a", Change.ATTRIBUTES, ("xattrs",))]),
        ([state(b"a")], [state(b"a", Kind.FIFO)], [Difference(b"a", Change.KIND)]),
        ([state(b"d", Kind.DIRECTORY)], [state(b"d", Kind.DIRECTORY, mtime_ns=11)], []),
        (
            [state(b"a"), state(b"b")],
            [state(b"b"), state(b"c")],
            [Difference(b"a", Change.REMOVED), Difference(b"c", Change.ADDED)],
        ),
    ],
)
def test_every_kind_of_change_is_told(before: list[State], after: list[State], expected: list[Difference]) -> None:
    assert list(compare(before, after)) == expected


def binding(name: str, days: int | None, default: bool = False) -> ClassBinding:
    archive = ArchiveCopyGroup("POOL", days) if days is not None else None
    return ClassBinding(name, BackupCopyGroup("POOL"), archive, default)


def test_an_archive_outlives_its_class_by_the_default_then_by_the_grace() -> None:
    classes = {"A": binding("A", 10), "D": binding("D", 30, default=True), "NONE": binding("NONE", None)}
    assert retention_days(classes, "A") == 10
    assert retention_days(classes, "GONE") == 30
    assert retention_days(classes, "NONE") == 30
    assert retention_days({}, "GONE") == 365
    assert not archive_ended(0, 10, 10 * DAY_NS - 1)
    assert archive_ended(0, 10, 10 * DAY_NS)
    assert not archive_ended(0, NOLIMIT, 10**9 * DAY_NS)
