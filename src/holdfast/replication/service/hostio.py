"""Host reads and writes: the path from a request to its acknowledgement.

A write is split at region borders. Each part is routed (refuse, wait, here alone, mirrored), applied here and sent to
the target in one go, and it is acknowledged when the target has confirmed or when the store has committed that this
array goes on alone. What is routed and what is applied can never be parted by a role change: nothing is awaited between
them. What can begin at once begins at once (:meth:`HostIO.begin`); for the rest :meth:`HostIO.finish` waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Callable
from typing import NamedTuple

from holdfast.replication.array.activity import REGION_BYTES, ActivityLog, parts_of
from holdfast.replication.array.machine import HostRefused, Route, tracks_of
from holdfast.replication.array.nbd import Export
from holdfast.replication.model.pairs import Phase, Role
from holdfast.replication.service import frames
from holdfast.replication.service.doubts import LIMIT_TRACKS
from holdfast.replication.service.engine import Bytes, Engine
from holdfast.replication.service.frames import LinkLost
from holdfast.replication.service.link import OutLink
from holdfast.replication.service.longbusy import LongBusy
from holdfast.replication.service.mirror import Mirror
from holdfast.replication.service.mirrorserver import flush_local
from holdfast.replication.service.sent import Sent

COOL_EVERY_S = 1.0


class Blocked(enum.Enum):
    """What a write has to wait for before it can begin."""

    BUSY = "the writes of its subsystem are held"
    UNSETTLED = "who is source must be settled"
    FULL = "the activity log has no room, or too much is in doubt"
    SLOW = "the link to the target has no room"


Way = OutLink | Blocked | None
"""The link that a write also takes, what it waits for, or None: it is this array's alone."""


class Rest(NamedTuple):
    """What of a write has not begun, and why."""

    blocked: Blocked
    offset: int
    data: bytes | None
    length: int


class Begun(NamedTuple):
    """A write under way: what brings the target's answer to each mirrored part (None: it is out of reach), and what has
    not begun."""

    sent: tuple[Sent | None, ...]
    rest: Rest | None


class Lane(NamedTuple):
    """What writes of an export meet: a volume in no relation, or a source in Full Duplex with its ``link``, or neither;
    and its log."""

    volume: str
    plain: bool
    link: OutLink | None
    log: ActivityLog


