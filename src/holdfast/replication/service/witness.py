"""The witness over the cluster's store: one key per pair, changed only by compare-and-set.

Records are JSON so that a person can read them with the store's own tools. A store that does not answer within
``LIMIT_S`` counts as unavailable: the outcome is unknown and the caller reads again before it decides anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from holdfast.kernel.errors import Unavailable
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import PairRecord
from holdfast.replication.ports import Witnessed
from holdfast.store.port import Committed, Compare, Delete, Put, Store, Write

LIMIT_S = 3.0
PREFIX = "replication/pairs/"


class _Stored(msgspec.Struct):
    source: str
    in_sync: bool
    generation: int


def decode_record(value: bytes) -> PairRecord:
    """Return the record that a store value holds."""
    stored = msgspec.json.decode(value, type=_Stored)
    return PairRecord(Endpoint.parse(stored.source), stored.in_sync, stored.generation)


def encode_record(record: PairRecord) -> bytes:
    """Return the store value of a record."""
    return msgspec.json.encode(_Stored(str(record.source), record.in_sync, record.generation))


class StoreWitness:
    """Implements :class:`holdfast.replication.ports.Witness`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, keys: Sequence[str]) -> dict[str, Witnessed]:
        """Return the records of ``keys``."""
        try:
            async with asyncio.timeout(LIMIT_S):
                snapshot = await self._store.read(PREFIX)
        except TimeoutError as error:
            raise Unavailable("the store did not answer") from error
        found: dict[str, Witnessed] = {}
        for key in keys:
            entry = snapshot.entries.get(key)
            found[key] = Witnessed(decode_record(entry.value), entry.revision) if entry else Witnessed(None, 0)
        return found

    async def compare_and_set(self, expected: Mapping[str, int], records: Mapping[str, PairRecord | None]) -> bool:
        """Commit ``records`` if no expected revision has changed."""
        writes: list[Write] = [
            Delete(key) if record is None else Put(key, encode_record(record)) for key, record in records.items()
        ]
        try:
            async with asyncio.timeout(LIMIT_S):
                outcome = await self._store.transact([Compare(k, r) for k, r in expected.items()], writes)
        except TimeoutError as error:
            raise Unavailable("the store did not answer") from error
        return isinstance(outcome, Committed)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()


class NoWitness:
    """Stands in when no store is configured: pairs can be neither made nor taken over."""

    async def read(self, keys: Sequence[str]) -> dict[str, Witnessed]:
        """Raise ``Unavailable``."""
        raise Unavailable("no store is configured for this array", "set `store` in the array's configuration")

    async def compare_and_set(self, expected: Mapping[str, int], records: Mapping[str, PairRecord | None]) -> bool:
        """Raise ``Unavailable``."""
        raise Unavailable("no store is configured for this array", "set `store` in the array's configuration")

    async def close(self) -> None:
        """Nothing to release."""
        return
