"""The people of a run: one who asks for this and that while things break, one who sets things right in the end.

Both do what people do with the commands, through the same client, from a desk whose road to the store is never cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping

from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import Intent, Request, Wanted
from holdfast.cluster.service.client import ClusterClient
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.records import State
from holdfast.kernel.errors import HoldfastError, Refused, Unavailable
from holdfast.sim.host import Host
from holdfast.sim.timeline import Timeline
from holdfast.store.port import Store

DESK = "desk"
_WISHES = (
    ("group.switch", 5), ("group.offline", 3), ("group.online", 5), ("group.freeze", 3), ("group.unfreeze", 4),
    ("group.clear", 4), ("group.maintenance", 2), ("resource.offline", 2), ("resource.online", 3),
    ("group.takeover", 1), ("resource.probe", 1),
)  # fmt: skip


class People:
    """``hosts`` are looked at as a person would who stands before them: to see which is powered off."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        configuration: Configuration,
        hosts: Mapping[str, Host],
        chance: random.Random,
        timeline: Timeline,
    ) -> None:
        self._client = ClusterClient(store, "operator", clock)
        self._configuration, self._hosts, self._chance, self._timeline = configuration, hosts, chance, timeline
        self.asked, self.refused = 0, 0
        self.pull_cable: Callable[[str, float], None] = lambda _system, _seconds: None
        """Cuts a system off from the store for so many seconds."""

    async def load(self, text: str) -> None:
        """Commit the configuration."""
        await self._client.load({"main.cf": text})

    async def meddle(self, every_s: float) -> None:
        """Ask for something by chance, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / every_s))
            if self._chance.random() < 0.06:
                await self._work_on_the_cable()
                continue
            request = self._wish()
            await self.ask(request, self._chance.choice((0.0, 20.0)))

    async def _work_on_the_cable(self) -> None:
        """Freeze a group, pull its system's cable, and unfreeze before the cable is back: the guard still spares it."""
        name = self._chance.choice(sorted(self._configuration.groups))
        await self.ask(Request("", "group.freeze", name), 10.0)
        await asyncio.sleep(3.0)
        intent = (await self._client.state()).intents.get(name)
        if intent is not None and intent.owner:
            self.pull_cable(intent.owner, self._chance.uniform(15, 45))
            await asyncio.sleep(self._chance.uniform(0.1, 12))
        await self.ask(Request("", "group.unfreeze", name), 10.0)

    def _wish(self) -> Request:
        operation = self._chance.choices([name for name, _ in _WISHES], [weight for _, weight in _WISHES])[0]
        group = self._configuration.groups[self._chance.choice(sorted(self._configuration.groups))]
        system = self._chance.choice(("", self._chance.choice(sorted(group.priorities))))
        resource = self._chance.choice(sorted(group.resources)) if operation.startswith("resource.") else ""
        options: dict[str, str] = {}
        if operation == "group.maintenance":
            options = {"mode": self._chance.choice(("on", "off")), "for_s": f"{self._chance.uniform(10, 60):.0f}"}
        return Request("", operation, group.name, resource, system, options)

    async def ask(self, request: Request, wait_s: float) -> None:
        """Ask for one thing, and hear what becomes of it."""
        self.asked += 1
        what = f"{request.operation} {request.group} {request.resource} {request.system}"
        self._timeline.note(DESK, f"asks {what}")
        try:
            done = await self._client.ask(request, wait_s)
            self._timeline.note(DESK, f"hears {done.state.value}: {what}")
        except (Refused, HoldfastError) as error:
            self.refused += 1
            self._timeline.note(DESK, f"hears {error}: {what}")

    async def set_right(self) -> None:
        """Unfreeze, end maintenance, clear faults, confirm who is off, bring online what is down; until cancelled."""
        while True:
            with contextlib.suppress(Unavailable):
                state = await self._client.state()
                for request in self._remedies(state):
                    await self.ask(request, 0.0)
                for name, host in self._hosts.items():
                    if not host.up and name not in state.confirmed and self._owes(state, name):
                        with contextlib.suppress(Refused):
                            await self._client.confirm_dead(name, "it is powered off")
                            self._timeline.note(DESK, f"confirms that {name} is dead")
            await asyncio.sleep(4.0)

    def _owes(self, state: State, system: str) -> bool:
        return any(
            state.notes[name].code == "no-evidence" and intent.owner == system
            for name, intent in state.intents.items()
            if name in state.notes
        )

    def _remedies(self, state: State) -> list[Request]:
        found = (self._remedy(state, name, intent) for name, intent in sorted(state.intents.items()))
        return [request for request in found if request is not None]

    def _remedy(self, state: State, name: str, intent: Intent) -> Request | None:
        facts = [fact for (group, _), fact in state.facts.items() if group == name]
        if intent.frozen:
            return Request("", "group.unfreeze", name)
        if intent.in_maintenance:
            return Request("", "group.maintenance", name, options={"mode": "off", "force": "1"})
        if any(each.faulted for fact in facts for each in fact.resources.values()):
            return Request("", "group.clear", name)
        kept = Wanted.OFFLINE in intent.overrides.values()
        stopped = intent.wanted is Wanted.OFFLINE and not intent.following and self._chance.random() < 0.3
        return Request("", "group.online", name) if kept or stopped else None
