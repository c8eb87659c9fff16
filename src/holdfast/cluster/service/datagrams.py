"""Datagrams between the systems' daemons (``Post`` of the ports), over UDP.

A system listens where it talks to the store: at the address of its own that the kernel takes toward a member of the
store on another host. Nothing is promised: a datagram that a firewall eats is made good by whoever sent it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence

_LIMIT_BYTES = 16 * 1024


class Datagrams:
    """Sends and receives. ``toward`` are addresses of the store, ``listen`` is one to insist on; both ``host:port``."""

    def __init__(self, toward: Sequence[str], listen: str = "") -> None:
        self._toward, self._listen = tuple(toward), listen
        self._socket: socket.socket | None = None

    async def open(self, receive: Callable[[bytes], None]) -> str:
        """See ``Post``: empty when no address of this host's can be had."""
        host, _, port = (self._listen or f"{await asyncio.to_thread(_own_address, self._toward)}:0").rpartition(":")
        host = host.strip("[]")
        if not host:
            return ""
        found = socket.socket(_family(host), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            found.bind((host, int(port)))
        except OSError:
            found.close()
            return ""
        self._socket = found
        asyncio.get_running_loop().add_reader(found.fileno(), self._read, found, receive)
        host, port = found.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def send(self, address: str, message: bytes) -> None:
        """See ``Post``."""
        host, _, port = address.rpartition(":")
        with contextlib.suppress(OSError, ValueError):
            if self._socket is not None:
                self._socket.sendto(message, (host.strip("[]"), int(port)))

    def close(self) -> None:
        """See ``Post``."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _read(self, source: socket.socket, receive: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError):
            receive(source.recv(_LIMIT_BYTES))


def _own_address(toward: Sequence[str]) -> str:
    """The address from which this host reaches another; on a host that knows itself only, that of the loopback."""
    found = ""
    for address in toward:
        host, _, port = address.rpartition(":")
        with contextlib.suppress(OSError, ValueError):
            family, _, _, _, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(place)
                own = str(probe.getsockname()[0])
            if not ipaddress.ip_address(own).is_loopback:
                return own
            found = found or own
    return found


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
