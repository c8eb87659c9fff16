"""Requests that only one system can carry out: an action of a resource's agent, its info, a probe, its own stop.

The coordinator has no part in them. The system that is named takes each up once, carries it out beside its other work,
and writes the outcome back if nobody changed the request meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from holdfast.cluster.model.facts import ERRANDS, Departure, Request, RequestState
from holdfast.cluster.service.engine import Engine
from holdfast.cluster.service.information import Informant
from holdfast.cluster.service.records import REQUESTS, encode
from holdfast.cluster.service.worker import Worker
from holdfast.kernel.errors import HoldfastError, Refusal, Refused, Unavailable
from holdfast.store.port import Compare, Conflict, Put, Store

OPERATIONS = (*ERRANDS, "system.stop")

_HOW = {"force": Departure.PARKED, "evacuate": Departure.HANDS_OVER}
"""Option of ``system.stop`` → what becomes of the groups; without one they go offline and wait for the system."""


class Errands:
    """Carries out the requests that name this system."""

    def __init__(
        self,
        system: str,
        engine: Engine,
        store: Store,
        denial: Callable[[Request], Refusal | None] = lambda _: None,
        stop: Callable[[Departure], None] = lambda _: None,
        informant: Informant | None = None,
    ) -> None:
        self._informant = informant
        self._stop = stop
        self._system, self._engine, self._store, self._denial = system, engine, store, denial
        self._taken: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, request: Request, revision: int) -> None:
        """Take up a request if it is one for this system; ``revision`` is that of its last change."""
        mine = request.operation in OPERATIONS and request.system == self._system
        if mine and request.state is RequestState.PENDING and request.id not in self._taken:
            self._taken.add(request.id)
            task = asyncio.create_task(self._run(request, revision), name=f"request {request.id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, request: Request, revision: int) -> None:
        engine, denied = self._engine.groups.get(request.group), self._denial(request)
        if denied is not None:
            outcome = refused_for(request, denied)
        elif request.operation == "system.stop":
            await self._end(request, revision)
            return
        elif engine is None or request.resource not in engine.workers:
            reason = f"{self._system} has no resource {request.resource!r}"
            outcome = replace(request, state=RequestState.REFUSED, code="no-resource", reason=reason)
        elif request.operation == "resource.probe":
            engine.workers[request.resource].probe()
            outcome = replace(request, state=RequestState.DONE)
        elif request.operation == "resource.action":
            outcome = await self._act(request)
        else:
            outcome = await self._inform(request, engine.workers[request.resource])
        with contextlib.suppress(Unavailable):
            key = REQUESTS + request.id
            await self._store.transact([Compare(key, revision)], [Put(key, encode(outcome))])

    async def _end(self, request: Request, revision: int) -> None:
        """Answer first: afterwards there is nobody to."""
        how = next((how for name, how in _HOW.items() if request.options.get(name) == "1"), Departure.WAITS)
        key = REQUESTS + request.id
        with contextlib.suppress(Unavailable):
            done = replace(request, state=RequestState.DONE, output=f"{self._system} stops")
            if not isinstance(await self._store.transact([Compare(key, revision)], [Put(key, encode(done))]), Conflict):
                self._stop(how)

    async def _inform(self, request: Request, worker: Worker) -> Request:
        assert self._informant is not None, "the daemon plugs it in"
        if request.operation == "resource.flushinfo":
            await self._informant.flush(request.resource)
            return replace(request, state=RequestState.DONE)
        found = await self._informant.refresh(worker)
        if found.trouble:
            return replace(request, state=RequestState.REFUSED, code="info-failed", reason=found.trouble)
        output = "\n".join(f"{name} {value}" for name, value in found.values.items())
        return replace(request, state=RequestState.DONE, output=output)

    async def _act(self, request: Request) -> Request:
        arguments = [part for part in request.options.get("arguments", "").split("\n") if part]
        try:
            result = await self._engine.action(request.group, request.resource, request.options["name"], arguments)
        except Refused as refused:
            return refused_for(request, refused.refusal)
        except (HoldfastError, OSError) as error:
            return replace(request, state=RequestState.REFUSED, code="action-failed", reason=str(error))
        output = (result.stdout + result.stderr).strip()
        if result.ok:
            return replace(request, state=RequestState.DONE, output=output)
        reason = f"action {request.options['name']} ended with {result.code}: {output}"
        return replace(request, state=RequestState.REFUSED, code="action-failed", reason=reason, output=output)


def refused_for(request: Request, why: Refusal) -> Request:
    """Return the request as refused."""
    return replace(request, state=RequestState.REFUSED, code=why.code, reason=why.reason, remedy=why.remedy)
