"""What the services take from the machine that they run on: clocks, chance, small files, kernel events, the log.

Everything that a daemon cannot work out from the store comes through here, so that the very same daemon runs in a
simulation on clocks, files and failures of another's making. A guard shares the deadline's clock and rule
(``plan.deadline``). Imports are few: front ends pay for this module too.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


def boot_clock() -> float:
    """Seconds on the clock by which deadlines are kept, the guard's own; it counts while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def random_token() -> str:
    """Twelve hexadecimal digits that nobody else has."""
    return os.urandom(6).hex()


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks of a machine: ``monotonic`` for intervals, ``deadline`` shared with the guard, ``wall_ns`` for people
    (nanoseconds since 1970; it may jump). ``token`` gives names that nobody else has."""

    monotonic: Callable[[], float] = time.monotonic
    deadline: Callable[[], float] = boot_clock
    wall_ns: Callable[[], int] = time.time_ns
    token: Callable[[], str] = random_token

    def wall(self) -> float:
        """Seconds since 1970."""
        return self.wall_ns() / 1e9


class Machine(Protocol):
    """A machine as a system daemon sees it."""

    @property
    def clock(self) -> Clock:
        """Its clocks."""

    def recall(self, name: str) -> str | None:
        """Return what was kept under ``name`` in this boot of the machine, or None."""

    def keep(self, name: str, text: str) -> None:
        """Keep ``text`` under ``name``, whole or not at all, for a daemon that comes later."""

    def watches(self, mounts: Callable[[], None], addresses: Callable[[], None]) -> Sequence[Awaitable[None]]:
        """Return what runs until cancelled and calls ``mounts`` or ``addresses`` when those change."""

    def on_stop(self, leave: Callable[[], None]) -> None:
        """Call ``leave`` when the daemon is told to stop."""

    def write(self, line: str) -> None:
        """Write one line to the log."""


class ThisMachine:
    """The machine on which this process runs; ``directory`` is the daemon's run directory."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._clock = directory, Clock()
        (directory / "resources").mkdir(parents=True, exist_ok=True)

    @property
    def clock(self) -> Clock:
        """See :class:`Machine`."""
        return self._clock

    def recall(self, name: str) -> str | None:
        """See :class:`Machine`."""
        path = self._directory / name
        return path.read_text("utf-8") if path.is_file() else None

    def keep(self, name: str, text: str) -> None:
        """See :class:`Machine`."""
        temporary = self._directory / f"{name}.new"
        temporary.write_text(text, "utf-8")
        temporary.replace(self._directory / name)

    def watches(self, mounts: Callable[[], None], addresses: Callable[[], None]) -> Sequence[Awaitable[None]]:
        """See :class:`Machine`."""
        from holdfast.cluster.service.watches import watch_addresses, watch_mounts

        return [watch_mounts(mounts), watch_addresses(addresses)]

    def on_stop(self, leave: Callable[[], None]) -> None:
        """Leave at SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, leave)

    def write(self, line: str) -> None:
        """To standard error, where the guard's lines go too."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
