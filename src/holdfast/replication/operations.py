"""What can be asked of an array, declared once: the commands on the wire, and the operations that users see.

``holdfast pair failover``, ``dscli failoverpprc`` and a program's call are the same :class:`Command` to the array's
management service. An answer has rows (queries) and one outcome per object (changes): some may succeed, some not.
"""

from __future__ import annotations

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


VERBS = frozenset(
    {"info", "volumes", "mkvolume", "rmvolume", "digest", "connections", "revoke"}
    | {"pairs", "mkpair", "rmpair", "pause", "resume", "failover", "failback", "paths"}
    | {"flashes", "mkflash", "resyncflash", "reverseflash", "rmflash", "freeze", "thaw"}
)
QUERIES = frozenset({"info", "volumes", "digest", "pairs", "paths", "flashes", "connections"})

_PAIRS = Param("pairs", "volume pairs, source:target", "list", required=True, positional=True)
_VOLUMES = Param("volumes", "volume ids, for example 1260", "list", required=True, positional=True)
_REMOTE = Param("remote", "the other array's storage image id", required=True)

OPERATIONS = (
    Operation("volume list", "List volumes.", changes=False, examples=("holdfast volume list",)),
    Operation(
        "volume create", "Create volumes.", (_VOLUMES, Param("size", "size of each, for example 64M", required=True))
    ),
    Operation("volume digest", "Print the BLAKE3 of a volume's bytes.", (_VOLUMES,), changes=False),
    Operation("pair list", "List Metro Mirror pairs.", changes=False, examples=("holdfast pair list",)),
    Operation("pair create", "Start to mirror volumes.", (_PAIRS, _REMOTE)),
    Operation("pair failover", "Make targets writable at the recovery array.", (_PAIRS, _REMOTE)),
    Operation("pair failback", "Copy changed tracks back and mirror this way.", (_PAIRS, _REMOTE)),
    Operation("pair pause", "Suspend mirroring.", (_PAIRS, _REMOTE)),
    Operation("pair resume", "Copy changed tracks and mirror again.", (_PAIRS, _REMOTE)),
    Operation("flash list", "List flash copies.", changes=False, examples=("holdfast flash list",)),
    Operation("flash create", "Make a point-in-time copy.", (_PAIRS,)),
    Operation("flash resync", "Move a copy's point in time to now.", (_PAIRS,)),
    Operation("flash remove", "Withdraw flash copies.", (_PAIRS,)),
)
