"""Backing up a cluster as the how-to has it: node VCSSHARE, its files on the shared file system, dsmcad.vcs in a group.

The daemon is the real one, started by the init script that Holdfast writes; the group's system dies in the middle of a
scheduled event, and the next one runs it again in the same window.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import dsmc_lab
from clusterlab import Cluster
from dsmc_lab import DsmcLab

from holdfast.app.main import main
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.records import State
from holdfast.cluster.service.report import group_report, resource_report

MAIN_CF = """
include "types.cf"
cluster VCS_Cluster ( )
system VCSDC1 ( )
system VCSDC2 ( )
group VCS_Cluster ( SystemList = { VCSDC1 = 0, VCSDC2 = 1 } AutoStartList = { VCSDC1 } )
    FileOnOff MNT-VCS ( PathName @VCSDC1 = "@DIR@/VCSDC1.mnt" PathName @VCSDC2 = "@DIR@/VCSDC2.mnt" )
"""
SERVICE = """#!/bin/sh
exec "$(dirname "$0")/init.d/$1" "$2" "$3"
"""
BEFORE = """#!/bin/sh
touch "$0.$HOLDFAST_SYSTEM"
[ $HOLDFAST_SYSTEM != VCSDC1 ] || sleep 300
"""


class TwoSystems(Cluster):
    """Two systems that look for processes among their own only."""

    def more(self) -> str:
        return "process_scope = 'workload'\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[DsmcLab]:
    (tmp_path / "backup").mkdir()
    with dsmc_lab.opened(tmp_path / "backup") as desk:
        yield desk


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoSystems]:
    (tmp_path / "cluster").mkdir()
    made = TwoSystems(tmp_path / "cluster", "auto" if os.geteuid() == 0 else "marker")
    made.load(MAIN_CF)
    monkeypatch.setenv("HOLDFAST_STORE", made.url)
    try:
        made.start("VCSDC1", "VCSDC2")
        yield made
    finally:
        made.stop()


def online(system: str):  # type: ignore[no-untyped-def]
    """The group, its daemon with it, is online on this system."""

    def check(state: State) -> bool:
        group = configuration_of(state).groups["VCS_Cluster"]
        daemon = resource_report(state, group, "dsmcad.vcs").systems[system] == ("ONLINE",)
        return daemon and group_report(state, group).systems[system] == ("ONLINE",)

    return check


def settled(state: State) -> bool:
    """Every resource has been looked at."""
    return "UNKNOWN" not in str(group_report(state, configuration_of(state).groups["VCS_Cluster"]))


def add_daemon(directory: Path, opt: Path) -> None:
    """The daemon under its own name, its service, and the resource, typed as the how-to prints it."""
    link = directory / "bin" / "dsmcad.vcs"
    (directory / "init.d").mkdir()
    link.parent.mkdir()
    link.symlink_to(Path(sys.executable).with_name("holdfast"))
    service = directory / "service"
    service.write_text(SERVICE)
    service.chmod(0o755)
    into = str(directory / "init.d")
    words = ["dialect", "service", "dsmcad.vcs", "--program", str(link), "--optfile", str(opt), "--into", into]
    assert main(["holdfast", *words]) == 0
    for line in (
        ("haconf", "-makerw"),
        ("hares", "-add", "dsmcad.vcs", "Application", "VCS_Cluster"),
        ("hares", "-modify", "dsmcad.vcs", "Critical", "0"),
        ("hares", "-modify", "dsmcad.vcs", "StartProgram", f"{service} dsmcad.vcs start VCS_Cluster"),
        ("hares", "-modify", "dsmcad.vcs", "StopProgram", f"{service} dsmcad.vcs stop VCS_Cluster"),
        ("hares", "-modify", "dsmcad.vcs", "MonitorProcesses", f"{link} -optfile={opt}"),
        ("hares", "-link", "dsmcad.vcs", "MNT-VCS"),
        ("hares", "-modify", "dsmcad.vcs", "Enabled", "1"),
        ("haconf", "-dump", "-makero"),
    ):
        assert main(list(line)) == 0, line


@pytest.mark.root
def test_a_schedule_that_a_failover_interrupts_is_run_again_in_its_window(
    cluster: TwoSystems, desk: DsmcLab, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    before.write_text(BEFORE)
    before.chmod(0o755)
    shared = desk.fs / "tsm"
    shared.mkdir()
    opt = desk.node("VCSSHARE", extra=f"  SCHEDLOGNAME {shared}/dsmsched.log\n  PRESchedulecmd {before}\n")
    (shared / "dsm_vcs.opt").write_text("SErvername TSM_VCS\n")
    (shared / "dsm.sys").write_text((opt.parent / "dsm.sys").read_text())
    desk.write(data="of the service")
    add_daemon(cluster.directory, shared / "dsm_vcs.opt")
    cluster.until(
        lambda state: "UNKNOWN" not in str(group_report(state, configuration_of(state).groups["VCS_Cluster"]))
    )
    assert main(["hares", "-online", "dsmcad.vcs", "-sys", "VCSDC1"]) == 0
    cluster.until(online("VCSDC1"))
    now = datetime.datetime.now() - datetime.timedelta(minutes=2)
    desk.admin("set randomize 0")
    window = f"startdate={now:%m/%d/%Y} starttime={now:%H:%M} duration=2 durunits=hours"
    desk.admin(f"define schedule standard nightly action=incremental {window}")
    desk.admin("define association standard nightly vcsshare")
    assert main(["hares", "-offline", "dsmcad.vcs", "-sys", "VCSDC1"]) == 0
    cluster.until(lambda state: not online("VCSDC1")(state))
    assert main(["hares", "-online", "dsmcad.vcs", "-sys", "VCSDC1"]) == 0
    cluster.until(lambda _: Path(f"{before}.VCSDC1").exists())
    event = "query event standard nightly nodes=vcsshare"
    assert desk.admin(event).rows[-1][-1] == "Started"
    cluster.guards["VCSDC1"].kill()
    cluster.until(online("VCSDC2"), 30)
    cluster.until(lambda _: desk.admin(event).rows[-1][-1] == "Completed", 30)
    log = (shared / "dsmsched.log").read_text()
    assert log.count("--- SCHEDULEREC OBJECT BEGIN NIGHTLY") == 2, "one log for both systems"
    assert log.count("Scheduled event 'NIGHTLY' completed successfully.") == 1
    kept = desk.run(opt, "query", "backup", f"{desk.fs}/*").out
    assert f"{desk.fs}/data" in kept
