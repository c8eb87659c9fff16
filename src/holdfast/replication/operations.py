"""What can be asked of an array, declared once: the commands on the wire, and the operations that users see.

``holdfast pair failover``, ``dscli failoverpprc`` and a program's call are the same :class:`Command` to the array's
management service. An answer has rows (queries) and one outcome per object (changes): some may succeed, some not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from holdfast.kernel.operation import Operation, Param

METHOD = "array.command"
DEFAULT_PORT = 7501


class Command(msgspec.Struct, frozen=True):
    """One request. With ``user`` the password is checked; without, the caller's certificate must be allowed."""

    verb: str
    objects: list[str] = []
    options: dict[str, Any] = {}
    user: str = ""
    password: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one object; an empty ``code`` means that it was done."""

    object: str
    code: str = ""
    reason: str = ""
    remedy: str = ""


class Answer(msgspec.Struct, frozen=True):
    """Rows of a query, outcomes of a change, and the array that answers."""

    image: str
    rows: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of the array: what its objects are, the options it takes beside :data:`COMMON`, whether it only looks.

    Sizes are in bytes, switches are booleans, lists are lists of ids. An option that a verb does not take is refused.
    """

    objects: str
    options: tuple[str, ...] = ()
    query: bool = False


COMMON = ("dev", "remote")
"""Options that every verb takes: the array meant (another one refuses), and the peer array of the pairs named."""
_FLASH = ("record", "persist", "copy", "tgtinhibit", "freeze", "seqnum", "tgtpprc", "pmir", "multinc", "tgtse")

VERBS: Mapping[str, Verb] = {
    "info": Verb("nothing", query=True),
    # volumes, pools, hosts
    "volumes": Verb("volumes", query=True),
    "mkvolume": Verb("volumes", ("size_bytes", "name", "pool", "sam")),
    "chvolume": Verb("volumes", ("size_bytes", "name")),
    "rmvolume": Verb("volumes"),
    "digest": Verb("volumes", query=True),
    "pools": Verb("nothing", query=True),
    "mkpool": Verb("pools", ("size_bytes",)),
    "chpool": Verb("pools", ("size_bytes",)),
    "rmpool": Verb("pools"),
    "volgroups": Verb("nothing", query=True),
    "mkvolgroup": Verb("names; the outcome's object is the new id", ("volumes",)),
    "chvolgroup": Verb("volume groups", ("add", "remove", "name")),
    "rmvolgroup": Verb("volume groups"),
    "hosts": Verb("nothing", query=True),
    "mkhost": Verb("host names; the outcome's object is the new id", ("volgroup",)),
    "chhost": Verb("host connections", ("volgroup",)),
    "rmhost": Verb("host connections"),
    "connections": Verb("nothing", query=True),
    "revoke": Verb("nothing", ("host", "key")),
    # Metro Mirror
    "pairs": Verb("volumes", query=True),
    "mkpair": Verb("pairs", ("copy", "critmode", "tgtread", "suspend")),
    "rmpair": Verb("pairs", ("unconditional", "at")),
    "pause": Verb("pairs", ("unconditional", "at")),
    "resume": Verb("pairs", ("critmode", "tgtread", "suspend")),
    "failover": Verb("pairs", ("force",)),
    "failback": Verb("pairs", ("critmode", "tgtread", "suspend")),
    "paths": Verb("nothing: one row per peer", query=True),
    "lsspaths": Verb("source subsystems, or none for all: one row per path", query=True),
    "mkpath": Verb("pairs of subsystems", ("consistgrp", "ports")),
    "rmpath": Verb("pairs of subsystems", ("force",)),
    "freeze": Verb("pairs of subsystems"),
    "thaw": Verb("subsystems or pairs of them"),
    # FlashCopy
    "flashes": Verb("volumes", query=True),
    "mkflash": Verb("pairs", _FLASH),
    "resyncflash": Verb("pairs", _FLASH),
    "reverseflash": Verb("pairs", (*_FLASH, "fast")),
    "rmflash": Verb("pairs", ("copy", "seqnum")),
    "setrevertible": Verb("pairs", ("seqnum",)),
    "commitflash": Verb("source volumes", ("seqnum",)),
    "revertflash": Verb("source volumes", ("seqnum",)),
}
QUERIES = frozenset(name for name, verb in VERBS.items() if verb.query)

