"""The journal of procedures: one runs at a time, a death leaves an orphan, its end is one transaction."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from holdfast.kernel.errors import Refused
from holdfast.kernel.plan import Plan, Step
from holdfast.runtime.procedure import Entry, begun, orphaned, unsettled
from holdfast.store.drivers.embedded import EmbeddedStore
from holdfast.store.port import Delete, Put, Store

PLAN = Plan((Step("freeze", "freeze"), Step("copy", "copy", after=("freeze",)), Step("thaw", "thaw", after=("copy",))))
ENTRY = Entry("resync", "web", "anna", 1000.0, tuple(step.id for step in PLAN.steps))
TTL_S = 3.0
"""Longer than a busy machine holds a process up, so that no mark lapses by chance."""

DIES = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from test_procedure import ENTRY, PLAN, TTL_S, EmbeddedStore, Path, begun

async def act(step):
    if step.id == "copy":
        print("copying", flush=True)
        await asyncio.sleep(60)

async def main():
    async with begun(EmbeddedStore(Path(sys.argv[1])), ENTRY, TTL_S) as journal:
        await journal.perform(PLAN, act)

asyncio.run(main())
"""


def run(path: Path, check: Callable[[Store], Awaitable[None]]) -> None:
    async def main() -> None:
        store = EmbeddedStore(path)
        try:
            async with asyncio.timeout(20):
                await check(store)
        finally:
            await store.close()

    asyncio.run(main())


def test_steps_are_in_the_store_before_and_after_and_the_end_is_one_commit(tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        seen: list[tuple[str, tuple[str, ...]]] = []

        async def act(step: Step) -> None:
            (entry,) = await unsettled(store)
            seen.append((entry.doing, entry.done))

        async with begun(store, ENTRY, TTL_S) as journal:
            await journal.perform(PLAN, act)
            await journal.note(made="yes")
            assert (await unsettled(store))[0].notes == {"made": "yes"}
            await journal.end([Put("result", b"1")])
        assert seen == [("freeze", ()), ("copy", ("freeze",)), ("thaw", ("freeze", "copy"))]
        assert list((await store.read("")).entries) == ["result"]

    run(tmp_path / "store.db", check)


def test_only_one_runs_and_a_slow_one_keeps_its_mark(tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        async with begun(store, ENTRY, TTL_S):
            await asyncio.sleep(TTL_S * 1.5)
            for attempt in (begun(store, ENTRY, TTL_S), orphaned(store, "resync", "web")):
                with pytest.raises(Refused) as refused:
                    async with attempt:
                        pass
                assert refused.value.refusal.code == "procedure-running"
        async with begun(store, Entry("resync", "other", "anna", 1000.0, ()), TTL_S) as other:
            await other.end()

    run(tmp_path / "store.db", check)


def test_what_a_killed_process_left_is_taken_over_and_settled(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    words = [sys.executable, "-c", DIES, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "copying\n"
        victim.send_signal(signal.SIGKILL)

    async def check(store: Store) -> None:
        while ENTRY.runner in (await store.read("")).entries:
            await asyncio.sleep(0.05)
        with pytest.raises(Refused):
            async with begun(store, ENTRY, TTL_S):
                raise AssertionError("an orphan is settled before anything else is begun")
        async with orphaned(store, "resync", "web") as journal:
            assert journal is not None
            assert (journal.entry.doing, journal.entry.done) == ("copy", ("freeze",))
            assert journal.entry.progress == "1 of 3 steps done, in step copy"
            await journal.end([Put("undone", b"1")])
        async with orphaned(store, "resync", "web") as nothing:
            assert nothing is None

    run(path, check)


def test_who_was_taken_over_fails_at_the_next_step(tmp_path: Path) -> None:
    async def check(store: Store) -> None:
        async with begun(store, ENTRY, TTL_S) as journal:
            await store.transact([], [Delete(ENTRY.runner)])
            async with orphaned(store, "resync", "web") as taken:
                assert taken is not None
                await taken.end()
            with pytest.raises(Refused) as refused:
                await journal.perform(PLAN, lambda step: asyncio.sleep(0))
            assert refused.value.refusal.code == "procedure-lost"

    run(tmp_path / "store.db", check)
