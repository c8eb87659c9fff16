"""FlashCopy: a point-in-time relation between two volumes of one array, as values.

A relation names three bitmaps: tracks not yet copied (the target still reads them from the source), and, when it
records, the tracks changed since on the source and on the target. A resync makes their union the new uncopied set.

A *revertible* relation keeps the three bitmaps of the earlier point in time as well. While it is revertible no track
of either volume changes, so that both points in time are whole: a commit drops the earlier one, a revert returns to it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class FlashState(enum.Enum):
    """How a relation stands."""

    NONE = "no relation"
    COPYING = "tracks left to copy"
    COPIED = "everything copied"
    REVERTIBLE = "revertible"
    INVALID = "invalid"


class FlashEvent(enum.Enum):
    """What can happen to a relation."""

    MAKE = "mkflash"
    COPIED = "the last track is copied"
    FULL = "the target cannot take a track that the source changes"
    RESYNC = "resyncflash"
    REVERSE = "reverseflash"
    FAST_REVERSE = "reverseflash -fast"
    SET_REVERTIBLE = "setflashrevertible"
    COMMIT = "commitflash"
    REVERT = "revertflash"
    WITHDRAW = "rmflash"
    FINISH = "rmflash -cp"


_N, _COPYING, _COPIED, _R, _I = FlashState
FLASH_TRANSITIONS: dict[tuple[FlashState, FlashEvent], FlashState] = {
    (_N, FlashEvent.MAKE): _COPYING,
    (_COPYING, FlashEvent.COPIED): _COPIED,
    (_COPYING, FlashEvent.FULL): _I,
    (_COPYING, FlashEvent.RESYNC): _COPYING,
    (_COPIED, FlashEvent.RESYNC): _COPYING,
    (_COPIED, FlashEvent.REVERSE): _COPYING,
    (_COPYING, FlashEvent.FAST_REVERSE): _COPYING,
    (_COPIED, FlashEvent.FAST_REVERSE): _COPYING,
    (_COPYING, FlashEvent.SET_REVERTIBLE): _R,
    (_COPIED, FlashEvent.SET_REVERTIBLE): _R,
    (_R, FlashEvent.COMMIT): _COPYING,
    (_R, FlashEvent.REVERT): _COPYING,
    (_COPYING, FlashEvent.WITHDRAW): _N,
    (_COPIED, FlashEvent.WITHDRAW): _N,
    (_I, FlashEvent.WITHDRAW): _N,
    (_COPYING, FlashEvent.FINISH): _COPYING,
    (_COPIED, FlashEvent.FINISH): _COPIED,
}
"""What follows where; an event that is not in the table is refused. A copy to which nothing is left to copy is
``COPIED`` at once, and a relation that does not persist ends there."""


@dataclass(frozen=True, slots=True)
class FlashOptions:
    """The options of ``mkflash`` and ``resyncflash``; a resync replaces them all. ``record`` implies ``persist``.

    ``onto_source``: the target may be, or become, the source of a Metro Mirror pair (``-tgtpprc``). ``several``: more
    than one relation of a source may record (``-multinc``).
    """

    persist: bool = False
    record: bool = False
    background_copy: bool = True
    target_inhibit: bool = False
    sequence: str = "0"
    onto_source: bool = False
    several: bool = False

    @property
    def persistent(self) -> bool:
        """True when the relation outlives its background copy."""
        return self.persist or self.record


@dataclass(frozen=True, slots=True)
class Tracks:
    """The names of a relation's bitmaps; ``source_changed`` and ``target_changed`` are empty where nothing records."""

    uncopied: str = ""
    source_changed: str = ""
    target_changed: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The bitmaps that there are."""
        return tuple(name for name in (self.uncopied, self.source_changed, self.target_changed) if name)


@dataclass(frozen=True, slots=True)
class Flash:
    """One relation. ``created`` and ``synced`` are seconds since the epoch; the counters are those of the last copy.

    ``earlier`` are the bitmaps of the point in time to which a revertible relation can return, ``earlier_synced`` its
    time. ``failed`` says why the copy is invalid: its target could not take a track that its source had to change.
    """

    source: str
    target: str
    options: FlashOptions
    uncopied: str
    source_changed: str = ""
    target_changed: str = ""
    created: float = 0.0
    synced: float = 0.0
    tracks_total: int = 0
    tracks_to_copy: int = 0
    earlier: Tracks | None = None
    earlier_synced: float = 0.0
    failed: str = ""

    @property
    def tracks(self) -> Tracks:
        """The bitmaps of the point in time that the target shows."""
        return Tracks(self.uncopied, self.source_changed, self.target_changed)

    def state(self, uncopied: int) -> FlashState:
        """Return the state of a relation with so many tracks left to copy."""
        if self.failed:
            return FlashState.INVALID
        if self.revertible:
            return FlashState.REVERTIBLE
        return FlashState.COPYING if uncopied else FlashState.COPIED

    @property
    def revertible(self) -> bool:
        """True from ``setflashrevertible`` until ``commitflash`` or ``revertflash``."""
        return self.earlier is not None

    @property
    def bitmaps(self) -> tuple[str, ...]:
        """Every bitmap that the relation names."""
        return self.tracks.names + (self.earlier.names if self.earlier else ())
