"""What runs on a host for the groups: the truth that monitors report, or lie about.

A service is down, up, or half up (a start that was cut short). A command that changes it runs in the group's workload,
not in the daemon: it goes on when the daemon dies, and ends when the guard kills the workload. ``lost`` marks a service
that went down by itself and of which nobody may know yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from holdfast.cluster.model.configuration import Configuration, Resource


class Level(Enum):
    """How far up a service is."""

    DOWN = "down"
    HALF = "half up"
    UP = "up"


class Trouble(Enum):
    """What a service or its agent can suffer from for a while."""

    SLOW_ONLINE = "online is slow"
    FAILING_ONLINE = "online fails"
    HALF_ONLINE = "online ends half way"
    HUNG_OFFLINE = "offline hangs"
    FAILING_OFFLINE = "offline does nothing"
    HUNG_MONITOR = "monitor hangs"
    LYING_MONITOR = "monitor lies"
    FAILING_CLEAN = "clean fails"


@dataclass(slots=True)
class Service:
    """One resource on one host. ``troubles`` last until the simulated time that each names."""

    resource: Resource
    level: Level = Level.DOWN
    lost: bool = False
    watched: bool = False
    troubles: dict[Trouble, float] = field(default_factory=dict)


class Services:
    """All services of a host. ``changed`` is called after each change of a level, with what changed and why."""

    def __init__(self, configuration: Configuration, system: str, changed: Callable[[str, str, str], None]) -> None:
        self._changed = changed
        self.table: dict[tuple[str, str], Service] = {
            (group.name, name): Service(resource)
            for group in configuration.groups.values()
            if system in group.priorities
            for name, resource in group.resources.items()
        }
        for service in self.table.values():
            if service.resource.persistent:
                service.level = Level.UP

    def of(self, group: str) -> Iterable[tuple[str, Service]]:
        """Yield the services of a group by resource."""
        return ((name, service) for (owner, name), service in self.table.items() if owner == group)

    def running(self, group: str) -> list[str]:
        """Return the resources of ``group`` that are up or half up and are not always so."""
        return [
            name
            for name, service in self.of(group)
            if service.level is not Level.DOWN and not service.resource.persistent
        ]

    def put(self, group: str, name: str, level: Level, why: str, lost: bool = False) -> None:
        """Change a service."""
        service = self.table[group, name]
        service.lost = lost
        if service.level is not level:
            service.level = level
            self._changed(group, name, f"{name} of {group} is {level.value}: {why}")

    def kill(self, spared: frozenset[str], why: str) -> None:
        """Kill every service, but not those of spared groups."""
        for (group, name), service in self.table.items():
            if group not in spared and not service.resource.persistent:
                self.put(group, name, Level.DOWN, why)
