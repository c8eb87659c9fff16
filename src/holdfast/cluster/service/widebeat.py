"""Wide-area heartbeats: a second opinion on a remote cluster, apart from the connector's link.

``heartbeat`` blocks of main.cf say which: ``Icmp`` sends an echo request to the addresses in ``Arguments``; any other
kind names a program in ``AgentFile`` that gets the cluster's name and ``Arguments`` and ends with 0 (or a script
agent's 101 to 110) when that cluster gives a sign of life. Every ``AYAInterval`` seconds it is asked, waits
``AYATimeout`` seconds at most, and after ``AYARetryLimit`` failures in a row the heartbeat is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Sequence

from holdfast.cluster.model.configuration import Configuration, Values
from holdfast.cluster.model.widearea import Pulse

_ECHO = struct.Struct("!BBHHH")
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_DATA = b"holdfast"
_PAUSE_S = 0.05
_NUMBERS = itertools.count(1)
_DEFAULTS = {"AYAInterval": 60, "AYATimeout": 30, "AYARetryLimit": 3}


def kinds_for(configuration: Configuration, cluster: str) -> tuple[str, ...]:
    """Return the names of the heartbeats that watch a remote cluster."""
    return tuple(
        name
        for name, values in configuration.heartbeats.items()
        if cluster in _words(values.get("ClusterList", cluster))
    )


class WideBeat:
    """One heartbeat to one remote cluster; ``alive`` is None until it has been asked for the first time."""

    def __init__(self, name: str, values: Values, cluster: str, address: str) -> None:
        self._name, self._values, self._cluster, self._address = name, values, cluster, address
        self.alive: bool | None = None

    def _number(self, name: str) -> int:
        found = self._values.get(name, self._cluster)
        return _DEFAULTS[name] if found is None else int(str(found))

    async def run(self) -> None:
        """Ask until cancelled."""
        missed = 0
        while True:
            answered = False
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._number("AYATimeout")):
                    answered = await self._ask()
            missed = 0 if answered else missed + 1
            if answered:
                self.alive = True
            elif missed >= self._number("AYARetryLimit"):
                self.alive = False
            await asyncio.sleep(max(_PAUSE_S, self._number("AYAInterval")))

    async def _ask(self) -> bool:
        arguments = _words(self._values.get("Arguments", self._cluster))
        program = str(self._values.get("AgentFile", self._cluster) or "")
        if program:
            return await _program([program, self._cluster, *arguments])
        for address in arguments or (self._address,):
            if await echo(address):
                return True
        return False


def together(beats: Sequence[WideBeat]) -> Pulse:
    """Return what all heartbeats to a cluster say: lost only when every one of them is."""
    if not beats:
        return Pulse.NONE
    return Pulse.LOST if all(beat.alive is False for beat in beats) else Pulse.ALIVE


def echo_socket() -> tuple[socket.socket, bool]:
    """Return a socket for echo requests, and whether it is a raw one. Raises ``PermissionError``."""
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP), False
    except PermissionError:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), True


async def echo(address: str) -> bool:
    """Send one ICMP echo request and return whether it is answered. Waits for ever; raises ``OSError``."""
    made, raw = echo_socket()
    number, loop = next(_NUMBERS) & 0xFFFF, asyncio.get_running_loop()
    with made:
        made.setblocking(False)
        found = await loop.getaddrinfo(address, None, family=socket.AF_INET)
        made.connect((found[0][4][0], 0))  # of datagrams: only says where they go
        identity = id(made) & 0xFFFF
        await loop.sock_sendall(made, _echo_request(identity, number))
        while True:
            got = await loop.sock_recv(made, 512)
            body = got[(got[0] & 15) * 4 :] if raw and got else got
            if len(body) < _ECHO.size:
                continue
            kind, _, _, theirs, sequence = _ECHO.unpack_from(body)
            if kind == _ECHO_REPLY and sequence == number and (not raw or theirs == identity):
                return True


def _echo_request(identity: int, number: int) -> bytes:
    bare = _ECHO.pack(_ECHO_REQUEST, 0, 0, identity, number) + _DATA
    total = sum(struct.unpack(f"!{len(bare) // 2}H", bare))
    total = (total >> 16) + (total & 0xFFFF)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return _ECHO.pack(_ECHO_REQUEST, 0, checksum, identity, number) + _DATA


async def _program(words: Sequence[str]) -> bool:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*words, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return code == 0 or 100 < code <= 110


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    return tuple(str(value or "").split())
