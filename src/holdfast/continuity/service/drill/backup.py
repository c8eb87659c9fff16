"""Step 4, back up: the service's node from mounted flash copies, by the system that owns the group."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from holdfast.continuity.model.sites import FLASH_TARGETS, MIRRORED, MOUNT_POINTS
from holdfast.continuity.service.drill import client, delhi, mirror, tree
from holdfast.continuity.service.drill.disks import mounted
from holdfast.continuity.service.drill.stage import Stage

LOCAL_ONLY = [client.LOCAL_FILE_SYSTEM]
CHANGED_FILES = 5


def run(stage: Stage) -> Mapping[str, Any]:
    """Set up the servers, back up from the copies that were just resynced, keep a copy for the comparison."""
    owner = stage.owner()
    delhi.set_up(stage)
    with copies(stage, owner) as places:
        total = client.incremental(stage, owner, places)
        for name, place in places.items():
            tree.keep(stage, owner, place, name)
    stage.moment = datetime.now(UTC).isoformat()
    figures = {name: int(total[name]) for name in ("objects", "bytes", "stored_bytes")}
    stage.report.backup = dict(figures)
    if stage.sites.root:
        local = client.local_backup(stage, owner)
        stage.insist(local == LOCAL_ONLY, f"{client.LOCAL_NODE} to hold {LOCAL_ONLY} only", local, "DELHI")
    return figures


def second_run(stage: Stage, owner: str) -> int:
    """Change a few files, back up from the system that owns the group now; return how many objects were sent."""
    changed = tree.change(stage, owner, CHANGED_FILES)
    if stage.sites.root:
        pairs = [f"{source}:{target}" for source, target in zip(MIRRORED, FLASH_TARGETS, strict=True)]
        image = mirror.array_of(stage, stage.layout.host(owner).site)
        stage.dscli(owner, "mkflash", "-dev", image, "-nocp", *pairs, origin="reference, copy services 2")
    with copies(stage, owner) as places:
        total = client.incremental(stage, owner, places)
    if stage.sites.root:
        stage.dscli(owner, "rmflash", "-dev", image, "-quiet", *pairs, origin="reference, copy services 2")
    ledgers = 1 if stage.sites.root else 0
    sent, expected = int(total["objects"]), changed + ledgers
    stage.insist(sent == expected, f"exactly the {expected} files that changed sent", sent, "DELHI")
    return sent


@contextlib.contextmanager
def copies(stage: Stage, host: str) -> Iterator[dict[str, str]]:
    """Mount the flash copies on a host; yield filespace name → where it is. Without root: the plain directory."""
    with contextlib.ExitStack() as stack:
        if not stage.sites.root:
            yield client.filespace_names(stage)
            return
        volumes = dict(zip(MOUNT_POINTS, FLASH_TARGETS, strict=True))
        yield {
            name: stack.enter_context(mounted(stage, host, volume, name.strip("/"))) for name, volume in volumes.items()
        }
