"""Another cluster as an agent sees it: the state of a group there, and a request for it, by way of its store.

A store is opened once and kept; one that fails is opened afresh the next time. That a store answers says nothing of the
systems: a cluster none of whose systems has given a sign of life for :data:`SILENCE_S` is as good as out of reach.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from holdfast.cluster.model.facts import Request
from holdfast.cluster.service.client import ClusterClient, configuration_of
from holdfast.cluster.service.records import State
from holdfast.cluster.service.report import group_report
from holdfast.kernel.errors import Refusal, Refused, Unavailable
from holdfast.store.port import Store

SILENCE_S = 10.0
_ANSWER_LIMIT_S = 10.0
Result = TypeVar("Result")


class StoredClusters:
    """``OtherClusters`` of the ports. ``connect`` opens a store by its address; ``by`` is who asks there."""

    def __init__(self, connect: Callable[[str], Store], by: str) -> None:
        self._connect, self._by = connect, by
        self._open: dict[str, Store] = {}
        self._signs: dict[str, tuple[dict[str, int], float]] = {}

    async def states(self, store: str, group: str) -> dict[str, str]:
        """Return the group's flags by system, such as ``ONLINE`` or ``OFFLINE|FAULTED``.

        Raises ``Refused`` when there is no such group, ``Unavailable`` when the cluster does not answer.
        """

        async def look(client: ClusterClient) -> dict[str, str]:
            state = await client.state()
            self._listen(store, state)
            found = configuration_of(state).groups.get(group)
            if found is None:
                raise Refused(Refusal("no-group", f"there is no group {group!r} in the other cluster", "see GroupName"))
            return {name: "|".join(flags) for name, flags in group_report(state, found).systems.items()}

        return await self._with(store, look, _ANSWER_LIMIT_S)

    def _listen(self, store: str, state: State) -> None:
        """Raise ``Unavailable`` when no heartbeat there has moved for too long."""
        now = asyncio.get_running_loop().time()
        signs = {beat.session: beat.sequence for beat in state.heartbeats.values()}
        before, since = self._signs.get(store, ({}, now))
        if store not in self._signs or any(number > before.get(session, -1) for session, number in signs.items()):
            self._signs[store] = (signs, now)
        elif now - since > SILENCE_S:
            raise Unavailable(f"none of its systems has given a sign of life for {now - since:.0f} s")

    async def ask(self, store: str, operation: str, group: str, system: str, wait_s: float) -> None:
        """Put a request there and wait for its end. Raises what :meth:`ClusterClient.ask` does."""
        request = Request("", operation, group, system=system)
        await self._with(store, lambda client: client.ask(request, wait_s), wait_s + _ANSWER_LIMIT_S)

    async def _with(self, store: str, work: Callable[[ClusterClient], Awaitable[Result]], limit_s: float) -> Result:
        try:
            opened = self._open.get(store) or self._open.setdefault(store, self._connect(store))
            async with asyncio.timeout(limit_s):
                return await work(ClusterClient(opened, self._by))
        except (Unavailable, TimeoutError, OSError) as error:
            await self._drop(store)
            raise Unavailable(str(error) or "no answer in time") from error

    async def _drop(self, store: str) -> None:
        dropped = self._open.pop(store, None)
        if dropped is not None:
            with contextlib.suppress(Unavailable, OSError):
                await dropped.close()
