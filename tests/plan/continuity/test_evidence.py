"""What the cluster may believe of mirrored volumes: records in a real store, revocation at a real array."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "live"))

from arraylab import A, B, Lab, free_port

from holdfast.app.continuity import array_fence
from holdfast.cluster.config.files import read_files
from holdfast.cluster.model.facts import Evidence, EvidenceKind, Standing
from holdfast.cluster.service.client import ClusterClient
from holdfast.continuity.service.evidence import PairStandings
from holdfast.kernel.errors import Refusal
from holdfast.replication.model.identity import Endpoint, access_key, pair_key
from holdfast.replication.model.pairs import PairRecord
from holdfast.replication.service.witness import StoreWitness
from holdfast.store.drivers.embedded import EmbeddedStore

GROUP = "VCS_Cluster"
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "two-sites"
OLD, LATER = "0000019ab0000000-1", "0000019ab0000001-1"
LIMIT_S = 3.0
Result = TypeVar("Result")


def with_store(path: Path, work: Callable[[EmbeddedStore], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        store = EmbeddedStore(path)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def record(path: Path, volume: str, source: str, in_sync: bool) -> None:
    """Write a pair's record as its arrays would."""
    key = pair_key(Endpoint(A, volume), Endpoint(B, volume))

    async def write(store: EmbeddedStore) -> None:
        witness = StoreWitness(store)
        revision = (await witness.read([key]))[key].revision
        assert await witness.compare_and_set(
            {key: revision}, {key: PairRecord(Endpoint(source, volume), in_sync, revision + 1)}
        )

    with_store(path, write)


def standing(path: Path, system: str, group: str = GROUP) -> Standing:
    return with_store(path, lambda store: PairStandings(store).standing(group, system))


def load_example(path: Path) -> None:
    with_store(path, lambda store: ClusterClient(store, "test").load(read_files(EXAMPLE)))


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """A store with the example's configuration and no pair records."""
    path = tmp_path / "store" / "cluster.db"
    path.parent.mkdir()
    load_example(path)
    return path


def test_no_record_means_that_nobody_can_say(store_path: Path) -> None:
    found = standing(store_path, "hostc")
    assert found.current is None
    assert "1260" in found.reason


def test_both_sides_are_current_while_the_record_says_in_sync(store_path: Path) -> None:
    for volume in ("1260", "1261"):
        record(store_path, volume, A, in_sync=True)
    for system in ("hosta", "hostb", "hostc", "hostd"):
        found = standing(store_path, system)
        assert found.current is True
        assert "1260" in found.reason
        assert "1261" in found.reason


def test_one_stale_volume_is_enough_to_be_stale(store_path: Path) -> None:
    record(store_path, "1260", A, in_sync=True)
    record(store_path, "1261", A, in_sync=False)
    far = standing(store_path, "hostc")
    assert far.current is False
    assert f"{B}/1261" in far.reason
    assert f"{A}/1261 went on alone" in far.reason
    assert standing(store_path, "hosta").current is True, "the side that went on has everything"


def test_after_a_role_swap_the_old_source_is_the_stale_one(store_path: Path) -> None:
    for volume in ("1260", "1261"):
        record(store_path, volume, A, in_sync=True)
        record(store_path, volume, B, in_sync=False)
    assert standing(store_path, "hostc").current is True
    assert standing(store_path, "hostb").current is False


def test_one_volume_without_a_record_is_not_current(store_path: Path) -> None:
    record(store_path, "1260", A, in_sync=True)
    assert standing(store_path, "hostc").current is None


def test_a_store_that_went_away_says_nothing(store_path: Path) -> None:
    for volume in ("1260", "1261"):
        record(store_path, volume, A, in_sync=True)

    async def look(store: EmbeddedStore) -> tuple[Standing, Standing]:
        standings = PairStandings(store)
        before = await standings.standing(GROUP, "hostc")
        store_path.parent.rename(store_path.parent.with_name("parked"))
        store_path.parent.write_text("the store is away")
        return before, await standings.standing(GROUP, "hostc")

    before, after = with_store(store_path, look)
    assert before.current is True
    assert after.current is None
    assert "store" in after.reason


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """The first of two arrays, running, with a volume; the example's configuration in the store."""
    made = Lab(tmp_path)
    try:
        made.a.start()
        made.a.create("1260")
        load_example(made.store_path)
        yield made
    finally:
        made.stop()


def fence(lab: Lab, system: str, incarnation: str, address: str = "") -> Evidence | Refusal:
    settings: dict[str, Any] = {
        "store": f"embedded://{lab.store_path}",
        "identity": str(lab.identity),
        "arrays": {A: address or lab.a.management},
    }
    return asyncio.run(array_fence(settings).fence(system, incarnation, GROUP))


def test_the_arrays_confirmation_is_evidence_and_bars_the_host(lab: Lab) -> None:
    with lab.a.open("hosta", access_key(OLD)) as before, lab.a.open("hostb", access_key(OLD)) as beside:
        before.pwrite(b"mine".ljust(4096), 0, fua=True)
        found = fence(lab, "hosta", OLD)
        assert isinstance(found, Evidence), found
        assert (found.kind, found.system, found.incarnation) == (EvidenceKind.FENCED, "hosta", OLD)
        assert A in found.text
        assert "hosta" in found.text
        with pytest.raises(OSError):  # noqa: PT011 - refused or cut off, either is right
            before.pwrite(b"late".ljust(4096), 0, fua=True)
        beside.pwrite(b"next".ljust(4096), 4096, fua=True)
    with lab.a.open("hosta", access_key(LATER)) as after:
        assert after.pread(4, 0) == b"mine"
        after.pwrite(b"back".ljust(4096), 0, fua=True)
    lab.a.kill()
    lab.a.start()
    with pytest.raises(Exception, match=r"barred|revoked|access"):
        lab.a.open("hosta", access_key(OLD), timeout_s=5)


def test_an_array_that_does_not_answer_is_a_refusal_in_time(lab: Lab) -> None:
    lab.a.signal(signal.SIGSTOP)
    for address in ("", f"127.0.0.11:{free_port('127.0.0.11')}"):
        began = time.monotonic()
        found = fence(lab, "hosta", OLD, address)
        assert time.monotonic() - began < LIMIT_S
        assert isinstance(found, Refusal)
        assert found.code == "array-unreachable"
        assert found.remedy


def test_an_array_without_an_address_is_a_refusal(lab: Lab) -> None:
    found = fence(lab, "hostc", OLD)
    assert isinstance(found, Refusal)
    assert found.code == "unknown-array", "no address of the second array is configured here"
