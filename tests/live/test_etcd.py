"""Three real etcd members that are killed, stopped and cut down to one: the store waits, goes on and loses nothing."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from clusterlab import apps
from etcdcluster import EtcdCluster
from etcdlab import EtcdLab, EtcdMember, free_ports, needs_etcd

from holdfast.app.store import check_store, open_store
from holdfast.kernel.errors import InputError, Refused, Unavailable
from holdfast.runtime import authority, identity
from holdfast.store.drivers import etcd as driver
from holdfast.store.drivers.etcd import EtcdStore
from holdfast.store.port import Change, Committed, Compare, Conflict, Put

LIMIT_S = 2.0
SLACK_S = 0.6
RECOVERED_S = 15.0
LEASE_S = 5


def lab_of(directory: Path, count: int, *options: str) -> Iterator[EtcdLab]:
    needs_etcd()
    made = EtcdLab(directory, count, options)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def one(tmp_path: Path) -> Iterator[EtcdLab]:
    """One member."""
    yield from lab_of(tmp_path / "etcd", 1)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[EtcdLab]:
    """Three members that have elected a leader."""
    yield from lab_of(tmp_path / "etcd", 3)


@asynccontextmanager
async def opened(lab: EtcdLab, first: EtcdMember | None = None) -> AsyncIterator[EtcdStore]:
    """A store; with ``first`` it asks that member before the others."""
    at = lab.members.index(first) if first else 0
    store = EtcdStore(lab.addresses[at:] + lab.addresses[:at], lab.tls, call_timeout_s=LIMIT_S)
    try:
        yield store
    finally:
        await store.close()


def asked(main: Callable[[], Awaitable[None]], limit_s: float = 60.0) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(limit_s):
            await main()

    asyncio.run(bounded())


async def until_written(store: EtcdStore, key: str) -> float:
    """Write until it succeeds; return how many seconds that took. No call is longer than the limit."""
    began = time.monotonic()
    while True:
        call = time.monotonic()
        try:
            await store.transact([], [Put(key, b"after")])
        except Unavailable:
            assert time.monotonic() - call < LIMIT_S + SLACK_S
            assert time.monotonic() - began < RECOVERED_S
            continue
        return time.monotonic() - began


# --- one member: limits, history, identity


def test_more_than_etcd_takes_at_once_is_refused_with_a_remedy(one: EtcdLab) -> None:
    async def main() -> None:
        async with opened(one) as store:
            with pytest.raises(Refused) as refused:
                await store.transact([], [Put(f"k/{number}", b"") for number in range(129)])
            assert refused.value.refusal.code == "store-too-many-operations"
            for size in (1_600_000, 5_000_000):
                with pytest.raises(Refused) as refused:
                    await store.transact([], [Put("large", b"x" * size)])
                assert refused.value.refusal.code == "store-too-large"
                assert "--max-request-bytes" in refused.value.refusal.remedy
            assert (await store.read("")).entries == {}

    asked(main)


def test_compacted_history_is_unavailable_and_says_what_to_do(one: EtcdLab) -> None:
    async def main() -> None:
        async with opened(one) as store:
            for number in range(5):
                done = await store.transact([], [Put("a", b"%d" % number)])
            assert isinstance(done, Committed)
            one.compact(done.revision - 1)
            with pytest.raises(Unavailable) as gone:
                await anext(aiter(store.watch("", 1)))
            assert f"history before revision {done.revision - 1} is gone" in gone.value.message
            assert gone.value.remedy == "read again, then watch"
            (change,) = await anext(aiter(store.watch("", done.revision - 1)))
            assert change == Change("a", b"4", done.revision)

    asked(main)


def test_a_read_in_pages_that_is_compacted_meanwhile_begins_anew(one: EtcdLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "PAGE_KEYS", 10)

    async def main() -> None:
        async with opened(one) as store, opened(one) as other:
            await store.transact([], [Put(f"k/{number:02}", b"0") for number in range(40)])
            ask, turns = store._members.ask, 0

            async def meanwhile(method: str, request: bytes) -> bytes:
                nonlocal turns
                turns += 1
                if turns == 2:
                    done = await other.transact([], [Put(f"k/{number:02}", b"1") for number in range(40)])
                    await asyncio.to_thread(one.compact, done.revision)
                return await ask(method, request)

            monkeypatch.setattr(store._members, "ask", meanwhile)
            found = (await store.read("k/")).entries
            assert len(found) == 40
            assert {entry.value for entry in found.values()} == {b"1"}
            assert turns > 4

    asked(main)


def test_a_watch_of_a_revision_to_come_shows_nothing_before_it(one: EtcdLab) -> None:
    async def main() -> None:
        async with opened(one) as store:
            now = (await store.read("")).revision
            waiting = asyncio.ensure_future(anext(aiter(store.watch("", now + 2))))
            for number in range(3):
                await asyncio.sleep(0.05)
                await store.transact([], [Put("a", b"%d" % number)])
            assert [change.value for change in await waiting] == [b"2"]

    asked(main)


def test_only_identities_of_the_authority_and_only_the_named_peer(one: EtcdLab, tmp_path: Path) -> None:
    authority.create_authority(tmp_path / "stranger")
    identity.save_identity(authority.issue(tmp_path / "stranger", "system:hosta"), tmp_path / "hosta")

    async def main() -> None:
        for url in (
            one.url.replace(str(one.identity), str(tmp_path / "hosta")),
            f"{one.url}&peer=store:other",
            f"{one.url}&peer=address",
        ):
            store = open_store(url)
            with pytest.raises(Unavailable):
                await store.read("")
            await store.close()
        store = open_store(one.url)
        await store.transact([], [Put("a", b"1")])
        await store.close()
        elsewhere = open_store(one.url.replace("?", "/other?"))
        assert (await elsewhere.read("")).entries == {}
        await elsewhere.close()

    asked(main)


@pytest.mark.parametrize(
    "url", ["etcd://", "etcd://host", "etcd://a:1,b", "etcd://a:0", "etcd://a:99999", "etcd://:1,"]
)
def test_a_url_that_names_no_members_is_an_input_error(url: str) -> None:
    with pytest.raises(InputError, match="is not a store"):
        check_store(url)


def test_nobody_there_is_unavailable_at_once(one: EtcdLab) -> None:
    async def main() -> None:
        store = EtcdStore([f"127.0.0.1:{free_ports('127.0.0.1', 1)[0]}"], one.tls)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="cannot be reached"):
            await store.read("")
        assert time.monotonic() - began < LIMIT_S
        await store.close()

    asked(main)


def test_another_cluster_at_the_same_address_is_not_this_store(one: EtcdLab, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(one) as store:
            await store.transact([], [Put("a", b"1")])
            one.members[0].signal(signal.SIGKILL)
            (tmp_path / "etcd" / "m0").rename(tmp_path / "etcd" / "lost")
            one.options = ("--initial-cluster-token=another",)
            await asyncio.to_thread(one.start)
            said = ""
            while "is not the cluster" not in said:
                with pytest.raises(Unavailable) as refused:
                    await store.read("")
                said = refused.value.message

    asked(main)


@asynccontextmanager
async def relay(member: EtcdMember) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A line to ``member``: its address, and an event after which requests arrive and answers do not."""
    deaf = asyncio.Event()
    tasks = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool) -> None:
        while data := await reader.read(65536):
            if not (answers and deaf.is_set()):
                writer.write(data)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(member.host, member.client_port)
        for one in (copy(reader, back, False), copy(there, writer, True)):
            tasks.add(asyncio.create_task(one))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", deaf
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_a_transaction_whose_answer_is_lost_is_not_sent_again(one: EtcdLab) -> None:
    """A second try would answer "conflict" to a change that took effect."""

    async def main() -> None:
        async with relay(one.members[0]) as (address, deaf):
            store = EtcdStore([address, *one.addresses], one.tls, call_timeout_s=LIMIT_S)
            start = (await store.read("")).revision
            deaf.set()
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await store.transact([Compare("a", 0)], [Put("a", b"1")])
            assert time.monotonic() - began < LIMIT_S
            found = (await store.read("")).entries
            assert {key: (entry.value, entry.revision) for key, entry in found.items()} == {"a": (b"1", start + 1)}
            await store.close()

    asked(main)


