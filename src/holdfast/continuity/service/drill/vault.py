"""Step 5, vault: DELHI's storage pool and database go to TOKYO as virtual volumes; the recovery kit is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.continuity.service.drill import delhi
from holdfast.continuity.service.drill.stage import Stage
from holdfast.runtime.secretfile import write_secret

SPARE_POOL = "SPARECOPY"
"""A second copy pool: on its volumes the drill plants differences without touching what the restore needs."""

_COMMANDS = (
    f"define stgpool {SPARE_POOL} targetclass pooltype=copy maxscratch=20",
    "backup stgpool backuppool targetcopypool wait=yes",
    f"backup stgpool backuppool {SPARE_POOL} wait=yes",
    "backup db type=full devclass=targetclass wait=yes",
    "backup db type=incremental devclass=targetclass wait=yes",
)


def run(stage: Stage) -> Mapping[str, Any]:
    """Back up pool and database to TOKYO, then write the kit that a new DELHI will get."""
    for command in _COMMANDS:
        delhi.dsmadmc(stage, stage.owner(), "DELHI", command)
    write_secret(passphrase_file(stage), f"passphrase of drill {stage.report.seed}\n".encode())
    words = ("--out", str(stage.sites.directory / "kit"), "--passphrase-file", str(passphrase_file(stage)))
    stage.run("DELHI", "holdfast", "server", "kit", "--config", str(delhi.config(stage, "DELHI")), *words)
    objects = delhi.kept(stage)
    stage.insist(len(objects) >= 4, "virtual volumes kept at TOKYO", len(objects), "DELHI", "TOKYO")
    return {"virtual_volumes": len(objects), "bytes": sum(int(row["Bytes"]) for row in objects)}


def passphrase_file(stage: Stage) -> Any:
    """Return the file that holds the kit's passphrase."""
    return stage.sites.directory / "passphrase"
