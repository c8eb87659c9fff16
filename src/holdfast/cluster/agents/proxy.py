"""Proxy: shows the state of a resource of another group, so that many groups can stand on one NIC without each
monitoring it. Persistent: nothing is done to what it mirrors.

What it mirrors is known already: on this system to the engine, of another system as that system last said in the
store. Nobody can say of a system that is silent, which is UNKNOWN and takes nothing down.
"""

from __future__ import annotations

from holdfast.cluster.agents.files import Persistent
from holdfast.cluster.model.facts import ResourceState
from holdfast.cluster.ports import AgentContext, MonitorResult
from holdfast.kernel.errors import InputError


class Proxy(Persistent):
    """Attributes TargetResName, TargetSysName (default: this system)."""

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Look up what is known of the other resource."""
        target = context.text("TargetResName")
        if not target or target == context.resource:
            raise InputError(
                f"{context.resource} names no resource to mirror", remedy="set TargetResName to one of another group"
            )
        system = context.text("TargetSysName") or context.system
        found = context.look(target, system)
        if found is None:
            return MonitorResult(ResourceState.UNKNOWN, 0, f"nothing is known of {target} on {system}")
        online = found is ResourceState.ONLINE
        return MonitorResult(found, 100 if online else 0, "" if online else f"{target} is {found.value} on {system}")
