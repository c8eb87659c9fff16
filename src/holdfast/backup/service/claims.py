"""Claims: who may do what only one may do, or only while nobody else is there. The one place that says so.

An exclusive claim is one holder's (appending to a volume, migrating a pool); a shared claim is held by many and keeps
exclusive ones out (client sessions keep the sweep of unused chunks out). Claims die with their process, so no kill
leaves one behind. This is the claims of one server process; several on one PostgreSQL claim there.
"""

from __future__ import annotations

import threading
import time

SESSIONS = "sessions"
"""Shared by client sessions; exclusive for what removes chunks that a session may have been told are kept."""


def volume_key(volume: int) -> str:
    """Return the claim for appending to a volume or changing its bytes."""
    return f"volume:{volume}"


def pool_key(pool: str, work: str) -> str:
    """Return the claim for one kind of work on a pool."""
    return f"pool:{pool}:{work}"


class LocalClaims:
    """Claims among the threads of one process."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._held: dict[str, int] = {}

    def take(self, key: str, *, shared: bool = False, timeout_s: float = 0.0) -> bool:
        """Claim ``key``; False when it is not to be had within the time."""
        deadline = time.monotonic() + timeout_s
        with self._condition:
            while not self._free(key, shared):
                left = deadline - time.monotonic()
                if left <= 0 or not self._condition.wait(left):
                    if self._free(key, shared):
                        break
                    return False
            self._held[key] = self._held.get(key, 0) + 1 if shared else -1
            return True

    def give(self, key: str) -> None:
        """End a claim."""
        with self._condition:
            count = self._held.pop(key, 0)
            if count > 1:
                self._held[key] = count - 1
            self._condition.notify_all()

    def held(self, key: str) -> bool:
        """Return whether anybody holds ``key``."""
        with self._condition:
            return key in self._held

    def close(self) -> None:
        """End all claims. Idempotent."""
        with self._condition:
            self._held.clear()
            self._condition.notify_all()

    def _free(self, key: str, shared: bool) -> bool:
        count = self._held.get(key, 0)
        return count == 0 or (shared and count > 0)
