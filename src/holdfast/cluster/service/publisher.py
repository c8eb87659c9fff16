"""What this system sees, told to the store: the facts of each group whose resources changed, in one commit.

Nothing is told without a lease. What the store did not take is told again; what it took is told to the chronicle too,
so that people never read of anything the cluster did not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.cluster.model.facts import ResourceFact
from holdfast.cluster.ports import Chronicle
from holdfast.cluster.service.engine import Engine
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.ownkeys import OwnKeys
from holdfast.cluster.service.records import FACTS, encode
from holdfast.kernel.errors import Unavailable
from holdfast.store.port import Put

_AGAIN_S = 0.2


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
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waits_for_lease: bool = False

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
        writes = [
            Put(f"{FACTS}{self.system}/{name}", encode(engine.groups[name].fact()))
            for name in dirty
            if name in engine.groups
        ]
        try:
            async with asyncio.timeout(self.limit_s):
                if not await self.own.put(writes):
                    raise Unavailable("somebody else writes this system's facts")
        except (Unavailable, TimeoutError):
            engine.dirty.update(dirty)
            raise
        finally:
            if engine.dirty:
                engine.wake.set()
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
