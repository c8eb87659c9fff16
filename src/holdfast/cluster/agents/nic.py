"""NIC: a network device that works, or does not. Persistent: watched, never configured.

The kernel says over netlink whether the device is up and has a carrier; a device that keeps no operational state
(loopback, dummy) counts as working when it is up. With NetworkHosts one of them must answer a ping as well, which
finds what a carrier cannot: a switch that forwards nothing. One answer is enough, so that a host that is down for its
own reasons takes no service with it. MultiNICB is the same for several devices, of which one is enough.
"""

from __future__ import annotations

import asyncio

from holdfast.cluster.agents import netlink
from holdfast.cluster.agents.files import Persistent
from holdfast.cluster.model.facts import ResourceState
from holdfast.cluster.ports import AgentContext, MonitorResult
from holdfast.kernel.errors import InputError

_WORKING = ("UP", "UNKNOWN", "DORMANT")
_PING_WAIT_S = 1
_NO_PROGRAM = 127


class NIC(Persistent):
    """Attributes Device, NetworkHosts."""

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Ask the kernel, then the hosts."""
        device = context.text("Device")
        if not device:
            raise InputError(f"{context.resource} has no Device", remedy="set Device, for example eth0")
        trouble = await asyncio.to_thread(_trouble, device) or await _unanswered(context, device)
        state = ResourceState.OFFLINE if trouble else ResourceState.ONLINE
        return MonitorResult(state, 0 if trouble else 100, trouble, watch_addresses=True)


class MultiNICB(Persistent):
    """Attributes Device (an association: device → its place, as in VCS), NetworkHosts. Online while one works."""

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Look at every device; the hosts are asked over those that the kernel calls good."""
        devices = context.names("Device")
        if not devices:
            raise InputError(f"{context.resource} has no Device", remedy="set Device = { eth0 = 0, eth1 = 1 }")
        found = await asyncio.gather(*(asyncio.to_thread(_trouble, device) for device in devices))
        told = [trouble or await _unanswered(context, device) for device, trouble in zip(devices, found, strict=True)]
        working = sum(not trouble for trouble in told)
        detail = "; ".join(filter(None, told))
        state = ResourceState.ONLINE if working else ResourceState.OFFLINE
        return MonitorResult(state, 100 * working // len(devices), detail, watch_addresses=True)


def _trouble(name: str) -> str:
    found = netlink.device(name)
    if found is None:
        return f"there is no device {name}"
    if not found.up:
        return f"{name} is down"
    return "" if found.operational in _WORKING else f"{name} is up but {found.operational.lower()}: no carrier"


async def _unanswered(context: AgentContext, device: str) -> str:
    """Ping all hosts at once; return what is wrong when none answers."""
    hosts = context.names("NetworkHosts")
    if not hosts:
        return ""
    for host in hosts:
        if host.startswith("-"):
            raise InputError(f"{context.resource}: {host!r} is no host", remedy="correct NetworkHosts")
    command = ["ping", "-n", "-q", "-c", "1", "-W", str(_PING_WAIT_S), "-I", device]
    pings = (context.commands.run([*command, host], _PING_WAIT_S + 2.0) for host in hosts)
    codes = [result.code for result in await asyncio.gather(*pings)]
    if _NO_PROGRAM in codes:
        raise InputError(f"{context.resource}: there is no ping", remedy="install iputils-ping, or empty NetworkHosts")
    return "" if 0 in codes else f"{device}: none of {', '.join(hosts)} answers"
