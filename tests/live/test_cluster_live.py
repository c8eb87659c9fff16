"""Real daemons under real guards on one embedded store: start, switch, deaths of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import MAIN_CF, Cluster, apps, lab

from holdfast.app.store import open_store
from holdfast.cluster.model.facts import Heartbeat, ResourceState, Wanted
from holdfast.cluster.service.records import SYSTEMS, State, decode
from holdfast.kernel.errors import Refused


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster in the way that this user can have it."""
    yield from lab(tmp_path, "auto" if os.geteuid() == 0 else "marker")


@pytest.fixture(params=["auto", "marker"])
def either(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster as root has it and one as an ordinary user has it."""
    yield from lab(tmp_path, request.param)


def test_group_starts_switches_and_refuses(either: Cluster) -> None:
    cluster = either
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    assert len(apps(cluster.directory)) == 1
    cluster.request("group.switch", system="beta")
    state = cluster.until(cluster.online_on("beta"))
    assert state.intents["web"].evidence is not None
    assert not (cluster.directory / "alpha.flag").exists()
    assert len(apps(cluster.directory)) == 1
    with pytest.raises(Refused) as refused:
        cluster.request("group.switch", system="beta")
    assert refused.value.refusal.code == "same-system"
    cluster.request("group.offline")
    assert not apps(cluster.directory)


def test_killed_application_is_restarted_in_place_at_once(cluster: Cluster) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    (victim,) = apps(cluster.directory)
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    cluster.until(lambda state: apps(cluster.directory) not in ([], [victim]))
    assert time.monotonic() - began < 2.0, "the end of the process is an event, not the next poll"
    state = cluster.until(cluster.online_on("alpha"))
    assert state.facts["web", "alpha"].resources["app"].restarts == 1
    (again,) = apps(cluster.directory)
    os.kill(again, signal.SIGKILL)
    state = cluster.until(cluster.online_on("beta"))
    fact = state.facts["web", "alpha"]
    assert fact.resources["app"].faulted
    assert fact.resources["flag"].state is ResourceState.OFFLINE


def test_a_start_is_not_waited_for_when_its_ground_is_gone(cluster: Cluster) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    (victim,) = apps(cluster.directory)
    (cluster.directory / "alpha.flag").unlink()
    os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    state = cluster.until(cluster.online_on("beta"), 20.0)
    assert time.monotonic() - began < 20.0, "neither OnlineTimeout of app nor MonitorInterval of flag was waited for"
    fact = state.facts["web", "alpha"]
    assert fact.resources["flag"].faulted
    assert not fact.resources["app"].faulted
    assert len(apps(cluster.directory)) == 1


def test_services_survive_a_killed_daemon(cluster: Cluster) -> None:
    cluster.ttl_s = 3.0
    cluster.start("alpha", "beta")
    before = cluster.until(cluster.online_on("alpha"))
    service = apps(cluster.directory)
    os.kill(cluster.daemon_pid("alpha"), signal.SIGKILL)
    session = before.heartbeats["alpha"].session
    after = cluster.until(lambda state: state.heartbeats["alpha"].session != session)
    assert after.heartbeats["alpha"].incarnation == before.heartbeats["alpha"].incarnation
    time.sleep(2.0)
    assert cluster.online_on("alpha")(cluster.state())
    assert apps(cluster.directory) == service
    cluster.request("group.switch", system="beta")
    cluster.until(cluster.online_on("beta"))


def test_dead_system_is_taken_over_on_evidence(cluster: Cluster) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    for pid in cluster.tree("alpha"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    state = cluster.until(cluster.online_on("beta"))
    assert time.monotonic() - began < 10.0
    evidence = state.intents["web"].evidence
    assert evidence is not None
    assert evidence.kind.value == "guard deadline past"
    assert len(apps(cluster.directory)) == 1


def test_hung_daemon_its_guard_kills_the_services(either: Cluster) -> None:
    cluster = either
    cluster.start("alpha", "beta")
    before = cluster.until(cluster.online_on("alpha"))
    (victim,) = apps(cluster.directory)
    os.kill(cluster.daemon_pid("alpha"), signal.SIGSTOP)
    began = time.monotonic()
    while Path(f"/proc/{victim}").exists() and victim in apps(cluster.directory):
        assert time.monotonic() - began < cluster.ttl_s + 1.0, "killed by the deadline of the last renewal"
        time.sleep(0.01)
    after = cluster.until(lambda state: state.heartbeats["alpha"].incarnation != before.heartbeats["alpha"].incarnation)
    cluster.until(lambda state: cluster.online_on("alpha")(state) or cluster.online_on("beta")(state))
    assert after.intents["web"].wanted is Wanted.ONLINE


def test_stopped_system_wakes_up_to_nothing(either: Cluster) -> None:
    def back(state: State) -> bool:
        fact, beat = state.facts["web", "alpha"], state.heartbeats["alpha"]
        anew = fact.incarnation == beat.incarnation != before  # what was stopped has ended, and a new daemon has come
        return anew and all(one.probed for one in fact.resources.values())

    cluster = either
    cluster.start("alpha", "beta")
    before = cluster.until(cluster.online_on("alpha")).heartbeats["alpha"].incarnation
    (victim,) = apps(cluster.directory)
    stopped = cluster.tree("alpha")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    cluster.until(cluster.online_on("beta"))
    assert (cluster.directory / "alpha.flag").exists()
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    cluster.until(lambda _: victim not in apps(cluster.directory), 1.0)
    cluster.until(lambda _: not (cluster.directory / "alpha.flag").exists(), 5.0)
    assert cluster.online_on("beta")(cluster.state())
    assert len(apps(cluster.directory)) == 1
    cluster.until(back)  # before that the switch would be refused, and rightly
    cluster.request("group.switch", system="alpha")
    cluster.until(cluster.online_on("alpha"))


def test_orderly_stop_hands_the_group_over(cluster: Cluster) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    os.kill(cluster.guards["alpha"].pid, signal.SIGTERM)
    assert cluster.guards["alpha"].wait(10) == 0
    state = cluster.until(cluster.online_on("beta"))
    evidence = state.intents["web"].evidence
    assert evidence is not None
    assert evidence.kind.value == "offline confirmed"


def test_frozen_group_is_left_alone_by_its_own_guard(cluster: Cluster) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    cluster.request("group.freeze")
    cluster.until(lambda state: not state.facts["web", "alpha"].guarded)
    service, before = apps(cluster.directory), cluster.state().facts["web", "alpha"].incarnation
    os.kill(cluster.daemon_pid("alpha"), signal.SIGSTOP)
    time.sleep(2.5)
    assert apps(cluster.directory) == service
    cluster.until(lambda state: before != state.facts["web", "alpha"].incarnation == state.intents["web"].incarnation)
    cluster.request("group.unfreeze")
    cluster.until(lambda state: state.facts["web", "alpha"].guarded)
    cluster.until(cluster.online_on("alpha"))
    assert apps(cluster.directory) == service


def test_maintenance_leaves_by_itself_and_restores_the_intent(cluster: Cluster) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    cluster.request("group.maintenance", options={"mode": "on", "for_s": "2"})
    cluster.request("resource.offline", resource="app")
    assert not apps(cluster.directory)
    with pytest.raises(Refused) as refused:
        cluster.request("group.maintenance", options={"mode": "off"})
    assert "app is OFFLINE" in refused.value.refusal.reason
    cluster.until(lambda state: not state.intents["web"].in_maintenance)
    cluster.until(cluster.online_on("alpha"))
    assert len(apps(cluster.directory)) == 1


def test_daemons_killed_at_random_moments_lose_nothing(cluster: Cluster) -> None:
    seed = int(os.environ.get("HOLDFAST_SEED", time.time_ns() % 1_000_000))
    print(f"HOLDFAST_SEED={seed}")
    chance = random.Random(seed)
    cluster.ttl_s = 3.0
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    for _ in range(6):
        owner = cluster.state().intents["web"].owner
        target = "beta" if owner == "alpha" else "alpha"
        cluster.request("group.switch", wait_s=0.0, system=target)
        time.sleep(chance.random() * 0.2)
        with contextlib.suppress(StopIteration, OSError):
            os.kill(cluster.daemon_pid(chance.choice(["alpha", "beta"])), signal.SIGKILL)
        cluster.until(lambda state: cluster.online_on("alpha")(state) or cluster.online_on("beta")(state))
        state = cluster.until(lambda _: len(apps(cluster.directory)) == 1)
        flags = sorted(path.name for path in cluster.directory.glob("*.flag"))
        cluster.until(cluster.online_on(state.intents["web"].owner))
        assert flags in ([f"{state.intents['web'].owner}.flag"], ["alpha.flag"], ["beta.flag"])


DEPENDENT = """
group front (
    SystemList = { alpha, beta }
    AutoStartList = { alpha, beta }
    )
    FileOnOff page ( PathName = "@DIR@/page-%s" )
    requires group web online local firm
"""


def test_a_parent_group_goes_down_and_follows_its_child(tmp_path: Path) -> None:
    for cluster in lab(tmp_path, "marker"):
        cluster.load(MAIN_CF + DEPENDENT)
        cluster.start("alpha", "beta")
        cluster.until(lambda _: (tmp_path / "page-alpha").exists())
        assert cluster.online_on("alpha")(cluster.state())
        with pytest.raises(Refused) as refused:
            cluster.request("group.switch", system="beta")
        assert refused.value.refusal.code == "parent-group-online"
        for _ in range(2):
            cluster.until(cluster.online_on("alpha"))
            (victim,) = apps(cluster.directory)
            os.kill(victim, signal.SIGKILL)
            cluster.until(lambda _, gone=victim: apps(tmp_path) not in ([], [gone]))
        cluster.until(cluster.online_on("beta"))
        cluster.until(lambda _: (tmp_path / "page-beta").exists())
        assert not (tmp_path / "page-alpha").exists()


def test_a_heartbeat_that_the_store_refused_is_not_counted(cluster: Cluster) -> None:
    """Whoever ends the daemon's lease behind its back (a store's new leader did) leaves no gap in its heartbeats."""
    cluster.start("alpha")
    cluster.until(cluster.online_on("alpha"))
    service, key = apps(cluster.directory), SYSTEMS + "alpha"

    async def sabotaged(seconds: float) -> list[int]:
        store, seen = open_store(cluster.url), list[int]()
        end = time.monotonic() + seconds
        try:
            async for changes in store.watch(key, (await store.read(key)).revision):
                for change in changes:
                    if change.value is not None:
                        seen.append(decode(change.value, Heartbeat).sequence)
                        lease = (await store.read(key)).entries[key].lease
                        await store.revoke(lease)
                if time.monotonic() > end:
                    return seen
        finally:
            await store.close()
        raise AssertionError("a watch does not end by itself")

    seen = asyncio.run(sabotaged(3.0))
    assert len(seen) > 8
    assert seen == list(range(seen[0], seen[0] + len(seen))), "every beat that the daemon counts is in the store"
    assert cluster.state().judged["alpha"] == "alive"
    assert apps(cluster.directory) == service
