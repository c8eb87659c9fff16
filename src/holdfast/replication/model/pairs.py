"""Metro Mirror: the states of a pair as one array sees them, and every transition, in one table.

A pair seen from one array is a role (source or target), a phase and a reason. ``TRANSITIONS`` says which event is
allowed where and what follows; an event that is not in the table is refused. The display strings are those of the
DS8000. What the table cannot say is who may be source at all: that is decided by the pair's record in the store
(``plan.authority``), never by a display state.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from holdfast.replication.model.identity import Endpoint


class Role(enum.Enum):
    """Which end of the pair this array holds."""

    SOURCE = "source"
    TARGET = "target"


class Phase(enum.Enum):
    """How far the copy is."""

    COPY_PENDING = "Copy Pending"
    FULL_DUPLEX = "Full Duplex"
    SUSPENDED = "Suspended"


class Reason(enum.Enum):
    """Why a pair is suspended; ``-`` otherwise."""

    NONE = "-"
    HOST_SOURCE = "Host Source"
    HOST_TARGET = "Host Target"
    UPDATE_TARGET = "Update Target"
    INTERNAL_TARGET = "Internal Conditions Target"
    INTERNAL_SOURCE = "Internal Conditions Source"
    SIMPLEX_TARGET = "Simplex Target"
    FREEZE = "Freeze"


class PairEvent(enum.Enum):
    """What can happen to a pair."""

    SYNCED = "everything is at the target and the store says so"
    PAUSE = "pausepprc"
    PAUSE_TARGET = "pausepprc -at tgt"
    FREEZE = "freezepprc"
    LINK_LOST = "the link failed and the divergence is committed"
    TARGET_PAUSED = "the target was paused and refuses writes"
    TARGET_GONE = "the target is in no pair any more"
    COPIED_ONTO = "mkflash -tgtpprc onto the source"
    RESTARTED = "the array restarted while it copied"
    RESUME = "resumepprc"
    FAILOVER = "failoverpprc"
    FAILBACK_FROM = "failbackpprc, this end keeps its data"
    FAILBACK_TO = "failbackpprc, this end is overwritten"


@dataclass(frozen=True, slots=True)
class Standing:
    """Role, phase and reason of a pair at one array."""

    role: Role
    phase: Phase
    reason: Reason = Reason.NONE

    @property
    def display(self) -> str:
        """The state as ``lspprc`` prints it."""
        return f"Target {self.phase.value}" if self.role is Role.TARGET else self.phase.value


_S, _T = Role.SOURCE, Role.TARGET
_CP, _FD, _SU = Phase.COPY_PENDING, Phase.FULL_DUPLEX, Phase.SUSPENDED
_PAUSED = Standing(_S, _SU, Reason.HOST_SOURCE)
_TARGET_PAUSED = Standing(_T, _SU, Reason.UPDATE_TARGET)

TRANSITIONS: dict[tuple[Role, Phase, PairEvent], Standing] = {
    (_S, _CP, PairEvent.SYNCED): Standing(_S, _FD),
    (_T, _CP, PairEvent.SYNCED): Standing(_T, _FD),
    (_T, _FD, PairEvent.SYNCED): Standing(_T, _FD),
    (_S, _CP, PairEvent.PAUSE): _PAUSED,
    (_S, _FD, PairEvent.PAUSE): _PAUSED,
    (_S, _SU, PairEvent.PAUSE): _PAUSED,
    (_T, _CP, PairEvent.PAUSE): _TARGET_PAUSED,
    (_T, _FD, PairEvent.PAUSE): _TARGET_PAUSED,
    (_T, _SU, PairEvent.PAUSE): _TARGET_PAUSED,
    (_S, _CP, PairEvent.LINK_LOST): Standing(_S, _SU, Reason.INTERNAL_TARGET),
    (_S, _FD, PairEvent.LINK_LOST): Standing(_S, _SU, Reason.INTERNAL_TARGET),
    (_S, _CP, PairEvent.RESTARTED): Standing(_S, _SU, Reason.INTERNAL_SOURCE),
    (_T, _CP, PairEvent.PAUSE_TARGET): Standing(_T, _SU, Reason.HOST_TARGET),
    (_T, _FD, PairEvent.PAUSE_TARGET): Standing(_T, _SU, Reason.HOST_TARGET),
    (_T, _SU, PairEvent.PAUSE_TARGET): Standing(_T, _SU, Reason.HOST_TARGET),
    (_S, _CP, PairEvent.FREEZE): Standing(_S, _SU, Reason.FREEZE),
    (_S, _FD, PairEvent.FREEZE): Standing(_S, _SU, Reason.FREEZE),
    (_S, _CP, PairEvent.TARGET_PAUSED): Standing(_S, _SU, Reason.HOST_TARGET),
    (_S, _FD, PairEvent.TARGET_PAUSED): Standing(_S, _SU, Reason.HOST_TARGET),
    (_S, _CP, PairEvent.TARGET_GONE): Standing(_S, _SU, Reason.SIMPLEX_TARGET),
    (_S, _FD, PairEvent.TARGET_GONE): Standing(_S, _SU, Reason.SIMPLEX_TARGET),
    (_S, _CP, PairEvent.COPIED_ONTO): Standing(_S, _CP),
    (_S, _FD, PairEvent.COPIED_ONTO): Standing(_S, _CP),
    (_S, _SU, PairEvent.RESUME): Standing(_S, _CP),
    (_T, _CP, PairEvent.RESUME): Standing(_T, _CP),
    (_T, _FD, PairEvent.RESUME): Standing(_T, _CP),
    (_T, _SU, PairEvent.RESUME): Standing(_T, _CP),
    (_T, _CP, PairEvent.FAILOVER): _PAUSED,
    (_T, _FD, PairEvent.FAILOVER): _PAUSED,
    (_T, _SU, PairEvent.FAILOVER): _PAUSED,
    (_S, _CP, PairEvent.FAILOVER): _PAUSED,
    (_S, _FD, PairEvent.FAILOVER): _PAUSED,
    (_S, _SU, PairEvent.FAILOVER): _PAUSED,
    (_S, _SU, PairEvent.FAILBACK_FROM): Standing(_S, _CP),
    (_S, _CP, PairEvent.FAILBACK_TO): Standing(_T, _CP),
    (_S, _FD, PairEvent.FAILBACK_TO): Standing(_T, _CP),
    (_S, _SU, PairEvent.FAILBACK_TO): Standing(_T, _CP),
    (_T, _CP, PairEvent.FAILBACK_TO): Standing(_T, _CP),
    (_T, _FD, PairEvent.FAILBACK_TO): Standing(_T, _CP),
    (_T, _SU, PairEvent.FAILBACK_TO): Standing(_T, _CP),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair at one array. ``bits`` names the bitmap of tracks that the other end may lack.

    ``generation`` is that of the store record when this array last knew it. ``superseded`` means the record names
    the other array as source: this array keeps its last display state and refuses every host write.

    ``critical``: the source takes no write that cannot be sent to the target. ``target_read``: hosts may read the
    target while it is in Full Duplex.
    """

    local: str
    remote: Endpoint
    standing: Standing
    bits: str
    generation: int = 0
    superseded: bool = False
    since: float = 0.0
    tracks_total: int = 0
    tracks_to_copy: int = 0
    tracks_copied: int = 0
    critical: bool = False
    target_read: bool = False

    @property
    def is_level(self) -> bool:
        """True at a source whose target holds every acknowledged write, as far as this array knows."""
        return self.standing.role is Role.SOURCE and self.standing.phase is Phase.FULL_DUPLEX and not self.superseded

    @property
    def stopped(self) -> bool:
        """True when critical mode keeps the source from going on without its target."""
        return self.critical and self.standing.role is Role.SOURCE and self.standing.reason in _LOST


_LOST = (Reason.INTERNAL_TARGET, Reason.HOST_TARGET, Reason.SIMPLEX_TARGET)


@dataclass(frozen=True, slots=True)
class PairRecord:
    """What the store says of a pair: who is source, whether the other end holds every acknowledged write."""

    source: Endpoint
    in_sync: bool
    generation: int
