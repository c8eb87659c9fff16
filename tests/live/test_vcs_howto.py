"""The cluster part of a how-to for backups of a VCS cluster, typed as it is printed, on two running systems.

``/sbin/service`` is a script of the test, and the client's daemon a process that only bears its name.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterlab import Cluster

from holdfast.app.main import main
from holdfast.cluster.service.client import configuration_of
from holdfast.cluster.service.records import State
from holdfast.cluster.service.report import group_report, resource_report

SYSTEMS = ("VCSDC1", "VCSDC2")
DAEMON = "/opt/tivoli/tsm/client/ba/bin/dsmcad.vcs -optfile=/VCS/tsm/dsm_vcs.opt"
MAIN_CF = """
include "types.cf"
cluster VCS_Cluster ( )
system VCSDC1 ( )
system VCSDC2 ( )
group VCS_Cluster ( SystemList = { VCSDC1 = 0, VCSDC2 = 1 } AutoStartList = { VCSDC1 } )
    FileOnOff MNT-VCS ( PathName @VCSDC1 = "@DIR@/VCSDC1.mnt" PathName @VCSDC2 = "@DIR@/VCSDC2.mnt" )
group vcstest ( SystemList = { VCSDC1, VCSDC2 } AutoStartList = { VCSDC2 } )
    FileOnOff page ( PathName @VCSDC1 = "@DIR@/VCSDC1.page" PathName @VCSDC2 = "@DIR@/VCSDC2.page" )
"""
SERVICE = f"""#!/bin/bash
cd "$(dirname "$0")"
case "$1 $2 $3" in
"dsmcad.vcs start VCS_Cluster")
    [ -p fifo ] || mkfifo fifo
    (exec -a "{DAEMON}" cat <>fifo >/dev/null) & echo $! > $HOLDFAST_SYSTEM.cad; exit 0 ;;
"dsmcad.vcs stop VCS_Cluster") kill $(cat $HOLDFAST_SYSTEM.cad); exit 0 ;;
esac
exit 101
"""


class Howto(Cluster):
    """Two systems that look for processes among their own only, and write the logs of VCS."""

    def start(self, *names: str) -> None:
        for name in names:
            path = self.directory / f"{name}.toml"
            path.write_text(
                f'name = "{name}"\nstore = "{self.url}"\nrun_directory = "{self.directory}/run-{name}"\n'
                f"heartbeat_interval_s = 0.2\nlease_ttl_s = {self.ttl_s}\nmargin_s = 0.3\nprocess_scope = 'workload'\n"
                f'isolation = "{self.isolation}"\nlog = "{self.directory}/{name}.log"\n'
                f'log_directory = "{self.directory}/log-{name}"\n'
            )
            command = [sys.executable, "-m", "holdfast", "system", "run", "--config", str(path)]
            self.guards[name] = subprocess.Popen(command, start_new_session=True)


@pytest.fixture
def howto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Howto]:
    made = Howto(tmp_path, "auto" if os.geteuid() == 0 else "marker")
    made.load(MAIN_CF)
    (tmp_path / "service").write_text(SERVICE)
    (tmp_path / "service").chmod(0o755)
    monkeypatch.setenv("HOLDFAST_STORE", made.url)
    monkeypatch.setenv("HOLDFAST_SYSTEM_CONFIG", str(tmp_path / "VCSDC1.toml"))
    try:
        made.start(*SYSTEMS)
        yield made
    finally:
        made.stop()


def is_online(state: State, group: str, system: str) -> bool:
    return group_report(state, configuration_of(state).groups[group]).systems[system] == ("ONLINE",)


def runs(state: State, system: str) -> bool:
    group = configuration_of(state).groups["VCS_Cluster"]
    return resource_report(state, group, "dsmcad.vcs").systems[system] == ("ONLINE",)


def test_the_how_to_as_it_is_printed(howto: Howto, capsys: pytest.CaptureFixture[str]) -> None:
    def typed(*words: str) -> int:
        return main(list(words))

    howto.until(lambda state: is_online(state, "VCS_Cluster", "VCSDC1") and is_online(state, "vcstest", "VCSDC2"))
    service = f"{howto.directory}/service"
    assert typed("hagrp", "-resources", "VCS_Cluster") == 0
    assert capsys.readouterr().out == "MNT-VCS\n"
    assert typed("haconf", "-makerw") == 0
    assert typed("hares", "-add", "dsmcad.vcs", "Application", "VCS_Cluster") == 0
    assert typed("hares", "-modify", "dsmcad.vcs", "Critical", "0") == 0
    assert typed("hares", "-modify", "dsmcad.vcs", "StartProgram", f"{service} dsmcad.vcs start VCS_Cluster") == 0
    assert typed("hares", "-modify", "dsmcad.vcs", "StopProgram", f"{service} dsmcad.vcs stop VCS_Cluster") == 0
    capsys.readouterr()
    assert typed("hares", "-modify", "dsmcad.vcs", "MonitorProcesses", *DAEMON.split()) == 1
    assert "put the whole value in quotes" in capsys.readouterr().err
    assert typed("hares", "-modify", "dsmcad.vcs", "MonitorProcesses", DAEMON) == 0
    assert typed("hares", "-link", "MNT", "-VCS", "dsmcad.vcs") == 1
    assert "did you mean 'hares -link dsmcad.vcs MNT-VCS'" in capsys.readouterr().err
    assert typed("hares", "-link", "dsmcad.vcs", "MNT-VCS") == 0
    assert typed("hares", "-modify", "dsmcad.vcs", "Enabled", "1") == 0
    assert typed("hares", "-display", "dsmcad.vcs") == 0
    assert "StartProgram" in capsys.readouterr().out
    howto.until(lambda state: "UNKNOWN" not in str(group_report(state, configuration_of(state).groups["VCS_Cluster"])))
    assert typed("hares", "-online", "dsmcad.vcs", "-sys", "VCSDC1") == 0
    howto.until(lambda state: runs(state, "VCSDC1"))
    assert typed("hares", "-state", "dsmcad.vcs") == 0
    assert "dsmcad.vcs   State                 VCSDC1     ONLINE\n" in capsys.readouterr().out
    assert typed("haconf", "-dump", "-makero") == 0
    for target in SYSTEMS:
        assert typed("hagrp", "-switch", "vcstest", "-to", target) == 0
        assert typed("hagrp", "-wait", "vcstest", "State", "ONLINE", "-sys", target, "-time", "20") == 0
    assert typed("hagrp", "-switch", "VCS_Cluster", "-to", "VCSDC2") == 0
    state = howto.until(lambda state: is_online(state, "VCS_Cluster", "VCSDC2") and runs(state, "VCSDC2"))
    assert not runs(state, "VCSDC1")
    capsys.readouterr()
    assert typed("hamsg", "Application_A") == 0
    told = capsys.readouterr().out
    assert "V-16-1-10298 Resource dsmcad.vcs (Group: VCS_Cluster) is online on System VCSDC1" in told
    assert "V-16-1-10305 Resource dsmcad.vcs (Group: VCS_Cluster) is offline on System VCSDC1" in told
    for command in (("hastatus", "-summary"), ("hasys", "-display"), ("haclus", "-display")):
        assert typed(*command) == 0
