"""What happened, by simulated time: kept short while all goes well, readable when something does not.

Lines are kept as parts and put together only for a reader. A running checksum over all of them tells whether two runs
of a seed were the same to the letter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from zlib import crc32

_KEPT = 4000


class Timeline:
    """Takes lines in; ``digest`` is a checksum over every one so far."""

    def __init__(self, now: Callable[[], float], echo: Callable[[str], None] | None = None) -> None:
        self._now, self._echo = now, echo
        self._lines: deque[tuple[float, str, str]] = deque(maxlen=_KEPT)
        self.digest = 0

    def note(self, who: str, what: str) -> None:
        """Add a line about ``who``."""
        at = self._now()
        self.digest = crc32(f"{at!r} {who} {what}".encode(), self.digest)
        self._lines.append((at, who, what))
        if self._echo is not None:
            self._echo(_line(at, who, what))

    def last(self, count: int) -> list[str]:
        """Return the last ``count`` lines for a reader."""
        return [_line(*each) for each in list(self._lines)[-count:]]


def _line(at: float, who: str, what: str) -> str:
    return f"{at:9.3f}  {who:<10} {what}"
