"""Application: any program that can be started, stopped and seen, by the rules of the VCS agent.

Online when everything that is configured of PidFiles, MonitorProcesses and MonitorProgram agrees; at least one of the
three is needed. MonitorProgram speaks with its exit code: 0 and 110 online, 101–109 online with less confidence, 1 and
100 offline, 200 stopped on purpose where IntentionalOffline is 1, anything else unknown. The processes found are
handed to the engine, which sees their end at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, CommandResult, MonitorResult
from holdfast.kernel.errors import HoldfastError, InputError

_PID_FILE_LIMIT_BYTES = 64
_LOG_LIMIT_BYTES = 4 * 1024 * 1024


class Application(AgentBase):
    """Attributes StartProgram, StopProgram, CleanProgram, MonitorProgram, PidFiles, MonitorProcesses, User, EnvFile."""

    async def online(self, context: AgentContext) -> float:
        """Run StartProgram to its end; its exit value is the seconds to wait before the first monitor."""
        program = context.text("StartProgram")
        if not program:
            raise InputError(f"{context.resource} has no StartProgram", remedy="set StartProgram")
        code = await _run_logged(context, program, context.number("OnlineTimeout"))
        if code < 0 or code > 100:
            raise HoldfastError(f"StartProgram ended with {code}", f"see {_log(context)}")
        return float(code)

    async def offline(self, context: AgentContext) -> float:
        """Run StopProgram; without one, clean."""
        program = context.text("StopProgram")
        if not program:
            await self.clean(context, CleanReason.OFFLINE_INEFFECTIVE)
            return 0.0
        code = await _run_logged(context, program, context.number("OfflineTimeout"))
        return float(code) if 0 <= code <= 100 else 0.0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Look at PidFiles, then MonitorProcesses, then MonitorProgram; the first that says offline decides."""
        files, patterns = context.names("PidFiles"), context.names("MonitorProcesses")
        program = context.text("MonitorProgram")
        if not files and not patterns and not program:
            raise InputError(f"{context.resource} cannot be monitored", remedy="set PidFiles, or another monitor")
        found: list[int] = []
        missing = ""
        for file in files:
            descriptor = await self._from_file(context, file)
            missing = missing or ("" if descriptor is not None else f"no process for {file}")
            found += [] if descriptor is None else [descriptor]
        for pattern in patterns:
            descriptor = await context.commands.find(pattern, _user(context))
            missing = missing or ("" if descriptor is not None else f"no process {pattern!r}")
            found += [] if descriptor is None else [descriptor]
        if missing:
            _close(found)
            return MonitorResult(ResourceState.OFFLINE, 0, missing)
        if not program:
            return MonitorResult(ResourceState.ONLINE, pidfds=tuple(found))
        try:
            result = await context.commands.run(
                program, context.number("MonitorTimeout"), _environment(context), _user(context)
            )
        except (HoldfastError, OSError):
            _close(found)
            raise
        return _program_says(result, tuple(found), bool(context.number("IntentionalOffline")))

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Run CleanProgram if there is one, then kill whatever is still found.

        The program is run as it is written, so that a plain stop command serves; the clean reason (0 to 5) is in its
        environment as ``HOLDFAST_CLEAN_REASON``.
        """
        program = context.text("CleanProgram")
        done = True
        if program:
            environment = {**_environment(context), "HOLDFAST_CLEAN_REASON": str(reason.value)}
            result = await context.commands.run(program, context.number("CleanTimeout"), environment, _user(context))
            done = result.ok
        for descriptor in await self._processes(context):
            try:
                _kill(descriptor)
            finally:
                os.close(descriptor)
        return done

    async def _processes(self, context: AgentContext) -> list[int]:
        found: list[int] = []
        for file in context.names("PidFiles"):
            descriptor = await self._from_file(context, file)
            found += [] if descriptor is None else [descriptor]
        for pattern in context.names("MonitorProcesses"):
            descriptor = await context.commands.find(pattern, _user(context))
            found += [] if descriptor is None else [descriptor]
        return found

    async def _from_file(self, context: AgentContext, file: str) -> int | None:
        pid = await asyncio.to_thread(_recorded_pid, Path(file))
        return None if pid is None else await context.commands.process(pid)


def _recorded_pid(file: Path) -> int | None:
    """Read a PID file, in a thread: its file system may hang."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_PID_FILE_LIMIT_BYTES).split()
    except OSError:
        return None
    return int(text[0]) if text and text[0].isdigit() and int(text[0]) > 1 else None


async def _run_logged(context: AgentContext, program: str, limit_s: int) -> int:
    """Run a program whose children may stay and keep writing; its output goes to the resource's log."""
    log = _log(context)
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    process = await context.commands.spawn(program, _environment(context), _user(context), log, stays=False)
    done = False
    try:
        code = await process.wait()
        done = True
        return code
    finally:
        if not done:
            await process.kill()


def _program_says(result: CommandResult, pidfds: tuple[int, ...], may_mean: bool) -> MonitorResult:
    """``may_mean``: 200 says that the program was stopped on purpose (IntentionalOffline)."""
    if result.timed_out:
        _close(pidfds)
        raise TimeoutError("MonitorProgram ran out of time")
    if result.code in (0, 110):
        return MonitorResult(ResourceState.ONLINE, 100, pidfds=pidfds)
    if 101 <= result.code <= 109:
        return MonitorResult(ResourceState.ONLINE, (result.code - 100) * 10, pidfds=pidfds)
    _close(pidfds)
    if result.code == 200 and may_mean:
        return MonitorResult(ResourceState.OFFLINE, 0, "stopped on purpose", intentional=True)
    if result.code in (1, 100):
        return MonitorResult(ResourceState.OFFLINE, 0, (result.stdout + result.stderr).strip()[:200])
    return MonitorResult(ResourceState.UNKNOWN, 0, f"MonitorProgram ended with {result.code}")


def _kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return


def _close(descriptors: list[int] | tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _log(context: AgentContext) -> Path:
    return context.run_directory / f"{context.resource}.log"


def _user(context: AgentContext) -> str:
    return context.text("User") if os.geteuid() == 0 else ""


def _environment(context: AgentContext) -> Mapping[str, str]:
    values = {
        **context.environment,
        "HOLDFAST_SYSTEM": context.system,
        "HOLDFAST_GROUP": context.group,
        "HOLDFAST_RESOURCE": context.resource,
    }
    file = context.text("EnvFile")
    if file:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                name, mark, value = line.strip().removeprefix("export ").partition("=")
                if mark and not name.startswith("#"):
                    values[name.strip()] = value.strip().strip("\"'")
    return values
