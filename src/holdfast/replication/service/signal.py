"""A pulse that wakes everybody who waits for the next change of the array's state."""

from __future__ import annotations

import asyncio


class Pulse:
    """``wait`` returns at the next ``beat``; a waiter checks its condition, waits, and checks again."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        """Wake all waiters."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Return at the next beat."""
        await self._event.wait()
