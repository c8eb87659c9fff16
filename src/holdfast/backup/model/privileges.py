"""Which privilege class a command needs: the one table (sections 1, 8; the classes are those of QUERY ADMIN).

A class may be granted without limits or for named domains, pools or nodes. SYSTEM suffices for everything. A query is
open to every administrator. What is not in the table needs SYSTEM, so a command that somebody adds is closed at first.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Privilege(enum.Enum):
    """The classes, most powerful first."""

    SYSTEM = "SYSTEM"
    POLICY = "POLICY"
    STORAGE = "STORAGE"
    OPERATOR = "OPERATOR"
    NODE = "NODE"


class Scope(enum.Enum):
    """To what a restricted class must apply, so that it suffices."""

    ALL = "only an unrestricted class suffices"
    DOMAIN = "the policy domain"
    NODE = "the node, or its policy domain"
    POOL = "the storage pool"
    VOLUME = "the storage pool of the volume"


@dataclass(frozen=True, slots=True)
class Need:
    """What a command needs: one of ``classes`` (none: any administrator), for what ``scope`` names."""

    classes: tuple[Privilege, ...]
    scope: Scope = Scope.ALL


@dataclass(frozen=True, slots=True)
class Authority:
    """A class that an administrator has; ``name`` is the domain, pool or node it is restricted to, or empty."""

    privilege: Privilege
    name: str = ""


_P, _S, _O, _N = Privilege.POLICY, Privilege.STORAGE, Privilege.OPERATOR, Privilege.NODE
_BY_NEED: tuple[tuple[Need, str], ...] = (
    (
        Need((_P,), Scope.DOMAIN),
        "register node, update domain, define policyset, update policyset, delete policyset, copy policyset, "
        "define mgmtclass, update mgmtclass, delete mgmtclass, copy mgmtclass, define copygroup, update copygroup, "
        "delete copygroup, assign defmgmtclass, validate policyset, activate policyset, define schedule, "
        "update schedule, delete schedule, copy schedule, define association, delete association",
    ),
    (Need((_P,), Scope.NODE), "update node, remove node, rename node, lock node, unlock node"),
    (Need((_P, _N), Scope.NODE), "delete filespace"),
    (
        Need((_P,)),
        "define clientaction, define cloptset, update cloptset, delete cloptset, copy cloptset, define clientopt, "
        "update clientopt, "
        "delete clientopt, delete event",
    ),
    (
        Need((_S,), Scope.POOL),
        "backup stgpool, restore stgpool, update stgpool, migrate stgpool, reclaim stgpool, rebuild stgpool, "
        "define volume",
    ),
    (Need((_S,), Scope.VOLUME), "audit volume, delete volume, update volume, move data, restore volume"),
    (
        Need((_S,)),
        "backup db, define devclass, update devclass, delete devclass, delete volhistory, backup volhistory, "
        "backup devconfig, define dbbackuptrigger, update dbbackuptrigger, delete dbbackuptrigger",
    ),
    (Need((_O,)), "cancel process, cancel session, issue message, disable sessions, enable sessions"),
    (
        Need((_O, _P, _S)),
        "define script, update script, delete script, copy script, rename script, run",
    ),
    (Need(()), "select, commit, rollback, show caller"),
)
NEEDS: dict[str, Need] = {name: need for need, names in _BY_NEED for name in names.split(", ")}
"""Operation → need."""
SYSTEM_ONLY = Need((Privilege.SYSTEM,))


def need_of(operation: str) -> Need:
    """Return what an operation needs."""
    if operation.startswith("query "):
        return Need(())
    return NEEDS.get(operation, SYSTEM_ONLY)
