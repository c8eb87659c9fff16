"""Step 6, switch: within the site, to the other site with the roles swapped, a second backup there, and home.

The steps are those of seed document 002, "Testing service group migration", with its states asserted at each.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from holdfast.continuity.model.sites import GROUP
from holdfast.continuity.service.drill import backup, mirror
from holdfast.continuity.service.drill.stage import Stage


def run(stage: Stage) -> Mapping[str, Any]:
    """hosta → hostb → hostc → hosta; the service's longest absence is the figure."""
    hosta, hostb = stage.systems(1)
    hostc = stage.systems(2)[0]
    near = switch_to(stage, hosta, hostb)
    mirror.await_states(stage, 1, "Full Duplex")
    far = switch_to(stage, hostb, hostc)
    mirror.await_states(stage, 2, "Full Duplex")
    mirror.await_states(stage, 1, "Target Full Duplex")
    second = backup.second_run(stage, hostc)
    home = switch_to(stage, hostc, hosta)
    mirror.await_states(stage, 1, "Full Duplex")
    mirror.await_states(stage, 2, "Target Full Duplex")
    stage.report.switch_seconds = near
    stage.report.backup["second_run_objects"] = second
    return {"same_site_seconds": near, "other_site_seconds": far, "home_seconds": home, "second_run_objects": second}


def switch_to(stage: Stage, viewer: str, system: str) -> float:
    """Switch the group and wait until the load writes again; return how long the service was away."""
    began = time.monotonic()
    stage.run(viewer, "hagrp", "-switch", GROUP, "-to", system, origin="seed 000")
    stage.await_online(system)
    stage.await_writes(3)
    stage.insist_one_writer()
    away = stage.load.longest_gap(began)
    stage.narrator.note(f"{GROUP} is on {system}; the service was away for {away:.2f} s")
    return away
