"""What replication needs from outside: the witness that says who is source.

Every implementation is linearizable: a compare-and-set that fails shows a record newer than the one compared.
A call that raises :class:`~holdfast.kernel.errors.Unavailable` may or may not have taken effect; the caller reads
again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast.replication.model.pairs import PairRecord


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A pair's record and the store revision of its last change (0 and None: there is no record)."""

    record: PairRecord | None
    revision: int


class Witness(Protocol):
    """The pair records in the store."""

    async def read(self, keys: Sequence[str]) -> dict[str, Witnessed]:
        """Return the record of every key at one revision."""

    async def compare_and_set(self, expected: Mapping[str, int], records: Mapping[str, PairRecord | None]) -> bool:
        """Write every record (None removes it) if each key still has the expected revision; False if one has not."""

    async def close(self) -> None:
        """Release the store. Idempotent."""


Pair = tuple[str, str]
"""Source and target of a point-in-time copy: volume ids, or paths."""


@dataclass(frozen=True, slots=True)
class FlashAbilities:
    """What a way of making point-in-time copies can do.

    ``together``: several sources that are being written get one point in time. ``reverse``: a source can be given back
    what its copy holds. ``independent``: the copy ends up with blocks of its own; otherwise it shares its source's.
    """

    together: bool
    reverse: bool
    independent: bool


@dataclass(frozen=True, slots=True)
class FlashRelation:
    """A copy as it stands.

    ``at`` is another text after each new point in time (an array tells it to the second). ``recording``: the next point
    in time costs only what has changed. Tracks are of 64 KiB; ``tracks_left`` are still to be copied in the background.
    """

    source: str
    target: str
    at: str
    recording: bool = True
    persistent: bool = True
    tracks_total: int = 0
    tracks_copied: int = 0
    tracks_left: int = 0


class FlashCopies(Protocol):
    """Point-in-time copies: by an array, a file system, or any other way.

    Each command is carried out on all its pairs or raises :class:`~holdfast.kernel.errors.Refused` before it changes
    the first; a crash leaves each target as it was or as it is to be. ``quiet`` is the caller's word that nothing
    writes the sources meanwhile.
    """

    @property
    def abilities(self) -> FlashAbilities:
        """What this way can do."""

    def relations(self, pairs: Sequence[Pair]) -> dict[Pair, FlashRelation]:
        """Return the copies among these pairs that exist."""

    def make(self, pairs: Sequence[Pair], *, quiet: bool = False) -> None:
        """Make copies that do not exist yet."""

    def resync(self, pairs: Sequence[Pair], *, quiet: bool = False) -> None:
        """Move the point in time of copies to now."""

    def reverse(self, pairs: Sequence[Pair]) -> None:
        """Give sources, which nobody may use, what their copies hold."""

    def remove(self, pairs: Sequence[Pair]) -> None:
        """Withdraw copies."""

    def users(self, targets: Sequence[str]) -> Mapping[str, str]:
        """Return the targets that are in use, and by whom."""

    def digests(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return a digest of the bytes of sources and targets."""
