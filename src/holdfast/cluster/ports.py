"""What the cluster domain needs from outside: agents and the commands they run, devices, fences, data standing.

Every port is small and async. Composition roots choose the implementations; the domain never imports them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from holdfast.cluster.model.attributes import Value
from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import CleanReason, Evidence, ResourceFact, ResourceState, Standing
from holdfast.kernel.errors import Refusal

OUTPUT_LIMIT_BYTES = 256 * 1024
"""How much of a command's output is kept; the rest is read and dropped. A list of some thousand pairs fits."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended: exit code (negative: the signal that killed it), its output, whether it ran out of time."""

    code: int
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """It ended in time with exit code 0."""
        return self.code == 0 and not self.timed_out


class Process(Protocol):
    """A long-running command inside the workload."""

    @property
    def pid(self) -> int:
        """Its process id as the commands of the workload see it."""

    async def wait(self) -> int:
        """Wait until it ends; return its exit code."""

    async def kill(self) -> None:
        """Kill it and all that it started."""


class Post(Protocol):
    """Datagrams between the daemons of a cluster: small, unproven, often lost, never needed."""

    async def open(self, receive: Callable[[bytes], None]) -> str:
        """Listen, and call ``receive`` with each that comes; return the address to send to, empty if there is none."""

    def send(self, address: str, message: bytes) -> None:
        """Send ``message``; whether it arrives nobody says."""

    def close(self) -> None:
        """Listen no more. Idempotent."""


class Commands(Protocol):
    """Runs commands inside the group's workload, where the guard can kill them.

    A text runs under ``/bin/sh -c``; a sequence runs as it is. Each may raise
    :class:`~holdfast.kernel.errors.Unavailable` when the workload is gone or the lease has lapsed.
    """

    async def run(
        self,
        command: str | Sequence[str],
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
        user: str = "",
        stdin: bytes = b"",
        cwd: str = "/",
    ) -> CommandResult:
        """Run to the end, or kill it and all that it started at the timeout; return how it ended and at most
        :data:`OUTPUT_LIMIT_BYTES` of output."""

    async def spawn(
        self,
        command: str | Sequence[str],
        env: Mapping[str, str] | None = None,
        user: str = "",
        log: Path | None = None,
        cwd: str = "/",
        stays: bool = True,
    ) -> Process:
        """Start a command whose output goes to ``log``. One that ``stays`` outlives the daemon; any other, as one that
        is run to its end, is killed when a daemon takes up the work of another that has died."""

    async def process(self, pid: int) -> int | None:
        """Return a pidfd for process ``pid`` as the workload counts, or None; the caller closes it."""

    async def find(self, pattern: str, user: str = "") -> int | None:
        """Return a pidfd for a process whose command line equals ``pattern``, or None; the caller closes it."""

    async def using(self, path: str) -> tuple[int, ...]:
        """Return pidfds of the workload's processes that use anything under ``path``; the caller closes them."""


class BlockDevices(Protocol):
    """Turns ``volume:1260`` into a device path on this system. Attaching twice gives the same path."""

    async def attach(self, spec: str, commands: Commands) -> str:
        """Return the path of the attached device. Raises ``Refused`` or ``Unavailable``."""

    async def detach(self, spec: str, commands: Commands) -> None:
        """Release the device; nothing happens if it is not attached, or if what served it is dead."""


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """``trouble`` is empty when the device answers; ``pidfd`` (or -1) is of the process that serves it."""

    trouble: str = ""
    pidfd: int = -1


@runtime_checkable
class InspectsDevices(Protocol):
    """What a :class:`BlockDevices` may offer beyond attaching: a look at a device without touching its content."""

    async def inspect(self, spec: str, commands: Commands) -> DeviceHealth:
        """Return whether the attached device still answers. Never hangs: bounded by the implementation."""


class Fence(Protocol):
    """Cuts a lost system off from a group's data."""

    async def fence(self, system: str, incarnation: str, group: str) -> Evidence | Refusal:
        """Revoke ``system``'s access; evidence once that is confirmed, a refusal when it cannot be."""

    async def admit(self, system: str, incarnation: str, group: str) -> Refusal | None:
        """Give ``system`` its access back before it becomes the owner; a refusal when that cannot be."""


class Power(Protocol):
    """Ends whole systems from outside: power switches, management boards, hypervisors."""

    @property
    def systems(self) -> frozenset[str]:
        """The systems that it can end."""

    async def end(self, system: str, incarnation: str) -> Evidence | Refusal:
        """End ``system``; evidence once that is confirmed, a refusal when it cannot be."""


