"""Copies around a running service whose data lie on a file system that shares blocks, without any array."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster, lab
from test_flash_conformance import BTRFS, XFS, file_system, needs_root

from holdfast.app.store import open_store
from holdfast.runtime.procedure import unsettled

MAIN_CF = """
include "types.cf"
cluster trial ( )
system alpha ( )
system beta ( )
group web (
    SystemList = { alpha, beta }
    AutoStartList = { alpha }
    )
    Application writer (
        StartProgram = "@DIR@/writer start"
        StopProgram = "@DIR@/writer stop"
        PidFiles = { "@DIR@/writer.pid" }
        )
"""
WRITER = """#!/bin/sh
case $1 in
start) (while :; do echo line >>@FILE@; sleep 0.01; done) & echo $! >@DIR@/writer.pid;;
stop) kill $(cat @DIR@/writer.pid); rm -f @DIR@/writer.pid; sleep 0.1; echo stopped >>@FILE@;;
esac
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    yield from lab(tmp_path, "marker")


def snapshot(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    settings = cluster.directory / "alpha-settings.toml"
    settings.write_text(f'[settings]\nsystem = "alpha"\nstore = "{cluster.url}"\n')
    environment = {**os.environ, "HOLDFAST_SYSTEM_CONFIG": str(settings), "HOLDFAST_STORE": cluster.url}
    command = [sys.executable, "-m", "holdfast", "snapshot", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)


@needs_root
@pytest.mark.parametrize(("kind", "make"), [("btrfs", BTRFS), ("reflink", XFS)], ids=["btrfs", "xfs"])
def test_a_service_is_stopped_for_its_copy_and_goes_on(
    cluster: Cluster, tmp_path: Path, kind: str, make: list[str]
) -> None:
    (tmp_path / "disk").mkdir()
    with file_system(tmp_path / "disk", make) as place:
        source, target = place / "data", place / "copy"
        file = source / "lines" if kind == "btrfs" else source
        if kind == "btrfs":
            subprocess.run(["btrfs", "-q", "subvolume", "create", str(source)], check=True, capture_output=True)
        file.touch()
        script = cluster.directory / "writer"
        script.write_text(WRITER.replace("@FILE@", str(file)).replace("@DIR@", str(cluster.directory)))
        script.chmod(0o755)
        cluster.load(MAIN_CF)
        cluster.start("alpha")
        cluster.until(cluster.online_on("alpha"))
        pair = f"{kind}:{source}={target}"
        missing = snapshot(cluster, "resync", "web", pair)
        assert (missing.returncode, f"holdfast snapshot make {pair}" in missing.stderr) == (3, True), missing
        assert snapshot(cluster, "make", pair).returncode == 0
        done = snapshot(cluster, "resync", "web", pair, "--verify", "--json")
        assert done.returncode == 0, done.stderr
        point = json.loads(done.stdout)
        assert point["consistency"] == "application stopped, file system synchronised"
        copied = (target / "lines" if kind == "btrfs" else target).read_text()
        assert copied.endswith("line\nstopped\n"), "the copy is of the moment when the application was stopped"
        assert point["verified"]
        cluster.until(cluster.online_on("alpha"))
        assert file.read_text().startswith(copied), "the service goes on where it was"
        listed = snapshot(cluster, "list", "web").stdout
        assert "the copies share the blocks of their sources" in listed
        shown = json.loads(snapshot(cluster, "show", pair, "--json").stdout)
        assert shown[0]["at"] >= point["at"]
        assert cluster.ask(lambda client: unsettled(open_store(cluster.url))) == []
        cluster.request("group.offline")
        assert snapshot(cluster, "restore", pair).returncode == 0
        assert file.read_text() == copied
        assert snapshot(cluster, "drop", pair).returncode == 0
        assert not target.exists()
