"""Who may ask for what: roles of the configuration against the operation and the group it is about.

The roles are those of VCS: cluster administrators and operators, administrators and operators of single groups, and
guests, who may look. A configuration that names no user at all governs nobody: whoever can write to the store may do
everything, as before the first ``hauser -add``. The name is what the front end says of who runs it (the local peer,
or the name in its certificate), so this keeps people from mistakes; what keeps strangers out is access to the store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from holdfast.cluster.model.attributes import Value
from holdfast.cluster.model.configuration import Configuration, Group, Values
from holdfast.kernel.errors import Refusal

ROOT_MARK = " as root"
"""How a front end names a person who has become root: ``maria as root``."""

OPERATOR_REQUESTS = frozenset(
    (
        "group.online", "group.offline", "group.switch", "group.clear", "group.flush", "group.freeze",
        "group.unfreeze", "group.clearadminwait", "group.maintenance", "resource.online", "resource.offline",
        "resource.offprop", "resource.clear", "resource.probe", "resource.action", "resource.refreshinfo",
        "resource.flushinfo", "system.freeze", "system.unfreeze", "system.load", "alert.acknowledge",
    )
)  # fmt: skip
"""What an operator may ask for; everything else that changes anything takes an administrator."""

ROLES = {
    "Administrator": "Administrators", "Operator": "Operators",
    "AdministratorGroup": "Administrators", "OperatorGroup": "Operators",
}  # fmt: skip
"""Role of ``hauser`` → the attribute, of the cluster or of a group, that lists who has it. A guest is only a user."""


@dataclass(frozen=True, slots=True)
class Roles:
    """What a user may do: in the whole cluster, and group by group."""

    administrator: bool = False
    operator: bool = False
    administers: frozenset[str] = frozenset()
    operates: frozenset[str] = frozenset()
    known: bool = False


def users(configuration: Configuration) -> Mapping[str, str]:
    """Return the users with what their password is checked against."""
    found = configuration.cluster.get("UserNames")
    if isinstance(found, Mapping):
        return found
    return dict.fromkeys(found, "") if isinstance(found, tuple) else {}


def governed(configuration: Configuration) -> bool:
    """Whether the configuration says who may do what."""
    cluster = configuration.cluster
    holders = [cluster, *(group.values for group in configuration.groups.values())]
    named = any(_names(values, name) for values in holders for name in ("Administrators", "Operators"))
    return bool(users(configuration)) or named


def roles(configuration: Configuration, user: str) -> Roles:
    """Return what the configuration lets ``user`` do."""
    cluster, groups = configuration.cluster, configuration.groups.values()
    return Roles(
        administrator=user in _names(cluster, "Administrators"),
        operator=user in _names(cluster, "Operators"),
        administers=frozenset(group.name for group in groups if user in _names(group.values, "Administrators")),
        operates=frozenset(group.name for group in groups if user in _names(group.values, "Operators")),
        known=user in users(configuration),
    )


def denial(
    configuration: Configuration, user: str, operation: str, group: str = "", trusted: Collection[str] = ()
) -> Refusal | None:
    """Return why ``user`` may not do ``operation`` (about ``group``, if any), or None. ``trusted`` may do anything."""
    if user in ("root", *trusted) or user.endswith(ROOT_MARK) or not governed(configuration):
        return None
    held = roles(configuration, user)
    if held.administrator or (group and group in held.administers):
        return None
    if operation in OPERATOR_REQUESTS and (held.operator or (group and group in held.operates)):
        return None
    role = "Operator" if operation in OPERATOR_REQUESTS else "Administrator"
    where = f"group {group}" if group else "the cluster"
    return Refusal(
        "not-allowed", f"{user or 'nobody'} may not do {operation}: that takes an {role.lower()} of {where}",
        f"ask one to do it, or to give the right: hauser -addpriv {user or 'USER'} {role}"
        + (f" -group {group}" if group else ""),
    )  # fmt: skip


def change_denial(
    before: Configuration, after: Configuration, user: str, trusted: Collection[str] = ()
) -> Refusal | None:
    """Return why ``user`` may not make ``after`` of ``before``, or None. Who administers a group may change what is in
    it, but neither who administers it nor anything outside."""
    for group in _touched(before, after):
        refused = denial(before, user, "config.change", group, trusted)
        if refused is not None:
            return refused
    if not governed(before) and denial(after, user, "config.change", "", trusted) is not None:
        text = f"{user} could change nothing after this: the first roles are given and none is {user}'s"
        return Refusal("locks-out", text, f"begin with: hauser -add {user} -priv Administrator")
    return None


def _touched(before: Configuration, after: Configuration) -> Iterator[str]:
    """The groups that a change touches; an empty name for anything that is not the business of one group alone."""
    outside = ("name", "cluster", "systems", "types", "includes", "remote_clusters", "heartbeats")
    if any(getattr(before, one) != getattr(after, one) for one in outside):
        yield ""
    for name in dict.fromkeys((*before.groups, *after.groups)):
        old, new = before.groups.get(name), after.groups.get(name)
        if old is None or new is None or _masters(old) != _masters(new):
            yield ""
        elif old != new:
            yield name


def _masters(group: Group) -> tuple[Value | None, ...]:
    return tuple(group.values.get(name) for name in ("Administrators", "Operators", "SystemList"))


def _names(values: Values, attribute: str) -> tuple[str, ...]:
    found = values.get(attribute)
    return found if isinstance(found, tuple) else tuple(found) if isinstance(found, Mapping) else ()
