"""Signs of life gathered: the coordinator's daemon writes those of the other systems into the store with its own.

A commit costs every member of the store a write to its disk, so a sign of life from each system, each interval, is most
of what a quiet cluster costs. Instead a system *tells* its sign by a datagram just before the gatherer writes the next
of its own, and the gatherer writes all in one commit. Nothing else changes: a sign counts once the store shows it, for
the system's own deadline as for whoever judges it. Told and not shown in time, a system writes its sign itself.

Safety does not hang on the gatherer. It writes of another system only a later sign of the very session that the store
shows, and compares the revision of what it shows: an old datagram, or one that an earlier daemon sent, changes nothing.
Datagrams are proven by a key that stands in the store, which only systems and administrators read. How a system leaves
is never told, it is written by the system itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from holdfast.cluster.model.facts import Gatherer, Heartbeat
from holdfast.cluster.model.timing import TELL_AHEAD_S
from holdfast.cluster.ports import Post
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.membership import Membership
from holdfast.cluster.service.records import COORDINATOR, GATHERER, SYSTEMS, State, encode
from holdfast.store.port import Compare, Put

_PROOF_BYTES = 32
_AT_ONCE = 100
"""A store takes 128 writes in one commit."""
_DISTRUST_S = (2.0, 5.0, 15.0, 60.0)
_LEAD_STEP_S, _LEAD_BACK_S = 0.05, 0.001


class _Told(msgspec.Struct, frozen=True):
    beat: Heartbeat
    lease: int


@dataclass
class Gathering:
    """Both sides of it, for one daemon. ``mirror`` is what its watch has shown of the store."""

    system: str
    session: str
    post: Post
    mirror: Callable[[], State]
    membership: Membership
    clock: Clock
    interval_s: float
    _address: str = ""
    _key: str = ""
    _told: dict[str, tuple[float, _Told]] = field(default_factory=dict)
    _lead_s: float = TELL_AHEAD_S
    _misses: int = 0
    _distrusted_until: float = 0.0

    async def open(self) -> None:
        """Begin to listen."""
        self._key = "".join(self.clock.token() for _ in range(3))
        self._address = await self.post.open(self._receive)

    def close(self) -> None:
        """Stop listening."""
        self.post.close()

    # --- as the gatherer

    def take(self) -> list[tuple[Compare, Put]]:
        """Return what was told since the last time, as far as it may be written, each with what must still be so; and
        that this daemon gathers, if it coordinates and nobody knows yet."""
        told, self._told = self._told, {}
        state, now = self.mirror(), self.clock.monotonic()
        found = [
            (Compare(key, state.revisions[key]), Put(key, encode(one.beat), one.lease))
            for name, (at, one) in list(told.items())[:_AT_ONCE]
            if now - at < 2 * self.interval_s and _follows(one.beat, state.heartbeats.get(name))
            for key in (SYSTEMS + name,)
        ]
        leads = state.coordinator is not None and state.coordinator.session == self.session
        known = state.gatherer is not None and state.gatherer.session == self.session
        if leads and not known and self._address:
            mine = Gatherer(self.system, self.session, self._address, self._key)
            found.append((Compare(COORDINATOR, state.revisions[COORDINATOR]), Put(GATHERER, encode(mine))))
        return found

    def _receive(self, message: bytes) -> None:
        proof, text = message[:_PROOF_BYTES], message[_PROOF_BYTES:]
        if not hmac.compare_digest(proof, _proof(self._key, text)):
            return
        try:
            told = msgspec.json.decode(text, type=_Told)
        except msgspec.DecodeError:
            return
        self._told[told.beat.system] = (self.clock.monotonic(), told)

    # --- as one who tells

    def next_s(self) -> float | None:
        """In how many seconds the next sign is to be told, just before the gatherer's next; None: write it yourself."""
        gatherer = self._gatherer()
        if gatherer is None:
            return None
        now = self.clock.monotonic()
        due = self.membership.seen(gatherer.system) + self.interval_s - self._lead_s
        while due < now + self.interval_s / 4:
            due += self.interval_s
        return due - now

    def tell(self, beat: Heartbeat, lease: int) -> bool:
        """Tell the gatherer ``beat``, which hangs on ``lease``. False when there is none to be trusted with it."""
        gatherer = self._gatherer()
        mine = self.mirror().heartbeats.get(self.system)
        if gatherer is None or not lease or beat.state != "RUNNING" or not _follows(beat, mine):
            return False
        text = encode(_Told(beat, lease))
        self.post.send(gatherer.address, _proof(gatherer.key, text) + text)
        return True

    @property
    def patience_s(self) -> float:
        """How long after it was told a sign should be shown."""
        return self._lead_s + self.interval_s / 2

    def shown(self, in_time: bool) -> None:
        """Take note whether what was told was shown in time: if not, be earlier, and for a while write it yourself."""
        if in_time:
            self._misses, self._lead_s = 0, max(TELL_AHEAD_S, self._lead_s - _LEAD_BACK_S)
            return
        self._lead_s = min(self.interval_s / 2, self._lead_s + _LEAD_STEP_S)
        self._distrusted_until = self.clock.monotonic() + _DISTRUST_S[min(self._misses, len(_DISTRUST_S) - 1)]
        self._misses += 1

    def _gatherer(self) -> Gatherer | None:
        """Who gathers, if it is another system that coordinates, was heard of just now and is trusted."""
        state, now = self.mirror(), self.clock.monotonic()
        found, leader = state.gatherer, state.coordinator
        if found is None or leader is None or found.session != leader.session or found.system == self.system:
            return None
        alive = now - self.membership.seen(found.system) < 2 * self.interval_s
        return found if alive and now >= self._distrusted_until else None


def _follows(beat: Heartbeat, shown: Heartbeat | None) -> bool:
    """Whether ``beat`` is a later sign of the same daemon as the one that the store shows, both of a running system."""
    if shown is None or beat.state != "RUNNING" or beat.mode or shown.state != "RUNNING":
        return False
    same = (beat.system, beat.incarnation, beat.session) == (shown.system, shown.incarnation, shown.session)
    return same and beat.sequence > shown.sequence


def _proof(key: str, text: bytes) -> bytes:
    return hmac.digest(key.encode(), text, "sha256")
