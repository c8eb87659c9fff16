"""A root directory of its own for each system of the lab, made of the machine's own directories.

A system wants mount points such as /VCS, command names under /opt and a private /run, and the machine's root directory
must not be touched. So each system gets a small tmpfs whose entries are the machine's directories, bound; ``/run`` and
``/opt`` are its own. The mounts live in the system's mount namespace and go with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_OWN = {"proc", "run", "opt", "lost+found"}


def mount(source: str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Call mount(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (source.encode(), os.fsencode(target), kind.encode() or None, flags, data.encode() or None)
    if libc.mount(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} on {target}: {os.strerror(number)}")


def leave_namespaces() -> None:
    """Leave the mount, network and (for children) PID namespaces of the machine for new ones; mounts become private."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS | _CLONE_NEWNET | _CLONE_NEWPID) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    mount("none", Path("/"), flags=_MS_REC | _MS_PRIVATE)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def build(root: Path, mount_points: tuple[str, ...], links: dict[str, str], binds: dict[str, str]) -> None:
    """Fill ``root``: the machine's directories bound, ``mount_points`` empty, ``links`` and ``binds`` path → target.

    To be called in a mount namespace of its own.
    """
    root.mkdir(parents=True, exist_ok=True)
    mount("tmpfs", root, "tmpfs", data="mode=755,size=64m")
    for entry in sorted(Path("/").iterdir()):
        copy = root / entry.name
        if entry.is_symlink():
            copy.symlink_to(os.readlink(entry))
        elif entry.name in _OWN or not entry.is_dir():
            continue
        else:
            copy.mkdir()
            mount(str(entry), copy, flags=_MS_BIND | _MS_REC)
    for name in ("proc", "run", "opt"):
        (root / name).mkdir()
    for entry in Path("/opt").iterdir() if Path("/opt").is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            (root / "opt" / entry.name).mkdir()
            mount(str(entry), root / "opt" / entry.name, flags=_MS_BIND | _MS_REC)
    for point in mount_points:
        (root / point.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for path, target in binds.items():
        (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        mount(target, root / path.lstrip("/"), flags=_MS_BIND)
    for path, target in links.items():
        link = root / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
