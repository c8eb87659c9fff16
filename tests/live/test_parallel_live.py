"""A parallel group under real daemons: a part on each system, one dies and comes back."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, lab

from holdfast.cluster.plan.status import group_flags
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.records import State
from holdfast.cluster.service.report import group_report

MAIN_CF = """
include "types.cf"
cluster trial ( )
system alpha ( )
system beta ( )
group cvm (
    SystemList = { alpha, beta }
    AutoStartList = { alpha, beta }
    Parallel = 1
    )
    FileOnOff share (
        PathName @alpha = "@DIR@/alpha.share"
        PathName @beta = "@DIR@/beta.share"
        MonitorInterval = 1
        )
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster in the way that this user can have it."""
    yield from lab(tmp_path, "auto" if os.geteuid() == 0 else "marker")


def parts(**expected: str) -> Callable[[State], bool]:
    def check(state: State) -> bool:
        group = configuration_of(state).groups["cvm"]
        return all(
            (state.judged.get(name) == "dead")
            if flags == "dead"
            else flags == "|".join(
                group_flags(group, state.facts.get(("cvm", name)), state.intent_on(group, name), name)
            )
            for name, flags in expected.items()
        )  # fmt: skip

    return check


def test_a_part_dies_with_its_system_and_returns_with_it(cluster: Cluster) -> None:
    cluster.load(MAIN_CF)
    cluster.start("alpha", "beta")
    cluster.until(parts(alpha="ONLINE", beta="ONLINE"))
    before = cluster.state().intents["cvm@alpha"].incarnation
    for pid in cluster.tree("alpha"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cluster.guards["alpha"].wait()
    cluster.until(parts(alpha="dead", beta="ONLINE"))
    cluster.start("alpha")
    state = cluster.until(
        lambda now: parts(alpha="ONLINE", beta="ONLINE")(now) and now.intents["cvm@alpha"].incarnation != before
    )
    assert state.intents["cvm@beta"].serial == 1, "the other part never noticed"
    assert group_report(state, configuration_of(state).groups["cvm"]).owners == ("alpha", "beta")
