"""What Holdfast asks the kernel about this network namespace, and the one thing it changes in it: an address.

The monitors of IP and NIC ask after every change of a link or an address, and what that costs stands between the change
and the daemon's knowledge of it; in a switch the change of the address is time without service. A socket and one
datagram are enough for all of it. Layouts: linux/netlink.h, linux/if_link.h, linux/if_addr.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTM_GETLINK, _RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 18, 20, 21, 22
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP, _NLM_F_EXCL, _NLM_F_CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
_IFLA_IFNAME, _IFLA_OPERSTATE = 3, 16
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFF_UP = 1
_NAME_LIMIT_BYTES = 15
_HEADER, _LINK, _ADDRESS, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=BBBBI"), "=HH"
_OPERATIONAL = ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP")
_ANSWER_LIMIT_S = 10.0
_RECEIVE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Device:
    """A network device. ``operational`` is the kernel's word of RFC 2863: ``UP``, ``LOWERLAYERDOWN``, ``UNKNOWN`` …"""

    index: int
    up: bool
    operational: str


def device(name: str) -> Device | None:
    """Return the device of that name in this namespace, or None. Raises ``OSError`` when the kernel does not answer."""
    raw = name.encode()
    if not 0 < len(raw) <= _NAME_LIMIT_BYTES:
        return None
    asked = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _attribute(_IFLA_IFNAME, raw + b"\0")
    try:
        answer = next(_ask(_RTM_GETLINK, 0, asked), None)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.EINVAL):
            return None
        raise
    if answer is None:
        return None
    _, _, index, flags, _ = _LINK.unpack_from(answer)
    state = _attributes(answer[_LINK.size :]).get(_IFLA_OPERSTATE, b"\0")[0]
    return Device(index, bool(flags & _IFF_UP), _OPERATIONAL[state] if state < len(_OPERATIONAL) else "UNKNOWN")


def addresses(index: int) -> frozenset[str]:
    """Return the addresses of device ``index`` as text. Raises ``OSError`` when the kernel does not answer."""
    found = set[str]()
    for answer in _ask(_RTM_GETADDR, _NLM_F_DUMP, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        family, _, _, _, at = _ADDRESS.unpack_from(answer)
        given = _attributes(answer[_ADDRESS.size :])
        raw = given.get(_IFA_LOCAL) or given.get(_IFA_ADDRESS)
        if at == index and raw is not None and family in (socket.AF_INET, socket.AF_INET6):
            found.add(socket.inet_ntop(family, raw))
    return frozenset(found)


def add_address(index: int, address: str, prefix_bits: int) -> None:
    """Give device ``index`` an address; one that it has is kept. Raises ``OSError`` as the kernel refuses."""
    _change(_RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_EXCL, errno.EEXIST, index, address, prefix_bits)


def remove_address(index: int, address: str, prefix_bits: int) -> None:
    """Take an address from device ``index``; nothing happens if it has not got it. Raises ``OSError``."""
    _change(_RTM_DELADDR, 0, errno.EADDRNOTAVAIL, index, address, prefix_bits)


def _change(kind: int, flags: int, done_already: int, index: int, address: str, prefix_bits: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.inet_pton(family, address)
    body = _ADDRESS.pack(family, prefix_bits, 0, 0, index) + _attribute(_IFA_LOCAL, raw) + _attribute(_IFA_ADDRESS, raw)
    try:
        for _ in _ask(kind, flags | _NLM_F_ACK, body):
            pass
    except OSError as error:
        if error.errno != done_already:
            raise


def _ask(kind: int, flags: int, body: bytes) -> Iterator[bytes]:
    """Send one request; yield the body of each message of the answer."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as link:
        link.settimeout(_ANSWER_LIMIT_S)
        link.send(_HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | flags, 1, 0) + body)
        while True:
            data = link.recv(_RECEIVE_BYTES)
            at = 0
            while at + _HEADER.size <= len(data):
                length, told, _, _, _ = _HEADER.unpack_from(data, at)
                content = data[at + _HEADER.size : at + length]
                at += (length + 3) & ~3
                if told == _NLMSG_DONE:
                    return
                if told == _NLMSG_ERROR:
                    number = -int(struct.unpack_from("=i", content)[0])
                    if not number:
                        return  # the acknowledgement
                    raise OSError(number, os.strerror(number))
                yield content
            if not flags:
                return


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack(_ATTRIBUTE, 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = dict[int, bytes](), 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from(_ATTRIBUTE, data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found
