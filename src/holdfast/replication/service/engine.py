"""The array without its network: the pure machine over its files.

Every method runs to its end without yielding, so between two awaits of the layers above the array is always whole.
Commands are committed to disk before they take effect in memory. The write path above is: ``route`` (machine), then
``write``, which makes the region ready (activity log and copy-on-write) and applies; both in one go, so that no command
can come between them.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable

from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.array import flashcopy, storage
from holdfast.replication.array.activity import REGION_BYTES
from holdfast.replication.array.bitmap import Bitmap
from holdfast.replication.array.machine import Change, Machine, tracks_of
from holdfast.replication.model.volumes import DEFAULT_FEATURES, ArrayImage, Features
from holdfast.replication.service import frames
from holdfast.replication.service.doubts import LIMIT_TRACKS
from holdfast.replication.service.media import Media

_COPY_BATCH = 64
AHEAD_REGIONS = 16
"""How many regions of a stream of writes go into the log at once."""


Bytes = bytes | memoryview


class TargetFailed(OSError):
    """A copy's target could not take a track."""


class Engine:
    """The local array. Opening it recovers: what may have been lost becomes changed tracks, durably, and the logs start
    empty."""

    def __init__(self, media: Media, image_id: str, features: Features = DEFAULT_FEATURES) -> None:
        self.media = media
        image, bits, hot = media.load(image_id)
        doubts = {volume: media.doubts.found(volume) for volume in image.volumes}
        self.machine = Machine(image, bits, hot, features, intact=media.intact, doubts=doubts)
        for name, bitmap in self.machine.bits.items():
            media.write_all_bits(name, bitmap)
        media.sync_bits()
        for volume, regions in hot.items():
            if regions:
                media.sync(volume)
                media.write_log(volume, ())
            media.doubts.forget(volume)
        media.note_boot()

    @property
    def image(self) -> ArrayImage:
        """The array as of the last command."""
        return self.machine.image

    def commit(self, change: Change) -> None:
        """Make a command durable, then let it take effect."""
        before = self.machine.image
        for volume in related(change.image) - related(before):
            if volume in before.volumes:  # its writes were not logged: none may be lost that a copy has seen
                self.media.sync(volume)
        self.media.sync_bits()
        self.media.commit(change.image, dict(change.fresh), before)
        self.machine.apply(change)

    # --- host bytes --------------------------------------------------------------------------------------------------

    def read(self, volume: str, offset: int, length: int) -> bytes:
        """Return the volume's bytes as its host sees them."""
        pieces = self.machine.read_plan(volume, offset, length)
        if len(pieces) == 1:
            return self.media.read(pieces[0].volume, offset, length)
        return b"".join(self.media.read(piece.volume, piece.offset, piece.length) for piece in pieces)

    def read_into(self, volume: str, offset: int, view: memoryview) -> None:
        """Fill ``view`` with the volume's bytes as its host sees them."""
        start = offset
        for piece in self.machine.read_plan(volume, offset, len(view)):
            self.media.read_into(piece.volume, piece.offset, view[start - offset : start - offset + piece.length])
            start += piece.length

    def is_hole(self, volume: str, offset: int, length: int) -> bool:
        """True when nothing is stored where the bytes come from."""
        pieces = self.machine.read_plan(volume, offset, length)
        return all(self.media.is_hole(piece.volume, piece.offset, piece.length) for piece in pieces)

    def extents(self, volume: str, offset: int, length: int, most: int) -> list[tuple[int, bool]]:
        """Return at most ``most`` runs from ``offset`` on: how long, and whether they are a hole in the file that the
        bytes come from. A run may be cut short; together they cover the whole of ``length`` unless there are more."""
        found: list[tuple[int, bool]] = []
        for piece in self.machine.read_plan(volume, offset, length):
            for size, hole in self.media.runs(piece.volume, piece.offset, piece.length):
                if found and found[-1][1] == hole:
                    found[-1] = (found[-1][0] + size, hole)
                elif len(found) == most:
                    return found
                else:
                    found.append((size, hole))
        return found

    def has_room(self, volume: str, region: int) -> bool:
        """True when the region is in the activity log or can still be put there, and not too much is in doubt."""
        log = self.machine.logs[volume]
        return (log.is_hot(region) or not log.full) and self.media.doubts.count(volume) < LIMIT_TRACKS

    def warm(self, volume: str, writes: Iterable[tuple[int, int]]) -> None:
        """Put the regions of writes (offset and length) that come together into the log, and those that a stream of
        them will need next, in one write of it, as far as there is room."""
        if volume not in self.image.volumes or self.machine.plain(volume):
            return
        log, last = self.machine.logs[volume], -(-self.image.volumes[volume].size_bytes // REGION_BYTES)
        wanted: dict[int, None] = {}
        for offset, length in writes:
            for region in range(offset // REGION_BYTES, -(-(offset + length) // REGION_BYTES)):
                if region < last and not log.is_hot(region):
                    streams = log.is_hot(region - 1) or region - 1 in wanted
                    wanted |= dict.fromkeys(range(region, min(region + AHEAD_REGIONS, last) if streams else region + 1))
        fresh = [region for region in wanted if not log.is_hot(region)][: max(0, log.capacity - len(log))]
        if fresh:
            for region in fresh:
                log.add(region)
            self.media.sync_bits()
            self.media.write_log(volume, log.hot)

    def write(self, volume: str, offset: int, data: Bytes | None, length: int, *, mirrored: bool = False) -> None:
        """Write within one region (``None`` means zeros): make the region ready, set the bits, write to
        the volume's file. Raises ``OSError`` when there is no room on disk."""
        if self.machine.plain(volume):
            self.put(volume, offset, data, length)
            return
        log, region = self.machine.logs[volume], offset // REGION_BYTES
        if not (region in self.machine.prepared[volume] and log.is_hot(region)):
            self._prepare(volume, offset, length)
        log.begin(region)
        try:
            self.apply(volume, offset, data, length, mirrored=mirrored)
        finally:
            log.end(region)

    def apply(self, volume: str, offset: int, data: Bytes | None, length: int, *, mirrored: bool) -> None:
        """Set the bits that a write within a ready region sets, and write. Raises ``OSError``."""
        if self.machine.records(volume, mirrored):
            for name, track in self.machine.record(volume, tracks_of(offset, length), mirrored):
                self.media.write_bits(name, self.machine.bits[name], (track,))
        self.put(volume, offset, data, length)

    def _prepare(self, volume: str, offset: int, length: int) -> None:
        """Make a region writable: copy what point-in-time copies still need from it, then record it as hot.

        A copy whose target is full fails, durably, before its source changes; a write to the target itself is refused.
        """
        region = offset // REGION_BYTES
        for flash, tracks in self.machine.copy_work(volume, region):
            if self.image.flashes.get(flash.target) != flash:
                continue
            try:
                self._copy(flash.source, flash.target, flash.uncopied, tracks)
            except TargetFailed as error:
                if volume == flash.target:
                    raise
                reason = f"volume {flash.target} could not take a track: {error.strerror}"
                self.commit(flashcopy.fail_flash(self.machine, flash.target, reason))
        self.warm(volume, [(offset, length)])
        self.machine.prepared[volume].add(region)

    # --- mirrored writes on their way --------------------------------------------------------------------------------

    def depart(self, volume: str, offset: int, length: int) -> Callable[[], None]:
        """A write is about to be made here and at the target: until the function that is returned is called, its region
        stays in the log and its tracks are in doubt. Raises ``OSError`` when the disk has no room for that."""
        log, region, tracks = self.machine.logs[volume], offset // REGION_BYTES, tracks_of(offset, length)
        if not (region in self.machine.prepared[volume] and log.is_hot(region)):
            self._prepare(volume, offset, length)
        self.media.doubts.begin(volume, tracks)
        log.begin(region)

        def landed() -> None:
            log.end(region)
            if log is self.machine.logs.get(volume):
                self.media.doubts.end(volume, tracks)

        return landed

    def put(self, volume: str, offset: int, data: Bytes | None, length: int) -> None:
        """Write to the volume's own file (``None`` means zeros). Raises ``OSError`` when its pool is full."""
        if data is None:
            self.media.zero(volume, offset, length)
        else:
            self._check_room(volume, offset, length)
            self.media.write(volume, offset, data)

    def allocated(self, pool: str | None = None) -> dict[str, int]:
        """Return what the volumes (of one pool) take on disk, in bytes."""
        volumes = self.image.volumes.values()
        return {one.id: self.media.allocated(one.id) for one in volumes if pool is None or one.pool == pool}

    def _check_room(self, volume: str, offset: int, length: int) -> None:
        """Raise ``OSError`` for a write that would take more of a pool than its limit; what is written already may
        always be written again."""
        found = self.image.volumes[volume]
        pool = self.image.pools.get(found.pool)
        if pool is None or not found.thin or not self.media.is_hole(volume, offset, length):
            return
        if storage.pool_use(self.image, pool.id, self.allocated(pool.id)) + length > pool.limit_bytes:
            raise OSError(errno.ENOSPC, f"pool {pool.id} is full")

    def make_room(self, volume: str) -> None:
        """Let clean regions leave the log, half of it at once, so the cost is shared by many writes."""
        log = self.machine.logs[volume]
        if log.evict(log.capacity // 2):
            self.media.sync_bits()
            self.machine.prepared[volume] &= set(log.hot)
            self.media.write_log(volume, log.hot)

    def cool(self, volume: str) -> None:
        """Let every clean region leave the log."""
        log = self.machine.logs[volume]
        if log.evict(0):
            self.media.sync_bits()
            self.machine.prepared[volume] &= set(log.hot)
            self.media.write_log(volume, log.hot)

    def sync(self, volume: str) -> None:
        """Make the volume's bytes durable, and first those it still reads from. Safe in a thread."""
        for flash in self.machine.flashes_of(volume):
            if flash.source == volume:
                self.media.sync(flash.target)
        origin = self.image.flashes.get(volume)
        while origin is not None:
            self.media.sync(origin.source)
            origin = self.image.flashes.get(origin.source)
        self.media.sync(volume)

    def lose_link(self, volume: str) -> None:
        """The mirror link of a source is gone: what was on its way counts as changed. What the target confirmed it has;
        what it may lose by a power failure it tells itself."""
        self.machine.mark_doubts(volume, self.media.doubts.tracks(volume))
        name = self.machine.image.pairs[volume].bits
        self.media.write_all_bits(name, self.machine.bits[name])

    def merge(self, volume: str, changed: bytes | None) -> None:
        """Count what the other end of the volume's pair changed or lost (as it travels; None: everything) as changed:
        this end's data win. Raises ``LinkLost`` on nonsense."""
        name = self.image.pairs[volume].bits
        bits = self.machine.bits[name]
        bits.merge(Bitmap.full(bits.size) if changed is None else frames.unpack_bits(bits.size, changed))
        self.media.write_all_bits(name, bits)

    # --- FlashCopy background ----------------------------------------------------------------------------------------

    def copy_some(self, target: str) -> tuple[int, int]:
        """Copy the next uncopied tracks of a relation; return how many were and how many are left. A finished one may
        vanish."""
        flash = self.image.flashes.get(target)
        if flash is None or flash.revertible:
            return 0, 0
        bits = self.machine.bits[flash.uncopied]
        tracks: list[int] = []
        track = bits.next_set(0)
        while track is not None and len(tracks) < _COPY_BATCH:
            tracks.append(track)
            track = bits.next_set(track + 1)
        self._copy(flash.source, flash.target, flash.uncopied, tracks)
        finished = flashcopy.finish_flash(self.machine, target)
        if finished is not None:
            self.commit(finished)
        return len(tracks), len(bits)

    def _copy(self, source: str, target: str, name: str, tracks: list[int]) -> None:
        size = self.image.volumes[source].size_bytes
        for track in tracks:
            offset = track * TRACK_BYTES
            self._copy_track(source, target, offset, min(TRACK_BYTES, size - offset))
        if not tracks:
            return
        try:
            self.media.sync(target)
        except OSError as error:
            raise TargetFailed(error.errno, error.strerror) from error
        bits = self.machine.bits[name]
        for track in tracks:
            bits.clear(track)
        self.media.write_bits(name, bits, tracks)
        self.media.sync_bits()

    def _copy_track(self, source: str, target: str, offset: int, length: int) -> None:
        data = None if self.is_hole(source, offset, length) else self.read(source, offset, length)
        try:
            if data is not None:
                self._check_room(target, offset, length)
                self.media.write(target, offset, data)
            elif not self.media.is_hole(target, offset, length):
                self.media.zero(target, offset, length)
        except OSError as error:
            raise TargetFailed(error.errno, error.strerror) from error

    # --- whole volumes -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop: make everything durable and close the files. Then nothing but what was on its way is in doubt, so the
        logs are empty whenever the array starts again."""
        for volume, log in self.machine.logs.items():
            self.media.sync(volume)
            if volume in self.image.pairs and self.media.doubts.count(volume):
                self.lose_link(volume)
            self.media.sync_bits()
            if log.hot:
                self.media.write_log(volume, ())
        self.media.close()


def related(image: ArrayImage) -> set[str]:
    """Return the volumes that stand in a relation."""
    ends = {end for flash in image.flashes.values() for end in (flash.source, flash.target)}
    return ends | image.pairs.keys()


def now() -> float:
    """Seconds since the epoch, for the times that lists show; nothing is decided by it."""
    return time.time()
