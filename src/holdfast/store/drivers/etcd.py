"""The store in an etcd cluster: state that survives the loss of machines, for clusters of more than one.

The port's words are etcd's own, so this is translation: a commit is an etcd revision, a compare looks at a key's
``mod_revision``, reads are linearizable. What differs is said here once. etcd takes one write per key and transaction,
so of several the last counts; a transaction that changes nothing gets no revision of its own; leases are whole
seconds, at least one and a half election timeouts. All keys stand under one ``root``, so that an etcd can be shared.

A prefix is read in pages of one revision; when that is compacted meanwhile, the read begins anew. A watch goes on
through another member when its own falls silent, from the first revision it has not shown: none is lost or repeated.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from itertools import groupby

import grpc
import grpc.aio

from holdfast.kernel.errors import Unavailable
from holdfast.store.drivers import etcd_wire as wire
from holdfast.store.drivers.etcd_members import (
    PAUSE_S,
    Compacted,
    LeaseExists,
    LeaseGone,
    Member,
    Members,
    Tls,
    Unanswered,
    explain,
)
from holdfast.store.port import Change, Committed, Compare, Conflict, Entry, Put, Snapshot, Write

CALL_TIMEOUT_S = 2.0
PAGE_KEYS = 1000
READ_AGAIN = 3
SIGN_OF_LIFE_S = 0.6
"""A watch that was silent so long is asked for one; longer than a heartbeat, so that a quiet cluster asks nothing."""
_LEASE_BITS = 62


class EtcdStore:
    """A :class:`~holdfast.store.port.Store` in the etcd whose members listen at ``addresses`` (``host:port``).
    With ``discover`` these are only the first to be asked: they say who the members are."""

    def __init__(
        self,
        addresses: Sequence[str],
        tls: Tls,
        root: str = "holdfast/",
        call_timeout_s: float = CALL_TIMEOUT_S,
        discover: bool = False,
    ) -> None:
        self._members = Members(addresses, tls, call_timeout_s, discover)
        self._root = root.encode()

    async def read(self, prefix: str) -> Snapshot:
        """Return every key under ``prefix`` at one revision."""
        for _ in range(READ_AGAIN):
            try:
                return await self._read_pages(self._root + prefix.encode())
            except Compacted:
                continue
        raise Unavailable(f"{self._members} compacts faster than it is read", "compact less often")

    async def transact(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Committed | Conflict:
        """Apply ``writes`` if every compare holds. After ``Unavailable`` the outcome is unknown.

        Raises ``Refused`` for more operations or bytes than etcd takes at once (128 and 1.5 MiB unless configured).
        """
        last = list({write.key: write for write in writes}.values())
        hidden = [write for write in writes if isinstance(write, Put) and write.lease and write not in last]
        if hidden and (dead := await self._on_dead_lease(hidden)):
            return await self._conflict_at(dead.key)
        before = self._members.known
        try:
            answer = wire.txn_answer(
                await self._members.ask_once(wire.TXN, wire.txn_request(self._root, compares, last))
            )
        except LeaseGone:
            dead = await self._on_dead_lease(writes)
            return await self._conflict_at(dead.key if dead else writes[0].key)
        revision = self._members.check(answer.header, before).revision
        if answer.succeeded:
            return Committed(revision)
        for compare, found in zip(compares, answer.found, strict=True):
            now = found.entries[0].revision if found.entries else 0
            if now != compare.revision:
                return Conflict(compare.key, now)
        raise Unavailable(f"{self._members} refused a transaction without a reason")

    async def grant(self, ttl_s: float) -> int:
        """Open a lease of at least ``ttl_s``: whole seconds, and no less than etcd's own minimum."""
        lease = secrets.randbits(_LEASE_BITS) + 1
        try:
            await self._members.ask(wire.GRANT, wire.grant_request(max(1, math.ceil(ttl_s)), lease))
        except LeaseExists:
            return lease
        return lease

    async def renew(self, lease: int) -> bool:
        """Renew a lease that has not lapsed. After a "no" ask again: a leader that was paused says it of any lease."""
        return await self._renewed(lease) or (bool(await self._barrier()) and await self._renewed(lease))

    async def revoke(self, lease: int) -> None:
        """End a lease and delete its keys."""
        try:
            await self._members.ask(wire.REVOKE, wire.lease_request(lease))
        except LeaseGone:
            return

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[tuple[Change, ...]]:
        """Yield later commits under ``prefix`` in order. Raises ``Unavailable`` when no member shows them in time."""
        key, seen = self._root + prefix.encode(), after_revision
        loop = asyncio.get_running_loop()
        silent_since = loop.time()
        while True:
            member = self._members.current
            try:
                async with aclosing(self._events(member, key, seen + 1)) as answers:
                    async for answer in answers:
                        for revision, events in groupby(answer.events, lambda event: event.revision):
                            if revision > seen:
                                seen = revision
                                yield tuple(self._change(event) for event in events)
                        silent_since = loop.time()
            except Unanswered as error:
                self._members.leave(member)
                if loop.time() - silent_since > self._members.limit_s:
                    text = f"{self._members} shows no changes: {member.address}: {error}"
                    raise Unavailable(text, "read again, then watch") from error
                await asyncio.sleep(PAUSE_S)

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._members.close()

    async def _read_pages(self, prefix: bytes) -> Snapshot:
        entries: dict[str, Entry] = {}
        key, end, revision, before = prefix, wire.prefix_end(prefix), 0, self._members.known
        while True:
            request = wire.range_request(key, end, PAGE_KEYS, revision)
            page = wire.range_answer(await self._members.ask(wire.RANGE, request))
            revision = revision or self._members.check(page.header, before).revision
            for one in page.entries:
                entries[self._name(one.key)] = Entry(one.value, one.revision, one.lease)
            if not page.more:
                return Snapshot(revision, entries)
            key = page.entries[-1].key + b"\0"

    async def _on_dead_lease(self, writes: Sequence[Write]) -> Put | None:
        """Return the first write whose lease is gone: etcd only says that there is one, and only of the last writes."""
        known: dict[int, bool] = {}
        for write in writes:
            if isinstance(write, Put) and write.lease:
                if write.lease not in known:
                    answer = await self._members.ask(wire.TIME_TO_LIVE, wire.lease_request(write.lease))
                    known[write.lease] = wire.lease_answer(answer).ttl_s > 0
                if not known[write.lease]:
                    return write
        return None

    async def _renewed(self, lease: int) -> bool:
        try:
            answer = await self._members.ask(wire.KEEP_ALIVE, wire.lease_request(lease))
        except LeaseGone:
            return False
        return wire.lease_answer(answer).ttl_s > 0

    async def _barrier(self) -> bytes:
        """Read linearizably: whoever answers knows who leads."""
        return await self._members.ask(wire.RANGE, wire.range_request(b"\0", limit=1, keys_only=True))

    async def _conflict_at(self, key: str) -> Conflict:
        entry = (await self.read(key)).entries.get(key)
        return Conflict(key, entry.revision if entry else 0)

    async def _events(self, member: Member, key: bytes, start: int) -> AsyncGenerator[wire.WatchAnswer, None]:
        """Yield one member's answers; ask for a sign of life when it is silent. Raises ``Unanswered`` at its end."""
        loop = asyncio.get_running_loop()
        call = member.channel.stream_stream(wire.WATCH)(metadata=(("hasleader", "true"),))
        reading: asyncio.Future[object] | None = None
        heard = loop.time()
        try:
            await _within(call.write(wire.watch_request(key, wire.prefix_end(key), start)), self._members.share_s)
            while True:
                reading = reading or asyncio.ensure_future(call.read())
                if not (await asyncio.wait({reading}, timeout=SIGN_OF_LIFE_S))[0]:
                    if loop.time() - heard > max(self._members.share_s, 2 * SIGN_OF_LIFE_S):
                        raise Unanswered("it is silent", sent=True)
                    await _within(call.write(wire.progress_request()), self._members.share_s)
                    continue
                message, reading = await reading, None
                if not isinstance(message, bytes):
                    raise Unanswered("it ended the watch", sent=True)
                member.heard = loop.time()
                yield self._sound(wire.watch_answer(message))
                heard = loop.time()  # while the caller was busy with the answer nobody listened: that is no silence
        except grpc.aio.AioRpcError as error:
            raise explain(error) from error
        except grpc.aio.UsageError as error:
            raise Unavailable("the store was closed") from error
        finally:
            call.cancel()
            if reading is not None:
                await asyncio.gather(reading, return_exceptions=True)

    def _sound(self, answer: wire.WatchAnswer) -> wire.WatchAnswer:
        self._members.check(answer.header, 0)
        if answer.compacted:
            raise Unavailable(f"history before revision {answer.compacted} is gone", "read again, then watch")
        if answer.canceled:
            raise Unanswered(answer.reason or "it ended the watch", sent=True)
        return answer

    def _change(self, event: wire.KeyValue) -> Change:
        return Change(self._name(event.key), None if event.deleted else event.value, event.revision)

    def _name(self, key: bytes) -> str:
        return key[len(self._root) :].decode()


async def _within(call: object, limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await call  # type: ignore[misc]
    except TimeoutError as error:
        raise Unanswered("it is silent", sent=True) from error
