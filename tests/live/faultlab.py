"""Runs in a lab of its own: brings the drill's service up under load, kills one part, and says what became of it.

    python faultlab.py DIRECTORY FAULT        (as root inside ``python -m holdfast.lab.init '{}'``)

Prints one JSON object: on which systems the group is online in the end, lost and acknowledged writes, the longest
time without an acknowledgement.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from holdfast.continuity.model.report import Report
from holdfast.continuity.model.sites import ARRAYS
from holdfast.continuity.service.drill import boot, protect
from holdfast.continuity.service.drill.stage import Stage
from holdfast.lab.narrate import SilentNarrator
from holdfast.lab.sites import LabSites


def source_array(stage: Stage) -> None:
    """Kill the array that the service writes to, and start it again two seconds later."""
    stage.sites.crash(ARRAYS[0])
    time.sleep(2.0)
    stage.sites.start(ARRAYS[0])


def target_array(stage: Stage) -> None:
    """Kill the array at the other end of the mirror, and start it again two seconds later."""
    stage.sites.crash(ARRAYS[1])
    time.sleep(2.0)
    stage.sites.start(ARRAYS[1])


def witness(stage: Stage) -> None:
    """Kill the store and start it again within the lease."""
    stage.sites.crash("witness")
    stage.sites.start("witness")


FAULTS = {"source-array": source_array, "target-array": target_array, "witness": witness}


def main() -> None:
    """Do what the command line says."""
    directory, fault = Path(sys.argv[1]), sys.argv[2]
    sites = LabSites(directory, root=True)
    stage = Stage(sites, SilentNarrator(), Report(mode="root", seed=1))
    try:
        boot.run(stage)
        protect.run(stage)
        began = time.monotonic()
        FAULTS[fault](stage)
        stage.until("the group online on one system", lambda: len(stage.online_on()) == 1, 60)
        stage.await_writes(10, timeout_s=40)
        found = {
            "online": stage.online_on(),
            "lost": stage.lost_writes(),
            "acknowledged": stage.load.count(),
            "away_s": stage.load.longest_gap(began),
        }
        sys.stdout.write(json.dumps(found) + "\n")
    finally:
        sites.close()


if __name__ == "__main__":
    main()
