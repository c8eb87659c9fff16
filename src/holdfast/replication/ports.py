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
