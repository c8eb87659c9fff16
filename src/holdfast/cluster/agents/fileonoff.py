"""FileOnOff: a file that exists while the resource is online. For trials and tests.

It answers online without running any command, so it also shows the least that an agent must be.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, CommandResult, MonitorResult


class FileOnOff(AgentBase):
    """Attribute PathName names the file; ``%s`` in it becomes the system's name."""

    async def online(self, context: AgentContext) -> float:
        """Create the file."""
        _path(context).touch()
        return 0.0

    async def offline(self, context: AgentContext) -> float:
        """Remove the file."""
        _path(context).unlink(missing_ok=True)
        return 0.0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Online while the file exists."""
        exists = _path(context).exists()
        return MonitorResult(ResourceState.ONLINE if exists else ResourceState.OFFLINE)

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Remove the file; False when it stays."""
        with contextlib.suppress(OSError):
            _path(context).unlink(missing_ok=True)
        return not _path(context).exists()

    async def action(self, context: AgentContext, name: str, arguments: Sequence[str]) -> CommandResult:
        """``touch`` writes the arguments into the file."""
        if name != "touch":
            return CommandResult(1, stderr=f"{context.resource} has no action {name}")
        _path(context).write_text(" ".join(arguments), "utf-8")
        return CommandResult(0, "touched")


def _path(context: AgentContext) -> Path:
    return Path(context.text("PathName").replace("%s", context.system))
