"""Kernel events that make a monitor happen at once: a changed mount table, a changed address.

Polling stays as the safety net; these only make it early.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Callable

_RTMGRP_ADDRESSES = 0x10 | 0x100 | 0x1
_CALM_S = 0.01
"""After an event: a burst of changes costs one monitor for each such time, not one for each change."""


async def watch_mounts(changed: Callable[[], None]) -> None:
    """Call ``changed`` whenever the mount table of this namespace changes. Runs until cancelled."""
    loop = asyncio.get_running_loop()
    table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    epoll = select.epoll()
    epoll.register(table, select.EPOLLPRI | select.EPOLLERR)
    event = asyncio.Event()
    loop.add_reader(epoll.fileno(), event.set)
    try:
        while True:
            await event.wait()
            event.clear()
            # The kernel tells each change once, and the loop's own look at this epoll may have taken it: what poll
            # returns here means nothing, that the loop woke does.
            epoll.poll(0)
            changed()
            await asyncio.sleep(_CALM_S)
    finally:
        loop.remove_reader(epoll.fileno())
        epoll.close()
        os.close(table)


async def watch_addresses(changed: Callable[[], None]) -> None:
    """Call ``changed`` whenever an address or link of this network namespace changes. Runs until cancelled."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, _RTMGRP_ADDRESSES))
        netlink.setblocking(False)
        while True:
            with contextlib.suppress(OSError):
                await loop.sock_recv(netlink, 65536)
            changed()
            await asyncio.sleep(_CALM_S)
