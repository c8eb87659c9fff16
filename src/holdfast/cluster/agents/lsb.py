"""LSB: an init script, unchanged, as a resource.

``status`` speaks by its exit code: 0 runs, 3 does not, 1 and 2 dead with a PID or lock file left, everything else is
unknown. The script is told not to hand over to systemd (as Debian's would), so that what it starts stays in the
group's workload, where the guard can kill it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from holdfast.cluster.agents import foreignlog, residents
from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, CommandResult, MonitorResult
from holdfast.kernel.errors import HoldfastError, InputError

_DIRECTORY = "/etc/init.d"
_STAY = {"SYSTEMCTL_SKIP_REDIRECT": "1", "_SYSTEMCTL_SKIP_REDIRECT": "1"}

STATUS: Mapping[int, tuple[ResourceState, str]] = {
    0: (ResourceState.ONLINE, ""),
    1: (ResourceState.OFFLINE, "dead, with its PID file left"),
    2: (ResourceState.OFFLINE, "dead, with its lock file left"),
    3: (ResourceState.OFFLINE, ""),
    4: (ResourceState.UNKNOWN, "the script does not know"),
}
"""Exit code of ``status`` → state and what it says."""

FAILURES: Mapping[int, str] = {
    1: "failed", 2: "wrong arguments", 3: "not implemented", 4: "insufficient privilege", 5: "not installed",
    6: "not configured", 7: "not running",
}  # fmt: skip
"""Exit code of the other actions → what it means."""


def read_status(result: CommandResult) -> MonitorResult:
    """Return what an ended ``status`` says."""
    state, text = STATUS.get(result.code, (ResourceState.UNKNOWN, f"status ended with {result.code}, no code of LSB"))
    said = foreignlog.last_line(result) if state is ResourceState.UNKNOWN else ""
    return MonitorResult(state, 100 if state is ResourceState.ONLINE else 0, f"{text}: {said}" if said else text)


class LSB(AgentBase):
    """Attribute InitScript: a name below ``/etc/init.d`` or an absolute path."""

    async def open(self, context: AgentContext) -> None:
        """Forget what an earlier life left."""
        residents.forget(context)

    async def online(self, context: AgentContext) -> float:
        """Run ``start``."""
        async with residents.noting(context):
            await _insist(context, "start", "OnlineTimeout")
        return 0.0

    async def offline(self, context: AgentContext) -> float:
        """Run ``stop``."""
        await _insist(context, "stop", "OfflineTimeout")
        return 0.0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Run ``status``."""
        result = await _act(context, "status", "MonitorTimeout")
        if result.timed_out:
            raise TimeoutError("status ran out of time")
        found = read_status(result)
        if found.state is not ResourceState.ONLINE:
            return found
        return MonitorResult(found.state, found.confidence, found.detail, residents.watched(context))

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Run ``stop``, kill what the start left, and ask ``status``."""
        await _act(context, "stop", "CleanTimeout")
        await residents.kill(context)
        gone = read_status(await _act(context, "status", "MonitorTimeout")).state is ResourceState.OFFLINE
        if gone:
            residents.forget(context)
        return gone


async def _insist(context: AgentContext, action: str, timeout: str) -> None:
    result = await _act(context, action, timeout)
    if result.ok:
        return
    meaning = "ran out of time" if result.timed_out else FAILURES.get(result.code, "no code of LSB")
    text = f"{action} ended with {result.code} ({meaning}): {foreignlog.last_line(result)}"
    raise HoldfastError(text, f"see {foreignlog.path_of(context)}")


async def _act(context: AgentContext, action: str, timeout: str) -> CommandResult:
    environment = {**context.environment, **_STAY}
    result = await context.commands.run(
        [str(_script(context)), action], foreignlog.limit_s(context, timeout), environment
    )
    if action != "status":
        foreignlog.note(context, action, result)
    return result


def _script(context: AgentContext) -> Path:
    name = context.text("InitScript").strip()
    if not name:
        raise InputError(f"{context.resource} has no InitScript", remedy=f"set InitScript to a name in {_DIRECTORY}")
    path = Path(_DIRECTORY, name)
    if not path.is_file():
        raise InputError(f"{context.resource}: there is no init script {path}", remedy="correct InitScript")
    if not os.access(path, os.X_OK):
        raise InputError(f"{context.resource}: {path} cannot be executed", remedy=f"chmod 755 {path}")
    return path
