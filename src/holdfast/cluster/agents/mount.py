"""Mount: a file system on a device, checked before it is mounted and gone when it is said to be gone.

The device is a path, or a spec such as ``volume:1260`` that the port for block devices turns into one. Whether the
mount is there is read from the kernel's mount table, which cannot hang; whether it works is asked of the device by a
child that can be killed, never by this process. A mount that is there but does not work is reported as broken: the
engine cleans it. Clean kills who uses it, unmounts, lazily if it must, and is done only when the kernel has let go
of the file system.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import (
    AgentBase,
    AgentContext,
    BlockDevices,
    InspectsDevices,
    MonitorResult,
)
from holdfast.kernel.errors import HoldfastError, InputError

_UNCHECKED = frozenset(("tmpfs", "nfs", "nfs4", "xfs", "btrfs", "none", "bind"))
_FSCK_FAILED = 4
_PROBE_LIMIT_S = 5.0
_UMOUNT_LIMIT_S = 10.0
_STACK_LIMIT = 8
_RELEASE_LIMIT_S = 3.0
_BLOCK_BYTES = 4096
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountRow:
    """One row of the kernel's mount table."""

    point: str
    kind: str
    source: str
    device: str
    options: tuple[str, ...]


def mounted(point: str) -> MountRow | None:
    """Return the topmost mount at ``point``, or None."""
    found = None
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as rows:
        for row in rows:
            left, _, right = row.partition(" - ")
            fields, tail = left.split(), right.split()
            if _plain(fields[4]) == point:
                options = (*fields[5].split(","), *tail[2].split(","))
                found = MountRow(point, tail[0], _plain(tail[1]), fields[2], options)
    return found


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


class Mount(AgentBase):
    """Attributes MountPoint, BlockDevice, FSType, MountOpt, FsckOpt, CreateMntPt."""

    async def online(self, context: AgentContext) -> float:
        """Attach, check, mount."""
        point, spec, kind = _point(context), context.text("BlockDevice"), context.text("FSType")
        if mounted(point) is not None:
            return 0.0
        if context.number("CreateMntPt"):
            await asyncio.to_thread(Path(point).mkdir, parents=True, exist_ok=True)
        device = await _devices(context).attach(spec, context.commands) if _is_spec(spec) else spec
        _record(context).write_text(device, "utf-8")
        await self._check(context, device, kind)
        wished = context.text("MountOpt").split(",") if context.text("MountOpt") else []
        loop = ["loop"] if await asyncio.to_thread(Path(device).is_file) else []
        options = ",".join([*loop, *wished])
        command = ["mount", "-t", kind, *(["-o", options] if options else []), device, point]
        result = await context.commands.run(command, context.number("OnlineTimeout"))
        if not result.ok:
            raise HoldfastError(f"mount failed: {result.stderr.strip()}", f"try by hand: {' '.join(command)}")
        return 0.0

    async def _check(self, context: AgentContext, device: str, kind: str) -> None:
        wish = context.text("FsckOpt").removeprefix("%")
        if not wish or kind in _UNCHECKED:
            return
        result = await context.commands.run(
            ["fsck", "-t", kind, *wish.split(), device], context.number("OnlineTimeout")
        )
        if result.timed_out or result.code < 0 or result.code >= _FSCK_FAILED:
            text = (result.stdout + result.stderr).strip()[-400:]
            raise HoldfastError(f"fsck of {device} ended with {result.code}: {text}", "check the file system by hand")

    async def offline(self, context: AgentContext) -> float:
        """Unmount; who of the group still uses it is killed. Then detach."""
        point = _point(context)
        for attempt in range(2):
            if mounted(point) is None:
                break
            result = await context.commands.run(["umount", point], _UMOUNT_LIMIT_S)
            if not result.ok and attempt == 0:
                await _kill_users(context, point)
            elif not result.ok:
                raise HoldfastError(f"umount failed: {result.stderr.strip()}")
        await self._detach(context)
        return 0.0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Read the mount table, then ask the device."""
        row = mounted(_point(context))
        if row is None:
            return MonitorResult(ResourceState.OFFLINE, 0, watch_mounts=True)
        read_only = "ro" in row.options and "ro" not in context.text("MountOpt").split(",")
        trouble, pidfd = ("the file system went read-only", -1) if read_only else await self._trouble(context, row)
        watched = (pidfd,) if pidfd >= 0 else ()
        return MonitorResult(ResourceState.ONLINE, 100, trouble, watched, watch_mounts=True, broken=bool(trouble))

    async def _trouble(self, context: AgentContext, row: MountRow) -> tuple[str, int]:
        spec = context.text("BlockDevice")
        if _is_spec(spec) and isinstance(context.devices, InspectsDevices):
            health = await context.devices.inspect(spec, context.commands)
            return health.trouble, health.pidfd
        blocks = _blocks(row.device)
        if not blocks:
            return "", -1
        skip = int(time.monotonic() * 1000) * 8191 % blocks
        command = ["dd", f"if={row.source}", "of=/dev/null", f"bs={_BLOCK_BYTES}", "count=1", "iflag=direct"]
        result = await context.commands.run([*command, f"skip={skip}"], _PROBE_LIMIT_S)
        if result.ok:
            return "", -1
        return f"{row.source} does not answer: {result.stderr.strip() or 'no answer in time'}", -1

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Kill users, unmount whatever is stacked there, wait until the kernel let go, detach."""
        point = _point(context)
        await _kill_users(context, point)
        row = mounted(point)
        for _ in range(_STACK_LIMIT):
            if mounted(point) is None:
                break
            result = await context.commands.run(["umount", point], _UMOUNT_LIMIT_S)
            if not result.ok:
                await context.commands.run(["umount", "-l", point], _UMOUNT_LIMIT_S)
        if mounted(point) is not None or (row is not None and not await _released(row)):
            return False
        await self._detach(context)
        return True

    async def _detach(self, context: AgentContext) -> None:
        spec = context.text("BlockDevice")
        if _is_spec(spec):
            await _devices(context).detach(spec, context.commands)
        _record(context).unlink(missing_ok=True)


async def _kill_users(context: AgentContext, point: str) -> None:
    for pidfd in await context.commands.using(point):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
    await asyncio.sleep(0.02)


async def _released(row: MountRow) -> bool:
    """Whether the kernel has let go of a file system: a lazily unmounted one still writes while somebody holds it."""
    directory = Path(f"/sys/fs/{row.kind}") / Path(row.source).name
    end = time.monotonic() + _RELEASE_LIMIT_S
    while await asyncio.to_thread(directory.exists):
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.05)
    return True


def _blocks(device: str) -> int:
    try:
        with open(f"/sys/dev/block/{device}/size", encoding="ascii") as file:
            return int(file.read()) * 512 // _BLOCK_BYTES
    except (OSError, ValueError):
        return 0


def _point(context: AgentContext) -> str:
    point = context.text("MountPoint").strip()
    if not point.startswith("/"):
        raise InputError(f"{context.resource} has no MountPoint", remedy="set MountPoint to an absolute path")
    return point.rstrip("/") or "/"


def _is_spec(spec: str) -> bool:
    return ":" in spec and not spec.startswith("/") and "/" not in spec.partition(":")[0]


def _devices(context: AgentContext) -> BlockDevices:
    if context.devices is None:
        raise InputError(
            f"{context.resource}: nothing can attach {context.text('BlockDevice')!r}", remedy="set [plugins] devices"
        )
    return context.devices


def _record(context: AgentContext) -> Path:
    return context.run_directory / f"{context.resource}.device"
