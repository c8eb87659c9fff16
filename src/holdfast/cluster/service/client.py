"""What front ends do: put a request into the store, wait for what becomes of it, read the state.

There is no remote call: the store is the only meeting place, so a request outlives the daemon that it was meant for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import Acknowledgement, Confirmation, Event, Request, RequestState
from holdfast.cluster.plan.privileges import denial
from holdfast.cluster.service.alerts import alerts
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.records import (
    ALERTS,
    AUDIT,
    CONFIG,
    CONFIRMED,
    EVENTS,
    REQUESTS,
    ROOT,
    ConfigRecord,
    State,
    audit,
    decode,
    encode,
)
from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.store.port import Compare, Conflict, Put, Store

_POLL_S = 0.05
_ALIVE_CHECK_S = 2.0


class ClusterClient:
    """Reads and asks. ``by`` is the person or program that asks."""

    def __init__(self, store: Store, by: str, clock: Clock | None = None) -> None:
        self._store, self._by, self._clock = store, by, clock or Clock()

    async def state(self) -> State:
        """Return everything known of the cluster."""
        return State.of(await self._store.read(ROOT))

    async def configuration(self) -> Configuration:
        """Return the committed configuration. Raises ``Refused`` when there is none."""
        return configuration_of(await self.state())

    async def events(self, limit: int = 50) -> list[Event]:
        """Return the last ``limit`` events, oldest first."""
        return await self._past(EVENTS, limit)

    async def audit(self, limit: int = 50) -> list[Event]:
        """Return the last ``limit`` records of who did what, oldest first."""
        return await self._past(AUDIT, limit)

    async def _past(self, prefix: str, limit: int) -> list[Event]:
        entries = (await self._store.read(prefix)).entries
        return [decode(entries[key].value, Event) for key in sorted(entries)[-limit:]]

    async def load(self, files: Mapping[str, str]) -> Configuration:
        """Check and commit a configuration. Raises ``InputError`` and changes nothing if it is not good."""
        configuration = build(files)
        state = await self.state()
        compare = Compare(CONFIG, state.revisions.get(CONFIG, 0))
        done = await self._store.transact([compare], [Put(CONFIG, encode(ConfigRecord(dict(files))))])
        if isinstance(done, Conflict):
            raise Refused(Refusal("conflict", "somebody else changed the configuration", "look and load again"))
        return configuration

    async def ask(self, request: Request, wait_s: float = 0.0) -> Request:
        """Put a request; wait up to ``wait_s`` seconds for its end (0: until it is accepted or refused, at most 10 s).

        Raises ``Refused`` with the coordinator's refusal, ``HoldfastError`` when nobody answered in time.
        """
        from holdfast.cluster.service.coordinator import finished  # a query does not pay for the planner

        named = replace(request, id=f"{self._clock.wall_ns():020d}-{self._clock.token()[:8]}", by=self._by)
        key = REQUESTS + named.id
        await self._store.transact([Compare(key, 0)], [Put(key, encode(named)), self._audited(named)])
        end = self._clock.monotonic() + (wait_s or 10.0)
        while True:
            entry = (await self._store.read(key)).entries.get(key)
            now = named if entry is None else decode(entry.value, Request)
            if now.state is RequestState.REFUSED:
                raise Refused(Refusal(now.code, now.reason, now.remedy))
            if finished(now) or (not wait_s and now.state is RequestState.ACCEPTED):
                return now
            if self._clock.monotonic() >= end:
                raise _late(now)
            await asyncio.sleep(_POLL_S)

    def _audited(self, request: Request) -> Put:
        about = [request.resource or request.group, f"on {request.system}" if request.system else ""]
        options = [f"{name}={text}" for name, text in request.options.items() if name != "reason"]
        text = " ".join(filter(None, (request.operation, *about, *options)))
        reason = request.options.get("reason", "")
        event = Event(self._clock.wall(), "audit", text, request.group, request.system, request.by, reason)
        return audit(event, self._clock.token())

    async def confirm_dead(self, system: str, reason: str) -> Confirmation:
        """Record a person's word that ``system`` is dead. Raises ``Refused`` when it shows signs of life."""
        state = await self.state()
        denied = denial(configuration_of(state), self._by, "fence.confirm")
        if denied is not None:
            raise Refused(denied)
        before = state.heartbeats.get(system)
        if before is not None:
            await asyncio.sleep(_ALIVE_CHECK_S)
        state = await self.state()
        after = state.heartbeats.get(system)
        if before is not None and after is not None and after.sequence != before.sequence:
            raise Refused(Refusal("alive", f"{system} is alive: it wrote its heartbeat just now", "stop it first"))
        incarnation = after.incarnation if after is not None else ""
        owned = [intent.incarnation for intent in state.intents.values() if intent.owner == system]
        word = Confirmation(system, owned[0] if owned else incarnation, self._by, reason)
        event = Event(
            self._clock.wall(), "audit", f"{system} confirmed dead", system=system, by=self._by, reason=reason
        )
        told = audit(event, self._clock.token())
        await self._store.transact([], [Put(CONFIRMED + system, encode(word)), told])
        return word

    async def acknowledge(self, alert: str, reason: str) -> Acknowledgement:
        """Take note of an alert. Raises ``Refused`` for one that is not there, or without a reason."""
        state = await self.state()
        denied = denial(configuration_of(state), self._by, "alert.acknowledge")
        if denied is not None:
            raise Refused(denied)
        found = next((one for one in alerts(state, configuration_of(state)) if one.id == alert), None)
        if found is None:
            raise Refused(Refusal("no-alert", f"there is no alert {alert!r}", "holdfast cluster alerts"))
        if not reason:
            raise Refused(
                Refusal("no-reason", "who takes note of an alert says why", 'haalert -delete ID -notes "..."')
            )
        word = Acknowledgement(alert, found.revision, self._by, reason, self._clock.wall())
        event = Event(self._clock.wall(), "audit", f"takes note of alert {alert}", by=self._by, reason=reason)
        told = audit(event, self._clock.token())
        await self._store.transact([], [Put(ALERTS + alert, encode(word)), told])
        return word


def configuration_of(state: State) -> Configuration:
    """Return the configuration that a state holds. Raises ``Refused`` when there is none."""
    if state.config is None:
        raise Refused(Refusal("no-configuration", "no configuration is loaded", "holdfast cluster load main.cf"))
    return build(state.config.files)


def _late(request: Request) -> HoldfastError:
    if request.state is RequestState.PENDING:
        return HoldfastError("no coordinator answered", "is a system daemon running? holdfast system list")
    return HoldfastError(f"{request.operation} was accepted and is still under way", "look at: holdfast group state")
