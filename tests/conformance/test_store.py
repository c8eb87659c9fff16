"""The store port's promises, run over every driver: embedded in one file, served, in a real etcd, and in memory."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from holdfast.cluster.service.ownkeys import OwnKeys
from holdfast.kernel.errors import Unavailable
from holdfast.runtime import authority, identity
from holdfast.store.drivers.embedded import EmbeddedStore
from holdfast.store.drivers.memory import MemoryStore
from holdfast.store.drivers.served import ServedStore
from holdfast.store.port import Change, Committed, Compare, Conflict, Delete, Put, Store
from holdfast.store.server import StoreServer

sys.path.insert(0, str(Path(__file__).parent.parent / "live"))

from etcdlab import LEAST_LEASE_S, EtcdLab, needs_etcd

Opened = Callable[[], "asyncio.Future[Store]"]
DRIVERS = ["memory", "embedded", "served", "etcd"]
LEASES_S = {"etcd": LEAST_LEASE_S}
LAPSES_S = {"etcd": 3.0}
_labs: list[EtcdLab] = []


@pytest.fixture(scope="module", autouse=True)
def one_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The etcd of this module's tests: started by the first that needs it."""
    _labs.append(EtcdLab(tmp_path_factory.mktemp("etcd")))
    yield
    _labs.pop().stop()


@asynccontextmanager
async def opened(driver: str, directory: Path) -> AsyncIterator[Store]:
    """One store of the given driver, closed at the end."""
    if driver == "memory":
        yield MemoryStore()
        return
    if driver == "etcd":
        needs_etcd()
        _labs[0].start()
        in_etcd = _labs[0].store(f"{uuid.uuid4().hex}/")
        yield in_etcd
        await in_etcd.transact([], [Delete(key) for key in list((await in_etcd.read("")).entries)[:100]])
        await in_etcd.close()
        return
    embedded = EmbeddedStore(directory / "store.db")
    if driver == "embedded":
        yield embedded
        await embedded.close()
        return
    authority.create_authority(directory / "ca")
    for name in ("store:witness", "system:hosta"):
        identity.save_identity(authority.issue(directory / "ca", name), directory / name)
    server = StoreServer(embedded, identity.server_context(directory / "store:witness"))
    port = await server.start("127.0.0.1", 0)
    client = identity.client_context(directory / "system:hosta")
    served = ServedStore("127.0.0.1", port, client, identity.host_label("store:witness"))
    yield served
    await served.close()
    await server.stop()
    await embedded.close()


