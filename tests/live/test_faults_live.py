"""Faults under a real daemon: who mends them, who is asked, what was no fault, and the site's own triggers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, lab

from holdfast.cluster.model.facts import Request, ResourceFact, ResourceState
from holdfast.cluster.plan.status import resource_flags
from holdfast.cluster.service.records import State
from holdfast.kernel.errors import Refused

MAIN_CF = """
include "types.cf"
cluster trial ( )
system alpha ( )
group kept (
    SystemList = { alpha } AutoStartList = { alpha } ManageFaults = NONE
    )
    FileOnOff keep ( PathName = "@DIR@/keep" MonitorInterval = 1 )
group stuck (
    SystemList = { alpha } AutoStartList = { alpha }
    )
    Application stick (
        StartProgram = "touch @DIR@/stick"
        StopProgram = "rm -f @DIR@/stick"
        CleanProgram = "exit 1"
        MonitorProgram = "test -e @DIR@/stick"
        MonitorInterval = 1
        CleanRetryLimit = 2
        )
group meant (
    SystemList = { alpha } AutoStartList = { alpha }
    )
    Application mean (
        StartProgram = "echo 110 > @DIR@/mean"
        StopProgram = "echo 100 > @DIR@/mean"
        MonitorProgram = "exit `cat @DIR@/mean 2>/dev/null || echo 100`"
        MonitorInterval = 1
        IntentionalOffline = 1
        )
group asked (
    SystemList = { alpha } AutoStartList = { alpha } PreOnline = 1
    )
    FileOnOff ask ( PathName = "@DIR@/ask" MonitorInterval = 1 )
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One system with triggers of its own."""
    yield from lab(tmp_path, "auto" if os.geteuid() == 0 else "marker")


def flags(group: str, resource: str, *expected: str) -> Callable[[State], bool]:
    def check(state: State) -> bool:
        return resource_flags(fact(state, group, resource)) == expected

    return check


def fact(state: State, group: str, resource: str) -> ResourceFact:
    found = state.facts.get((group, "alpha"))
    return ResourceFact() if found is None else found.resources[resource]


def trigger(directory: Path, name: str, text: str) -> None:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def ask(cluster: Cluster, operation: str, group: str, **options: str) -> Request:
    request = Request("", operation, group, options=options)
    return cluster.ask(lambda client: client.ask(request, 15.0))  # type: ignore[no-any-return]


def test_what_becomes_of_a_fault_and_what_the_site_hears_of_it(cluster: Cluster) -> None:
    here, triggers = cluster.directory, cluster.directory / "triggers"
    for name in ("resfault", "resadminwait", "postonline", "sysup", "nofailover"):
        trigger(triggers, name, f'echo "{name} $*" >> {here}/heard')
    trigger(triggers, "preonline", f'echo "preonline $*" >> {here}/heard; test -e {here}/agreed')
    cluster.load(MAIN_CF)
    cluster.start("alpha")
    for group, resource in (("kept", "keep"), ("stuck", "stick"), ("meant", "mean")):
        cluster.until(flags(group, resource, "ONLINE"))

    cluster.until(lambda state: state.notes["asked"].code == "barred")
    assert fact(cluster.state(), "asked", "ask").state is ResourceState.OFFLINE
    with pytest.raises(Refused) as refused:
        ask(cluster, "group.online", "asked")
    assert refused.value.refusal.code == "barred"
    ask(cluster, "group.online", "asked", nopre="1")
    cluster.until(flags("asked", "ask", "ONLINE"))

    (here / "keep").unlink()
    cluster.until(flags("kept", "keep", "OFFLINE", "ADMIN_WAIT"))
    (here / "stick").unlink()
    cluster.until(flags("stuck", "stick", "OFFLINE", "ADMIN_WAIT"))
    (here / "mean").write_text("200\n")
    cluster.until(lambda state: state.intents["meant"].reason.startswith("mean was stopped on purpose"))
    assert flags("meant", "mean", "OFFLINE")(cluster.state())

    ask(cluster, "group.clearadminwait", "kept", fault="1")
    cluster.until(flags("kept", "keep", "FAULTED"))
    ask(cluster, "group.clear", "kept")
    cluster.until(flags("kept", "keep", "ONLINE"))
    ask(cluster, "group.online", "meant")
    cluster.until(flags("meant", "mean", "ONLINE"))

    expected = {
        "sysup alpha RUNNING", "preonline 0 alpha asked MANUAL", "postonline 0 alpha kept", "postonline 0 alpha asked",
        "resadminwait alpha keep 4", "resadminwait alpha stick 4",
    }  # fmt: skip
    cluster.until(lambda _: expected <= set((here / "heard").read_text().splitlines()))