class HostIO:
    """What a connected host can do with a volume. Raises :class:`HostRefused`; ``OSError`` comes from the disk."""

    def __init__(self, engine: Engine, mirror: Mirror, busy: LongBusy) -> None:
        self._engine, self._mirror, self._busy = engine, mirror, busy
        self._image = engine.image
        self._lanes: dict[Export, Lane] = {}
        self._coming: Callable[[], list[tuple[int, int]]] | None = None

    def size_bytes(self, export: Export) -> int:
        """Return how large the volume is now."""
        return self._engine.machine.volume(export.volume).size_bytes

    # --- reads -------------------------------------------------------------------------------------------------------

    def check_read(self, export: Export) -> None:
        """Refuse a host that may not read the volume now."""
        machine = self._engine.machine
        machine.check_key(export.host, export.key)
        machine.volume(export.volume)
        machine.check_access(export.host, export.volume)
        machine.check_read(export.volume)

    def read(self, export: Export, offset: int, length: int) -> bytes:
        """Return bytes of the volume."""
        self.check_read(export)
        return self._engine.read(export.volume, offset, length)

    def read_into(self, export: Export, offset: int, view: memoryview) -> None:
        """Fill ``view`` with bytes of the volume."""
        self.check_read(export)
        self._engine.read_into(export.volume, offset, view)

    def extents(self, export: Export, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        """Return at most ``most`` runs from ``offset`` on: how long, and whether nothing is stored there."""
        self.check_read(export)
        return self._engine.extents(export.volume, offset, length, most)

    # --- writes ------------------------------------------------------------------------------------------------------

    def foresee(self, coming: Callable[[], list[tuple[int, int]]] | None) -> None:
        """Say what brings the writes (offset and length) that have come together, so that they can share one write of
        the log if one is needed; None when they are done."""
        self._coming = coming

    def begin(self, export: Export, offset: int, data: Bytes | None, length: int) -> Sent | Begun | None:
        """Write as much as needs no waiting (``data`` None: zeros); ``data`` is used up when this returns.

        Returns None when all is done, the one answer of the target that is to come, or what :meth:`finish` waits for.
        """
        lane = self._lane(export)
        if lane.plain and not self._busy.any:
            self._engine.put(export.volume, offset, data, length)
            return None
        if self._coming is not None and not (lane.plain or lane.log.is_hot(offset // REGION_BYTES)):
            self._engine.warm(lane.volume, self._coming())
        if lane.link is not None and self._is_clear(lane, offset, length):
            alone = self._send(lane.volume, offset, data, length, lane.link)
            return alone if alone is not None else Begun((None,), None)
        sent: list[Sent | None] = []
        for start, stop in parts_of(offset, length):
            way = self._way(lane.volume, start, stop - start)
            if isinstance(way, Blocked):
                left = None if data is None else bytes(data[start - offset :])
                return Begun(tuple(sent), Rest(way, start, left, offset + length - start))
            part = None if data is None else data[start - offset : stop - offset]
            if way is None:
                self._engine.write(lane.volume, start, part, stop - start)
            else:
                sent.append(self._send(lane.volume, start, part, stop - start, way))
        return Begun(tuple(sent), None) if sent else None

    def _lane(self, export: Export) -> Lane:
        """Return what writes of the export meet as long as no command changes the array. Raises
        :class:`HostRefused`."""
        machine = self._engine.machine
        if self._image is not machine.image:
            self._image, self._lanes = machine.image, {}
        lane = self._lanes.get(export)
        if lane is None:
            machine.check_key(export.host, export.key)
            machine.volume(export.volume)
            machine.check_access(export.host, export.volume)
            pair = machine.image.pairs.get(export.volume)
            link = None
            if pair is not None and pair.is_level and not machine.flashes_of(export.volume):
                link = self._mirror.links[pair.remote.image]
            plain, log = machine.plain(export.volume), machine.logs[export.volume]
            lane = self._lanes[export] = Lane(export.volume, plain, link, log)
        return lane

    def _is_clear(self, lane: Lane, offset: int, length: int) -> bool:
        """Whether a write to a source in Full Duplex meets nothing that it would have to wait for."""
        region = offset // REGION_BYTES
        return (
            lane.link is not None
            and lane.link.has_room
            and lane.log.is_hot(region)
            and 0 < length <= (region + 1) * REGION_BYTES - offset
            and lane.volume in self._engine.machine.attached
            and self._engine.media.doubts.count(lane.volume) < LIMIT_TRACKS
            and not self._busy.any
        )

    async def finish(self, export: Export, begun: Sent | Begun | None) -> None:
        """Wait until every part of a write that has begun is where it must be, and see to what has not begun."""
        while begun is not None:
            sent, rest = begun if isinstance(begun, Begun) else ((begun,), None)
            for one in sent:
                await self._confirmed(export.volume, one)
            if rest is None:
                return
            await self._passed(export.volume, rest)
            begun = self.begin(export, rest.offset, rest.data, rest.length)

    async def trim(self, export: Export, offset: int, length: int) -> None:
        """Give space back: whole ranges that hold data become zeros; the rest is left as it is."""
        for start, stop in parts_of(offset, length):
            self._engine.machine.check_key(export.host, export.key)
            self._engine.machine.route(export.volume, ())
            if not self._engine.media.is_hole(export.volume, start, stop - start):
                await self.finish(export, self.begin(export, start, None, stop - start))

    def _way(self, volume: str, offset: int, length: int) -> Way:
        """Say which way a write within one region goes. Raises :class:`HostRefused`."""
        machine = self._engine.machine
        if self._busy.holds(volume):
            return Blocked.BUSY
        route = machine.route(volume, tracks_of(offset, length))
        if route is Route.HOLD:
            return Blocked.UNSETTLED
        if not self._engine.has_room(volume, offset // REGION_BYTES):
            return Blocked.FULL
        if route is Route.LOCAL:
            return None
        link = self._mirror.links[machine.image.pairs[volume].remote.image]
        return link if link.has_room else Blocked.SLOW

    async def _passed(self, volume: str, rest: Rest) -> None:
        """Wait until what a write waits for may have passed."""
        machine = self._engine.machine
        if rest.blocked is Blocked.BUSY:
            await self._busy.passed(volume)
        elif rest.blocked is Blocked.UNSETTLED:
            await self._mirror.settle(volume)
        elif rest.blocked is Blocked.FULL:
            await self._flush_once(volume)
            self._engine.make_room(volume)
        elif volume in machine.image.pairs:
            await self._mirror.links[machine.image.pairs[volume].remote.image].room()

    def _send(self, volume: str, offset: int, data: Bytes | None, length: int, link: OutLink) -> Sent | None:
        """Send to the target and write here, so that both ends work at once; return what brings the target's answer,
        None when the link is gone.

        The write stays in doubt until the answer is here, whoever still waits for it. When the disk here has no room
        for it, the target gets what this end has now, so that both stay the same.
        """
        landed = self._engine.depart(volume, offset, length)
        sent = self._forward(volume, offset, data, length, link)
        try:
            self._engine.apply(volume, offset, data, length, mirrored=True)
        except OSError:
            sent = self._forward(volume, offset, self._engine.read(volume, offset, length), length, link)
            raise
        finally:
            if sent is None:
                self._mirror.reject(volume)
                landed()
            else:
                sent.then(lambda reply: self._landed(volume, landed, reply))
        return sent

    def _forward(self, volume: str, offset: int, data: Bytes | None, length: int, link: OutLink) -> Sent | None:
        remote = self._engine.machine.image.pairs[volume].remote.volume
        zeros = length if data is None else 0
        try:
            return link.send(frames.Write(link.next_seq(), remote, volume, offset, zeros), data or b"")
        except LinkLost:
            return None

    def _landed(self, volume: str, landed: Callable[[], None], reply: frames.Reply | None) -> None:
        if reply is not None and reply.code:
            self._mirror.reject(volume, reply.code)
        landed()

    async def _confirmed(self, volume: str, sent: Sent | None) -> None:
        """Wait until the target has the write, or until it is settled that it need not."""
        with contextlib.suppress(LinkLost):
            if sent is not None and not (await sent).code:
                return
        await self._resolved(volume)

    async def _resolved(self, volume: str) -> None:
        """A write was applied here and its fate at the target is unknown: wait for the verdict."""
        machine = self._engine.machine
        while True:
            pair = machine.image.pairs.get(volume)
            if pair is None:
                return
            if pair.standing.role is Role.TARGET or pair.superseded:
                raise HostRefused(f"volume {volume} is write-inhibited: {pair.remote} has become source")
            if volume in machine.attached:
                return
            if pair.standing.phase is Phase.SUSPENDED and volume not in machine.unsettled:
                machine.check_alone(pair)
                await self._busy.passed(volume)
                return
            await self._mirror.settle(volume)

    # --- flushes -----------------------------------------------------------------------------------------------------

    async def flush(self, export: Export) -> None:
        """Make every acknowledged write durable here and at the target."""
        self._engine.machine.check_key(export.host, export.key)
        self._engine.machine.volume(export.volume)
        await self._flush_once(export.volume)

    async def _flush_once(self, volume: str) -> None:
        machine = self._engine.machine
        while True:
            route = machine.route(volume, ())
            if route is Route.HOLD:
                await self._mirror.settle(volume)
                continue
            if route is Route.LOCAL:
                await flush_local(self._mirror, volume)
                return
            pair = machine.image.pairs[volume]
            link = self._mirror.links[pair.remote.image]
            log = machine.logs[volume]
            epoch = log.flush_begins()
            try:
                confirmed = link.send(frames.Flush(link.next_seq(), [pair.remote.volume]))
                await asyncio.to_thread(self._engine.sync, volume)
                await confirmed
            except LinkLost:
                await self._resolved(volume)
                continue
            self._engine.media.sync_bits()
            log.flush_ended(epoch)
            return

    async def cool(self) -> None:
        """Now and then flush volumes with dirty regions and let clean regions leave the logs."""
        while True:
            await asyncio.sleep(COOL_EVERY_S)
            for volume in list(self._engine.image.volumes):
                await self._cool(volume)

    async def _cool(self, volume: str) -> None:
        machine = self._engine.machine
        log = machine.logs.get(volume)
        if log is None or not log.hot or not log.rests():
            return
        pair = machine.image.pairs.get(volume)
        if pair is not None and pair.standing.role is Role.SOURCE and volume not in machine.attached:
            if pair.standing.phase is not Phase.SUSPENDED or pair.superseded:
                return
            await flush_local(self._mirror, volume)
        elif pair is None or pair.standing.role is Role.TARGET:
            await flush_local(self._mirror, volume)
        else:
            try:
                async with asyncio.timeout(COOL_EVERY_S * 5):
                    await self._flush_once(volume)
            except (HostRefused, TimeoutError):
                return
        if volume in machine.logs:
            self._engine.cool(volume)
