"""``holdfast mount``, wired: options, session, point in time, FUSE; in a process of its own unless told to stay."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from holdfast.app.backup import client
from holdfast.kernel.errors import HoldfastError, InputError

if TYPE_CHECKING:
    from holdfast.backup.service.connection import Session
    from holdfast.cli.mount import MountRequest

_LIMIT_S = 60.0
_PAUSE_S = 0.05


def mount_command() -> click.Command:
    """Return ``holdfast mount``."""
    from holdfast.cli import mount as mount_cli

    return mount_cli.command(_mount)


def _mount(request: MountRequest) -> dict[str, Any]:
    """Mount. Raises ``InputError`` or ``Refused`` before anything is mounted."""
    from holdfast.backup.service.client.choose import list_filespaces
    from holdfast.backup.service.client.dates import moment

    filespace = request.filespace.rstrip("/") or "/"
    if not request.mountpoint.is_dir():
        raise InputError(f"{request.mountpoint} is no directory", remedy="make it; it should be empty")
    if os.path.ismount(request.mountpoint):
        raise InputError(f"{request.mountpoint} is a mount point already", remedy="name an empty directory")
    with _session(request) as session:
        known = [row.name for row in list_filespaces(session)]
        at_ns = moment(request.pitdate, request.pittime) or session.welcome.server_time_ns
    if filespace not in known:
        remedy = f"one of {', '.join(known)}" if known else "dsmc query filespace"
        raise InputError(f"ANS4000E the node has no filespace {filespace}", remedy=remedy)
    pid = os.getpid()
    if request.foreground:
        _serve(request, filespace, at_ns)
    else:
        pid = _in_background(request, at_ns)
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ns / 1e9))
    return {"mountpoint": str(request.mountpoint), "filespace": filespace, "at": at, "at_ns": at_ns, "pid": pid}


def _session(request: MountRequest) -> Session:
    from holdfast.backup.session import messages as m

    session = client(request.optfile, request.sysfile, request.node)[1].open()
    if request.from_node:
        session.call(lambda seq: m.ActFor(seq, request.from_node))
    return session


def _serve(request: MountRequest, filespace: str, at_ns: int) -> None:
    from holdfast.backup.drivers.fusemount import serve
    from holdfast.backup.service.client.mounted import PointInTime

    shown = PointInTime(lambda: _session(request), filespace, at_ns)
    try:
        serve(shown, str(request.mountpoint), f"holdfast:{filespace}", request.allow_other)
    finally:
        shown.close()


def _in_background(request: MountRequest, at_ns: int) -> int:
    """Start the same in a process of its own; return its id once the mount is there."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ns // 1_000_000_000))
    date = f"{moment}.{at_ns % 1_000_000_000 // 1_000:06d}+00:00"
    words = [sys.executable, "-m", "holdfast.app.main", "mount", request.filespace, str(request.mountpoint.absolute())]
    words += ["--optfile", str(request.optfile.absolute()), "--pitdate", date, "--foreground"]
    for name, value in (("sysfile", request.sysfile), ("node", request.node), ("from-node", request.from_node)):
        words += [f"--{name}", str(value)] if value else []
    words += ["--allow-other"] if request.allow_other else []
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    end = time.monotonic() + _LIMIT_S
    while not os.path.ismount(request.mountpoint):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            said = process.communicate()[1].decode("utf-8", "replace").strip()
            raise HoldfastError(f"{request.mountpoint} was not mounted: {said}", "see what it says")
        time.sleep(_PAUSE_S)
    return process.pid