class OtherClusters(Protocol):
    """Clusters that have their own store, for a resource that stands on a group of one of them."""

    async def states(self, store: str, group: str) -> Mapping[str, str]:
        """Return a group's flags by system. Raises ``Refused`` or ``Unavailable``."""

    async def ask(self, store: str, operation: str, group: str, system: str, wait_s: float) -> None:
        """Ask for a group to be online or offline, on a system or (empty) anywhere, and wait for it. Raises
        ``Refused``, ``Unavailable``, or ``HoldfastError`` when it takes longer."""


class Standings(Protocol):
    """Knows whether a group's data is current on a system's side."""

    async def standing(self, group: str, system: str) -> Standing:
        """Return what is recorded: True only when the record says in sync."""


@dataclass(frozen=True, slots=True)
class MonitorResult:
    """What a monitor saw. The engine watches ``pidfds`` (and closes them) and monitors again when one ends;
    ``watch_mounts`` asks for the same when the mount table changes, ``watch_addresses`` for addresses. ``broken``:
    it is there but does not work, so it must be cleaned before anything else. ``intentional``: somebody stopped it on
    purpose, which is no fault where the type's IntentionalOffline is 1."""

    state: ResourceState
    confidence: int = 100
    detail: str = ""
    pidfds: tuple[int, ...] = ()
    watch_mounts: bool = False
    watch_addresses: bool = False
    broken: bool = False
    intentional: bool = False


@dataclass(frozen=True)
class AgentContext:
    """What an entry point gets: the resource's attributes as they hold on this system, and its tools."""

    resource: str
    group: str
    system: str
    incarnation: str
    attributes: Mapping[str, Value]
    commands: Commands
    run_directory: Path
    devices: BlockDevices | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    look: Callable[[str, str], ResourceState | None] = lambda _resource, _system: None
    """What is known of another resource on a system; None when nobody can say."""
    turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """Holds the resource's lock of the cluster; only a parallel group, which runs on several systems, has one."""

    def text(self, name: str) -> str:
        """Return attribute ``name`` as text; a missing one is empty."""
        value = self.attributes.get(name, "")
        return str(value) if isinstance(value, str | int) else " ".join(value)

    def number(self, name: str) -> int:
        """Return attribute ``name`` as a whole number; a missing one is 0."""
        text = self.text(name)
        return int(text) if text.strip() else 0

    def names(self, name: str) -> tuple[str, ...]:
        """Return attribute ``name`` as a list; the keys of an association."""
        value = self.attributes.get(name, ())
        return tuple(str(value).split()) if isinstance(value, str | int) else tuple(value)


class Agent(Protocol):
    """Manages the resources of one type. The engine enforces each entry point's timeout by cancelling it."""

    async def open(self, context: AgentContext) -> None:
        """Called before the first monitor of a system's incarnation; not when only the daemon was restarted."""

    async def close(self, context: AgentContext) -> None:
        """Called when the engine lets go of the resource."""

    async def online(self, context: AgentContext) -> float:
        """Bring it online; return seconds to wait before the first monitor. Raises when it cannot."""

    async def offline(self, context: AgentContext) -> float:
        """Take it offline; return seconds to wait before the first monitor."""

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Return what state it is in, changing nothing. Raises TimeoutError when its own limit ends it."""

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Take it offline by force; True when it is known to be gone."""

    async def action(self, context: AgentContext, name: str, arguments: Sequence[str]) -> CommandResult:
        """Carry out the named action. Raises ``Refused`` for one it does not know."""

    async def info(self, context: AgentContext) -> Mapping[str, str]:
        """Return facts for people about the resource."""


class AgentBase:
    """Entry points that do nothing, for agents that need only some of them."""

    async def open(self, context: AgentContext) -> None:
        """Nothing to prepare."""

    async def close(self, context: AgentContext) -> None:
        """Nothing to release."""

    async def action(self, context: AgentContext, name: str, arguments: Sequence[str]) -> CommandResult:
        """No actions."""
        return CommandResult(1, stderr=f"{context.resource} has no action {name}")

    async def info(self, context: AgentContext) -> Mapping[str, str]:
        """No facts."""
        return {}


class Chronicle(Protocol):
    """Writes down what a system daemon says and how its resources change, for people. It never fails."""

    def said(self, at: float, level: str, text: str) -> None:
        """Take in what the daemon says; ``at`` is wall-clock seconds, ``level`` such as ``warning``."""

    def changed(self, at: float, group: Group, name: str, before: ResourceFact, after: ResourceFact) -> None:
        """Take in that a resource of a group changed."""
