"""Two systems of different versions run one cluster: the newer one coordinates, and the older one when it is alone."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, lab

NEWER = "import holdfast.cluster.model.protocol as p\np.PROTOCOL = 2\nimport holdfast\nholdfast.__version__ = '9.0'\n"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Two systems, not started."""
    yield from lab(tmp_path, "auto" if os.geteuid() == 0 else "marker")


def test_a_newer_system_takes_the_seat_and_gives_it_back(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.start("alpha")
    cluster.until(cluster.online_on("alpha"))
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer/sitecustomize.py").write_text(NEWER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "newer"))
    cluster.start("beta")
    state = cluster.until(lambda now: now.coordinator is not None and now.coordinator.system == "beta")
    assert state.heartbeats["alpha"].protocol < state.heartbeats["beta"].protocol == 2
    assert state.heartbeats["beta"].version == "9.0"
    assert cluster.online_on("alpha")(state), "an upgrade moves nothing"
    cluster.request("group.switch", system="beta")
    cluster.until(cluster.online_on("beta"))
    for pid in cluster.tree("beta"):
        with contextlib.suppress(ProcessLookupError):  # the end of one may be the end of another
            os.kill(pid, signal.SIGKILL)
    state = cluster.until(cluster.online_on("alpha"))
    assert state.coordinator is not None
    assert state.coordinator.system == "alpha", "not all had followed: the older version may decide again"
