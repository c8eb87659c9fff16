"""The backup planners: difference, expiration, domain, reconciliation."""

from __future__ import annotations

import itertools
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.backup.model.objects import Entry, Kind, Known, Stat
from holdfast.backup.model.policy import NOLIMIT, BackupCopyGroup
from holdfast.backup.model.virtual import SourceVolume, TargetFile
from holdfast.backup.plan.difference import Verdict, difference, settle
from holdfast.backup.plan.domain import MountFact, local_filespaces, resolve
from holdfast.backup.plan.expiration import DAY_NS, Version, doomed, expired, over_age, over_count
from holdfast.backup.plan.reconciliation import Action, Row, reconcile

FACTS = Stat(0o100644, 0, 0, 5, 10, 20, 7, 1)


def entry(key: bytes, stat: Stat = FACTS, kind: Kind = Kind.FILE, mgmtclass: str = "C") -> Entry:
    return Entry(key, kind, stat, mgmtclass)


def known(key: bytes, stat: Stat = FACTS, kind: Kind = Kind.FILE, mgmtclass: str = "C") -> Known:
    return Known(key, kind, stat, b"", mgmtclass)


def changed(**fields: int) -> Stat:
    return msgspec.structs.replace(FACTS, **fields)


@pytest.mark.parametrize(
    ("here", "there", "verdict"),
    [
        (entry(b"a"), known(b"a"), Verdict.SKIP),
        (entry(b"a", mgmtclass="D"), known(b"a"), Verdict.REBIND),
        (entry(b"a"), None, Verdict.STORE),
        (None, known(b"a"), Verdict.EXPIRE),
        (entry(b"a", changed(size=6)), known(b"a"), Verdict.STORE),
        (entry(b"a", changed(mtime_ns=11)), known(b"a"), Verdict.STORE),
        (entry(b"a", changed(ino=8)), known(b"a"), Verdict.STORE),
        (entry(b"a", changed(ctime_ns=21)), known(b"a"), Verdict.RECHECK),
        (entry(b"a", kind=Kind.SYMLINK), known(b"a"), Verdict.STORE),
        (entry(b"a", changed(ctime_ns=21), Kind.FIFO), known(b"a", kind=Kind.FIFO), Verdict.STORE),
    ],
)
def test_verdict_of_one_object(here: Entry | None, there: Known | None, verdict: Verdict) -> None:
    found = list(difference([here] if here else [], [there] if there else []))
    assert [item.verdict for item in found] == [verdict]


def test_change_time_alone_is_settled_by_what_explains_it() -> None:
    touched = changed(ctime_ns=21)
    assert settle(entry(b"a", touched), known(b"a"), b"") is Verdict.STORE
    assert settle(entry(b"a", touched), known(b"a"), b"acl") is Verdict.UPDATE
    assert settle(entry(b"a", changed(ctime_ns=21, mode=0o100600)), known(b"a"), b"") is Verdict.UPDATE


def test_what_cannot_be_read_is_not_expired() -> None:
    local = [entry(b"d", kind=Kind.DIRECTORY), Entry(b"d", Kind.UNREADABLE, FACTS), entry(b"e")]
    server = [known(b"d", kind=Kind.DIRECTORY), known(b"d\0x"), known(b"d\0y\0z"), known(b"d-not-below"), known(b"e")]
    found = [(item.verdict, (item.known or item.entry).key) for item in difference(local, server)]  # type: ignore[union-attr]
    assert (Verdict.EXPIRE, b"d-not-below") in found
    assert not any(verdict is Verdict.EXPIRE and key.startswith(b"d\0") for verdict, key in found)


_keys = st.frozensets(st.binary(min_size=1, max_size=3), max_size=30)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(local=_keys, server=_keys)
def test_merge_is_the_difference_of_sets(local: frozenset[bytes], server: frozenset[bytes]) -> None:
    found = list(difference([entry(k) for k in sorted(local)], [known(k) for k in sorted(server)]))
    by_verdict: dict[Verdict, set[bytes]] = {}
    for item in found:
        key = item.entry.key if item.entry else item.known.key  # type: ignore[union-attr]
        by_verdict.setdefault(item.verdict, set()).add(key)
    assert by_verdict.get(Verdict.STORE, set()) == local - server
    assert by_verdict.get(Verdict.EXPIRE, set()) == server - local
    assert by_verdict.get(Verdict.SKIP, set()) == local & server
    assert len(found) == len(local | server)


GROUP = BackupCopyGroup("POOL", verexists=2, verdeleted=1, retextra_days=30, retonly_days=60)


def test_counts_keep_the_newest() -> None:
    active = [Version(1, 10, 20), Version(2, 20, 30), Version(3, 30, None)]
    assert over_count(active, GROUP) == [1]
    deleted = [Version(1, 10, 20), Version(2, 20, 30), Version(3, 30, 40)]
    assert sorted(over_count(deleted, GROUP)) == [1, 2]
    assert over_count(deleted, replace(GROUP, verdeleted=NOLIMIT)) == []


