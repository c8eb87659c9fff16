"""Metro Mirror between this array and its peers: who is source, what is attached, when a held write may go on.

This is where decision and network meet. The rules it keeps, in the order in which they matter:

* A source in Full Duplex whose link is down holds its writes. They go on only after the divergence is committed in the
  store, or after the link came back and the tracks in doubt were copied. They fail when the store names the peer.
* Full Duplex is entered only after the store says ``in_sync``; from the moment that commit is *attempted* the pair is
  treated as in sync until the store is read again.
* After a restart no source writes before the record was read.

An idle source stays in sync when its link fails: the divergence is committed when a write needs it, so a target whose
source died idle can take over. Commands of one peer run one at a time under that peer's lock; the state itself changes
only between awaits (``service.engine``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import structlog

from holdfast.kernel.errors import Refusal, Refused, Unavailable
from holdfast.replication.array import commands
from holdfast.replication.model.identity import Endpoint, pair_key
from holdfast.replication.model.pairs import Pair, PairEvent, PairRecord, Phase, Role
from holdfast.replication.plan import authority
from holdfast.replication.ports import Witness
from holdfast.replication.service import frames
from holdfast.replication.service.copier import Copier
from holdfast.replication.service.engine import Engine, now
from holdfast.replication.service.frames import LinkLost
from holdfast.replication.service.link import OutLink
from holdfast.replication.service.longbusy import LongBusy
from holdfast.replication.service.records import Decide, commit_records
from holdfast.replication.service.signal import Pulse

_LOG = structlog.get_logger("holdfast.replication.mirror")
BACKOFF_S = (0.1, 0.2, 0.4, 0.8)
_REFUSALS = {"paused": PairEvent.TARGET_PAUSED, "simplex": PairEvent.TARGET_GONE}
"""What a target's refusal code means for the pair; any other counts as a lost link."""


