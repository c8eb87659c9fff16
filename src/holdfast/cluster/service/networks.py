"""Which of this system's networks work: each is asked for an echo of the addresses that are reached over it.

A system that is reached over two networks and has one left is in *jeopardy*: when that one goes too, its silence says
nothing about the system. Each heartbeat tells which networks work, so that the others know it before. One network that
fails once is not called broken; a second failure in a row is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from holdfast.cluster.service.widebeat import echo

INTERVAL_S, ANSWER_S = 1.0, 0.8
_FAILURES = 2


class Networks:
    """The networks by name, each with the addresses that are reached over it. ``working`` is what is known by now;
    a network counts as working until it has failed."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        self._addresses = addresses
        self._failures = dict.fromkeys(addresses, 0)
        self.working: dict[str, bool] = dict.fromkeys(addresses, True)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.gather(*(self._look(name) for name in self._addresses), asyncio.sleep(INTERVAL_S))

    async def _look(self, name: str) -> None:
        answered = await self._answers(name)
        self._failures[name] = 0 if answered else self._failures[name] + 1
        if answered:
            self.working[name] = True
        elif self._failures[name] >= _FAILURES:
            self.working[name] = False

    async def _answers(self, name: str) -> bool:
        asked = {asyncio.ensure_future(_echoed(address)) for address in self._addresses[name]}
        try:
            while asked:
                done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                if any(one.result() for one in done):
                    return True
            return False
        finally:
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)


async def _echoed(address: str) -> bool:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            return await echo(address)
    return False
