"""Attach a volume as a block device: nbdfuse shows it as one file, a loop device makes a disk of that file. Root only.

The loop device is marked for automatic removal as soon as somebody uses it (mount), so nothing is left when a system
dies. nbdfuse is started through ``spawn``, which lets a cluster run it inside the system's killable workload: with the
workload die nbdfuse and, after the lazy unmount here, the device. When the array dies nbdfuse gets a closed connection
and every later request fails, so a mount on the device fails instead of hanging; detach and attach again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.replication.drivers.nbdclient import NbdClient

READY_LIMIT_S = 10.0
DETACH_LIMIT_S = 10.0
_STEP_S = 0.02
RECORD = "device.json"
"""Beside each attached volume: device, file, nbdfuse's process id, number of its FUSE connection, nbdfuse's start."""

Spawn = Callable[[Sequence[str]], int]
"""Starts a long-running command, detached from the caller, and returns its process id."""


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """An attached volume: the loop device (or the file itself), the FUSE file, and nbdfuse's process id."""

    path: Path
    file: Path
    pid: int


def spawn_detached(command: Sequence[str]) -> int:
    """Start a command in a session of its own."""
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return process.pid


def attach_detached(uri: str, run_dir: Path, loop: bool = True) -> BlockDevice:
    """Attach for a person at a command line: nbdfuse outlives the command."""
    return attach(uri, run_dir, spawn_detached, loop)


def attach(uri: str, run_dir: Path, spawn: Spawn, loop: bool = True) -> BlockDevice:
    """Attach the volume at ``uri``; ``run_dir`` is its own directory, made when missing.

    Without ``loop`` only the file is shown, and ``path`` is that file: ``mount -o loop`` makes the loop device in one
    step with the mount, so that a host that dies in between leaves no device behind.

    A volume that is already attached there and answers is returned as it is. Raises ``Refused`` with the array's reason
    when the array refuses the host, ``Unavailable`` when it cannot be reached, ``HoldfastError`` otherwise.
    """
    for tool in ("nbdfuse", "losetup"):
        if shutil.which(tool) is None:
            raise HoldfastError(f"{tool} is not installed", "install libnbd-bin and util-linux")
    found = attached(run_dir)
    if found is not None:
        return found
    detach(run_dir)
    NbdClient.open(uri, timeout_s=5.0).close()
    mountpoint = run_dir / "nbd"
    mountpoint.mkdir(parents=True, exist_ok=True)
    file = mountpoint / "disk"
    pid = spawn(["nbdfuse", str(file), uri])
    try:
        _await_file(file, pid)
        path = Path(_run(["losetup", "--find", "--show", str(file)])) if loop else file
        device = BlockDevice(path, file, pid)
        (run_dir / RECORD).write_bytes(
            msgspec.json.encode([str(path), str(file), pid, os.minor(file.stat().st_dev), started(pid)])
        )
    except BaseException:
        _kill(pid)
        _unmount(mountpoint)
        raise
    return device


def release_on_last_close(device: BlockDevice) -> None:
    """Once the device is in use (mounted), let the kernel remove it when the last user is gone."""
    _run(["losetup", "--detach", str(device.path)])


def attached(run_dir: Path) -> BlockDevice | None:
    """Return the device attached in ``run_dir`` if it is whole: nbdfuse alive, the file readable, the loop on it."""
    device = _recorded(run_dir)
    if device is None or not _serves(device) or not (device.path == device.file or _backs(device)):
        return None
    return device


def detach(run_dir: Path) -> None:
    """Undo :func:`attach`, also when nbdfuse or the array is dead. Idempotent. Unmount file systems first.

    Raises ``Refused`` when the device is still in use after ``DETACH_LIMIT_S``.
    """
    device = _recorded(run_dir)
    mountpoint = run_dir / "nbd"
    if device is not None:
        if device.path == device.file:
            _await_unused(device)
        elif _backs(device):
            _run(["losetup", "--detach", str(device.path)], check=False)
            _await_gone(device)
        _unmount(mountpoint)
        if _serves(device):
            _kill(device.pid)
        (run_dir / RECORD).unlink(missing_ok=True)
    else:
        _unmount(mountpoint)
    with contextlib.suppress(OSError):
        mountpoint.rmdir()


def _recorded(run_dir: Path) -> BlockDevice | None:
    try:
        record = (run_dir / RECORD).read_bytes()
        loop, file, pid, _, _ = msgspec.json.decode(record, type=tuple[str, str, int, int, int])
    except (OSError, msgspec.DecodeError):
        return None
    return BlockDevice(Path(loop), Path(file), pid)


def _backs(device: BlockDevice) -> bool:
    """True when the loop device exists and its backing file is ours."""
    try:
        backing = Path("/sys/block", device.path.name, "loop", "backing_file").read_text().strip()
    except OSError:
        return False
    return backing.removesuffix(" (deleted)") == str(device.file)


def _serves(device: BlockDevice) -> bool:
    """True when the recorded process still is the nbdfuse of this file: ids are used again, also across namespaces."""
    try:
        command = Path(f"/proc/{device.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return _alive(device.pid) and os.fsencode(device.file) in command


def _await_unused(device: BlockDevice) -> None:
    """Wait until no loop device lies on the file. Raises ``Refused`` when one still does after ``DETACH_LIMIT_S``."""
    deadline = time.monotonic() + DETACH_LIMIT_S
    while any(_text(backing) == str(device.file) for backing in Path("/sys/block").glob("loop*/loop/backing_file")):
        if time.monotonic() > deadline:
            raise Refused(Refusal("in-use", f"{device.file} is still mounted", "unmount what is mounted from it"))
        time.sleep(_STEP_S)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _await_file(file: Path, pid: int) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if file.stat().st_size > 0:
                return
        if not _alive(pid):
            break
        time.sleep(_STEP_S)
    raise HoldfastError(
        f"nbdfuse did not show {file}", "check that FUSE works here and that the array accepts the host"
    )


def _await_gone(device: BlockDevice) -> None:
    deadline = time.monotonic() + DETACH_LIMIT_S
    while _backs(device):
        if time.monotonic() > deadline:
            raise Refused(Refusal("in-use", f"{device.path} is still in use", "unmount what is mounted from it"))
        time.sleep(_STEP_S)


def _unmount(mountpoint: Path) -> None:
    if _is_mounted(mountpoint):
        _run(["umount", "--lazy", str(mountpoint)], check=False)


def _is_mounted(mountpoint: Path) -> bool:
    wanted = str(mountpoint).replace(" ", "\\040")
    return any(line.split()[4] == wanted for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


def started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot, the same in every namespace; 0 if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def _kill(pid: int) -> None:
    """End nbdfuse and wait for it; only a process that still is nbdfuse is touched."""
    try:
        if Path(f"/proc/{pid}/comm").read_text().strip() != "nbdfuse":
            return
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return
    deadline = time.monotonic() + DETACH_LIMIT_S
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(_STEP_S)
    with contextlib.suppress(OSError):
        os.waitpid(pid, os.WNOHANG)


def _run(command: list[str], check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if check and done.returncode != 0:
        raise HoldfastError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()
