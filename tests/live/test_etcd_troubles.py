"""Trouble in etcd, one kind after another, under a group that must stay online all the time, with the default timing.

A store that takes no writes at all (its quota is used up) is the one trouble that ends services: nobody can prove that
they are safe then, and nobody could take them over either. They come back by themselves once it takes writes again.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clusterlab import apps
from etcdcluster import EtcdCluster
from etcdlab import EtcdLab, EtcdMember, needs_etcd

from holdfast.cluster.model.timing import LEASE_TTL_S
from holdfast.store.drivers import etcd_wire as wire

LASTS_S = 5.0
SERVERS_OWN = ("--heartbeat-interval=100", "--election-timeout=1000")
ALARM = "/etcdserverpb.Maintenance/Alarm"
ACTIVATE, DEACTIVATE, NOSPACE = 1, 2, 1


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Two systems on three members, the group online on alpha."""
    needs_etcd()
    etcd = EtcdLab(tmp_path / "etcd", 3, SERVERS_OWN)
    made = None
    try:
        etcd.start()
        made = EtcdCluster(tmp_path, etcd)
        made.ttl_s = LEASE_TTL_S
        made.start("alpha", "beta")
        made.until(made.online_on("alpha"), 30)
        yield made
    finally:
        if made is not None:
            made.stop()
        etcd.stop()


def leader_lost(etcd: EtcdLab) -> None:
    etcd.leader().signal(signal.SIGKILL)
    time.sleep(LASTS_S)


def member_unreachable(etcd: EtcdLab) -> None:
    other = next(one for one in etcd.members if one is not etcd.leader())
    other.signal(signal.SIGSTOP)
    time.sleep(LASTS_S)
    other.signal(signal.SIGCONT)


def slow_disk(etcd: EtcdLab) -> None:
    """The leader gets on only now and then, as when each of its writes waits for the disk."""
    leader, end = etcd.leader(), time.monotonic() + LASTS_S
    while time.monotonic() < end:
        leader.signal(signal.SIGSTOP)
        time.sleep(0.25)
        leader.signal(signal.SIGCONT)
        time.sleep(0.05)


def compaction(etcd: EtcdLab) -> None:
    """All history goes, again and again, while everybody watches."""
    for _ in range(10):
        answer = etcd.ask(etcd.members[0], wire.RANGE, wire.range_request(b"\0", limit=1))
        assert answer is not None
        etcd.compact(wire.range_answer(answer).header.revision)
        time.sleep(LASTS_S / 10)


def running(cluster: EtcdCluster) -> list[int]:
    """The one application, which a moment after its start still is the shell that becomes it."""
    end = time.monotonic() + 10
    while len(found := apps(cluster.directory)) != 1:
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("trouble", [leader_lost, member_unreachable, slow_disk, compaction])
def test_a_service_stays_online_through(cluster: EtcdCluster, trouble: Callable[[EtcdLab], None]) -> None:
    over = threading.Event()
    service = running(cluster)
    seen = []

    def watch() -> None:
        while not over.wait(0.05):
            seen.append(apps(cluster.directory))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        trouble(cluster.etcd)
    finally:
        over.set()
        watcher.join()
    assert seen
    assert all(found == service for found in seen), "the same process all the time"
    cluster.etcd.start()
    state = cluster.until(cluster.online_on("alpha"), 20)
    assert state.coordinator is not None
    cluster.request("group.switch", system="beta", wait_s=20.0)
    cluster.until(cluster.online_on("beta"), 20)


def alarm(etcd: EtcdLab, action: int) -> None:
    for member in etcd.members:
        whose = wire.number(2, member_id(etcd, member))
        assert etcd.ask(member, ALARM, wire.number(1, action) + whose + wire.number(3, NOSPACE)) is not None


def member_id(etcd: EtcdLab, member: EtcdMember) -> int:
    answer = etcd.ask(etcd.members[0], wire.MEMBER_LIST)
    return next(one.id for one in wire.members_answer(answer or b"") if one.name == member.name)


def test_a_full_store_ends_services_in_order_and_they_come_back(cluster: EtcdCluster) -> None:
    (service,) = running(cluster)
    alarm(cluster.etcd, ACTIVATE)
    end = time.monotonic() + 20
    while apps(cluster.directory):
        assert time.monotonic() < end, "nobody can prove that it is safe"
        time.sleep(0.05)
    log = (cluster.directory / "alpha.log").read_text()
    assert "space exceeded" in log, "the log names the cause"
    assert "etcdctl alarm disarm" in log, "and the remedy"
    alarm(cluster.etcd, DEACTIVATE)
    end = time.monotonic() + 40
    while len(found := apps(cluster.directory)) != 1 or found == [service]:
        assert len(found) < 2, "once at most"
        assert time.monotonic() < end, "it comes back by itself"
        time.sleep(0.05)
