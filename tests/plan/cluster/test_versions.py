"""Records of other versions are understood, and who may coordinate while versions are mixed."""

from __future__ import annotations

from dataclasses import MISSING, fields

import msgspec
import pytest

from holdfast.cluster.model import facts
from holdfast.cluster.model.protocol import needed_by, reached_by
from holdfast.cluster.service.records import COORDINATOR, FACTS, GROUPS, SYSTEMS, State, decode, encode
from holdfast.store.port import Entry

RECORDS = (
    facts.Heartbeat("hosta", "1-a", "s", 3, available={"CPU": 1.5}),
    facts.CoordinatorRecord("hosta", "s", 4, 1),
    facts.Intent("web", owner="hosta", wanted=facts.Wanted.ONLINE),
    facts.GroupFact("web", "hosta", "1-a", 7, resources={"app": facts.ResourceFact(facts.ResourceState.ONLINE)}),
    facts.Request("r", "group.online", "web", options={"reason": "test"}),
    facts.Note("web", "waits"),
    facts.Event(1.0, "state", "web is online"),
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_a_newer_version_adds_is_ignored(record: object) -> None:
    table = msgspec.json.decode(encode(record)) | {"from_version_9": {"deep": [1, {"x": None}]}, "also": "text"}
    assert decode(msgspec.json.encode(table), type(record)) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_an_older_version_did_not_write_has_its_default(record: object) -> None:
    needed = [one.name for one in fields(record) if one.default is MISSING and one.default_factory is MISSING]  # type: ignore[arg-type]
    table = msgspec.json.decode(encode(record))
    found = decode(msgspec.json.encode({name: table[name] for name in needed}), type(record))
    assert encode(found) == encode(type(record)(*(getattr(record, name) for name in needed)))


def test_a_whole_state_that_a_newer_version_wrote_is_read() -> None:
    state, keys = State(), {SYSTEMS + "hosta": 0, COORDINATOR: 1, GROUPS + "web": 2, FACTS + "hosta/web": 3}
    for key, number in keys.items():
        table = msgspec.json.decode(encode(RECORDS[number])) | {"from_version_9": [1]}
        state.put(key, Entry(msgspec.json.encode(table), number + 1))
    state.put("cluster/of-version-9/x", Entry(b"no json", 9))
    assert state.heartbeats["hosta"] == RECORDS[0]
    assert state.coordinator == RECORDS[1]
    assert state.intents["web"] == RECORDS[2]
    assert state.facts["web", "hosta"] == RECORDS[3]


@pytest.mark.parametrize(
    ("mine", "living", "reached", "may"),
    [
        (1, [1, 1], 1, True),
        (1, [1, 2], 1, False),  # a newer one lives: it decides
        (1, [1], 1, True),  # the newer one was lost before all had followed
        (1, [1], 2, False),  # all were newer once: what stands in the store may not be understood
        (2, [1, 1], 1, True),
        (1, [], 0, True),
    ],
)
def test_who_may_coordinate(mine: int, living: list[int], reached: int, may: bool) -> None:
    assert (mine >= needed_by(living, reached)) is may


def test_what_all_have_reached_never_goes_back() -> None:
    assert reached_by([2, 2, 1], 0) == 1
    assert reached_by([2, 2, 2], 1) == 2
    assert reached_by([2, 0, 2], 2) == 2
    assert reached_by([], 3) == 3
