"""The configuration as values: what main.cf and its type files say, checked and resolved, without a trace of syntax.

``holdfast.cluster.config`` builds these; planner, daemons and front ends only read them. Equality means "says the
same", so a dumped and reread configuration equals the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from holdfast.cluster.model.attributes import (
    GROUP_ATTRIBUTES,
    RESOURCE_ATTRIBUTES,
    TYPE_ATTRIBUTES,
    AttributeDef,
    Value,
)


@dataclass(frozen=True)
class ResourceType:
    """A type: its attributes by name; static ones belong to the type as a whole. ``source`` is the file it is from."""

    name: str
    attributes: Mapping[str, AttributeDef] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    @property
    def arg_list(self) -> tuple[str, ...]:
        """The names of the attributes that script agents get as arguments, in order."""
        found = self.attributes.get("ArgList")
        return tuple(found.default) if found is not None and isinstance(found.default, tuple) else ()

    @cached_property
    def known(self) -> Mapping[str, AttributeDef]:
        """Every attribute that a resource of this type has."""
        return {**TYPE_ATTRIBUTES, **RESOURCE_ATTRIBUTES, **self.attributes}

    def definition(self, name: str) -> AttributeDef | None:
        """Return the definition of ``name`` for a resource of this type, or None."""
        return self.known.get(name)


@dataclass(frozen=True)
class Values:
    """Attribute values of one object: ``common`` ones, and ``local`` ones as attribute → system → value."""

    common: Mapping[str, Value] = field(default_factory=dict)
    local: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)

    def get(self, name: str, system: str = "") -> Value | None:
        """Return the value for ``system``: the localised one first, then the common one, then None."""
        localised = self.local.get(name, {})
        return localised[system] if system in localised else self.common.get(name)


@dataclass(frozen=True)
class Resource:
    """One thing of a type. Its static attributes may be overridden like any other."""

    name: str
    type: ResourceType
    values: Values = field(default_factory=Values)

    def get(self, name: str, system: str = "") -> Value:
        """Return the value of attribute ``name`` on ``system``, or its default. Raises KeyError for no such name."""
        found = self.values.get(name, system)
        if found is not None:
            return found
        definition = self.type.definition(name)
        if definition is None:
            raise KeyError(name)
        return definition.default

    def number(self, name: str, system: str = "") -> int:
        """Return attribute ``name`` as a whole number."""
        value = self.get(name, system)
        return int(value) if isinstance(value, int | str) and str(value).strip() else 0

    @property
    def critical(self) -> bool:
        """Whether a fault here faults the group."""
        return bool(self.number("Critical"))

    @property
    def persistent(self) -> bool:
        """Whether the engine never brings it online or offline (Operations None)."""
        return self.get("Operations") == "None"

    @property
    def keeps(self) -> bool:
        """Whether it stays as it is when the group goes offline (Operations None or OnOnly)."""
        return self.get("Operations") != "OnOff"

    def resolved(self, system: str) -> dict[str, Value]:
        """Return every attribute that has a value on ``system``, defaults included."""
        names = [*TYPE_ATTRIBUTES, *RESOURCE_ATTRIBUTES, *self.type.attributes]
        return {name: self.get(name, system) for name in names}


@dataclass(frozen=True)
class GroupLink:
    """``requires group CHILD online local firm``."""

    child: str
    category: str = "online"
    location: str = "local"
    rigidity: str = "firm"


@dataclass(frozen=True)
class AtLeast:
    """``PARENT requires atleast MINIMUM from CHILDREN``: enough of the children are enough for the parent."""

    parent: str
    minimum: int
    children: tuple[str, ...]


@dataclass(frozen=True)
class Comment:
    """What people wrote at an item: whole lines ``before`` it and the end ``after`` it, without the ``//``."""

    before: tuple[str, ...] = ()
    after: str = ""


