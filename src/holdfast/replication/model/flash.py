"""FlashCopy: a point-in-time relation between two volumes of one array, as values.

A relation names three bitmaps: tracks not yet copied (the target still reads them from the source), and, when it
records, the tracks changed since on the source and on the target. A resync makes their union the new uncopied set.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FlashOptions:
    """The options of ``mkflash`` and ``resyncflash``; a resync replaces them all. ``record`` implies ``persist``."""

    persist: bool = False
    record: bool = False
    background_copy: bool = True
    target_inhibit: bool = False
    sequence: str = "0"

    @property
    def persistent(self) -> bool:
        """True when the relation outlives its background copy."""
        return self.persist or self.record


@dataclass(frozen=True, slots=True)
class Flash:
    """One relation. ``created`` and ``synced`` are seconds since the epoch; the counters are those of the last copy."""

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