def test_days_count_from_inactivation_not_from_backup() -> None:
    version = Version(1, stored_ns=0, inactive_ns=100 * DAY_NS)
    active = Version(2, 100 * DAY_NS, None)
    assert over_age([version, active], GROUP, 129 * DAY_NS) == []
    assert over_age([version, active], GROUP, 130 * DAY_NS) == [1]


def test_last_version_of_a_deleted_object_has_its_own_days() -> None:
    versions = [Version(1, 1, 2), Version(2, 2, 3)]
    assert over_age(versions, GROUP, 31 * DAY_NS) == [1]
    assert over_age(versions, GROUP, 61 * DAY_NS) == [2, 1]


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    exists=st.booleans(),
    later=st.integers(0, 200),
    vere=st.integers(1, 5),
    verd=st.integers(0, 5),
)
def test_expiration_never_takes_the_active_version_and_is_stable(
    gaps: list[int], exists: bool, later: int, vere: int, verd: int
) -> None:
    group = replace(GROUP, verexists=vere, verdeleted=verd)
    days = [sum(gaps[:n]) for n in range(len(gaps) + 1)]
    versions = [Version(n, a * DAY_NS, b * DAY_NS) for n, (a, b) in enumerate(itertools.pairwise(days))]
    if exists:
        versions.append(Version(99, days[-1] * DAY_NS, None))
    now = (days[-1] + later) * DAY_NS
    gone = set(expired(versions, group, now))
    assert 99 not in gone
    left = [version for version in versions if version.id not in gone]
    assert len(left) <= (vere if exists else verd)
    assert expired(left, group, now) == []
    assert set(doomed([(v.id, v.stored_ns, v.inactive_ns) for v in versions], group, now)) == gone


def test_domain_statements_add_up_and_removal_wins() -> None:
    local = ["/", "/VCS", "/VCS1", "/home"]
    assert resolve(["-/VCS", "ALL-LOCAL -/VCS1"], local) == ["/", "/home"]
    assert resolve([], local) == local
    assert resolve(["/VCS/ /VCS1"], local) == ["/VCS", "/VCS1"]
    assert resolve(["-/home"], local) == ["/", "/VCS", "/VCS1"]


def test_all_local_is_limited_to_the_roots() -> None:
    mounts = [
        MountFact("/", "ext4"),
        MountFact("/lab/VCS", "ext4"),
        MountFact("/lab/nfs", "nfs"),
        MountFact("/t", "tmpfs"),
    ]
    assert local_filespaces(mounts, []) == ["/", "/lab/VCS"]
    assert local_filespaces(mounts, ["/lab"]) == ["/lab", "/lab/VCS"]
    assert local_filespaces(mounts, ["/laboratory"]) == ["/laboratory"]


V = SourceVolume("A.V", 10, 20, "POOL")
D = replace(V, pool="")
F = TargetFile("A.V", 10, 20, marked=False, present=True)
REPORT, AWAY, BACK = Action.REPORT, Action.VOLUME_UNAVAILABLE, Action.REACTIVATE
AUDIT, MARK = Action.ADVISE_AUDIT, Action.MARK_FILE
MATRIX = [
    (V, None, Row.NO_FILE, (REPORT, AWAY)),
    (V, replace(F, present=False), Row.NO_FILE, (REPORT, AWAY)),
    (D, None, Row.NO_FILE, (REPORT,)),
    (V, replace(F, marked=True), Row.MARKED, (REPORT, BACK, AWAY, AUDIT)),
    (V, replace(F, marked=True, size_bytes=9), Row.MARKED, (REPORT, AWAY)),
    (D, replace(F, marked=True), Row.MARKED, (REPORT,)),
    (V, replace(F, size_bytes=9), Row.DIFFERENT, (REPORT, AWAY, AUDIT)),
    (V, replace(F, written_ns=9), Row.DIFFERENT, (REPORT, AWAY, AUDIT)),
    (D, replace(F, size_bytes=9), Row.DIFFERENT, (REPORT,)),
    (V, F, None, ()),
    (D, F, None, ()),
    (None, F, Row.UNKNOWN_FILE, (REPORT, MARK)),
    (None, replace(F, marked=True), None, ()),
]


@pytest.mark.parametrize(("volume", "file", "row", "actions"), MATRIX)
def test_reconciliation_matrix(
    volume: SourceVolume | None, file: TargetFile | None, row: Row | None, actions: tuple[Action, ...]
) -> None:
    fixed = reconcile([volume] if volume else [], [file] if file else [], fix=True)
    looked = reconcile([volume] if volume else [], [file] if file else [], fix=False)
    if row is None:
        assert fixed == looked == []
        return
    assert [(finding.row, finding.actions) for finding in fixed] == [(row, actions)]
    assert [(finding.row, finding.actions) for finding in looked] == [(row, (REPORT,))]
