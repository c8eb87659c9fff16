"""Step 3, snapshot: flash copies that persist and record, then a resync of both around the running service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.continuity.model.sites import FLASH_TARGETS, GROUP, MIRRORED
from holdfast.continuity.service.drill import mirror
from holdfast.continuity.service.drill.stage import Stage

PAIRS = tuple(f"{source}:{target}" for source, target in zip(MIRRORED, FLASH_TARGETS, strict=True))


def run(stage: Stage) -> Mapping[str, Any]:
    """Make the copies, let the service write on, resync in maintenance mode, insist on equal bytes and few tracks."""
    owner = stage.owner()
    image = mirror.array_of(stage, 1)
    stage.dscli(
        owner, "mkflash", "-dev", image, "-persist", "-record", "-cp", *PAIRS, origin="reference, copy services 2"
    )
    stage.until("the first copy complete", lambda: not _left(stage), 30, image)
    stage.await_writes(20)
    result = resync(stage, owner)
    stage.insist(
        0 < result["tracks_copied"] < result["tracks_total"] // 2,
        "only changed tracks copied",
        f"{result['tracks_copied']} of {result['tracks_total']}",
        image,
    )
    stage.insist(bool(result["verified"]), "the copies equal to their sources at the point in time", result, image)
    stage.await_online(owner)
    stage.await_writes(5)
    figures = {name: result[name] for name in ("tracks_total", "tracks_copied")}
    stage.report.flash_resync = figures
    stage.narrator.note(f"recovery point recorded: {result['consistency']}")
    return {**figures, "consistency": result["consistency"], "away_seconds": result["away_seconds"]}


def resync(stage: Stage, owner: str) -> dict[str, Any]:
    """Run the resync of the flash copies around the service."""
    result = stage.json(owner, "holdfast", "snapshot", "resync", GROUP, *PAIRS, "--verify", timeout_s=60)
    assert isinstance(result, dict)
    return result


def _left(stage: Stage) -> int:
    rows = stage.eyes.array(1, "flashes")
    return sum(row["out_of_sync_tracks"] for row in rows if row["id"] in PAIRS)
