"""What this system sees, told to the store: the facts of each group whose resources changed, in one commit.

Nothing is told without a lease. What the store did not take is told again; what it took is told to the chronicle too,
so that people never read of anything the cluster did not know.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.cluster.model.facts import GroupFact, ResourceFact
from holdfast.cluster.ports import Chronicle
from holdfast.cluster.service.engine import Engine
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.ownkeys import OwnKeys
from holdfast.cluster.service.records import FACTS, encode
from holdfast.kernel.errors import Unavailable
from holdfast.store.port import Put

_AGAIN_S = 0.2
STEPS_AHEAD = 32
"""So many times the engine may act before the store knows what came of it."""


@dataclass
class Publisher:
    """Publishes what ``engine`` marks as dirty. ``limit_s`` bounds a commit."""

    system: str
    engine: Engine
    own: OwnKeys
    clock: Clock
    limit_s: float
    chronicle: Chronicle | None = None
    _told: dict[str, Mapping[str, ResourceFact]] = field(default_factory=dict)
    _known: dict[str, GroupFact] = field(default_factory=dict)
    """What the store took last: a monitor that found nothing new costs it nothing."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    _ahead: int = 0
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waits_for_lease: bool = False

    async def run(self) -> None:
        """Publish after each step, while others go on: the next entry point waits for no commit. Raises as
        :meth:`publish`."""
        while True:
            self._wake.clear()
            await self.publish()
            self._ahead = 0
            self._caught_up.set()
            await self._wake.wait()

    async def step(self) -> None:
        """Have what changed published soon. Who takes many steps meanwhile waits a little with each more."""
        self._wake.set()
        self._ahead += 1
        if self._ahead > STEPS_AHEAD:
            self._caught_up.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S):
                    await self._caught_up.wait()

    async def publish(self) -> None:
        """Publish once. Raises ``Unavailable`` or ``TimeoutError``; what was to be told stays marked then."""
        async with self._busy:
            await self._publish()

    async def _publish(self) -> None:
        engine = self.engine
        dirty = sorted(engine.dirty)
        if not dirty or not engine.leased():
            if dirty and not self._waits_for_lease:
                self._waits_for_lease = True
                asyncio.get_running_loop().call_later(_AGAIN_S, self._look_again)
            return
        engine.dirty.difference_update(dirty)
        facts = {name: engine.groups[name].fact() for name in dirty if name in engine.groups}
        news = {name: fact for name, fact in facts.items() if self._known.get(name) != fact}
        if not news:
            return
        writes = [Put(f"{FACTS}{self.system}/{name}", encode(fact)) for name, fact in news.items()]
        try:
            async with asyncio.timeout(self.limit_s):
                if not await self.own.put(writes):
                    raise Unavailable("somebody else writes this system's facts")
        except (Unavailable, TimeoutError):
            engine.dirty.update(dirty)
            self._known = {}
            raise
        finally:
            if engine.dirty:
                engine.wake.set()
        self._known |= news
        if self.chronicle is not None:
            self._tell(self.chronicle, dirty)

    def _look_again(self) -> None:
        self._waits_for_lease = False
        self.engine.wake.set()

    def _tell(self, chronicle: Chronicle, names: Sequence[str]) -> None:
        for group in (self.engine.groups[name] for name in names if name in self.engine.groups):
            facts, told = group.facts(), self._told.get(group.group.name, {})
            for name, after in facts.items():
                before = told.get(name, ResourceFact())
                if before != after:
                    chronicle.changed(self.clock.wall(), group.group, name, before, after)
            self._told[group.group.name] = facts
