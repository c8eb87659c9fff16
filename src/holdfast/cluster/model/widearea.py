"""What clusters know of each other: who may run a global group, and what becomes of a cluster that falls silent.

Each cluster has its own store and decides for itself; nothing is shared but the summaries that their connectors
exchange. A *global group* stands in several clusters' configurations; its *authority* is held by one of them, and only
that one may start it. Each change of the authority raises its counter, so that of two claims the later one wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Conn(Enum):
    """The connector's link to a remote cluster."""

    NEVER = "never connected"
    UP = "up"
    BROKEN = "broken just now"
    LOST = "lost"


class Pulse(Enum):
    """What all heartbeats to a remote cluster say together; one that is alive is enough."""

    NONE = "none configured"
    ALIVE = "ALIVE"
    LOST = "LOST"


class RemoteState(Enum):
    """The state of a remote cluster as VCS calls it (the words are [K])."""

    INIT = "INIT"
    RUNNING = "RUNNING"
    TRANSITIONING = "TRANSITIONING"
    LOST_CONN = "LOST_CONN"
    LOST_HB = "LOST_HB"
    FAULTED = "FAULTED"
    EXITING = "EXITING"
    EXITED = "EXITED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Authority:
    """This cluster's word on the authority over a group. ``held``: it may run here. ``counter`` never goes back.

    ``to`` is the cluster that is to get it: while held, once the group is offline here; afterwards, who may take it.
    ``system`` is where it is to come online there. ``start``: bring the group online as soon as that is possible.
    ``accept_data_loss``: a person accepted that the data here may not be current; ``by`` and ``reason`` tell of it.
    """

    group: str
    held: bool
    counter: int = 0
    to: str = ""
    system: str = ""
    start: bool = False
    accept_data_loss: bool = False
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """A global group as its cluster tells others of it: authority, flags by system, and what it waits for."""

    authority: Authority
    systems: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    online: bool = False
    frozen: bool = False
    code: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a cluster tells its peers, once a second."""

    cluster: str
    state: str = "RUNNING"
    systems: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, GroupSummary] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoteCluster:
    """What this cluster makes of a remote one. ``met``: the coordinator of ``epoch`` has been connected to it.

    ``heartbeats`` maps each heartbeat to ALIVE or LOST; ``summary`` is the last that came. ``declared`` is a person's
    word (disaster, outage, disconnect, replica) on a silent one; it ends when the cluster is connected again.
    """

    name: str
    state: RemoteState = RemoteState.INIT
    epoch: int = 0
    met: bool = False
    heartbeats: Mapping[str, str] = field(default_factory=dict)
    summary: Summary | None = None


@dataclass(frozen=True, slots=True)
class Declaration:
    """A person's word on a remote cluster that is silent."""

    cluster: str
    kind: str
    by: str = ""
    reason: str = ""


DECLARATIONS = ("disaster", "outage", "disconnect", "replica")

_STATES: Mapping[tuple[Conn, Pulse], RemoteState] = {
    (Conn.NEVER, Pulse.NONE): RemoteState.INIT,
    (Conn.NEVER, Pulse.ALIVE): RemoteState.INIT,
    (Conn.NEVER, Pulse.LOST): RemoteState.FAULTED,
    (Conn.UP, Pulse.NONE): RemoteState.RUNNING,
    (Conn.UP, Pulse.ALIVE): RemoteState.RUNNING,
    (Conn.UP, Pulse.LOST): RemoteState.LOST_HB,
    (Conn.BROKEN, Pulse.NONE): RemoteState.TRANSITIONING,
    (Conn.BROKEN, Pulse.ALIVE): RemoteState.TRANSITIONING,
    (Conn.BROKEN, Pulse.LOST): RemoteState.TRANSITIONING,
    (Conn.LOST, Pulse.NONE): RemoteState.LOST_CONN,
    (Conn.LOST, Pulse.ALIVE): RemoteState.LOST_CONN,
    (Conn.LOST, Pulse.LOST): RemoteState.FAULTED,
}
"""Link and heartbeats → state. Without any heartbeat a silent cluster is never called faulted: one silent link alone
does not tell a dead cluster from a cut line."""

_LAST_WORDS = {"EXITING": RemoteState.EXITED, "EXITED": RemoteState.EXITED}


def judge(conn: Conn, pulse: Pulse, last_word: str) -> RemoteState:
    """Return the state of a remote cluster whose last summary said ``last_word``."""
    if conn is Conn.UP and last_word == "EXITING":
        return RemoteState.EXITING
    if conn in (Conn.BROKEN, Conn.LOST) and last_word in _LAST_WORDS:
        return _LAST_WORDS[last_word]
    return _STATES[conn, pulse]
