"""The backup client of the drill: the example's option files as seed document 000 lays them out, and runs with them.

The service's option file, include-exclude list and logs lie on the shared file system, so they move with it. Each
system's own stanza takes ALL-LOCAL without the shared file systems; ALL-LOCAL is limited to the lab's file systems.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdfast.continuity.model.sites import MOUNT_POINTS
from holdfast.continuity.service.drill import tree
from holdfast.continuity.service.drill.stage import Stage

LOCAL_NODE = "VCSDC1"
LOCAL_FILE_SYSTEM = "/local"
_EXAMPLE_ADDRESS = "10.77.0.31"


def option_directory(stage: Stage) -> str:
    """Return where the service's option files lie: on the shared file system, as seed 000 wants it."""
    return f"{MOUNT_POINTS[0]}/tsm" if stage.sites.root else str(stage.sites.directory / "tsm")


def write_options(stage: Stage, host: str, server_host: str) -> None:
    """Write the example's dsm.opt, dsm.sys and include-exclude list for this lab, and keep the nodes' passwords."""
    top = option_directory(stage)
    stage.run(host, "mkdir", "-p", f"{top}/passwords")
    inventories = stage.sites.directory / "client" / "inventories"
    replaced = {
        _EXAMPLE_ADDRESS: stage.layout.host(server_host).address,
        "/etc/holdfast/identity": str(stage.sites.directory / "client" / "tls"),
        "/etc/holdfast/passwords": f"{top}/passwords\n   INVENTORYDIR {inventories}",
        "/var/log/holdfast": top,
        "/VCS/tsm": top,
    }
    for name in ("dsm.opt", "dsm.sys", "inclexcl"):
        text = (stage.sites.examples / name).read_text()
        for old, new in replaced.items():
            text = text.replace(old, new)
        stage.write(host, f"{top}/{name}", text)
    stage.write(host, f"{top}/local.opt", "servername TSM_SERVER\n")
    for node, option_file in (("vcsshare", "dsm.opt"), ("vcsdc1", "local.opt")):
        words = ("--optfile", f"{top}/{option_file}", "--password-file", str(password_file(stage, node)))
        stage.run(host, "holdfast", "backup", "set-password", *words)


def password_file(stage: Stage, node: str) -> Path:
    """Return the file, of mode 600, that holds a node's password."""
    return stage.sites.directory / f"{node}.password"


def incremental(stage: Stage, host: str, filespaces: dict[str, str]) -> dict[str, Any]:
    """Back up filespaces (name → where it is to be read now) as the service's node; return the figures."""
    roots = [word for name, place in filespaces.items() for word in ("--snapshotroot", f"{name}={place}")]
    option_file = f"{option_directory(stage)}/dsm.opt"
    result = stage.json(host, "holdfast", "backup", "incremental", *filespaces, "--optfile", option_file, *roots)
    assert isinstance(result, dict)
    stage.insist(not result["failures"], "every object backed up", result["failures"], "DELHI")
    return result


def restore(stage: Stage, host: str, filespace: str, to: Path, moment: str) -> dict[str, Any]:
    """Restore a filespace as of a moment (ISO, with offset) into a directory; return the figures."""
    option_file = f"{option_directory(stage)}/dsm.opt"
    words = (filespace, str(to), "--optfile", option_file, "--pitdate", moment)
    result = stage.json(host, "holdfast", "restore", *words)
    assert isinstance(result, dict)
    return result


def filespace_names(stage: Stage) -> dict[str, str]:
    """Return the filespaces of the service's node: name → the volume or directory behind it."""
    from holdfast.continuity.model.sites import FLASH_TARGETS

    if stage.sites.root:
        return dict(zip(MOUNT_POINTS, FLASH_TARGETS, strict=True))
    return {MOUNT_POINTS[1]: tree.place(stage)}


def local_backup(stage: Stage, host: str) -> list[str]:
    """Back up a system's own file systems by its own node; return the filespaces that the server has of it."""
    top = option_directory(stage)
    stage.run(host, "sh", "-c", f"echo {host} > {LOCAL_FILE_SYSTEM}/hostname")
    roots = ":".join((LOCAL_FILE_SYSTEM, *MOUNT_POINTS))
    words = ("dsmc", "incremental", f"-optfile={top}/local.opt")
    stage.run(host, "env", f"HOLDFAST_ALL_LOCAL_ROOTS={roots}", *words, origin="seed 000")
    listed = stage.json(host, "holdfast", "backup", "filespaces", "--optfile", f"{top}/local.opt")
    return [row["File Space Name"] if "File Space Name" in row else row["name"] for row in listed]
