"""The local engine: carries out on this system what was decided for its groups.

It holds a worker for each resource of each group that may run here. After every change (a new intent, a monitor's
finding, a finished entry point) it asks ``plan.local`` which entry points may start, and gives the orders. It never
decides where a group runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from holdfast.cluster.agents.marked import Ledger, MarkedCommands
from holdfast.cluster.model.configuration import Configuration, Group
from holdfast.cluster.model.facts import GroupFact, Intent, ResourceFact, ResourceState, Wanted
from holdfast.cluster.plan.local import Charge, Mandate, charge, hopeless, leaned_on, orders
from holdfast.cluster.plan.triggers import Firing, preonline
from holdfast.cluster.ports import Agent, AgentContext, BlockDevices, CommandResult, Commands
from holdfast.cluster.service.triggers import Triggers
from holdfast.cluster.service.worker import Surroundings, Worker

_DROP_AGAIN_S = 0.2


@dataclass(frozen=True)
class Engines:
    """What the engine is given: who it is, the agents by type (one for every type), and where things lie."""

    system: str
    incarnation: str
    agents: Mapping[str, Agent]
    run_directory: Path
    devices: BlockDevices | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    triggers: Path | None = None
    elsewhere: Callable[[str, str], ResourceState | None] = lambda _resource, _system: None
    """What another system said of a resource of its own; None when it is silent."""
    turns: Callable[[str], AbstractAsyncContextManager[None]] = lambda _name: nullcontext()
    """Locks of the cluster by name."""


class GroupEngine:
    """One group on this system."""

    def __init__(self, group: Group, commands: Commands, given: Engines, engine: Engine) -> None:
        self.group, self._commands, self._given, self._engine = group, commands, given, engine
        self._ledger = Ledger()
        self.intent: Intent | None = None
        self.guarded, self._cleared = True, dict[str, int]()
        self._first_clear = True
        self._asked, self._agreed, self.barred = -1, True, ""
        self._asking: asyncio.Task[None] | None = None
        self.workers = {name: self._worker(name) for name in group.resources}

    def _worker(self, name: str) -> Worker:
        resource = self.group.resources[name]
        around = Surroundings(
            context=lambda: self._context(name),
            changed=lambda: self._engine.changed(self.group.name),
            broke=lambda: self._look_below(name),
            hands_off=lambda: self.charge().mandate is Mandate.HANDS_OFF,
            quiet=lambda: self.charge().mandate is not Mandate.RUN,
            may_start=lambda: self._engine.leased() and self.charge().mandate in (Mandate.RUN, Mandate.WISHES_ONLY),
            threads=self._engine.threads(resource.type.name, resource.number("NumThreads", self._given.system)),
            log=self._engine.log,
            manages_faults=lambda: str(self.group.get("ManageFaults", self._given.system)).upper() != "NONE",
        )
        return Worker(resource, self._given.agents[resource.type.name], self._given.system, around)

    def _context(self, name: str) -> AgentContext:
        return AgentContext(
            resource=name,
            group=self.group.name,
            system=self._given.system,
            incarnation=self._given.incarnation,
            attributes=self.group.resources[name].resolved(self._given.system),
            commands=MarkedCommands(self._commands, name, self._ledger),
            run_directory=self._given.run_directory / "resources",
            devices=self._given.devices,
            environment=self._given.environment,
            look=self._engine.look,
            turn=partial(self._given.turns, f"{self.group.name}/{name}") if self.group.parallel else nullcontext,
        )

    def _look_below(self, name: str) -> None:
        """Monitor now what ``name`` stands on: its end may be the first sign that something below is broken."""
        for other, worker in self.workers.items():
            if name in self.group.above(other):
                worker.probe()

    def charge(self) -> Charge:
        """What this system may do for the group now, and why."""
        if self._engine.parked:
            return Charge(
                Mandate.HANDS_OFF, "the daemon was stopped by force and leaves all as it is", self._given.system
            )
        if self.group.flag("Frozen"):
            return Charge(Mandate.HANDS_OFF, "the group is frozen by its configuration", self._given.system)
        if self._engine.leaving and not (self.intent is not None and self.intent.frozen):
            return Charge(Mandate.STOP, "the system leaves the cluster", self._given.system)
        enabled = self.group.flag("Enabled", self._given.system)
        return charge(self.intent, self._given.system, self._given.incarnation, self._engine.swept, enabled)

    def facts(self) -> dict[str, ResourceFact]:
        """What is known of each resource now."""
        return {name: worker.fact for name, worker in self.workers.items()}

    def fact(self) -> GroupFact:
        """What this system reports of the group."""
        serial = self.intent.serial if self.intent is not None else 0
        return GroupFact(
            self.group.name,
            self._given.system,
            self._given.incarnation,
            serial,
            self.guarded,
            self.facts(),
            self.barred,
        )

    def take(self, intent: Intent | None) -> None:
        """Take in a new intent; clear what it says is to be cleared."""
        self.intent = intent
        clears = {} if intent is None else dict(intent.clears)
        for key, count in clears.items():
            system, _, what = key.partition(":")
            if system == self._given.system and self._cleared.get(key, 0) < count and not self._first_clear:
                self._clear(*what.partition("!")[::2])
        self._cleared, self._first_clear = clears, False
        if intent is not None and intent.wanted is Wanted.OFFLINE:
            for worker in self.workers.values():
                worker.forget_purpose()

    def _clear(self, resource: str, mark: str) -> None:
        """Clear a resource or all ("*"): its fault, or with a ``mark`` its wait for an administrator."""
        for name, worker in self.workers.items():
            if resource not in ("*", name):
                continue
            if mark:
                worker.clear_admin_wait(fault=mark == "fault")
            else:
                worker.clear()

    def act(self) -> None:
        """Give the orders that may be given now, and end starts that wait for what is gone."""
        given = self.charge()
        for name, reason in hopeless(self.group, self.facts(), given).items():
            self.workers[name].abandon(reason)
        intent = self.intent or Intent(self.group.name)
        held = self._engine.leaned_on(self.group)
        for order in orders(self.group, self.facts(), given, intent.overrides, held, intent.loose):
            worker = self.workers[order.resource]
            if not worker.busy and (order.wanted is Wanted.OFFLINE or self._may_begin(intent, given)):
                self._engine.log("info", f"{order.wanted.value} {order.resource} ordered: {order.reason}")
                worker.order(order.wanted)

    def _may_begin(self, intent: Intent, given: Charge) -> bool:
        """Whether there is a lease, and the preonline trigger lets the group start; that is asked once for each intent,
        if nothing is up yet."""
        if not self._engine.leased():
            return False
        up = any(fact.state is ResourceState.ONLINE and not fact.keeps for fact in self.facts().values())
        if given.mandate is not Mandate.RUN or (up and self._asked != intent.serial):
            return True
        if self._asked != intent.serial:
            self._asked, self._agreed, self.barred = intent.serial, True, ""
            firing = preonline(self.group, intent, self._given.system)
            if firing is not None and self._engine.triggers.programs(firing.name):
                self._agreed = False
                self._asking = asyncio.create_task(
                    self._ask(firing, intent.serial), name=f"preonline {self.group.name}"
                )
        return self._agreed

    def forget(self) -> None:
        """Wait for no trigger any more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self, firing: Firing, serial: int) -> None:
        refusal = await self._engine.triggers.agree(firing)
        if serial == self._asked:
            self._agreed, self.barred = not refusal, refusal
            self._engine.changed(self.group.name)


