"""The members of one etcd cluster: which of them is asked, for how long, and when another one is.

Every call has one limit in time, whatever the members do. A question that may be asked twice goes to the next member
when one refuses, is silent for its share of the limit or has no leader. A transaction is sent once only: after it was
sent its outcome is unknown, and a second one could answer "conflict" to a change that took effect. So before it is
sent, a member that has been silent for :data:`HEARD_S` proves by a linearizable read that it and its leader are alive;
that question may be repeated, and an election is waited for before anything is at stake.

Members of another cluster, and a history that has gone back (a member restored from a copy), are not this store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from holdfast.kernel.errors import HoldfastError, Refusal, Refused, Unavailable
from holdfast.store.drivers import etcd_wire as wire

HEARD_S = 0.7
PAUSE_S = 0.05
FIRST_LEARN_S, LEARN_S = 2.0, 30.0
"""With discovery the members are asked for after so long, and again each time so long has passed."""
LEAST_SHARE_S = 0.2
_METADATA = (("hasleader", "true"),)
_REMEDY = "see that a majority of its members runs and that the network reaches them"
_LEADERLESS = ("no leader", "leader changed")


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM texts of the authority and of this process; ``peer`` is the name each member must prove ("" its address)."""

    ca: bytes
    cert: bytes
    key: bytes
    peer: str


class Unanswered(Exception):
    """A member did not answer. ``sent`` is False when the request surely took no effect."""

    def __init__(self, text: str, sent: bool, waits: bool = False) -> None:
        super().__init__(text)
        self.sent, self.waits = sent, waits


class LeaseGone(Exception):
    """etcd does not know the lease that was named."""


class LeaseExists(Exception):
    """The lease that should be opened is open: an earlier try took effect."""


class Compacted(Exception):
    """The revision that was asked for is not kept any more."""


@dataclass(slots=True)
class Member:
    """One address and its connection. ``heard`` is when it last answered, by the loop's clock."""

    address: str
    channel: grpc.aio.Channel
    heard: float = field(default=float("-inf"))

    def fresh(self) -> bool:
        """Return True when it answered a moment ago on a connection that still stands."""
        recent = asyncio.get_running_loop().time() - self.heard < HEARD_S
        return recent and self.channel.get_state() is grpc.ChannelConnectivity.READY

    async def ask(self, method: str, request: bytes, limit_s: float) -> bytes:
        """Send one request, return the answer. Raises :class:`Unanswered` or what :func:`explain` makes of it."""
        try:
            if method == wire.KEEP_ALIVE:
                call = self.channel.stream_stream(method)(iter((request,)), timeout=limit_s, metadata=_METADATA)
                answer = await call.read()
                call.cancel()
                if answer is grpc.aio.EOF:
                    raise Unanswered("it ended the call", sent=True)
            else:
                answer = await self.channel.unary_unary(method)(request, timeout=limit_s, metadata=_METADATA)
        except grpc.aio.UsageError as error:
            raise Unavailable("the store was closed") from error
        except grpc.aio.AioRpcError as error:
            raise explain(error) from error
        self.heard = asyncio.get_running_loop().time()
        assert isinstance(answer, bytes)
        return answer


def explain(error: grpc.aio.AioRpcError) -> Exception:
    """Return what a member's status means: it did not answer, an answer of its own kind, or a refusal."""
    code, text = error.code(), (error.details() or "").removeprefix("etcdserver: ")
    status = grpc.StatusCode
    if "lease not found" in text:
        return LeaseGone(text)
    if "lease already exists" in text:
        return LeaseExists(text)
    if "has been compacted" in text:
        return Compacted(text)
    if "too many operations" in text:
        return _refused("store-too-many-operations", text, "split the change, or raise --max-txn-ops of every member")
    if "request is too large" in text or "larger than max" in text:
        return _refused("store-too-large", text, "store less at once, or raise --max-request-bytes of every member")
    if "database space exceeded" in text:
        return Unavailable(f"etcd: {text}", "compact and defragment it, then: etcdctl alarm disarm")
    if code in (status.PERMISSION_DENIED, status.UNAUTHENTICATED):
        return Unavailable(f"etcd refuses this identity: {text}", "grant its role the keys of this store")
    if code is status.INVALID_ARGUMENT:
        return HoldfastError(f"etcd refuses the request: {text}")
    waits = any(one in text for one in _LEADERLESS)
    if code is status.DEADLINE_EXCEEDED:
        text = "no answer in time"
    return Unanswered(text or code.name.lower(), sent="no leader" not in text, waits=waits)


def _refused(code: str, text: str, remedy: str) -> Refused:
    return Refused(Refusal(code, f"etcd: {text}", remedy))


