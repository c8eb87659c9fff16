"""When everything that a system runs must go: the rule of the lease deadline, shared by daemon, guard and simulation.

A confirmed renewal moves the deadline to its own *start* plus the time to live. It counts only if it was started before
the earlier deadline passed: a system that was stopped for a while cannot renew its way around a lapse. Pure; imports
nothing, so that the guard stays small.
"""

from __future__ import annotations


class Deadline:
    """The deadline of one incarnation, in seconds of the clock that its owner passes in; 0 while there is no lease."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 0.0

    def renewed(self, start: float, ttl_s: float) -> bool:
        """Take in a confirmed renewal that was started at ``start``; False when it came too late to count."""
        if self.at and start > self.at:
            return False
        self.at = max(self.at, start + ttl_s)
        return True

    def holds(self, now: float) -> bool:
        """Whether there is a lease, and its end is ahead."""
        return now < self.at

    def passed(self, now: float) -> bool:
        """Whether there was a lease, and it is over."""
        return bool(self.at) and now >= self.at

    def lapse(self) -> None:
        """What had to go is gone: the next incarnation begins without a lease."""
        self.at = 0.0


def may_feed(now: float, deadline: float, timeout_s: float, margin_s: float) -> bool:
    """Whether a watchdog that fires ``timeout_s`` after it was fed may be fed: without a lease (``deadline`` 0), or if
    it would still fire before the others act, which is ``margin_s`` after the lease's end."""
    return not deadline or now + timeout_s <= deadline + margin_s


def next_incarnation(last: str, wall_ms: int, chance: str) -> str:
    """Return a name that sorts after ``last`` by its number, which is hexadecimal milliseconds of wall-clock time."""
    number = int(last.partition("-")[0] or "0", 16)
    return f"{max(wall_ms, number + 1):x}-{chance}"
