"""Block devices for mounts: ``volume:1260`` becomes a disk of the local array, served inside the killable workload.

The attach command itself runs in the workload, so the process that serves the disk is one of those that the guard kills
at the lease deadline. The system's incarnation is its key at the array: what a lost incarnation had attached is barred
for ever, a later one attaches anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdfast.cluster.ports import CommandResult, Commands, DeviceHealth
from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.replication.model.identity import access_key

PREFIX = "volume:"
TIMEOUT_S = 30.0
PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where and as whom a system attaches: its name at the array, the array's address, a directory for the devices."""

    system: str
    array: str
    run_directory: Path
    program: Sequence[str]
    environment: Mapping[str, str]


class VolumeDevices:
    """Implements the cluster's ``BlockDevices`` port over ``holdfast volume attach``."""

    def __init__(self, attachment: Attachment, incarnation: Callable[[], str]) -> None:
        self._at, self._incarnation = attachment, incarnation
        self._servers: dict[str, int] = {}

    async def attach(self, spec: str, commands: Commands) -> str:
        """Return the file that shows ``volume:ID``; to be mounted through a loop device."""
        volume = _volume(spec)
        words = ["attach", volume, "--host", self._at.system, "--key", str(access_key(self._incarnation()))]
        words += ["--run-dir", str(self._directory(volume)), "--array", self._at.array, "--file", "--json"]
        result = await self._run(words, commands)
        if not result.ok:
            raise HoldfastError(f"volume {volume} cannot be attached: {' '.join(result.stderr.split())}")
        attached = msgspec.json.decode(result.stdout)
        self._servers[volume] = int(attached["pid"])
        return str(attached["device"])

    async def inspect(self, spec: str, commands: Commands) -> DeviceHealth:
        """Read one block past every cache, in a child that can be killed; watch the process that serves the device."""
        volume = _volume(spec)
        file = self._directory(volume) / "nbd" / "disk"
        command = ["dd", f"if={file}", "of=/dev/null", "bs=4096", "count=1", "iflag=direct"]
        result = await commands.run(command, PROBE_TIMEOUT_S)
        if not result.ok:
            said = " ".join(result.stderr.split()) or "no answer in time"
            return DeviceHealth(f"volume {volume} does not answer: {said}")
        pidfd = await commands.process(self._servers[volume]) if volume in self._servers else None
        return DeviceHealth("", -1 if pidfd is None else pidfd)

    async def detach(self, spec: str, commands: Commands) -> None:
        """Release the device, also when what served it is dead."""
        volume = _volume(spec)
        result = await self._run(["detach", "--run-dir", str(self._directory(volume))], commands)
        if not result.ok:
            reason = f"volume {volume} cannot be detached: {' '.join(result.stderr.split())}"
            raise Refused(Refusal("in-use", reason, "end what uses it"))

    async def _run(self, words: Sequence[str], commands: Commands) -> CommandResult:
        return await commands.run([*self._at.program, "volume", *words], TIMEOUT_S, env=dict(self._at.environment))

    def _directory(self, volume: str) -> Path:
        return self._at.run_directory / "volumes" / volume


def _volume(spec: str) -> str:
    if not spec.startswith(PREFIX):
        raise Refused(Refusal("no-device", f"{spec!r} is not a volume", "write volume:1260"))
    return spec.removeprefix(PREFIX)
