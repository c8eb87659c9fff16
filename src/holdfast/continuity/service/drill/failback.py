"""Step 9, fail back: site 1 returns, finds that its peer is source and inhibits writes; changed tracks travel; home.

The order is that of seed document 002, "Performing the failback test".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.continuity.model.sites import GROUP, MIRROR_RESOURCE
from holdfast.continuity.service.drill import disaster, mirror
from holdfast.continuity.service.drill.stage import Stage

SEED = "seed 002"


def run(stage: Stage) -> Mapping[str, Any]:
    """Bring site 1 back, fail back, compare every byte, go home."""
    disaster.revive_site(stage, 1)
    first = mirror.array_of(stage, 1)
    stage.until(
        "the returned array refusing writes",
        lambda: all(r["write_inhibited"] for r in mirror.pair_rows(stage, 1)),
        15,
        first,
    )
    figures = fail_back(stage)
    stage.insist(
        0 < figures["tracks_copied"] < figures["tracks_total"] // 2,
        "only changed tracks travelling",
        f"{figures['tracks_copied']} of {figures['tracks_total']}",
        first,
    )
    stage.report.failback = figures
    lost = stage.lost_writes()
    stage.insist(lost == 0, "lost acknowledged writes: 0", lost, first)
    return {**figures, "home": stage.owner()}


def fail_back(stage: Stage) -> dict[str, int]:
    """Take the group offline, resynchronise the old source, compare, and bring the group home."""
    owner, home = stage.owner(), stage.systems(1)[0]
    stage.run(owner, "hagrp", "-offline", GROUP, "-any", origin=SEED)
    stage.until("the group offline", lambda: not stage.online_on() and _settled(stage), 20, owner)
    stage.run(owner, "hares", "-action", MIRROR_RESOURCE, "failback", "-sys", owner, origin=SEED)
    mirror.await_states(stage, 2, "Full Duplex")
    mirror.await_states(stage, 1, "Target Full Duplex")
    rows = mirror.pair_rows(stage, 2)
    mirror.insist_equal_bytes(stage, "after the failback")
    stage.until("site 1's system back in the cluster", lambda: _can_take(stage, home), 20, home)
    stage.run(owner, "hagrp", "-online", GROUP, "-sys", home, origin=SEED)
    stage.await_online(home)
    mirror.await_states(stage, 1, "Full Duplex")
    stage.await_writes(5)
    stage.insist_one_writer()
    return {name: sum(row[name] for row in rows) for name in ("tracks_total", "tracks_copied")}


def _settled(stage: Stage) -> bool:
    group = stage.group()
    return bool(group["systems"][group["owner"]] == ["OFFLINE"])


def _can_take(stage: Stage, system: str) -> bool:
    return bool(stage.group()["probed"][system])
