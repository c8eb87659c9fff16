"""What agents of array copies have in common: a resource that is online while a file of this system says so.

Whether the copies are well is the array's business and belongs to *info*; a monitor that asked an array each time would
take a whole site's groups down when a console does not answer.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.cluster.model.facts import ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, MonitorResult


class LockFileAgent(AgentBase):
    """Online while the lock file exists."""

    async def open(self, context: AgentContext) -> None:
        """Remove the lock file that an earlier life left."""
        lock_of(context).unlink(missing_ok=True)

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Look at the lock file and at nothing else."""
        online = lock_of(context).exists()
        return MonitorResult(ResourceState.ONLINE if online else ResourceState.OFFLINE)


def lock_of(context: AgentContext) -> Path:
    """Return the lock file of a resource."""
    return context.run_directory / f"{context.resource}.lock"


def lock(context: AgentContext) -> None:
    """Create the lock file; it names the system's incarnation."""
    lock_of(context).write_text(f"{context.incarnation}\n")


def unlock(context: AgentContext) -> None:
    """Remove the lock file."""
    lock_of(context).unlink(missing_ok=True)
