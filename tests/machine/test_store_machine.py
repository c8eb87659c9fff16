"""The store against a naive model: two handles, as two processes would hold them, any order of calls, one history."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.store.drivers.embedded import EmbeddedStore
from holdfast.store.drivers.memory import MemoryStore
from holdfast.store.port import Change, Committed, Compare, Conflict, Delete, Put, Store

sys.path.insert(0, str(Path(__file__).parent.parent / "live"))

from etcdlab import EtcdLab, needs_etcd

KEYS = st.sampled_from(["a", "a/1", "a/2", "b", "b/1"])
WRITES = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.binary(max_size=3)), st.integers(0, 3)), max_size=3)
LONG_S = 600.0
Result = TypeVar("Result")


async def _bounded(call: Awaitable[Result]) -> Result:
    async with asyncio.timeout(20):
        return await call


class StoreMachine(RuleBasedStateMachine):
    """Keys, leases and history as a dictionary, a set and a list; the driver must agree after every call."""

    driver = "memory"
    last_only = False
    """Of a key that one commit makes and deletes a watch shows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.place = tempfile.TemporaryDirectory(prefix="hf-store-")
        self.entries: dict[str, tuple[bytes, int, int]] = {}
        self.leases: list[int] = []
        self.ended: set[int] = set()
        self.history: list[tuple[int, dict[str, bytes | None]]] = []
        self.handles: list[Store] = []
        self.root = f"{uuid.uuid4().hex}/"

    def wait(self, call: Awaitable[Result]) -> Result:
        return self.loop.run_until_complete(_bounded(call))

    def open(self) -> Store:
        return EmbeddedStore(Path(self.place.name) / "store.db")

    @initialize()
    def begin(self) -> None:
        self.handles = [MemoryStore()] * 2 if self.driver == "memory" else [self.open(), self.open()]
        self.start = self.wait(self.handles[0].read("")).revision

    @property
    def revision(self) -> int:
        return self.history[-1][0] if self.history else self.start

    @rule(who=st.integers(0, 1), names=st.lists(KEYS, max_size=2), right=st.booleans(), writes=WRITES)
    def transact(self, who: int, names: list[str], right: bool, writes: list[tuple[str, bytes | None, int]]) -> None:
        known = {name: self.entries[name][1] if name in self.entries else 0 for name in names}
        compares = [Compare(name, known[name] if right else known[name] + 1) for name in names]
        asked: list[Put | Delete] = []
        for key, value, lease in writes:
            chosen = self.leases[lease % len(self.leases)] if lease and self.leases else 0
            asked.append(Delete(key) if value is None else Put(key, value, chosen))
        dead = any(isinstance(one, Put) and one.lease in self.ended for one in asked)
        done = self.wait(self.handles[who].transact(compares, asked))
        if (names and not right) or dead:
            assert isinstance(done, Conflict)
            return
        assert isinstance(done, Committed)
        changed: dict[str, bytes | None] = {}
        before = set(self.entries)
        for one in asked:
            if isinstance(one, Put):
                self.entries[one.key] = (one.value, done.revision, one.lease)
                changed[one.key] = one.value
            elif self.entries.pop(one.key, None) is not None:
                changed[one.key] = None
        if self.last_only:
            changed = {key: value for key, value in changed.items() if value is not None or key in before}
        if changed:
            assert done.revision > self.revision
            self.history.append((done.revision, changed))

    @rule(who=st.integers(0, 1))
    def grant(self, who: int) -> None:
        lease = self.wait(self.handles[who].grant(LONG_S))
        assert lease
        assert lease not in self.leases
        self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(who=st.integers(0, 1), which=st.integers(0, 9))
    def revoke(self, who: int, which: int) -> None:
        lease = self.leases[which % len(self.leases)]
        self.wait(self.handles[who].revoke(lease))
        self.ended.add(lease)
        gone = [key for key, entry in self.entries.items() if entry[2] == lease]
        for key in gone:
            del self.entries[key]
        if gone:
            self.history.append((self.wait(self.handles[who].read("")).revision, dict.fromkeys(gone)))

    @precondition(lambda self: self.leases)
    @rule(who=st.integers(0, 1), which=st.integers(0, 9))
    def renew(self, who: int, which: int) -> None:
        lease = self.leases[which % len(self.leases)]
        assert self.wait(self.handles[who].renew(lease)) is (lease not in self.ended)

    @rule(who=st.integers(0, 1))
    def come_back(self, who: int) -> None:
        """A process ends and another opens the file."""
        if self.driver != "memory":
            self.wait(self.handles[who].close())
            self.handles[who] = self.open()

    @precondition(lambda self: self.history)
    @rule(who=st.integers(0, 1), back=st.integers(0, 20), prefix=st.sampled_from(["", "a", "a/", "b"]))
    def watch(self, who: int, back: int, prefix: str) -> None:
        """Whoever watches from any moment of the past sees every later commit once, whole and in order."""
        after = self.history[-1 - min(back, len(self.history) - 1)][0] - 1
        expected = [
            (revision, {key: value for key, value in changed.items() if key.startswith(prefix)})
            for revision, changed in self.history
            if revision > after
        ]
        expected = [one for one in expected if one[1]]
        seen = self.wait(self._seen(self.handles[who], prefix, after, len(expected)))
        assert [({change.revision for change in one}, {c.key: c.value for c in one}) for one in seen] == [
            ({revision}, changed) for revision, changed in expected
        ]

    async def _seen(self, store: Store, prefix: str, after: int, count: int) -> list[tuple[Change, ...]]:
        found: list[tuple[Change, ...]] = []
        watcher: Any = store.watch(prefix, after)
        try:
            while len(found) < count:
                found.append(await anext(watcher))
        finally:
            await watcher.aclose()
        return found

    @invariant()
    def every_handle_shows_the_same(self) -> None:
        for handle in self.handles:
            for prefix in ("", "a/"):
                snapshot = self.wait(handle.read(prefix))
                seen = {key: (one.value, one.revision, one.lease) for key, one in snapshot.entries.items()}
                assert seen == {key: one for key, one in self.entries.items() if key.startswith(prefix)}
                assert snapshot.revision >= self.revision

    def teardown(self) -> None:
        for handle in self.handles:
            self.wait(handle.close())
        self.loop.close()
        self.place.cleanup()


class EmbeddedMachine(StoreMachine):
    """The same over one SQLite file."""

    driver = "embedded"


class EtcdMachine(StoreMachine):
    """The same in a real etcd, each run under a root of its own."""

    driver = "etcd"
    last_only = True
    lab: EtcdLab

    def open(self) -> Store:
        return self.lab.store(self.root)


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdLab]:
    """One member."""
    needs_etcd()
    made = EtcdLab(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_etcd_agrees_with_a_naive_model(etcd: EtcdLab) -> None:
    EtcdMachine.lab = etcd
    test_the_store_agrees_with_a_naive_model(EtcdMachine)


@pytest.mark.parametrize("machine", [StoreMachine, EmbeddedMachine])
def test_the_store_agrees_with_a_naive_model(machine: type[StoreMachine]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30 if machine is StoreMachine else 12,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
