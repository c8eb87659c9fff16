"""Changing pair records in the store: read, decide, compare and set, until nobody came between."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast.kernel.errors import Unavailable
from holdfast.replication.model.identity import Endpoint, pair_key
from holdfast.replication.model.pairs import PairRecord
from holdfast.replication.ports import Witness, Witnessed

ATTEMPTS = 10

Decide = Callable[[str, Endpoint, PairRecord | None], PairRecord | None]
"""Local volume, remote end and the record now → the record to keep; None leaves the pair out. May raise ``Refused``."""


async def commit_records(
    witness: Witness, image: str, pairs: Sequence[tuple[str, Endpoint]], decide: Decide
) -> dict[str, PairRecord]:
    """Decide every record of (local volume, remote) pairs and commit all in one transaction; return those kept."""
    keys = {pair_key(Endpoint(image, volume), remote): (volume, remote) for volume, remote in pairs}
    for _ in range(ATTEMPTS):
        seen: dict[str, Witnessed] = await witness.read(list(keys))
        kept: dict[str, PairRecord] = {}
        writes: dict[str, PairRecord | None] = {}
        for key, (volume, remote) in keys.items():
            record = decide(volume, remote, seen[key].record)
            if record is not None:
                kept[volume] = record
                if record != seen[key].record:
                    writes[key] = record
        if not writes or await witness.compare_and_set({key: seen[key].revision for key in writes}, writes):
            return kept
    raise Unavailable("the pair records kept changing", "try again")


async def remove_record(witness: Witness, key: str) -> None:
    """Remove a record."""
    for _ in range(ATTEMPTS):
        seen = (await witness.read([key]))[key]
        if seen.record is None or await witness.compare_and_set({key: seen.revision}, {key: None}):
            return
    raise Unavailable("the pair's record kept changing", "try again")
