"""Changes of the configuration: what they are, that they are whole, what they refuse, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from configurations import TYPES, configurations
from hypothesis import Phase, given, settings

from holdfast.app.configuration import change
from holdfast.cluster.config import history
from holdfast.cluster.config.builder import build
from holdfast.cluster.config.difference import differences
from holdfast.cluster.config.history import HISTORY, HISTORY_LIMIT, ConfigurationStore
from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import GroupFact, Heartbeat, Intent, ResourceFact, ResourceState, Wanted
from holdfast.cluster.service.client import ClusterClient
from holdfast.cluster.service.records import CONFIG, EVENTS, FACTS, GROUPS, SYSTEMS, encode
from holdfast.kernel.errors import InputError, Refused
from holdfast.store.drivers.memory import MemoryStore
from holdfast.store.port import Compare, Put, Write

HEAD = 'include "types.cf"\ncluster c ( )\nsystem a ( )\nsystem b ( )\n'
GROUP = "group g ( SystemList = { a, b } )\nFileOnOff f ( PathName = x )\nFileOnOff h ( )\nf requires h\n"


def files(text: str) -> dict[str, str]:
    return {"main.cf": text, "types.cf": TYPES}


def lines(before: str, after: str) -> list[str]:
    return [one.line() for one in differences(build(files(before)), build(files(after)))]


def with_memory(work: Callable[[MemoryStore], Awaitable[None]]) -> None:
    async def run() -> None:
        store = MemoryStore()
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(run())


async def bring_online(store: MemoryStore, system: str = "a") -> None:
    facts = {name: ResourceFact(ResourceState.ONLINE, probed=True) for name in ("f", "h")}
    writes: list[Write] = [
        Put(SYSTEMS + system, encode(Heartbeat(system, "1-x", "s", 7))),
        Put(f"{FACTS}{system}/g", encode(GroupFact("g", system, "1-x", 1, True, facts))),
        Put(GROUPS + "g", encode(Intent("g", system, "1-x", Wanted.ONLINE, 1))),
    ]
    await store.transact([], writes)


def test_differences_are_told_item_by_item() -> None:
    other = (
        "group g ( SystemList = { a, b } AutoStart = 0 )\nFileOnOff f ( PathName = y PathName@b = z )\n"
        "group k ( SystemList = { b } )\nFileOnOff h ( PathName = q )\nrequires group g\n"
    )
    assert lines(HEAD + GROUP, HEAD + other) == [
        "- f requires h",
        "+ group g: AutoStart = 0",
        '~ resource f: PathName = "x" -> PathName = "y"',
        '+ resource f: PathName@b = "z"',
        "+ group k",
        "~ FileOnOff h in group g -> FileOnOff h in group k",
        '+ resource h: PathName = "q"',
        "+ group k: requires group g online local firm",
    ]
    assert lines(HEAD + GROUP, "// a word\n" + HEAD + GROUP) == []


@settings(max_examples=60, derandomize=True, deadline=None, print_blob=True, phases=(Phase.explicit, Phase.generate))
@given(configurations(), configurations())
def test_no_difference_means_equal(one: Configuration, other: Configuration) -> None:
    assert not differences(one, one)
    same = {name: values for name, values in vars(one).items() if name in Configuration.__dataclass_fields__}
    if {**same, "comments": {}} != {**vars(other), "comments": {}} and one != other:
        assert differences(one, other)


def test_a_change_is_whole_recorded_and_can_be_taken_back() -> None:
    async def work(store: MemoryStore) -> None:
        first, _, _ = await change(store, "ann", files(HEAD + GROUP))
        second, _, found = await change(store, "bob", files(HEAD), "clean up", revision=first)
        assert [one.kind for one in found] == ["removed"] * 4
        configurations_ = ConfigurationStore(store, "eve")
        past = await configurations_.past()
        assert [(one.revision, one.by) for one in past] == [(first, "ann")]
        with pytest.raises(Refused, match="is loaded, not"):
            await change(store, "bob", files(HEAD + GROUP), revision=first)
        with pytest.raises(InputError):
            await change(store, "bob", files("group ("))
        assert (await configurations_.current()).revision == second
        assert len((await store.read(EVENTS)).entries) == 2
        await change(store, "eve", (await configurations_.at(first)).files)
        assert "g" in (await ClusterClient(store, "eve").configuration()).groups

    with_memory(work)


def test_the_past_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(store: MemoryStore) -> None:
        for number in range(HISTORY_LIMIT + 5):
            await change(store, "ann", files(f"// {number}\n{HEAD}"))
        kept = await ConfigurationStore(store, "ann").past()
        assert len(kept) == HISTORY_LIMIT
        assert kept[-1].files["main.cf"].startswith(f"// {HISTORY_LIMIT + 3}\n")
        monkeypatch.setattr(history, "HISTORY_BYTES", 1)
        await change(store, "ann", files(HEAD))
        await change(store, "ann", files(HEAD + GROUP))
        assert len((await store.read(HISTORY)).entries) == 1

    with_memory(work)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, "group g is online on a and would be removed"),
        (HEAD + GROUP.replace("a, b", "b"), "group g is online on a, which it could no longer run on"),
        (HEAD + "group g ( SystemList = { a } )\nFileOnOff h ( )\n", "resource f is online on a and would be removed"),
        (HEAD + GROUP.replace("FileOnOff f ( PathName = x )", "FileNone f ( )"), "would become a FileNone"),
    ],
)
def test_the_ground_is_not_pulled_from_what_is_online(text: str, message: str) -> None:
    async def work(store: MemoryStore) -> None:
        await change(store, "ann", files(HEAD + GROUP))
        await bring_online(store)
        with pytest.raises(Refused) as refused:
            await change(store, "ann", files(text))
        assert refused.value.refusal.code == "in-use"
        assert message in refused.value.refusal.reason
        assert "g" in (await ClusterClient(store, "ann").configuration()).groups
        await change(store, "ann", files(HEAD + GROUP.replace("= x", "= y")))
        await change(store, "ann", files(text), force=True)

    with_memory(work)


def test_a_group_that_starts_meanwhile_makes_the_change_fail() -> None:
    async def work(store: MemoryStore) -> None:
        await change(store, "ann", files(HEAD + GROUP))
        seen = await ConfigurationStore(store, "ann").current()
        await bring_online(store)
        with pytest.raises(Refused, match="the state of g changed meanwhile"):
            await ConfigurationStore(store, "ann").commit(files(HEAD), seen, "", [Compare(GROUPS + "g", 0)], [])
        assert (await ConfigurationStore(store, "ann").current()).revision == seen.revision

    with_memory(work)


def test_a_loaded_text_that_cannot_be_read_is_replaced_by_force_only() -> None:
    async def work(store: MemoryStore) -> None:
        await store.transact([], [Put(CONFIG, b'{"files":{"main.cf":"group ("}}')])
        with pytest.raises(InputError):
            await change(store, "ann", files(HEAD))
        await change(store, "ann", files(HEAD), force=True)
        assert (await ClusterClient(store, "ann").configuration()).name == "c"

    with_memory(work)


def test_daemons_and_front_ends_mean_the_same_key() -> None:
    assert history.KEY == CONFIG
