"""Ends lost systems through fence agents and believes nothing that is not confirmed.

Each device is told ``off``, and then asked: only an answer that the system is off counts. ``reboot`` has no state to
look at afterwards, so the agent's own word is taken, and the evidence says so. Parameters go to standard input, where
agents expect them; secrets are read from their files at that moment and kept out of everything that is logged. An agent
that does not end in time is killed with all that it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from holdfast.cluster.agents.fence_metadata import program_of
from holdfast.cluster.model.facts import Evidence, EvidenceKind
from holdfast.cluster.model.power import PowerDevice, PowerState
from holdfast.kernel.errors import HoldfastError, Refusal
from holdfast.runtime.secretfile import read_secret

_OUTPUT_BYTES, _QUOTED_CHARACTERS = 64 * 1024, 300
_STATES = {0: "on", 2: "off"}
"""Exit code of ``status`` → what it says; anything else says nothing."""


class FenceAgents:
    """The devices of each system. ``log`` is told what is done and what came of it."""

    def __init__(self, devices: Mapping[str, Sequence[PowerDevice]], log: Callable[[str, str], None]) -> None:
        self._devices, self._log = devices, log

    @property
    def systems(self) -> frozenset[str]:
        """The systems that have a device."""
        return frozenset(self._devices)

    async def end(self, system: str, incarnation: str) -> Evidence | Refusal:
        """End ``system``, level by level until one confirms; a refusal with every device's reason if none does."""
        reasons: list[str] = []
        for level in sorted({device.level for device in self._devices.get(system, ())}):
            devices = [device for device in self._devices[system] if device.level == level]
            self._log("warning", f"fencing {system}, level {level}: {', '.join(one.label for one in devices)}")
            found = await asyncio.gather(*(self._end(device) for device in devices))
            failed = [f"{one.label}: {why}" for one, (done, why) in zip(devices, found, strict=True) if not done]
            if not failed:
                told = "; ".join(f"{one.label} {word}" for one, (_, word) in zip(devices, found, strict=True))
                self._log("warning", f"{system} is fenced: {told}")
                return Evidence(EvidenceKind.FENCED, f"{system} was fenced: {told}", system, incarnation)
            reasons += failed
        text = f"no device ended {system}: {'; '.join(reasons)}" if reasons else f"{system} has no device"
        self._log("error", text)
        return Refusal("fence-failed", text, f"see holdfast fence status {system}; when it is off: fence confirm")

    async def states(self, system: str) -> list[PowerState]:
        """Return what each device of ``system`` says."""
        return [await self._state(device) for device in self._devices.get(system, ())]

    async def _end(self, device: PowerDevice) -> tuple[bool, str]:
        """Return whether the device confirms, and its words or the reason why not."""
        code, said = await self._run(device, device.action)
        if device.action == "reboot":
            return code == 0, "says that it rebooted it" if code == 0 else said
        state = await self._state(device)
        if state.state == "off":
            return True, "confirms that it is off"
        why = state.reason if state.state == "unknown" else "its status is still on"
        return False, f"{said}; {why}" if code else why

    async def _state(self, device: PowerDevice) -> PowerState:
        code, said = await self._run(device, "status")
        state = _STATES.get(code, "unknown")
        return PowerState(device.label, device.level, state, said if state == "unknown" else "")

    async def _run(self, device: PowerDevice, action: str) -> tuple[int, str]:
        """Run the agent once; return its exit code (-1: it was not run, or killed) and the end of what it said."""
        try:
            secrets = {
                name: read_secret(Path(file)).decode("utf-8").rstrip("\n") for name, file in device.secrets.items()
            }
            program = program_of(device.agent)
        except (HoldfastError, UnicodeDecodeError) as error:
            return -1, str(error).replace("\n  remedy: ", "; ")
        given = {"action": action, **device.parameters, **secrets}
        lines = "".join(f"{name}={value}\n" for name, value in given.items())
        code, said = await run_bounded(program, lines.encode(), device.timeout_s)
        for secret in filter(None, secrets.values()):
            said = said.replace(secret, "***")
        return code, said or f"exit code {code}"


async def run_bounded(program: str, given: bytes, limit_s: float) -> tuple[int, str]:
    """Run a program with ``given`` on its standard input; return its exit code and the last of what it printed. It is
    killed, with its whole session, after ``limit_s`` seconds (code -1)."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            program, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT, start_new_session=True
        )
    except OSError as error:
        return -1, f"{program} cannot be run: {error.strerror}"
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(limit_s):
            with contextlib.suppress(OSError):
                process.stdin.write(given)
                await process.stdin.drain()
                process.stdin.close()
            tail = await _tail(process.stdout)
            code = await process.wait()
    except TimeoutError:
        return -1, f"did not end within {limit_s:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.returncode is None:
            await process.wait()
    return code, " ".join(tail.decode("utf-8", "replace").split())[-_QUOTED_CHARACTERS:]


async def _tail(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while block := await stream.read(_OUTPUT_BYTES):
        kept = (kept + block)[-_OUTPUT_BYTES:]
    return kept
