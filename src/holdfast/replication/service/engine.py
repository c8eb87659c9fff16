"""The array without its network: the pure machine over its files.

Every method runs to its end without yielding, so between two awaits of the layers above the array is always whole.
Commands are committed to disk before they take effect in memory. The write path above is: ``route`` (machine),
``ready`` or ``prepare`` (activity log and copy-on-write), ``apply``; all three in one go, so that no command can come
between them.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable

from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.array import flashcopy, storage
from holdfast.replication.array.activity import REGION_BYTES
from holdfast.replication.array.machine import Change, Machine, tracks_of
from holdfast.replication.model.pairs import Role
from holdfast.replication.model.volumes import DEFAULT_FEATURES, ArrayImage, Features
from holdfast.replication.service.doubts import LIMIT_TRACKS
from holdfast.replication.service.media import Media

_COPY_BATCH = 64
AHEAD_REGIONS = 16
"""How many regions of a stream of writes go into the log at once."""


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
        if self.machine.plain(volume):
            return self.media.read(volume, offset, length)
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

    def ready(self, volume: str, region: int) -> bool:
        """True when a write to the region may be applied at once."""
        return region in self.machine.prepared[volume] and self.machine.logs[volume].is_hot(region)

    def has_room(self, volume: str, region: int) -> bool:
        """True when the region is in the activity log or can still be put there."""
        log = self.machine.logs[volume]
        doubtful = self.media.doubts.count(volume) >= LIMIT_TRACKS
        return (log.is_hot(region) or not log.full) and not doubtful

    def warm(self, volume: str, regions: Iterable[int]) -> None:
        """Put regions into the log that writes are about to need, all in one write of it, as far as there is room."""
        log = self.machine.logs[volume]
        cold = [region for region in dict.fromkeys(regions) if not log.is_hot(region)]
        fresh = cold[: max(0, log.capacity - len(log))]
        if fresh:
            for region in fresh:
                log.add(region)
            self.media.sync_bits()
            self.media.write_log(volume, log.hot)

    def ahead(self, volume: str, region: int) -> range:
        """Return the regions that a stream of writes which has come to ``region`` will need next; none if there is no
        stream."""
        log = self.machine.logs[volume]
        last = -(-self.image.volumes[volume].size_bytes // REGION_BYTES)
        return range(region + 1, min(region + AHEAD_REGIONS, last)) if log.is_hot(region - 1) else range(0)

    def prepare(self, volume: str, region: int) -> None:
        """Make a region writable: copy what point-in-time copies still need from it, then record it as hot.

        A copy whose target is full fails, durably, before its source changes; a write to the target itself is refused.
        """
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
        log = self.machine.logs[volume]
        if not log.is_hot(region):
            self.warm(volume, (region, *self.ahead(volume, region)))
        self.machine.prepared[volume].add(region)

    def apply(self, volume: str, offset: int, data: bytes | memoryview | None, length: int, *, mirrored: bool) -> None:
        """Write to a ready region (``None`` means zeros) and set the bits that the write sets."""
        assert self.ready(volume, offset // REGION_BYTES)
        if mirrored and self.image.pairs[volume].standing.role is Role.SOURCE:
            self.media.doubts.note(volume, tracks_of(offset, length))
        for name, track in self.machine.record(volume, tracks_of(offset, length), mirrored):
            self.media.write_bits(name, self.machine.bits[name], (track,))
        self.put(volume, offset, data, length)

    def put(self, volume: str, offset: int, data: bytes | memoryview | None, length: int) -> None:
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

    def flushed(self, volume: str, epoch: int) -> None:
        """The flush that began with ``epoch`` has ended wherever the volume is."""
        self.media.doubts.settle(volume, self.machine.logs[volume].flush_ended(epoch))

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
        """The mirror link of a source is gone: count what is not proven to be at both ends as changed."""
        self.machine.mark_dirty(volume)
        name = self.machine.image.pairs[volume].bits
        self.media.write_all_bits(name, self.machine.bits[name])

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
        pieces = self.machine.read_plan(source, offset, length)
        hole = all(self.media.is_hole(piece.volume, piece.offset, piece.length) for piece in pieces)
        data = None if hole else self.read(source, offset, length)
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
        """Stop: sync everything and close the files. What the logs still name counts as changed at the next start."""
        for volume, log in self.machine.logs.items():
            self.media.sync(volume)
            pair = self.image.pairs.get(volume)
            if pair is not None and log.dirty and volume not in self.machine.attached:
                self.machine.mark_dirty(volume)
                self.media.write_all_bits(pair.bits, self.machine.bits[pair.bits])
        self.media.sync_bits()
        self.media.close()


def related(image: ArrayImage) -> set[str]:
    """Return the volumes that stand in a relation."""
    ends = {end for flash in image.flashes.values() for end in (flash.source, flash.target)}
    return ends | image.pairs.keys()


def now() -> float:
    """Seconds since the epoch, for the times that lists show; nothing is decided by it."""
    return time.time()
