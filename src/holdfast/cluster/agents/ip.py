"""IP: an address on a network device, announced to the neighbours when it arrives.

Works on netlink directly; the address change is also the event that makes the engine look again. The gratuitous ARP
is sent several times because the first may be lost while a switch learns; only the first is waited for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from dataclasses import dataclass

from holdfast.cluster.agents import netlink
from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, MonitorResult
from holdfast.kernel.errors import HoldfastError, InputError

_ARP_AGAIN_S = (0.05, 0.2, 1.0)
_ETHERTYPE_ARP = 0x0806
_BROADCAST = b"\xff" * 6


@dataclass(frozen=True, slots=True)
class _Address:
    device: str
    address: str
    prefix_bits: int


class IP(AgentBase):
    """Attributes Device, Address, NetMask or PrefixLen."""

    def __init__(self) -> None:
        self._announcing: dict[str, asyncio.Task[None]] = {}

    async def online(self, context: AgentContext) -> float:
        """Add the address and announce it."""
        wanted = _address(context)
        await asyncio.to_thread(_change, wanted, "add")
        await asyncio.to_thread(_announce, wanted)
        self._hush(context)
        self._announcing[context.resource] = asyncio.create_task(_announce_again(wanted), name="gratuitous ARP")
        return 0.0

    async def offline(self, context: AgentContext) -> float:
        """Remove the address."""
        self._hush(context)
        await asyncio.to_thread(_change, _address(context), "del")
        return 0.0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Online while the device has the address; broken while the device is down."""
        wanted = _address(context)
        present, up = await asyncio.to_thread(_look, wanted)
        if not present:
            return MonitorResult(ResourceState.OFFLINE, 0, watch_addresses=True)
        trouble = "" if up else f"{wanted.device} is down"
        return MonitorResult(ResourceState.ONLINE, detail=trouble, watch_addresses=True, broken=bool(trouble))

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Remove the address; done when it is gone."""
        self._hush(context)
        wanted = _address(context)
        await asyncio.to_thread(_change, wanted, "del")
        return not (await asyncio.to_thread(_look, wanted))[0]

    def _hush(self, context: AgentContext) -> None:
        """Announce no longer: the address may be another system's in a moment."""
        task = self._announcing.pop(context.resource, None)
        if task is not None:
            task.cancel()


def _address(context: AgentContext) -> _Address:
    address, mask, bits = context.text("Address"), context.text("NetMask"), context.number("PrefixLen")
    try:
        found = ipaddress.ip_address(address)
        if not bits:
            default = "32" if found.version == 4 else "128"
            bits = ipaddress.ip_network(f"{'0.0.0.0' if found.version == 4 else '::'}/{mask or default}").prefixlen
    except ValueError as error:
        raise InputError(f"{context.resource}: {error}", remedy="correct Address, NetMask or PrefixLen") from error
    if not context.text("Device"):
        raise InputError(f"{context.resource} has no Device", remedy="set Device, for example eth0")
    return _Address(context.text("Device"), str(found), bits)


def _change(wanted: _Address, verb: str) -> None:
    found = netlink.device(wanted.device)
    if found is None:
        if verb == "del":
            return
        raise HoldfastError(f"there is no device {wanted.device}", "ip link")
    change = netlink.add_address if verb == "add" else netlink.remove_address
    try:
        change(found.index, wanted.address, wanted.prefix_bits)
    except OSError as error:
        text = f"address {wanted.address} on {wanted.device}: {error.strerror}"
        raise HoldfastError(text, "may this user change addresses, and is the prefix right?") from error


def _look(wanted: _Address) -> tuple[bool, bool]:
    """Return whether the address is there and whether its device is up, both of this network namespace."""
    found = netlink.device(wanted.device)
    if found is None:
        return False, False
    return wanted.address in netlink.addresses(found.index), found.up


async def _announce_again(wanted: _Address) -> None:
    for pause_s in _ARP_AGAIN_S:
        await asyncio.sleep(pause_s)
        await asyncio.to_thread(_announce, wanted)


def _announce(wanted: _Address) -> None:
    """Send one gratuitous ARP; an address that nobody hears of is still good, so failures are not errors."""
    if ":" in wanted.address or wanted.device == "lo":
        return
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE_ARP)) as raw:
            raw.bind((wanted.device, _ETHERTYPE_ARP))
            own = raw.getsockname()[4]
            address = socket.inet_aton(wanted.address)
            header = _BROADCAST + own + struct.pack("!H", _ETHERTYPE_ARP)
            body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + address + b"\0" * 6 + address
            raw.send(header + body)
    except OSError:
        return