class Mirror:
    """All pairs of one array. ``spawn`` starts a supervised background task."""

    def __init__(
        self,
        engine: Engine,
        links: dict[str, OutLink],
        witness: Witness,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        busy: LongBusy,
    ) -> None:
        self.engine, self.links, self.witness, self._spawn, self.busy = engine, links, witness, spawn, busy
        self.pulse = Pulse()
        self.copier = Copier(self)
        self._locks: dict[str, asyncio.Lock] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}
        for peer, link in links.items():
            link.on_up = self._starter(peer)
            link.on_down = self._stopper(peer)

    @property
    def image_id(self) -> str:
        """This array's storage image."""
        return self.engine.image.image

    def lock(self, peer: str) -> asyncio.Lock:
        """Return the lock under which commands concerning one peer run."""
        return self._locks.setdefault(peer, asyncio.Lock())

    def pairs(self, peer: str, role: Role) -> list[Pair]:
        """Return the pairs with one peer in which this array has that role."""
        found = self.engine.image.pairs.values()
        return [pair for pair in found if pair.remote.image == peer and pair.standing.role is role]

    def key(self, pair: Pair) -> str:
        """Return the pair's key in the store."""
        return pair_key(Endpoint(self.image_id, pair.local), pair.remote)

    def local(self, volume: str) -> Endpoint:
        """Return the endpoint of a local volume."""
        return Endpoint(self.image_id, volume)

    def item(self, pair: Pair) -> frames.Item:
        """Return the pair as a frame names it."""
        size = self.engine.image.volumes[pair.local].size_bytes
        return frames.Item(pair.remote.volume, pair.local, size, pair.generation, pair.critical, pair.target_read)

    def link(self, peer: str) -> OutLink:
        """Return the link to a peer that must be up. Refuses otherwise."""
        link = self.links.get(peer)
        if link is None or not link.up:
            raise Refused(Refusal("path-down", f"there is no path to {peer}", "check lspprcpath and the peer array"))
        return link

    # --- background work, one task per name --------------------------------------------------------------------------

    def once(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start ``work`` unless a task of that name is running."""
        running = self._busy.get(name)
        if running is None or running.done():
            self._busy[name] = self._spawn(work())

    def start(self) -> None:
        """Settle what a restart left open."""
        self.once("verify", self.verify)

    def _starter(self, peer: str) -> Callable[[], None]:
        return lambda: self.once(f"attach {peer}", lambda: self._attach(peer))

    def _stopper(self, peer: str) -> Callable[[], None]:
        return lambda: self.detach([pair.local for pair in self.pairs(peer, Role.SOURCE)])

    # --- a write waits -----------------------------------------------------------------------------------------------

    async def settle(self, volume: str) -> None:
        """Wait for the next change of state; see to it that somebody settles who is source."""
        pair = self.engine.image.pairs.get(volume)
        if pair is None:
            return
        if self.busy.holds(volume):
            await self.busy.passed(volume)
            return
        peer = pair.remote.image
        if volume in self.engine.machine.unsettled:
            self.once("verify", self.verify)
        link = self.links.get(peer)
        attaching = self._busy.get(f"attach {peer}")
        if link is None or not link.up or attaching is None or attaching.done():
            self.once(f"diverge {peer}", lambda: self._diverge(peer))
        await self.pulse.wait()

    # --- the store ---------------------------------------------------------------------------------------------------

    async def commit_records(self, pairs: Sequence[tuple[str, Endpoint]], decide: Decide) -> dict[str, PairRecord]:
        """Decide the records of (local volume, remote) pairs; all are committed at once."""
        return await commit_records(self.witness, self.image_id, pairs, decide)

    def supersede(self, volumes: Iterable[str]) -> None:
        """The store names the peer as source of these pairs: refuse their host writes from now on."""
        images = self.engine.image.pairs
        found = [v for v in volumes if v in images and images[v].standing.role is Role.SOURCE]
        if found:
            _LOG.warning("peer has become source: writes are inhibited", volumes=found)
            self.detach(found)
            self.engine.machine.unsettled.difference_update(found)
            self.engine.commit(commands.supersede(self.engine.machine, found, now()))
            self.pulse.beat()

    def events(self, events: dict[str, PairEvent], records: dict[str, PairRecord] | None = None) -> None:
        """Commit one event per local volume and wake whoever waits."""
        if events:
            generations = {volume: record.generation for volume, record in (records or {}).items()}
            self.engine.commit(commands.pair_events(self.engine.machine, events, now(), generations))
        self.pulse.beat()

    # --- link up, link down ------------------------------------------------------------------------------------------

    def detach(self, volumes: Iterable[str]) -> None:
        """These pairs no longer reach their targets. A copy that was pending is suspended; Full Duplex holds."""
        machine = self.engine.machine
        suspend: dict[str, PairEvent] = {}
        for volume in volumes:
            pair = self.engine.image.pairs[volume]
            machine.sent.pop(volume, None)
            if volume in machine.attached:
                machine.attached.discard(volume)
                self.engine.lose_link(volume)
                if pair.standing.phase is Phase.COPY_PENDING and volume not in machine.unsettled:
                    suspend[volume] = machine.lost.pop(volume, PairEvent.LINK_LOST)
        self.events(suspend)

    def reject(self, volume: str, code: str = "") -> None:
        """The target refused a write (``code`` says why): it is no longer target, whatever the link says."""
        pair = self.engine.image.pairs.get(volume)
        if pair is not None and pair.standing.role is Role.SOURCE:
            if code in _REFUSALS:
                self.engine.machine.lost[volume] = _REFUSALS[code]
            self.detach([volume])

    def stop_mirroring(self, volume: str, code: str) -> None:
        """The target no longer takes writes, or has no path: suspend the pair now, not at its next write."""
        self.reject(volume, code)
        pair = self.engine.image.pairs.get(volume)
        if pair is not None:
            peer = pair.remote.image
            self.once(f"diverge {peer}", lambda: self._diverge(peer))

    async def _attach(self, peer: str) -> None:
        link = self.links[peer]
        while link.up:
            try:
                if self.engine.machine.unsettled & {pair.local for pair in self.pairs(peer, Role.SOURCE)}:
                    await self._verify_once()
                async with self.lock(peer):
                    await self._attach_once(link)
                return
            except LinkLost:
                return
            except (Unavailable, Refused) as error:
                _LOG.warning("cannot attach pairs yet", peer=peer, error=str(error))
                await asyncio.sleep(BACKOFF_S[-1])

    async def _attach_once(self, link: OutLink) -> None:
        """Ask the peer what it is; bring targets in doubt level again; let their writes go on."""
        machine = self.engine.machine
        pairs = [pair for pair in self.pairs(link.peer, Role.SOURCE) if not pair.superseded and self._has_path(pair)]
        if not pairs:
            return
        reply = await link.request(frames.Status(link.next_seq(), [self.item(pair) for pair in pairs]))
        assert isinstance(reply.payload, frames.Standings)
        for pair, there in zip(pairs, reply.payload.items, strict=True):
            if there.role == Role.SOURCE.value and there.generation > pair.generation:
                self.supersede([pair.local])
            elif there.role != Role.TARGET.value:
                continue
            elif pair.standing.phase is Phase.FULL_DUPLEX and pair.local not in machine.unsettled:
                if there.missing:
                    self.engine.merge(pair.local, there.missing)
                await self.copier.catch_up(link, pair)
                if not link.up:
                    raise LinkLost("lost while catching up")
                machine.attached.add(pair.local)
                machine.lost.pop(pair.local, None)
                self.tell("synced", [pair])
        self.pulse.beat()

    def _has_path(self, pair: Pair) -> bool:
        path = self.engine.machine.path_of(pair.local, pair.remote)
        return path is None or not path.removed

    # --- restart -----------------------------------------------------------------------------------------------------

    async def verify(self) -> None:
        """Read the records of all unsettled sources until each is settled. Waits as long as the store is away."""
        attempt = 0
        while self.engine.machine.unsettled:
            try:
                await self._verify_once()
            except Unavailable as error:
                if attempt == 0:
                    _LOG.warning("writes wait for the store", error=str(error))
                await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                attempt += 1
        for peer, link in self.links.items():
            if link.up:
                self._starter(peer)()

    async def _verify_once(self) -> None:
        machine = self.engine.machine
        pairs = {volume: self.engine.image.pairs[volume] for volume in machine.unsettled}
        kept = await self.commit_records(
            [(volume, pair.remote) for volume, pair in pairs.items()],
            lambda volume, remote, record: authority.settle(
                record,
                self.local(volume),
                pairs[volume].standing.phase is Phase.SUSPENDED and not pairs[volume].stopped,
            ),
        )
        current = {volume for volume, pair in pairs.items() if self.engine.image.pairs.get(volume) == pair}
        current &= machine.unsettled
        self.supersede(current - kept.keys())
        events: dict[str, PairEvent] = {}
        for volume in current & kept.keys():
            phase = pairs[volume].standing.phase
            if phase is Phase.COPY_PENDING:
                events[volume] = PairEvent.SYNCED if kept[volume].in_sync else PairEvent.RESTARTED
            elif phase is Phase.FULL_DUPLEX and not kept[volume].in_sync:
                events[volume] = PairEvent.LINK_LOST
        machine.unsettled.difference_update(current)
        self.events(events, kept)

    # --- divergence --------------------------------------------------------------------------------------------------

    async def _diverge(self, peer: str) -> None:
        """Commit that this array goes on without ``peer``, for all pairs of that path, however long the store takes."""
        attempt = 0
        while waiting := self._detached(peer):
            try:
                async with self.lock(peer):
                    waiting = self._detached(peer)
                    if waiting:
                        await self._diverge_once(waiting)
                return
            except Unavailable as error:
                self.engine.machine.unsettled.update(waiting)
                if attempt == 0:
                    _LOG.warning("writes are held: the store is away", peer=peer, error=str(error))
                await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                attempt += 1

    def _detached(self, peer: str) -> list[str]:
        attached = self.engine.machine.attached
        return [
            pair.local
            for pair in self.pairs(peer, Role.SOURCE)
            if not pair.superseded and pair.local not in attached and pair.standing.phase is not Phase.SUSPENDED
        ]

    async def _diverge_once(self, volumes: list[str]) -> None:
        """Suspend sources without their target: in the store first, unless critical mode stops them anyway."""
        images = self.engine.image.pairs
        alone = [volume for volume in volumes if not images[volume].critical]
        kept: dict[str, PairRecord] = {}
        if alone:
            kept = await self.commit_records(
                [(volume, images[volume].remote) for volume in alone],
                lambda volume, remote, record: authority.diverge(record, self.local(volume)),
            )
        self.supersede([volume for volume in alone if volume not in kept])
        done = [*kept, *(volume for volume in volumes if volume not in alone)]
        machine = self.engine.machine
        still = [v for v in done if v in self.engine.image.pairs and v not in machine.attached]
        machine.unsettled.difference_update(kept)
        self._hold_consistent(still)
        self.events({volume: machine.lost.pop(volume, PairEvent.LINK_LOST) for volume in still}, kept)
        _LOG.warning("goes on without the target", volumes=still)

    def _hold_consistent(self, volumes: list[str]) -> None:
        """Hold the writes of subsystems whose path is a consistency group: their targets keep one point in time."""
        found = [(volume, self.engine.image.pairs[volume].remote) for volume in volumes]
        paths = [(volume, self.engine.machine.path_of(volume, remote)) for volume, remote in found]
        self.busy.hold({volume[:2] for volume, path in paths if path is not None and path.consistent})

    def tell(self, kind: str, pairs: list[Pair]) -> None:
        """Tell peers of an event if they can be reached; nothing depends on it."""
        for peer in dict.fromkeys(pair.remote.image for pair in pairs):
            link = self.links.get(peer)
            if link is not None and link.up:
                items = [self.item(pair) for pair in pairs if pair.remote.image == peer]
                with contextlib.suppress(LinkLost):
                    link.send(frames.Event(link.next_seq(), kind, items))
