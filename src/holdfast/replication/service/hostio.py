"""Host reads and writes: the path from a request to its acknowledgement.

A write is split at region borders. Each part waits out a long busy of its subsystem and is routed (refuse, hold, local,
mirror), its region is made ready, it is applied here and sent to the target in one go, and it is acknowledged when the
target has confirmed or when the store has committed that this array goes on alone. What is routed and what is applied
can never be parted by a role change: nothing is awaited between them.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.replication.array.activity import REGION_BYTES, ActivityLog
from holdfast.replication.array.machine import HostRefused, Route, tracks_of
from holdfast.replication.array.nbd import Export
from holdfast.replication.model.pairs import Phase, Role
from holdfast.replication.service import frames
from holdfast.replication.service.doubts import LIMIT_TRACKS
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.frames import LinkLost
from holdfast.replication.service.link import OutLink
from holdfast.replication.service.longbusy import LongBusy
from holdfast.replication.service.mirror import Mirror
from holdfast.replication.service.mirrorserver import flush_local

COOL_EVERY_S = 1.0
Bytes = bytes | memoryview


class Blocked(enum.Enum):
    """Why a write cannot be routed."""

    NOW = "it has to wait for something"


@dataclass(frozen=True, slots=True)
class Begun:
    """A write under way: what brings the target's answer to each mirrored part (None: it is out of reach), and what has
    not been begun (offset, data, length)."""

    sent: list[asyncio.Future[frames.Reply] | None]
    rest: tuple[int, bytes | None, int] | None = None

    @property
    def done(self) -> bool:
        """Nothing is to be waited for."""
        return not self.sent and self.rest is None

    @property
    def single(self) -> asyncio.Future[frames.Reply] | None:
        """The one answer that is still to come, if it is one."""
        return self.sent[0] if len(self.sent) == 1 and self.rest is None else None


class HostIO:
    """What a connected host can do with a volume. Raises :class:`HostRefused`; ``OSError`` comes from the disk."""

    def __init__(self, engine: Engine, mirror: Mirror, busy: LongBusy) -> None:
        self._engine, self._mirror, self._busy = engine, mirror, busy

    def may_read(self, export: Export) -> bool:
        """Whether the host may read the volume: True, or :class:`HostRefused` is raised."""
        machine = self._engine.machine
        machine.check_key(export.host, export.key)
        machine.volume(export.volume)
        machine.check_access(export.host, export.volume)
        machine.check_read(export.volume)
        return True

    def read(self, export: Export, offset: int, length: int) -> bytes:
        """Return bytes of the volume."""
        self.may_read(export)
        return self._engine.read(export.volume, offset, length)

    def read_into(self, export: Export | None, offset: int, view: memoryview) -> None:
        """Fill ``view`` with bytes of the volume that is open."""
        assert export is not None, "nothing is read before something is open"
        self.may_read(export)
        self._engine.read_into(export.volume, offset, view)

    def warm(self, volume: str, writes: Iterable[tuple[int, int]]) -> None:
        """Prepare for writes (offset and length) that come together, so that they share one write of the log."""
        machine = self._engine.machine
        if volume in machine.image.volumes and not machine.plain(volume):
            size = machine.volume(volume).size_bytes
            inside = [(start, start + length) for start, length in writes if length and start + length <= size]
            regions = [one for start, end in inside for one in range(start // REGION_BYTES, -(-end // REGION_BYTES))]
            if len(regions) > 1:
                self._engine.warm(volume, regions)

    def write_now(self, export: Export, offset: int, data: memoryview | None, length: int) -> Begun | None:
        """Write at once what needs no waiting; None when it has to wait first: then :meth:`write` must do it.

        ``data`` is used up when this returns. Raises :class:`HostRefused`, ``OSError``.
        """
        machine, volume = self._engine.machine, export.volume
        machine.check_key(export.host, export.key)
        machine.check_access(export.host, volume)
        if self._busy.holds(volume):
            return None
        sent: list[asyncio.Future[frames.Reply] | None] = []
        start, end = offset, offset + length
        while start < end:
            stop = min(end, (start // REGION_BYTES + 1) * REGION_BYTES)
            part = None if data is None else data[start - offset : stop - offset]
            link = self._way(volume, start, stop - start)
            if link is Blocked.NOW:
                if start == offset:
                    return None
                return Begun(sent, (start, None if data is None else bytes(data[start - offset :]), end - start))
            if link is None:
                self._apply(volume, start, part, stop - start, mirrored=False)
            else:
                sent.append(self._apply_mirrored(volume, start, part, stop - start, link))
            start = stop
        return Begun(sent)

    async def finish(self, export: Export, begun: Begun) -> None:
        """Wait until every part of a write that has begun is where it must be."""
        for one in begun.sent:
            await self._confirmed(export.volume, one)
        if begun.rest is not None:
            start, data, length = begun.rest
            await self.write(export, start, data, length, False)

    async def write(self, export: Export, offset: int, data: bytes | None, length: int, fua: bool) -> None:
        """Write bytes (None: zeros); returns when the write is where it must be."""
        parts = []
        start = offset
        while start < offset + length:
            end = min(offset + length, (start // REGION_BYTES + 1) * REGION_BYTES)
            part = None if data is None else data[start - offset : end - offset]
            parts.append(self._write_part(export, start, part, end - start))
            start = end
        if len(parts) == 1:
            await parts[0]
        else:
            for part_done in parts:
                await part_done
        if fua:
            await self.flush(export)

    def extents(self, export: Export, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        """Return at most ``most`` runs from ``offset`` on: how long, and whether nothing is stored there."""
        machine = self._engine.machine
        machine.check_key(export.host, export.key)
        machine.check_access(export.host, export.volume)
        machine.check_read(export.volume)
        return self._engine.extents(export.volume, offset, length, most)

    async def trim(self, export: Export, offset: int, length: int) -> None:
        """Give space back: whole ranges that hold data become zeros; the rest is left as it is."""
        start = offset
        while start < offset + length:
            end = min(offset + length, (start // REGION_BYTES + 1) * REGION_BYTES)
            self._engine.machine.check_key(export.host, export.key)
            self._engine.machine.route(export.volume, ())
            if not self._engine.media.is_hole(export.volume, start, end - start):
                await self._write_part(export, start, None, end - start)
            start = end

    async def _write_part(self, export: Export, offset: int, data: bytes | None, length: int) -> None:
        engine, machine, volume = self._engine, self._engine.machine, export.volume
        region, tracks = offset // REGION_BYTES, tracks_of(offset, length)
        while True:
            machine.check_key(export.host, export.key)
            machine.volume(volume)
            machine.check_access(export.host, volume)
            if self._busy.holds(volume):
                await self._busy.passed(volume)
                continue
            route = machine.route(volume, tracks)
            if route is Route.HOLD:
                await self._mirror.settle(volume)
                continue
            if not engine.has_room(volume, region):
                await self._flush_once(volume)
                engine.make_room(volume)
                continue
            link = self._mirror.links[machine.image.pairs[volume].remote.image] if route is Route.MIRROR else None
            if link is not None and not link.has_room:
                await link.room()
                continue
            break
        if link is None:
            self._apply(volume, offset, data, length, mirrored=False)
        else:
            await self._confirmed(volume, self._apply_mirrored(volume, offset, data, length, link))

    def _way(self, volume: str, offset: int, length: int) -> OutLink | Blocked | None:
        """Return the link that a write must also take, None when it is this array's alone, or that it must wait."""
        machine = self._engine.machine
        if machine.plain(volume):
            return None
        machine.volume(volume)
        route = machine.route(volume, tracks_of(offset, length))
        if route is Route.HOLD or not self._engine.has_room(volume, offset // REGION_BYTES):
            return Blocked.NOW
        if route is Route.LOCAL:
            return None
        link = self._mirror.links[machine.image.pairs[volume].remote.image]
        return link if link.has_room else Blocked.NOW

    def _apply(self, volume: str, offset: int, data: Bytes | None, length: int, *, mirrored: bool) -> None:
        """Make the region ready and write; nothing is awaited between the route and this."""
        if self._engine.machine.plain(volume):
            self._engine.put(volume, offset, data, length)
            return
        region = offset // REGION_BYTES
        if not self._engine.ready(volume, region):
            self._engine.prepare(volume, region)
        log = self._engine.machine.logs[volume]
        log.begin(region)
        try:
            self._engine.apply(volume, offset, data, length, mirrored=mirrored)
        finally:
            log.end(region)

    def _apply_mirrored(
        self, volume: str, offset: int, data: Bytes | None, length: int, link: OutLink
    ) -> asyncio.Future[frames.Reply] | None:
        """Write here and send to the target; return what brings its answer, None when the link is gone.

        The region stays in flight until the answer is here, whoever still waits for it.
        """
        log, region = self._engine.machine.logs[volume], offset // REGION_BYTES
        if not self._engine.ready(volume, region):
            self._engine.prepare(volume, region)
        log.begin(region)
        try:
            self._engine.apply(volume, offset, data, length, mirrored=True)
            remote = self._engine.machine.image.pairs[volume].remote.volume
            zeros = length if data is None else 0
            sent = link.send(frames.Write(link.next_seq(), remote, volume, offset, zeros), data or b"")
        except LinkLost:
            log.end(region)
            self._mirror.reject(volume)
            return None
        except OSError:
            log.end(region)
            raise
        sent.add_done_callback(lambda done: self._landed(volume, log, region, done))
        if self._engine.media.doubts.count(volume) > LIMIT_TRACKS // 2:
            self._mirror.once(f"flush {volume}", lambda: self._flush_early(volume))
        return sent

    async def _flush_early(self, volume: str) -> None:
        """Flush before writes have to wait for it."""
        with contextlib.suppress(HostRefused):
            await self._flush_once(volume)

    def _landed(self, volume: str, log: ActivityLog, region: int, sent: asyncio.Future[frames.Reply]) -> None:
        log.end(region)
        if sent.exception() is None and sent.result().code:
            self._mirror.reject(volume, sent.result().code)

    async def _confirmed(self, volume: str, sent: asyncio.Future[frames.Reply] | None) -> None:
        """Wait until the target has the write, or until it is settled that it need not."""
        try:
            if sent is not None and not (await asyncio.shield(sent)).code:
                return
        except LinkLost:
            pass
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
            if log is machine.logs.get(volume):
                self._engine.flushed(volume, epoch)
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
        if log is None or not log.hot:
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
