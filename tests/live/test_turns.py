"""Turns: one system at a time, the next when it is done, and the next too when it died."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from holdfast.app.store import open_store
from holdfast.cluster.service import turns
from holdfast.cluster.service.turns import TURNS, Turns
from holdfast.store.port import Put


def test_a_turn_is_one_systems_until_it_ends(tmp_path: Path) -> None:
    said: list[str] = []

    async def work(turn: Turns, name: str) -> None:
        async with turn.hold("web/mirror"):
            said.append(f"{name} begins")
            await asyncio.sleep(0.3)
            said.append(f"{name} ends")

    async def run() -> None:
        store = open_store(f"embedded://{tmp_path}/store.db")
        await asyncio.gather(work(Turns(store, "alpha"), "alpha"), work(Turns(store, "beta"), "beta"))
        assert (await store.read(TURNS)).entries == {}
        await store.close()

    asyncio.run(run())
    first, second = said[0].split()[0], said[2].split()[0]
    assert said == [f"{first} begins", f"{first} ends", f"{second} begins", f"{second} ends"]
    assert {first, second} == {"alpha", "beta"}


def test_a_turn_whose_holder_died_passes_on_and_one_that_is_given_up_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LIVES_S", 1.0)

    async def run() -> None:
        store = open_store(f"embedded://{tmp_path}/store.db")
        dead = await store.grant(1.0)
        await store.transact([], [Put(f"{TURNS}web/mirror", b"alpha", dead)])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), Turns(store, "beta").hold("web/mirror"):
                raise AssertionError("alpha holds it")
        async with asyncio.timeout(10.0), Turns(store, "beta").hold("web/mirror"):
            entries = (await store.read(TURNS)).entries
            assert [entry.value for entry in entries.values()] == [b"beta"]
            await asyncio.sleep(1.5)
            assert (await store.read(TURNS)).entries, "who lives keeps it"
        await store.close()

    asyncio.run(run())