def test_a_watch_whose_line_goes_dead_goes_on_through_another(one: EtcdLab) -> None:
    async def main() -> None:
        async with relay(one.members[0]) as (address, deaf), opened(one) as writer:
            store = EtcdStore([address, *one.addresses], one.tls, call_timeout_s=LIMIT_S)
            start = (await store.read("")).revision
            shown: list[bytes | None] = []
            watcher = store.watch("", start)
            for number in range(20):
                if number == 10:
                    deaf.set()
                await writer.transact([], [Put("a", b"%d" % number)])
                if number in (9, 19):
                    while len(shown) <= number:
                        shown += [change.value for change in await anext(aiter(watcher))]
            assert shown == [b"%d" % number for number in range(20)]
            await store.close()

    asked(main)


def test_a_watch_whose_caller_is_slow_keeps_its_member(one: EtcdLab) -> None:
    """What the caller does with a commit may take long; the member is asked for a sign of life before it is left."""

    async def main() -> None:
        store = EtcdStore(one.addresses * 2, one.tls, call_timeout_s=LIMIT_S)
        watcher = aiter(store.watch("", (await store.read("")).revision))
        used = store._members.current
        await store.transact([], [Put("a", b"1")])
        await anext(watcher)
        await asyncio.sleep(driver.SIGN_OF_LIFE_S * 4)
        waiting = asyncio.ensure_future(anext(watcher))
        await asyncio.sleep(driver.SIGN_OF_LIFE_S * 4)
        assert store._members.current is used
        await store.transact([], [Put("a", b"2")])
        assert [change.value for change in await waiting] == [b"2"]
        await store.close()

    asked(main)


