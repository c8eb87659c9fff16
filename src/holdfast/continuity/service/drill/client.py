"""The backup client of the drill: option files as seed document 000 lays them out, and the runs that use them.

The service's own option file, include-exclude list and logs lie on the shared file system, so they move with it; each
system has a stanza of its own for its local files, which excludes the shared ones.
"""

from __future__ import annotations

from typing import Any

from holdfast.continuity.model.sites import MOUNT_POINTS, NODE
from holdfast.continuity.service.drill.stage import Stage

SERVICE_STANZA = "TSM_VCS"
LOCAL_STANZA = "TSM_SERVER"


def option_directory(stage: Stage) -> str:
    """Return where the service's option files lie: on the shared file system, as seed 000 wants it."""
    return f"{MOUNT_POINTS[0]}/tsm" if stage.sites.root else str(stage.sites.directory / "tsm")


def option_file(stage: Stage) -> str:
    """Return the service's option file."""
    return f"{option_directory(stage)}/dsm.opt"


def write_options(stage: Stage, host: str, server: str = "DELHI") -> None:
    """Write dsm.opt, dsm.sys and the include-exclude list of the service, and the system's own stanza."""
    top = option_directory(stage)
    files = {
        "dsm.opt": f"servername {SERVICE_STANZA}\n",
        "inclexcl": "exclude /.../core\nexclude.dir /VCS/lost+found\nexclude.dir /VCS1/lost+found\n",
        "dsm.sys": _stanzas(stage, top, server),
        "local.opt": f"servername {LOCAL_STANZA}\n",
    }
    stage.run(host, "mkdir", "-p", f"{top}/passwords")
    for name, text in files.items():
        stage.write(host, f"{top}/{name}", text)


def _stanzas(stage: Stage, top: str, server: str) -> str:
    address = stage.layout.host(stage.server_host(server)).address
    shared = " ".join(MOUNT_POINTS)
    service = f"""servername {SERVICE_STANZA}
  commmethod       tcpip
  tcpserveraddress {address}
  tcpport          {stage.layout.server_port}
  tlsservername    {server}
  tlsidentity      {stage.identity_of_node()}
  nodename         {NODE}
  passwordaccess   generate
  passworddir      {top}/passwords
  domain           {shared}
  inclexcl         {top}/inclexcl
  errorlogname     {top}/dsmerror.log
  schedlogname     {top}/dsmsched.log
"""
    excluded = " ".join(f"-{point}" for point in MOUNT_POINTS)
    local = f"""servername {LOCAL_STANZA}
  commmethod       tcpip
  tcpserveraddress {address}
  tcpport          {stage.layout.server_port}
  tlsservername    {server}
  tlsidentity      {stage.identity_of_node()}
  nodename         VCSDC1
  passwordaccess   generate
  passworddir      {top}/passwords
  domain           all-local {excluded}
  alllocalroot     {" ".join((*MOUNT_POINTS, stage.local_root()))}
"""
    return service + local


def incremental(stage: Stage, host: str, filespaces: dict[str, str]) -> dict[str, Any]:
    """Back up filespaces (name → where it is mounted now) as the service's node; return the figures."""
    roots = [word for name, place in filespaces.items() for word in ("--snapshotroot", f"{name}={place}")]
    result = stage.json(
        host, "holdfast", "backup", "incremental", *filespaces, "--optfile", option_file(stage), *roots, timeout_s=60
    )
    assert isinstance(result, dict)
    return result