class Members:
    """Asks one of several members. Belongs to the event loop that uses it first; close it there."""

    def __init__(self, addresses: Sequence[str], tls: Tls, limit_s: float, discover: bool = False) -> None:
        self.limit_s = limit_s
        self._discovers, self._learnt = discover, float("-inf")
        self._learning: asyncio.Task[None] | None = None
        self._addresses, self._tls = tuple(addresses), tls
        self._members: list[Member] = []
        self._turn = 0
        self._header = wire.Header()

    def __str__(self) -> str:
        return f"etcd at {','.join(self._addresses)}"

    @property
    def current(self) -> Member:
        """The member that is asked next."""
        if not self._members:
            self._members = [Member(one, self._connect(one)) for one in self._addresses]
        return self._members[self._turn % len(self._members)]

    @property
    def share_s(self) -> float:
        """How long one of the members may be silent before the next is asked."""
        return max(LEAST_SHARE_S, self.limit_s / len(self._addresses))

    def leave(self, member: Member) -> None:
        """Ask another member from now on, if it is still this one that is asked."""
        member.heard = float("-inf")
        if self.current is member:
            self._turn += 1

    async def ask(self, method: str, request: bytes) -> bytes:
        """Ask one member after another until one answers. Raises ``Unavailable`` at the limit."""
        async with self._limited():
            return await self._ask(method, request)

    async def ask_once(self, method: str, request: bytes) -> bytes:
        """Send ``request`` once at most, to a member that is known to be alive. After ``Unavailable`` nobody knows."""
        async with self._limited():
            while True:
                if not self.current.fresh():
                    await self._ask(wire.RANGE, wire.range_request(b"\0", limit=1, keys_only=True))
                member = self.current
                try:
                    async with self._left_unless_answered(member):
                        return await member.ask(method, request, max(self.share_s, self.limit_s / 2))
                except Unanswered as error:
                    if error.sent:
                        raise Unavailable(f"{self}: {member.address}: {error}", _REMEDY) from error
                    await asyncio.sleep(PAUSE_S)

    def check(self, header: wire.Header, before: int) -> wire.Header:
        """Return ``header`` if it belongs to this store and is not older than ``before``. Raises ``Unavailable``."""
        if self._header.cluster not in (0, header.cluster):
            remedy = "name members of one cluster; after a disaster restart every process that uses the store"
            raise Unavailable(f"{self} is not the cluster that was asked before", remedy)
        if header.revision < before:
            text = f"{self} went back from revision {before} to {header.revision}"
            raise Unavailable(text, "a member was restored from a copy: remove it and add it anew")
        self._header = wire.Header(header.cluster, max(header.revision, self._header.revision))
        return header

    @property
    def known(self) -> int:
        """The highest revision that any member has answered: a linearizable answer is never below it."""
        return self._header.revision

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
        for member in self._members:
            await member.channel.close()

    async def _ask(self, method: str, request: bytes) -> bytes:
        while True:
            reached, said = False, ""
            for _ in self._addresses:
                member = self.current
                try:
                    async with self._left_unless_answered(member):
                        answer = await member.ask(method, request, self.share_s)
                        self._learn_in_time(member)
                        return answer
                except Unanswered as error:
                    reached = reached or error.waits or member.channel.get_state() is grpc.ChannelConnectivity.READY
                    said = f"{member.address}: {error}"
            if not reached:
                raise Unavailable(f"{self} cannot be reached: {said}", _REMEDY)
            await asyncio.sleep(PAUSE_S)

    def _learn_in_time(self, member: Member) -> None:
        """Now and then ask who the members are: some have come and gone since this process was told."""
        now = asyncio.get_running_loop().time()
        self._learnt = max(self._learnt, now - LEARN_S + FIRST_LEARN_S)
        if self._discovers and now - self._learnt > LEARN_S:
            self._learnt = now
            self._learning = asyncio.ensure_future(self._learn(member))

    async def _learn(self, member: Member) -> None:
        with contextlib.suppress(Unanswered, HoldfastError):
            found = wire.members_answer(await member.ask(wire.MEMBER_LIST, b"", self.share_s))
            await self.replace([one.address for one in found if one.client_url and not one.learner])

    async def replace(self, addresses: Sequence[str]) -> None:
        """Ask these members from now on. One that is asked just now is kept until it is left."""
        asked = self.current
        kept = [one for one in self._members if one.address in addresses or one is asked]
        gone = [one for one in self._members if one not in kept]
        known = {one.address for one in kept}
        self._members = kept + [Member(one, self._connect(one)) for one in addresses if one not in known]
        self._addresses, self._turn = tuple(one.address for one in self._members), self._members.index(asked)
        for one in gone:
            await one.channel.close(grace=self.limit_s)

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.limit_s):
                yield
        except TimeoutError as error:
            raise Unavailable(f"{self} did not answer in {self.limit_s} s", _REMEDY) from error

    @asynccontextmanager
    async def _left_unless_answered(self, member: Member) -> AsyncIterator[None]:
        """Whoever gives up a call, also by a limit of its own, has learnt that this member is silent."""
        try:
            yield
        except (Unanswered, asyncio.CancelledError):
            self.leave(member)
            raise

    def _connect(self, address: str) -> grpc.aio.Channel:
        options: list[tuple[str, Any]] = [
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", int(self.share_s * 1000)),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        if self._tls.peer:
            options.append(("grpc.ssl_target_name_override", self._tls.peer))
        credentials = grpc.ssl_channel_credentials(self._tls.ca, self._tls.key, self._tls.cert)
        return grpc.aio.secure_channel(address, credentials, options=options)