class Engine:
    """All groups of this system."""

    def __init__(
        self, given: Engines, log: Callable[[str, str], None], swept: bool, leased: Callable[[], bool]
    ) -> None:
        self.groups: dict[str, GroupEngine] = {}
        self.triggers = Triggers(given.triggers, given.environment, log)
        self.swept, self.leaving, self.parked, self.log, self.leased = swept, False, False, log, leased
        self.dirty: set[str] = set()
        self.wake = asyncio.Event()
        self._given, self._tasks = given, dict[str, list[asyncio.Task[None]]]()
        self._threads: dict[str, asyncio.Semaphore] = {}

    def threads(self, kind: str, count: int) -> asyncio.Semaphore:
        """Return the bound on how many resources of a type are worked on at once."""
        return self._threads.setdefault(kind, asyncio.Semaphore(max(1, count)))

    def changed(self, group: str) -> None:
        """Note that something about ``group`` changed."""
        self.dirty.add(group)
        self.wake.set()

    def adopt(self, group: Group, commands: Commands, last: GroupFact | None) -> GroupEngine:
        """Begin to look after ``group``; ``last`` is what an earlier daemon of this incarnation reported."""
        engine = GroupEngine(group, commands, self._given, self)
        restored = last is not None and last.incarnation == self._given.incarnation
        if restored and last is not None:
            for name, fact in last.resources.items():
                if name in engine.workers:
                    engine.workers[name].restore(fact)
        self.groups[group.name] = engine
        self._tasks[group.name] = [
            asyncio.create_task(worker.run(fresh=not restored), name=f"worker {name}")
            for name, worker in engine.workers.items()
        ]
        for task in self._tasks[group.name]:
            task.add_done_callback(lambda _: self.wake.set())  # one that ends has failed: check_tasks raises it
        return engine

    async def drop(self, name: str) -> None:
        """Stop looking after a group; its resources stay as they are."""
        dropped = self.groups.pop(name, None)
        if dropped is not None:
            dropped.forget()
        tasks = self._tasks.pop(name, [])
        while tasks := [task for task in tasks if not task.done()]:
            for task in tasks:
                task.cancel()
            # Again and again: a library that swallows one cancellation must not keep the daemon from going on.
            await asyncio.wait(tasks, timeout=_DROP_AGAIN_S)

    def check_tasks(self) -> None:
        """Raise what made a worker end: no resource may be left without one."""
        for tasks in self._tasks.values():
            for task in tasks:
                if task.done():
                    task.result()

    def leaned_on(self, group: Group) -> str:
        """Return the group here that must be offline before ``group`` goes down; empty if none."""
        others = [other for other in self.groups.values() if other.group.group_links]
        return leaned_on(group, ((other.group, other.charge(), other.facts()) for other in others))

    def act(self) -> None:
        """Give every order that may be given now."""
        for group in self.groups.values():
            group.act()
        for name in self.dirty & self.groups.keys():
            group = self.groups[name]
            self.triggers.look(group.group, group.fact(), group.intent)

    def probe(self, mounts: bool = False, addresses: bool = False) -> None:
        """Monitor now what depends on the mount table or on addresses."""
        for group in self.groups.values():
            for worker in group.workers.values():
                if (mounts and worker.watches_mounts) or (addresses and worker.watches_addresses):
                    worker.probe()

    def look(self, resource: str, system: str) -> ResourceState | None:
        """Return the state of a resource of any group: on this system as its worker knows it, else as was last said."""
        if system != self._given.system:
            return self._given.elsewhere(resource, system)
        for group in self.groups.values():
            if resource in group.workers:
                fact = group.workers[resource].fact
                return fact.state if fact.probed else None
        return None

    async def action(self, group: str, resource: str, name: str, arguments: list[str]) -> CommandResult:
        """Carry out an action on a resource of this system."""
        worker = self.groups[group].workers[resource]
        return await worker.act(name, arguments)


def relevant(configuration: Configuration, system: str) -> list[Group]:
    """The groups that may run on ``system``."""
    return [group for group in configuration.groups.values() if system in group.priorities]
