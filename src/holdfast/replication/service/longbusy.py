"""Long busy: the writes of a logical subsystem are held for a while, so that many volumes get one point in time.

``mkflash -freeze`` and ``freezepprc`` hold them; ``unfreezeflash``, ``unfreezepprc`` or the timeout let them go. A held
write is neither applied nor refused, it waits. Kept in memory only: an array that restarts has no hosts connected whose
writes it could still hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

LONG_BUSY_S = 60.0
"""How long writes are held at most, unless configured otherwise; what ``Timeout`` shows in ``lsflash``."""
LONG_BUSY_LIMIT_S = 3600.0


class LongBusy:
    """The subsystems whose writes are held, by the event loop's clock."""

    def __init__(self, limit_s: float = LONG_BUSY_S) -> None:
        self._limit_s = limit_s
        self._until: dict[str, float] = {}
        self._changed = asyncio.Event()

    def hold(self, subsystems: Iterable[str]) -> None:
        """Hold the writes of these subsystems (two hexadecimal digits) from now on."""
        until = asyncio.get_running_loop().time() + self._limit_s
        self._until.update(dict.fromkeys(subsystems, until))

    def thaw(self, subsystem: str) -> bool:
        """Let the writes of a subsystem go; False when none were held."""
        held = self.holds(subsystem)
        self._until.pop(subsystem, None)
        self._changed.set()
        self._changed = asyncio.Event()
        return held

    @property
    def any(self) -> bool:
        """Whether the writes of any subsystem may be held."""
        return bool(self._until)

    def holds(self, volume: str) -> bool:
        """Whether the writes of a volume, or of a subsystem, are held."""
        return bool(self._until) and asyncio.get_running_loop().time() < self._until.get(volume[:2], 0.0)

    async def passed(self, volume: str) -> None:
        """Wait until the writes of a volume are held no longer."""
        while self.holds(volume):
            left_s = self._until[volume[:2]] - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(left_s):
                    await self._changed.wait()
            except TimeoutError:
                self._until.pop(volume[:2], None)
