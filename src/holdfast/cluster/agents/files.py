"""The small types: FileOnOnly, FileNone, ElifNone, Phantom. For trials, for conditions kept as files, for empty groups.

A persistent type (Operations None) is only watched: nothing is done to bring it online or offline, and clean has
nothing to do, so that a fault of it is simply a fault.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, MonitorResult
from holdfast.kernel.errors import InputError


class Persistent(AgentBase):
    """What every type with Operations None shares."""

    async def online(self, context: AgentContext) -> float:
        """Nothing to do."""
        return 0.0

    async def offline(self, context: AgentContext) -> float:
        """Nothing to do."""
        return 0.0

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Nothing to do, which is always done."""
        return True


class FileOnOnly(Persistent):
    """A file that is created when the resource comes online and stays: brought online, never taken offline."""

    async def online(self, context: AgentContext) -> float:
        """Create the file."""
        _path(context).touch()
        return 0.0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Online while the file exists."""
        return _state(_path(context).exists(), "")


class FileNone(Persistent):
    """Online while the file exists."""

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Look for the file."""
        path = _path(context)
        return _state(path.exists(), f"{path} is not there")


class ElifNone(Persistent):
    """Online while the file does not exist."""

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Look for the file."""
        path = _path(context)
        return _state(not path.exists(), f"{path} is there")


class Phantom(Persistent):
    """Always online: gives a group whose other resources are all persistent a state."""

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Say online."""
        return MonitorResult(ResourceState.ONLINE)


def _state(online: bool, trouble: str) -> MonitorResult:
    return MonitorResult(ResourceState.ONLINE) if online else MonitorResult(ResourceState.OFFLINE, 0, trouble)


def _path(context: AgentContext) -> Path:
    name = context.text("PathName").replace("%s", context.system)
    if not name.startswith("/"):
        raise InputError(f"{context.resource} has no PathName", remedy="set PathName to an absolute path")
    return Path(name)
