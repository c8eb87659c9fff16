"""Who lives, by this observer's own monotonic clock over the heartbeats that it saw.

The store's lease timers are not asked: after a change of its leader they start anew. A system is dead when nothing
new was seen of it for its time to live and a margin; by then its guard, which counts from the start of the same
renewal, has killed everything. Whoever acts on it takes in the store's newest heartbeats first. Pure: the clock is an
argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from holdfast.cluster.model.facts import Departure, Heartbeat, Life, SystemView


@dataclass(frozen=True, slots=True)
class _Sign:
    incarnation: str
    session: str
    sequence: int
    seen: float
    fresh: bool
    jeopardy: str = ""


class Membership:
    """Judges systems. ``ttl_s`` and ``margin_s`` are the cluster's; ``since`` is when this observer began."""

    def __init__(self, ttl_s: float, margin_s: float, since: float) -> None:
        self._limit_s, self._since = ttl_s + margin_s, since
        self._signs: dict[str, _Sign] = {}
        self._left: dict[str, tuple[str, Departure]] = {}

    def restart(self, now: float) -> None:
        """Begin anew after a time without sight of the store: that a system was never heard of proves nothing yet.

        What was heard stays: a heartbeat that the store shows unchanged has not been renewed meanwhile, so the guard
        of its system counts from then, however long this observer could not look.
        """
        self._since = now

    def seen(self, system: str) -> float:
        """When something new of a system was seen last; minus infinity if never."""
        sign = self._signs.get(system)
        return float("-inf") if sign is None else sign.seen

    def due(self, names: Iterable[str], now: float) -> float:
        """Return in how many seconds the next of the named systems counts as dead if nothing more is seen."""
        signs = (self._signs.get(name) for name in names)
        ends = (self._limit_s + (self._since if sign is None else sign.seen) for sign in signs)
        return min((end - now for end in ends if end >= now), default=float("inf"))

    def observe(self, beat: Heartbeat, now: float) -> bool:
        """Take in a heartbeat; only a new session or a higher sequence is a sign of life.

        Returns whether it says more than that its system still lives.
        """
        before = self._aspect(beat.system, now)
        self._observe(beat, now)
        return self._aspect(beat.system, now) != before

    def _aspect(self, name: str, now: float) -> tuple[object, ...]:
        sign = self._signs.get(name)
        if sign is None:
            return ()
        late = now - sign.seen > self._limit_s
        return (sign.incarnation, sign.session, sign.fresh, sign.jeopardy, late, self._left.get(name))

    def _observe(self, beat: Heartbeat, now: float) -> None:
        last = self._signs.get(beat.system)
        if beat.state == "EXITED":
            self._left[beat.system] = (beat.incarnation, Departure(beat.mode))
        elif beat.system in self._left and self._back(beat):
            self._left.pop(beat.system)
        if last is None:
            self._signs[beat.system] = _Sign(beat.incarnation, beat.session, beat.sequence, now, False, beat.jeopardy)
        elif last.session != beat.session or last.sequence < beat.sequence:
            self._signs[beat.system] = _Sign(beat.incarnation, beat.session, beat.sequence, now, True, beat.jeopardy)

    def _back(self, beat: Heartbeat) -> bool:
        """Whether a system that left is there again: under another name, or the parked one by a new session."""
        incarnation, how = self._left[beat.system]
        last = self._signs.get(beat.system)
        parked = how is Departure.PARKED and (last is None or last.session != beat.session)
        return incarnation != beat.incarnation or parked

    def judge(
        self, names: Iterable[str], now: float, frozen: Mapping[str, bool], jeopardy: Mapping[str, str] | None = None
    ) -> dict[str, SystemView]:
        """Return the view of each named system. ``jeopardy`` is what is recorded of those never heard of here."""
        recorded = jeopardy or {}
        found = {}
        for name in names:
            sign = self._signs.get(name)
            view = self._judge(name, now, frozen.get(name, False))
            found[name] = replace(view, jeopardy=recorded.get(name, "") if sign is None else sign.jeopardy)
        return found

    def _judge(self, name: str, now: float, frozen: bool) -> SystemView:
        sign = self._signs.get(name)
        if sign is None:
            silent_s = now - self._since
            life = Life.DEAD if silent_s > self._limit_s else Life.UNCERTAIN
            return SystemView(name, life, "", silent_s, frozen)
        silent_s = now - sign.seen
        incarnation, how = self._left.get(name, ("", None))
        left = incarnation == sign.incarnation
        if left or silent_s > self._limit_s:
            return SystemView(name, Life.DEAD, sign.incarnation, silent_s, frozen, left, how=how if left else None)
        life = Life.ALIVE if sign.fresh else Life.UNCERTAIN
        return SystemView(name, life, sign.incarnation, silent_s, frozen)
