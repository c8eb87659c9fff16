"""Step 8, recover the server: a new DELHI from TOKYO's address and the kit; then reconcile, restore and compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.continuity.service.drill import client, delhi, tree, vault
from holdfast.continuity.service.drill.stage import Stage

NEW_HOST = "DELHI-2"
PLANTED = ("no_file", "different", "marked", "unknown_file")


def run(stage: Stage) -> Mapping[str, Any]:
    """Recover, show that sessions are read-only until FORCESYNC, reconcile, restore, compare."""
    host = stage.owner()
    recovered = _recover(stage)
    client.write_options(stage, host, NEW_HOST)
    _resynchronise(stage, host)
    _reconcile(stage, _plant(stage))
    words = "the code reset by the first session after FORCESYNC, in TOKYO's activity log"
    stage.insist(_logged(stage, "TOKYO", "ANR4374I"), words, "nothing of it", "TOKYO")
    objects = differences = 0
    for filespace in client.filespace_names(stage):
        to = stage.sites.directory / "restored" / filespace.strip("/")
        stage.run(host, "mkdir", "-p", str(to))
        restored = client.restore(stage, host, filespace, to, stage.moment)
        found = tree.differences(stage, host, to, filespace)
        objects, differences = objects + int(restored["objects"]), differences + len(found)
        stage.insist(not found, f"{filespace} as it was at the backup", found[:5], NEW_HOST, "TOKYO")
    stage.report.restore = {"objects": objects, "differences": differences}
    return {
        "database_volumes": len(recovered["database_volumes"]),
        **{f"reconcile_{name}": value for name, value in stage.report.reconcile.items()},
        "restored_objects": objects,
        "differences": differences,
    }


def _recover(stage: Stage) -> dict[str, Any]:
    home = stage.sites.directory / NEW_HOST
    target, own = stage.layout.host("TOKYO"), stage.layout.host(NEW_HOST)
    stage.sites.power_on(NEW_HOST)
    words = ["--kit", str(stage.sites.directory / "kit"), "--passphrase-file", str(vault.passphrase_file(stage))]
    words += ["--from", f"{target.address}:{stage.layout.server_port}", "--directory", str(home / "recovered")]
    words += ["--address", f"{own.address}:{stage.layout.server_port}"]
    recovered = stage.json(NEW_HOST, "holdfast", "server", "recover", *words)
    stage.sites.start(NEW_HOST)
    assert isinstance(recovered, dict)
    return recovered


def _resynchronise(stage: Stage, system: str) -> None:
    """The verification code was lost with DELHI: writing is refused until an administrator says FORCESYNC."""
    words = ("holdfast", "server", "command", "backup db type=full devclass=targetclass wait=yes")
    refused = stage.attempt(NEW_HOST, *words, "--config", str(delhi.config(stage, NEW_HOST)))
    stage.insist(refused.code != 0, "a read-only session before FORCESYNC", "the database backup went through", "TOKYO")
    stage.insist(_logged(stage, "TOKYO", "ANR4373W"), "the refusal in TOKYO's activity log", "nothing of it", "TOKYO")
    stage.insist(not _logged(stage, "TOKYO", "ANR4374I"), "no reset before FORCESYNC", "one in TOKYO's log", "TOKYO")
    delhi.dsmadmc(stage, system, NEW_HOST, "update server tokyo forcesync=yes")
    asked = "FORCESYNC in DELHI's activity log"
    stage.insist(_logged(stage, NEW_HOST, "ANR4375I"), asked, "nothing of it", NEW_HOST)


def _logged(stage: Stage, host: str, message: str) -> bool:
    log = delhi.command(stage, host, "query actlog begindate=-1")
    return any(message in str(row) for row in log["rows"])


def _plant(stage: Stage) -> dict[str, str]:
    """Plant one difference of each kind on volumes of the spare pool; return object name → its case."""
    rows = delhi.command(stage, NEW_HOST, f"query volume stgpool={vault.SPARE_POOL}")["rows"]
    names = [f"ADSM.{row['Volume Name']}" for row in rows]
    stage.insist(len(names) >= 3, "three volumes in the spare pool", names, NEW_HOST)
    kept = _object_directory(stage, names[0])
    (kept / names[0]).unlink()
    with (kept / names[1]).open("ab") as file:
        file.write(b"more than was sent")
    settings = ("--config", str(delhi.config(stage, "TOKYO")))
    stage.run("TOKYO", "holdfast", "server", "object", "mark", "DELHI", names[2], *settings)
    stray = "ADSM.DELHI.BFS.999999999"
    stage.run("TOKYO", "holdfast", "server", "object", "copy", "DELHI", names[2], stray, *settings)
    return dict(zip((names[0], names[1], names[2], stray), PLANTED, strict=True))


def _object_directory(stage: Stage, name: str) -> Path:
    found = next((stage.sites.directory / "TOKYO").rglob(name), None)
    stage.insist(found is not None, f"the file of {name} at TOKYO", "none", "TOKYO")
    assert found is not None
    return found.parent


def _reconcile(stage: Stage, planted: Mapping[str, str]) -> None:
    result = delhi.command(stage, NEW_HOST, "reconcile volumes targetclass fix=yes", delhi.SEED)["figures"]
    found = {row["name"]: row["case"] for row in result["found"]}
    settled = {row["name"] for row in result["settled"]}
    stage.report.reconcile = {"found": len(found), "settled": len(settled)}
    stage.insist(found == dict(planted), f"exactly the planted differences {dict(planted)}", found, NEW_HOST, "TOKYO")
    stage.insist(settled == set(planted), "every difference settled", sorted(settled), NEW_HOST, "TOKYO")