# --- three members


def test_a_killed_member_is_left_for_another(three: EtcdLab) -> None:
    async def main() -> None:
        follower = next(one for one in three.members if one is not three.leader())
        async with opened(three, follower) as store:
            await store.transact([], [Put("a", b"1")])
            follower.signal(signal.SIGKILL)
            await store.read("")
            assert await until_written(store, "a") < LIMIT_S

    asked(main)


async def agreed_upon(store: EtcdStore, lease: int) -> bool:
    """Return whether the lease lives, once every call says the same: the old leader may revoke it between two of them
    (etcd issue 15247)."""
    end = time.monotonic() + RECOVERED_S
    while True:
        alive = await store.renew(lease)
        keys = set((await store.read("")).entries)
        done = await store.transact([], [Put("life", b"2", lease)])
        if keys == ({"a", "life"} if alive else {"a"}) and isinstance(done, Committed if alive else Conflict):
            return alive
        assert time.monotonic() < end, f"alive {alive}, keys {keys}, {done}"


def test_a_stopped_leader_delays_no_call_beyond_its_limit(three: EtcdLab) -> None:
    async def main() -> None:
        leader = three.leader()
        async with opened(three, leader) as store:
            lease = await store.grant(LEASE_S)
            await store.transact([], [Put("life", b"1", lease)])
            leader.signal(signal.SIGSTOP)
            took = await until_written(store, "a")
            print(f"leader stopped: written after {took:.2f} s")
            assert await store.renew(lease), "a lease survives the change of leader"
            for _ in range(LEASE_S * 2):  # until the stopped leader, by its own clock, thinks that it lapsed
                await asyncio.sleep(0.5)
                assert await store.renew(lease)
            leader.signal(signal.SIGCONT)
            await asyncio.sleep(1.0)
            alive = await agreed_upon(store, lease)
            print(f"the lease {'outlived' if alive else 'was revoked by'} the leader that woke up")

    asked(main)


def test_without_a_majority_every_call_is_unavailable_and_then_recovers(three: EtcdLab) -> None:
    async def main() -> None:
        async with opened(three) as store:
            lease = await store.grant(30)
            await store.transact([], [Put("a", b"1")])
            watcher = store.watch("", (await store.read("")).revision)
            waiting = asyncio.ensure_future(anext(aiter(watcher)))
            for member in three.members[1:]:
                member.signal(signal.SIGKILL)
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: store.read(""),
                lambda: store.transact([], [Put("b", b"1")]),
                lambda: store.grant(5),
                lambda: store.renew(lease),
                lambda: store.revoke(lease),
            ]
            for call in calls:
                began = time.monotonic()
                with pytest.raises(Unavailable):
                    await call()
                assert time.monotonic() - began < LIMIT_S + SLACK_S
            with pytest.raises(Unavailable):
                await waiting
            await asyncio.to_thread(three.start)
            print(f"recovered after {await until_written(store, 'c'):.2f} s")
            assert (await store.read("a")).entries["a"].value == b"1"

    asked(main)