@dataclass(frozen=True)
class Group:
    """A service group. ``links`` are (parent, child) pairs: the parent requires the child.

    What is planned is a *unit*: a failover group as a whole, or of a parallel group the part on one system, ``at``.
    """

    name: str
    values: Values = field(default_factory=Values)
    resources: Mapping[str, Resource] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()
    group_links: tuple[GroupLink, ...] = ()
    at_least: tuple[AtLeast, ...] = ()
    at: str = ""

    def get(self, name: str, system: str = "") -> Value:
        """Return group attribute ``name`` on ``system``, or its default."""
        found = self.values.get(name, system or self.at)
        return GROUP_ATTRIBUTES[name].default if found is None else found

    def flag(self, name: str, system: str = "") -> bool:
        """Return a boolean group attribute."""
        return str(self.get(name, system)) not in ("0", "")

    def number(self, name: str, system: str = "") -> int:
        """Return a group attribute as a whole number."""
        text = str(self.get(name, system)).strip()
        return int(text) if text else 0

    @cached_property
    def parallel(self) -> bool:
        """Whether it runs on many systems at once."""
        return str(self.values.common.get("Parallel", 0)) not in ("0", "")

    @property
    def unit(self) -> str:
        """The name under which it is planned: ``web``, or ``cvm@hosta`` for one system's part of a parallel group."""
        return f"{self.name}@{self.at}" if self.at else self.name

    @cached_property
    def units(self) -> Mapping[str, Group]:
        """Of a parallel group its part on each system of SystemList; empty for any other."""
        if not self.parallel or self.at:
            return {}
        return {name: replace(self, at=name) for name in self.priorities}

    def on(self, system: str) -> Group:
        """Return what runs on ``system``: the group itself, or of a parallel group the part there."""
        if not self.parallel or self.at == system:
            return self
        return self.units.get(system) or replace(self, at=system)

    @cached_property
    def priorities(self) -> dict[str, int]:
        """SystemList as system → priority; a missing number is the previous one plus one. A part has one system."""
        return {name: rank for name, rank in self._listed.items() if self.at in ("", name)}

    @cached_property
    def _listed(self) -> dict[str, int]:
        value = self.get("SystemList")
        if isinstance(value, Mapping):
            numbers: dict[str, int] = {}
            previous = -1
            for name, text in value.items():
                previous = int(text) if text else previous + 1
                numbers[name] = previous
            return numbers
        return {name: place for place, name in enumerate(_names(value))}

    @cached_property
    def zones(self) -> dict[str, str]:
        """SystemZones as system → zone; empty when the group has none."""
        value = self.get("SystemZones")
        return dict(value) if isinstance(value, Mapping) else {}

    @cached_property
    def autostart_list(self) -> tuple[str, ...]:
        """AutoStartList in order."""
        return tuple(name for name in _names(self.get("AutoStartList")) if self.at in ("", name))

    def children(self, resource: str) -> tuple[str, ...]:
        """What ``resource`` requires."""
        return self._related[0].get(resource, ())

    def parents(self, resource: str) -> tuple[str, ...]:
        """What requires ``resource``."""
        return self._related[1].get(resource, ())

    @cached_property
    def _related(self) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        children: dict[str, list[str]] = {}
        parents: dict[str, list[str]] = {}
        for parent, child in self.links:
            children.setdefault(parent, []).append(child)
            parents.setdefault(child, []).append(parent)
        return {name: tuple(one) for name, one in children.items()}, {name: tuple(one) for name, one in parents.items()}

    def above(self, resource: str) -> frozenset[str]:
        """Everything that needs ``resource``, directly or not."""
        found: set[str] = set()
        waiting = list(self.parents(resource))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.parents(name))
        return frozenset(found)

    def in_site(self, system: str, site: str) -> bool:
        """Whether a system is in a site; an empty site is anywhere. Sites are what SystemZones numbers."""
        return not site or str(self.zones.get(system, "")) == site

    def same_zone(self, one: str, other: str) -> bool:
        """Whether both systems are attached to the same array: True when the group has no zones."""
        return not self.zones or self.zones.get(one) == self.zones.get(other)


@dataclass(frozen=True)
class Configuration:
    """Everything main.cf says. ``includes`` are the names of the type files it includes, in order.

    ``comments`` are those of main.cf by the item they stand at (``cluster/config/comments.py``); they say nothing to
    the cluster, so two configurations that differ in them only are equal.
    """

    name: str = ""
    cluster: Values = field(default_factory=Values)
    systems: Mapping[str, Values] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    types: Mapping[str, ResourceType] = field(default_factory=dict)
    includes: tuple[str, ...] = ()
    remote_clusters: Mapping[str, Values] = field(default_factory=dict)
    heartbeats: Mapping[str, Values] = field(default_factory=dict)
    """Wide-area heartbeats; their local values are by remote cluster."""
    comments: Mapping[tuple[str, ...], Comment] = field(default_factory=dict, compare=False)

    @cached_property
    def units(self) -> tuple[Group, ...]:
        """What is planned, one by one: each failover group, and each system's part of each parallel group."""
        return tuple(unit for group in self.groups.values() for unit in (group.units.values() or (group,)))

    @cached_property
    def required_by(self) -> Mapping[str, tuple[tuple[Group, GroupLink], ...]]:
        """The groups that require a group, each with its link; groups that none requires are absent."""
        found: dict[str, list[tuple[Group, GroupLink]]] = {}
        for group in self.groups.values():
            for link in group.group_links:
                found.setdefault(link.child, []).append((group, link))
        return {name: tuple(parents) for name, parents in found.items()}

    def group_of(self, resource: str) -> Group | None:
        """Return the group that holds ``resource``, or None."""
        return next((group for group in self.groups.values() if resource in group.resources), None)


def _names(value: Value) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, Mapping):
        return tuple(value)
    return tuple(str(value).split())
