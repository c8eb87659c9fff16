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

from holdfast.cluster.ports import CommandResult, Commands
from holdfast.continuity.service.evidence import access_key
from holdfast.kernel.errors import HoldfastError, Refusal, Refused

PREFIX = "volume:"
TIMEOUT_S = 30.0


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

    async def attach(self, spec: str, commands: Commands) -> str:
        """Return the path of the device that ``volume:ID`` is attached as."""
        volume = _volume(spec)
        words = ["attach", volume, "--host", self._at.system, "--key", str(access_key(self._incarnation()))]
        words += ["--run-dir", str(self._directory(volume)), "--array", self._at.array, "--json"]
        result = await self._run(words, commands)
        if not result.ok:
            raise HoldfastError(f"volume {volume} cannot be attached: {' '.join(result.stderr.split())}")
        return str(msgspec.json.decode(result.stdout)["device"])

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