_PAIRS = Param("pairs", "volume pairs, source:target", "list", required=True, positional=True)
_VOLUMES = Param("volumes", "volume ids, for example 1260", "list", required=True, positional=True)
_POOL = Param("pool", "an extent pool, for example P1", required=True, positional=True)
_LIMIT = Param("size", "the limit, for example 100G", required=True)
_GROUP = Param("group", "a volume group, for example V0", required=True, positional=True)
_HOST = Param("host", "a host, or the id of its connection", required=True, positional=True)
_SUBSYSTEMS = Param("subsystems", "logical subsystems, source:target", "list", required=True, positional=True)
_REMOTE = Param("remote", "the other array's storage image id", required=True)

OPERATIONS = (
    Operation("volume list", "List volumes.", changes=False, examples=("holdfast volume list",)),
    Operation(
        "volume create", "Create volumes.", (_VOLUMES, Param("size", "size of each, for example 64M", required=True))
    ),
    Operation("volume change", "Grow or rename volumes.", (_VOLUMES,)),
    Operation("volume remove", "Remove volumes and their data.", (_VOLUMES,)),
    Operation("array pools", "List extent pools.", changes=False, examples=("holdfast array pools",)),
    Operation("array create-pool", "Make an extent pool with a limit.", (_POOL, _LIMIT)),
    Operation("array resize-pool", "Give an extent pool another limit.", (_POOL, _LIMIT)),
    Operation("array remove-pool", "Remove empty extent pools.", (_POOL,)),
    Operation("array volume-groups", "List volume groups.", changes=False, examples=("holdfast array volume-groups",)),
    Operation("array create-volume-group", "Make a volume group, open to its hosts only.", (_GROUP,)),
    Operation("array change-volume-group", "Add volumes, take some out, rename.", (_GROUP,)),
    Operation("array remove-volume-group", "Remove volume groups.", (_GROUP,)),
    Operation("array hosts", "List host connections.", changes=False, examples=("holdfast array hosts",)),
    Operation("array connect-host", "Connect a host to a volume group.", (_HOST,)),
    Operation("array move-host", "Give a host connection another volume group.", (_HOST,)),
    Operation("array disconnect-host", "Remove host connections.", (_HOST,)),
    Operation("volume digest", "Print the BLAKE3 of a volume's bytes.", (_VOLUMES,), changes=False),
    Operation("pair list", "List Metro Mirror pairs.", changes=False, examples=("holdfast pair list --watch",)),
    Operation(
        "pair graph",
        "Show who mirrors to whom, and how far each target is behind.",
        changes=False,
        examples=("holdfast pair graph --svg pairs.svg",),
    ),
    Operation("pair create", "Start to mirror volumes.", (_PAIRS, _REMOTE)),
    Operation("pair failover", "Make targets writable at the recovery array.", (_PAIRS, _REMOTE)),
    Operation("pair failback", "Copy changed tracks back and mirror this way.", (_PAIRS, _REMOTE)),
    Operation("pair pause", "Suspend mirroring.", (_PAIRS, _REMOTE)),
    Operation("pair resume", "Copy changed tracks and mirror again.", (_PAIRS, _REMOTE)),
    Operation("pair paths", "List mirror paths.", changes=False, examples=("holdfast pair paths",)),
    Operation("pair open-path", "Make a mirror path.", (_SUBSYSTEMS,)),
    Operation("pair close-path", "Remove a mirror path.", (_SUBSYSTEMS,)),
    Operation("pair freeze", "Hold the writes of subsystems and suspend their pairs.", (_SUBSYSTEMS,)),
    Operation("pair thaw", "Let held writes go.", (_SUBSYSTEMS,)),
    Operation("flash list", "List flash copies.", changes=False, examples=("holdfast flash list",)),
    Operation("flash create", "Make a point-in-time copy.", (_PAIRS,)),
    Operation("flash resync", "Move a copy's point in time to now.", (_PAIRS,)),
    Operation("flash reverse", "Give the source what its copy holds.", (_PAIRS,)),
    Operation("flash restore", "Give the source what its incomplete copy holds.", (_PAIRS,)),
    Operation("flash revertible", "Keep the earlier point in time until commit or revert.", (_PAIRS,)),
    Operation("flash commit", "Give up the earlier point in time.", (_VOLUMES,)),
    Operation("flash revert", "Return to the earlier point in time.", (_VOLUMES,)),
    Operation("flash remove", "Withdraw flash copies.", (_PAIRS,)),
)
