"""Guessing passwords is slow: wrong proofs are counted by name and caller, and more of them must wait.

By caller too, so that a stranger's guesses keep nobody else out.
"""

from __future__ import annotations

_FREE_ATTEMPTS = 5
_PAUSE_NS = 2_000_000_000
"""After so many wrong proofs in a row, a caller's next one must wait for a pause that doubles, to a minute."""
_MOST_REMEMBERED = 10_000


class Attempts:
    """Wrong proofs in a row, by name and caller: what comes too fast is not looked at."""

    def __init__(self) -> None:
        self._wrong: dict[tuple[str, str], tuple[int, int]] = {}

    def too_fast(self, name: str, caller: str, now_ns: int) -> bool:
        """Return whether this attempt comes before its pause is over."""
        count, last_ns = self._wrong.get((name, caller), (0, 0))
        if count < _FREE_ATTEMPTS:
            return False
        pause_ns = min(_PAUSE_NS << min(count - _FREE_ATTEMPTS, 5), 60_000_000_000)
        return last_ns <= now_ns < last_ns + pause_ns

    def wrong(self, name: str, caller: str, now_ns: int) -> None:
        """Count a wrong proof."""
        if len(self._wrong) >= _MOST_REMEMBERED:
            self._wrong.pop(next(iter(self._wrong)))
        self._wrong[name, caller] = (self._wrong.get((name, caller), (0, 0))[0] + 1, now_ns)

    def right(self, name: str, caller: str) -> None:
        """Forget the wrong ones."""
        self._wrong.pop((name, caller), None)
