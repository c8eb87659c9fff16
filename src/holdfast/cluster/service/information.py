"""What agents tell people: the info entry point of each resource, run every InfoInterval while it is online.

Each run is a task of its own, for an array that does not answer must delay neither a monitor nor another resource's
info. What came of it, or why nothing did, is one key in the store that no planner reads. ``hares -refreshinfo`` runs it
now, ``-flushinfo`` forgets what it told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.cluster.model.facts import Info, ResourceState
from holdfast.cluster.service.engine import Engine
from holdfast.cluster.service.entrypoints import FAILURES
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.ownkeys import OwnKeys
from holdfast.cluster.service.records import INFO, encode
from holdfast.cluster.service.worker import Worker
from holdfast.kernel.errors import Unavailable
from holdfast.store.port import Put

LIMIT_BYTES = 8 * 1024
"""Of all that one resource tells; what is longer is cut."""
_LOOK_S = 1.0


@dataclass
class Informant:
    """Runs info of the resources of ``engine`` and writes down what they tell."""

    system: str
    engine: Engine
    own: OwnKeys
    clock: Clock
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _pen: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Run what is due, until cancelled."""
        try:
            while True:
                self._begin_due(asyncio.get_running_loop().time())
                await asyncio.sleep(_LOOK_S)
        finally:
            for task in list(self._running.values()):
                task.cancel()

    def _begin_due(self, now: float) -> None:
        wanted = {
            name: worker
            for group in self.engine.groups.values()
            for name, worker in group.workers.items()
            if worker.fact.state is ResourceState.ONLINE and worker.info_interval_s
        }
        self._due = {name: at for name, at in self._due.items() if name in wanted}
        for name, worker in wanted.items():
            if name not in self._running and self._due.get(name, now) <= now and self.engine.leased():
                self._due[name] = now + worker.info_interval_s
                self._running[name] = asyncio.create_task(self._tell(name, worker), name=f"info {name}")

    async def _tell(self, name: str, worker: Worker) -> None:
        try:
            await self._write(await self._ask(name, worker))
        except (Unavailable, TimeoutError):
            self._due.pop(name, None)  # again soon
        finally:
            self._running.pop(name, None)

    async def refresh(self, worker: Worker) -> Info:
        """Run info now and write it down. Raises ``Unavailable`` when the store does not take it."""
        found = await self._ask(worker.resource.name, worker)
        await self._write(found)
        return found

    async def flush(self, resource: str) -> None:
        """Forget what was told of a resource. Raises ``Unavailable``."""
        await self._write(Info(resource, self.system, 0.0))

    async def _ask(self, name: str, worker: Worker) -> Info:
        try:
            values = await worker.info()
        except TimeoutError:
            return Info(name, self.system, self.clock.wall(), trouble="info ran out of time")
        except FAILURES as error:
            return Info(name, self.system, self.clock.wall(), trouble=str(error) or type(error).__name__)
        return Info(name, self.system, self.clock.wall(), abridged_values(values))

    async def _write(self, info: Info) -> None:
        async with self._pen:
            await self.own.put([Put(f"{INFO}{info.system}/{info.resource}", encode(info))])


def abridged_values(values: Mapping[str, str], limit_bytes: int = LIMIT_BYTES) -> dict[str, str]:
    """Return as many of ``values`` as fit into ``limit_bytes``; the last one that does not fit is cut."""
    kept: dict[str, str] = {}
    left = limit_bytes
    for name, value in values.items():
        left -= len(name.encode())
        if left <= 0:
            break
        kept[name] = value.encode("utf-8", "replace")[:left].decode("utf-8", "ignore")
        left -= len(kept[name].encode())
    return kept
