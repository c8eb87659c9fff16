"""What is free on this system, measured: processors, memory and swap, for FailOverPolicy BiggestAvailable.

The daemon sends it along with its heartbeat. Measured every few seconds only: a heartbeat must not wait for it, and a
target chosen by the load of half a second would be chosen by chance.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_PROC = Path("/proc")


class Meters:
    """Reads ``/proc``; ``directory`` is another one in tests."""

    def __init__(self, directory: Path = _PROC) -> None:
        self._directory = directory
        self._ticks, self._at = (0, 0), -1e9
        self._free: dict[str, float] = {}

    def free(self, now: float, every_s: float) -> Mapping[str, float]:
        """Return the last measurement, made anew when it is older than ``every_s``; ``now`` is a monotonic clock.

        CPU in processors, Mem and Swap in MiB. Empty where nothing can be read.
        """
        if now - self._at >= every_s:
            self._at = now
            try:
                self._free = {**self._memory(), **self._processors()}
            except (OSError, ValueError, IndexError):
                self._free = {}
        return self._free

    def _processors(self) -> dict[str, float]:
        """Idle ticks (idle, waiting for disks) since the last look, as a share of all; the first counts from boot."""
        words = (self._directory / "stat").read_text("ascii").split("\n", 1)[0].split()[1:9]
        ticks = [int(word) for word in words]
        idle, total = ticks[3] + ticks[4], sum(ticks)
        share = (idle - self._ticks[0]) / max(1, total - self._ticks[1])
        self._ticks = (idle, total)
        return {"CPU": round(min(max(share, 0.0), 1.0) * (os.cpu_count() or 1), 1)}

    def _memory(self) -> dict[str, float]:
        found: dict[str, int] = {}
        for line in (self._directory / "meminfo").read_text("ascii").splitlines():
            name, _, rest = line.partition(":")
            found[name] = int(rest.split()[0]) if rest.split() else 0
        return {"Mem": float(found["MemAvailable"] // 1024), "Swap": float(found.get("SwapFree", 0) // 1024)}