def run(driver: str, directory: Path, check: Callable[[Store], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(driver, directory) as store, asyncio.timeout(20):
            await check(store)

    asyncio.run(main())


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_commit_is_all_or_nothing(driver: str, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        first = await store.transact([Compare("a", 0)], [Put("a", b"1"), Put("b", b"2")])
        assert isinstance(first, Committed)
        lost = await store.transact([Compare("a", first.revision), Compare("b", 0)], [Put("a", b"9"), Delete("b")])
        assert lost == Conflict("b", first.revision)
        snapshot = await store.read("")
        assert {key: entry.value for key, entry in snapshot.entries.items()} == {"a": b"1", "b": b"2"}
        assert snapshot.revision == first.revision

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_of_two_racing_transactions_one_wins(driver: str, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        for turn in range(10):
            base = (await store.read("counter")).entries.get("counter")
            revision = base.revision if base else 0
            outcomes = await asyncio.gather(
                *(store.transact([Compare("counter", revision)], [Put("counter", b"%d" % n)]) for n in range(4))
            )
            assert sum(isinstance(outcome, Committed) for outcome in outcomes) == 1, turn

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_lapsed_lease_takes_its_keys_and_refuses_new_ones(driver: str, tmp_path: Path) -> None:
    ttl_s = LEASES_S.get(driver, 1.0)

    async def check(store: Store) -> None:
        lease = await store.grant(ttl_s)
        await store.transact([], [Put("life/a", b"up", lease), Put("life/b", b"stays")])
        for _ in range(3):
            await asyncio.sleep(ttl_s / 2)
            renewed = time.monotonic()
            assert await store.renew(lease)
        assert set((await store.read("life/")).entries) == {"life/a", "life/b"}
        while "life/a" in (await store.read("life/")).entries:
            assert time.monotonic() < renewed + ttl_s + LAPSES_S.get(driver, 0.5)
            await asyncio.sleep(0.02)
        assert time.monotonic() >= renewed + ttl_s, "a lease never ends before its time"
        assert set((await store.read("life/")).entries) == {"life/b"}
        assert not await store.renew(lease)
        alive = await store.grant(60)
        refused = await store.transact([], [Put("life/d", b"", alive), Put("life/c", b"", lease)])
        assert refused == Conflict("life/c", 0)

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_watch_shows_every_commit_once_in_order_and_soon(driver: str, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        start = (await store.read("")).revision
        seen: list[Change] = []
        delays: list[float] = []
        loop = asyncio.get_running_loop()
        written: dict[bytes, float] = {}

        async def watch() -> None:
            async for changes in store.watch("w/", start):
                for change in changes:
                    seen.append(change)
                    if change.value in written:
                        delays.append(loop.time() - written[change.value])

        watcher = asyncio.create_task(watch())
        for number in range(30):
            value = b"%d" % number
            written[value] = loop.time()
            await store.transact([], [Put("w/key", value), Put("other", value)])
        await store.transact([], [Delete("w/key")])
        while not seen or seen[-1].value is not None:
            await asyncio.sleep(0.01)
        watcher.cancel()
        assert [change.value for change in seen] == [b"%d" % n for n in range(30)] + [None]
        assert [c.revision for c in seen] == sorted({c.revision for c in seen})
        assert sorted(delays)[len(delays) // 2] < 0.5

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_watch_from_a_revision_still_to_come_shows_nothing_before_it(driver: str, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        now = (await store.transact([], [Put("f/0", b"0")])).revision
        waiting = asyncio.ensure_future(anext(aiter(store.watch("f/", now + 2))))
        for number in range(1, 4):
            await asyncio.sleep(0.1)
            await store.transact([], [Put(f"f/{number}", b"%d" % number)])
        assert [change.key for change in await waiting] == ["f/3"]

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_lapse_is_seen_by_a_watcher_though_nobody_else_calls(driver: str, tmp_path: Path) -> None:
    if driver == "memory":
        pytest.skip("the memory store lapses leases only when it is called")

    async def check(store: Store) -> None:
        lease = await store.grant(0.2)
        await store.transact([], [Put("gone", b"", lease)])
        async for changes in store.watch("gone", (await store.read("")).revision):
            assert changes[0].value is None
            return

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_late_write_of_a_dead_predecessor_changes_nothing(driver: str, tmp_path: Path) -> None:
    """The commit that a killed daemon left in its connection arrives when its successor has written already."""

    async def check(store: Store) -> None:
        dead, living = OwnKeys(store), OwnKeys(store)
        assert await dead.put([Put("facts/hosta/web", b"old"), Put("systems/hosta", b"1")])
        late = [Compare(key, revision) for key, revision in dead._revisions.items()]
        assert await living.put([Put("systems/hosta", b"2"), Put("facts/hosta/web", b"new")])
        assert isinstance(await store.transact(late, [Put("facts/hosta/web", b"older")]), Conflict)
        assert (await store.read("facts/")).entries["facts/hosta/web"].value == b"new"
        assert await living.put([Put("facts/hosta/web", b"newer")])
        await store.transact([], [Put("facts/hosta/web", b"by a hand"), Delete("systems/hosta")])
        assert await living.put([Put("facts/hosta/web", b"newest"), Put("systems/hosta", b"3")])
        assert (await store.read("facts/")).entries["facts/hosta/web"].value == b"newest"

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_write_under_a_lease_that_is_gone_is_told(driver: str, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        mine, lease = OwnKeys(store), await store.grant(60.0)
        assert await mine.put([Put("systems/hosta", b"1", lease)])
        await store.revoke(lease)
        assert not await mine.put([Put("systems/hosta", b"2", lease)])
        assert await mine.put([Put("systems/hosta", b"2", await store.grant(60.0))])

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_random_calls_agree_with_a_naive_model(driver: str, tmp_path: Path, rng: random.Random) -> None:
    async def check(store: Store) -> None:
        model: dict[str, tuple[bytes, int]] = {}
        for _ in range(150):
            keys = [f"k/{rng.randrange(6)}" for _ in range(rng.randint(0, 2))]
            compares = [
                Compare(k, model[k][1] if k in model and rng.random() < 0.8 else rng.choice([0, 1])) for k in keys
            ]
            writes = [
                Put(f"k/{rng.randrange(6)}", rng.randbytes(3))
                if rng.random() < 0.7
                else Delete(f"k/{rng.randrange(6)}")
                for _ in range(rng.randint(1, 3))
            ]
            holds = all((model[c.key][1] if c.key in model else 0) == c.revision for c in compares)
            outcome = await store.transact(compares, writes)
            assert isinstance(outcome, Committed) is holds
            for write in writes if isinstance(outcome, Committed) else []:
                if isinstance(write, Put):
                    model[write.key] = (write.value, outcome.revision)
                else:
                    model.pop(write.key, None)
            found = await store.read("k/")
            assert {k: (e.value, e.revision) for k, e in found.entries.items()} == model

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_of_several_writes_of_one_key_the_last_counts(driver: str, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        first = await store.transact([], [Put("a", b"1"), Put("b", b"1")])
        await store.transact(
            [], [Delete("a"), Put("a", b"2"), Put("b", b"2"), Delete("b"), Put("c", b"3"), Put("c", b"4")]
        )
        found = (await store.read("")).entries
        assert {key: entry.value for key, entry in found.items()} == {"a": b"2", "c": b"4"}
        assert {entry.revision for entry in found.values()} == {first.revision + 1}
        async for changes in store.watch("", first.revision):
            assert {change.key: change.value for change in changes} == {"a": b"2", "b": None, "c": b"4"}
            return

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_read_of_any_size_is_one_revision(driver: str, tmp_path: Path) -> None:
    """Commits set the first and the last of 2,400 keys together; no read sees one without the other."""
    keys = [f"big/{number:04}" for number in range(2400)]

    async def check(store: Store) -> None:
        for at in range(0, len(keys), 100):
            await store.transact([], [Put(key, b"0") for key in keys[at : at + 100]])
        ends = [keys[0], keys[-1]]
        await store.transact([], [Put(key, b"0") for key in ends])

        async def write() -> None:
            for number in range(1, 40):
                await store.transact([], [Put(key, b"%d" % number) for key in ends])
                await asyncio.sleep(0.005)

        writer = asyncio.create_task(write())
        seen = set()
        while not writer.done():
            await asyncio.sleep(0)  # the memory store answers without giving way
            snapshot = await store.read("big/")
            assert list(snapshot.entries) == keys
            first, last = (snapshot.entries[key] for key in ends)
            assert first == last
            assert first.revision <= snapshot.revision
            seen.add(first.value)
        await writer
        assert len(seen) > 1

    run(driver, tmp_path, check)


@pytest.mark.parametrize("driver", DRIVERS)
def test_128_operations_and_a_mebibyte_can_be_had_of_every_driver(driver: str, tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        writes = [Put(f"k/{number}", b"x" * 8192) for number in range(128)]
        compares = [Compare(write.key, 0) for write in writes]
        assert isinstance(await store.transact(compares, writes), Committed)
        assert len((await store.read("k/")).entries) == 128
        assert isinstance(await store.transact(compares, writes), Conflict)

    run(driver, tmp_path, check)


def _append_until_killed(path: Path, acknowledged: Path) -> None:
    async def main() -> None:
        store = EmbeddedStore(path)
        with acknowledged.open("ab", buffering=0) as log:
            for number in range(100_000):
                await store.transact([], [Put(f"{os.getpid()}/{number:06}", b"x")])
                log.write(b"%d/%06d\n" % (os.getpid(), number))

    asyncio.run(main())


def test_processes_share_one_file_and_kill_9_loses_nothing_acknowledged(tmp_path: Path, rng: random.Random) -> None:
    path, log = tmp_path / "store.db", tmp_path / "acknowledged"
    asyncio.run(EmbeddedStore(path).close())
    writers = [multiprocessing.Process(target=_append_until_killed, args=(path, log)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(0.5 + rng.random())
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()

    async def keys() -> set[str]:
        return set((await EmbeddedStore(path).read("")).entries)

    promised = set(log.read_text().split())
    assert len(promised) > 10
    assert promised <= asyncio.run(keys())
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_store_file_that_was_replaced_is_unavailable_not_an_empty_store(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "store.db"
        store = EmbeddedStore(path)
        await store.transact([], [Put("a", b"1")])
        path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(Unavailable):
            await store.read("")
        EmbeddedStore(path)
        with pytest.raises(Unavailable):
            await store.transact([], [Put("a", b"2")])

    asyncio.run(main())


def test_a_store_that_stops_answering_is_unavailable_within_the_call_timeout(tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        assert isinstance(store, ServedStore)
        await store.transact([], [Put("a", b"1")])
        stranger = ServedStore("127.0.0.1", 1, store._context, "store-witness", call_timeout_s=0.5)
        with pytest.raises(Unavailable):
            await stranger.read("")

    run("served", tmp_path, check)
