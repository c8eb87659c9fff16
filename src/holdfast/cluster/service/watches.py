"""What is watched on the side. Kernel events that make a monitor happen at once: a changed mount table, a changed
address; polling stays as the safety net. And the logs that resources write themselves, which must not fill the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path

_RTMGRP_ADDRESSES = 0x10 | 0x100 | 0x1
_CALM_S = 0.01
"""After an event: a burst of changes costs one monitor for each such time, not one for each change."""
LOG_LIMIT_BYTES = 8 * 1024 * 1024
_LOG_REST_BYTES = 256 * 1024
_LOGS_EVERY_S = 2.0


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


async def bound_logs(directory: Path) -> None:
    """Keep each log in ``directory`` below :data:`LOG_LIMIT_BYTES`. Runs until cancelled.

    What writes there is a service that holds its log open for appending, so the file is shortened where it lies.
    """
    while True:
        await asyncio.sleep(_LOGS_EVERY_S)
        await asyncio.to_thread(_shorten_all, directory)


def _shorten_all(directory: Path) -> None:
    for path in directory.glob("*.log"):
        with contextlib.suppress(OSError):
            if path.stat().st_size > LOG_LIMIT_BYTES:
                _shorten(path)


def _shorten(path: Path) -> None:
    """Keep the end of a log and say that the rest is gone."""
    with open(path, "r+b", buffering=0) as log:
        log.seek(-_LOG_REST_BYTES, os.SEEK_END)
        rest = log.read(_LOG_REST_BYTES).partition(b"\n")[2]
        log.truncate(0)
    with open(path, "ab", buffering=0) as log:
        log.write(b"--- this log grew beyond its limit; what was here is gone\n" + rest)
