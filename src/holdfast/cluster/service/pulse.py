"""The sign of life of one system: told to the gatherer or written by itself, and confirmed once the store shows it.

Whichever way it goes, the guard hears of a renewal only after it was confirmed, with the time at which it was begun:
nobody can have seen it before, so whoever counts from when they saw it counts longer than the guard. A sign that was
told but not shown in time is followed by one that this daemon writes, begun at that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.cluster.model.facts import Heartbeat
from holdfast.cluster.service.gathering import Gathering
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.ownkeys import OwnKeys
from holdfast.cluster.service.records import SYSTEMS, encode
from holdfast.kernel.errors import Unavailable
from holdfast.store.port import Put, Store

_ATTEMPTS = 3
_LEASE_EVERY, _LEASE_LEAST_S, _LEASE_TTLS = 20, 30.0, 12
"""The lease in the store only cleans up after systems that are gone, so it is long, and renewed with every so many
signs: at a follower of etcd a renewal is a request over HTTP to its leader."""


@dataclass
class Pulse:
    """Gives signs of life. ``compose`` makes the one with a sequence, ``renewed`` hears when a confirmed one began."""

    system: str
    session: str
    interval_s: float
    ttl_s: float
    store: Store
    own: OwnKeys
    clock: Clock
    compose: Callable[[int], Heartbeat]
    renewed: Callable[[float], None]
    gathering: Gathering | None = None
    _sequence: int = 0
    _shown: int = 0
    _lease: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Give signs of life until cancelled. Raises ``Unavailable`` or ``TimeoutError`` when the store takes none."""
        while True:
            async with asyncio.timeout(self.ttl_s):
                start = await self._give()
            self.renewed(start)
            await asyncio.sleep(self._pause_s(start))

    def observe(self, beat: Heartbeat, revision: int) -> None:
        """Take note of what the store shows of this system."""
        if beat.session == self.session:
            self._shown = max(self._shown, beat.sequence)
            self.own.saw(SYSTEMS + self.system, revision)
            self._news.set()

    async def write(self) -> None:
        """Write the next sign into the store. One that it did not take is no sign of life: raises ``Unavailable``."""
        self._sequence += 1
        beat = self.compose(self._sequence)
        text = encode(beat)
        await self._keep_lease()
        beside = [] if self.gathering is None else self.gathering.take()
        for _ in range(_ATTEMPTS):
            if not self._lease:
                self._lease = await self.store.grant(max(_LEASE_LEAST_S, _LEASE_TTLS * self.ttl_s))
            # How a system left must be known to those who start later: that outlasts the lease.
            mine = [Put(SYSTEMS + self.system, text, 0 if beat.mode else self._lease)]
            try:
                # What others told is not written late, as after an election: they would seem to have lived longer.
                async with asyncio.timeout(self.interval_s if beside else None):
                    done = await self.own.put(mine, beside)
            except TimeoutError:
                beside = []
                done = await self.own.put(mine)
            if done:
                return
            self._lease = 0
        raise Unavailable("the store ends the lease of the heartbeat as soon as it is granted")

    async def _give(self) -> float:
        """Return when the sign that is now confirmed was begun."""
        start = self.clock.deadline()
        if await self._tell():
            return start
        start = self.clock.deadline()
        await self.write()
        return start

    async def _tell(self) -> bool:
        """Tell the next sign to the gatherer; return whether the store shows it in time."""
        gathering = self.gathering
        if gathering is None or not gathering.tell(self.compose(self._sequence + 1), self._lease):
            return False
        self._sequence += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(gathering.patience_s):
                while self._shown < self._sequence:
                    self._news.clear()
                    await self._news.wait()
        in_time = self._shown >= self._sequence
        gathering.shown(in_time)
        if in_time:
            await self._keep_lease()
        return in_time

    async def _keep_lease(self) -> None:
        if self._lease and self._sequence % _LEASE_EVERY == 0 and not await self.store.renew(self._lease):
            self._lease = 0

    def _pause_s(self, start: float) -> float:
        told_s = None if self.gathering is None else self.gathering.next_s()
        if told_s is not None:
            return told_s
        return max(0.01, self.interval_s - (self.clock.deadline() - start))
