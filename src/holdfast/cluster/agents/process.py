"""Process: one program with its arguments, found again by exactly that command line.

The program is started in the group's workload, where the guard can kill it, and may stay in the foreground or detach.
What runs is looked for by its command line, so a program that rewrites its title is not for this type (Application
has PidFiles for it). Its end is an event: the engine gets its pidfd.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from holdfast.cluster.agents import foreignlog
from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, MonitorResult
from holdfast.kernel.errors import HoldfastError, InputError

_FIRST_LOOK_S = 0.1
_END_POLL_S = 0.02
_KILLED_LIMIT_S = 2.0


class Process(AgentBase):
    """Attributes PathName, Arguments, UserName."""

    async def online(self, context: AgentContext) -> float:
        """Start the program, unless it runs. Raises when it ends at once with an error."""
        command = _command(context)
        found = await _find(context, command)
        if found is not None:
            os.close(found)
            return 0.0
        words = command.split()
        if not os.access(words[0], os.X_OK) or os.path.isdir(words[0]):
            raise InputError(f"{context.resource}: {words[0]} cannot be executed", remedy="correct PathName")
        log = foreignlog.path_of(context)
        environment = {**context.environment, "HOLDFAST_RESOURCE": context.resource}
        process = await context.commands.spawn(words, environment, _user(context), log)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK_S):
                code = await process.wait()
            if code != 0:
                raise HoldfastError(f"{words[0]} ended at once with {code}", f"see {log}")
        return 0.0

    async def offline(self, context: AgentContext) -> float:
        """Ask it to end; return when it has."""
        limit_s = float(context.number("OfflineTimeout") or 60)
        if not await _end(context, signal.SIGTERM, limit_s):
            raise HoldfastError(f"{_command(context)!r} does not end")
        return 0.0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Look for the command line."""
        found = await _find(context, _command(context))
        if found is None:
            return MonitorResult(ResourceState.OFFLINE, 0, f"no process {_command(context)!r}")
        return MonitorResult(ResourceState.ONLINE, pidfds=(found,))

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Kill it; True when none is left."""
        return await _end(context, signal.SIGKILL, _KILLED_LIMIT_S)


async def _end(context: AgentContext, number: signal.Signals, limit_s: float) -> bool:
    """Send a signal to each process with the command line until none is left or the time is over."""
    loop, told = asyncio.get_running_loop(), ""
    end = loop.time() + limit_s
    while (found := await _find(context, _command(context))) is not None:
        try:
            process = Path(f"/proc/self/fdinfo/{found}").read_text("ascii")
            if process != told:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(found, number)
            told = process
        finally:
            os.close(found)
        if loop.time() > end:
            return False
        await asyncio.sleep(_END_POLL_S)
    return True


async def _find(context: AgentContext, command: str) -> int | None:
    return await context.commands.find(command, _user(context))


def _command(context: AgentContext) -> str:
    path = context.text("PathName").strip()
    if not path.startswith("/"):
        raise InputError(f"{context.resource} has no PathName", remedy="set PathName to the program's absolute path")
    return " ".join([path, *context.text("Arguments").split()])


def _user(context: AgentContext) -> str:
    return context.text("UserName") if os.geteuid() == 0 else ""