def test_members_that_die_and_hang_lose_no_write_and_no_event(three: EtcdLab, rng: random.Random) -> None:
    """Two writers and a watcher through three faults: each acknowledged write is there once and was shown once."""
    acknowledged: dict[str, int] = {}
    unknown: set[str] = set()
    seen: list[Change] = []

    async def write(store: EtcdStore, who: str, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            key = f"w/{who}/{number:05}"
            try:
                done = await store.transact([Compare(key, 0)], [Put(key, b"x"), Put(f"last/{who}", key.encode())])
            except Unavailable:
                unknown.add(key)
                continue
            assert isinstance(done, Committed), key
            acknowledged[key] = done.revision
            await asyncio.sleep(0.005)

    async def watch(store: EtcdStore, after: int) -> None:
        while True:
            with suppress(Unavailable):  # what a user does: go on from the last commit that it has
                async for changes in store.watch("", after):
                    assert len(changes) == 2 or changes[0].key == "w/end", "a commit is shown whole"
                    after = changes[0].revision
                    seen.extend(changes)

    async def main() -> None:
        async with opened(three) as first, opened(three, three.members[1]) as second:
            stop = asyncio.Event()
            start = (await first.read("")).revision
            tasks = [asyncio.create_task(write(first, "a", stop)), asyncio.create_task(write(second, "b", stop))]
            watcher = asyncio.create_task(watch(first, start))
            for fault in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL):
                await asyncio.sleep(0.5 + rng.random())
                member = await asyncio.to_thread(rng.choice([three.leader, lambda: rng.choice(three.members)]))
                member.signal(fault)
                await asyncio.sleep(1.5 + rng.random())
                if fault == signal.SIGSTOP:
                    member.signal(signal.SIGCONT)
                await asyncio.to_thread(three.start)
            stop.set()
            await asyncio.gather(*tasks)
            await until_written(first, "w/end")
            entries = (await first.read("w/")).entries
            async with asyncio.timeout(RECOVERED_S):
                while not any(change.revision == entries["w/end"].revision for change in seen):
                    assert not watcher.done(), watcher
                    await asyncio.sleep(0.05)
            watcher.cancel()
            assert {key: entries[key].revision for key in acknowledged} == acknowledged
            assert set(entries) - set(acknowledged) - unknown == {"w/end"}
            del entries["w/end"]  # may have been written twice
            shown = [(one.key, one.revision) for one in seen if one.key.startswith("w/") and one.key != "w/end"]
            print(f"{len(acknowledged)} acknowledged, {len(unknown)} unknown, {len(shown)} shown")
            assert shown == sorted(((key, entry.revision) for key, entry in entries.items()), key=lambda one: one[1])

    asked(main)


# --- the cluster over it


@pytest.fixture
def cluster(three: EtcdLab, tmp_path: Path) -> Iterator[EtcdCluster]:
    """Two systems on three members."""
    made = EtcdCluster(tmp_path, three)
    try:
        yield made
    finally:
        made.stop()


def test_a_cluster_on_etcd_starts_switches_outlives_a_leader_and_takes_over(cluster: EtcdCluster) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"), 20)
    listed = subprocess.run(
        [sys.executable, "-m", "holdfast", "group", "list", "--store", cluster.url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "web" in listed
    cluster.request("group.switch", system="beta")
    cluster.until(cluster.online_on("beta"), 20)
    service = apps(cluster.directory)
    assert len(service) == 1
    cluster.etcd.leader().signal(signal.SIGKILL)
    time.sleep(4.0)
    cluster.etcd.start()
    assert cluster.online_on("beta")(cluster.state())
    assert apps(cluster.directory) == service, "the loss of one member is no fault of a system"
    for pid in cluster.tree("beta"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    state = cluster.until(cluster.online_on("alpha"), 20)
    assert state.intents["web"].evidence is not None
    assert len(apps(cluster.directory)) == 1
