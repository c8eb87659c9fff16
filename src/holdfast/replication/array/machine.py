"""The software array as a pure machine: what a read, a write and a crash mean, with no file and no clock.

The machine holds the array's image, its bitmaps and its activity logs, and answers questions: may this host write here,
where do these bytes come from, which tracks must be copied before this write, which bits does it set. The shell
(``service.engine``) does the reading, writing and syncing in the order that the answers demand.

While a pair copies, a track that was sent but not yet flushed at the target keeps its bit; writes to it are mirrored
behind the copy (``sent``). So a lost link or a crash finds every doubtful track still marked. ``lost`` remembers why a
source lost its target, for the reason that lists show.

Invariants: a write to a flash source or target happens only in a *prepared* region, whose uncopied tracks have reached
the target; a write is either recorded in the pair's bitmap or mirrored, never neither; a pair in Full Duplex whose
link is down holds its writes until somebody settles who is source.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.array.activity import REGION_BYTES, REGION_TRACKS, ActivityLog, region_tracks
from holdfast.replication.array.bitmap import Bitmap
from holdfast.replication.model.flash import Flash
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import Pair, PairEvent, Phase, Role
from holdfast.replication.model.paths import Path, path_key
from holdfast.replication.model.volumes import DEFAULT_FEATURES, ArrayImage, Features, Volume

EVERY_HOST = "*"
"""Stands for all hosts among those that are barred; no host has that name."""


class Route(enum.Enum):
    """What happens to a host write."""

    LOCAL = "apply here, record it where the volume records"
    MIRROR = "apply here and at the target, then answer"
    HOLD = "do not apply yet: who is source must be settled first"


class HostRefused(Exception):
    """A host's read or write is refused; ``reason`` is for the log and the NBD error text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Change:
    """The array after a command: its new image, and the bitmaps that do not exist yet, by name."""

    image: ArrayImage
    fresh: Mapping[str, Bitmap]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a read or of a copy: ``volume``'s own file from ``offset``, ``length`` bytes."""

    volume: str
    offset: int
    length: int


def bitmap_names(image: ArrayImage) -> dict[str, int]:
    """Return every bitmap that the image refers to, with its size in tracks."""
    names = {pair.bits: image.volumes[volume].tracks for volume, pair in image.pairs.items()}
    for flash in image.flashes.values():
        names |= dict.fromkeys(flash.bitmaps, image.volumes[flash.source].tracks)
    return names


def tracks_of(offset: int, length: int) -> range:
    """Return the tracks that ``length`` bytes from ``offset`` touch."""
    return range(offset // TRACK_BYTES, -(-(offset + length) // TRACK_BYTES))


class Machine:
    """One array in memory. ``hot`` gives the activity logs found on disk: their tracks count as changed.

    ``intact`` says that the array was killed but its machine kept running: then every bit that was set is still known,
    and only writes that were on their way to a mirror target are in doubt: the tracks that ``doubts`` names.
    """

    def __init__(
        self,
        image: ArrayImage,
        bits: dict[str, Bitmap],
        hot: Mapping[str, Iterable[int]],
        features: Features = DEFAULT_FEATURES,
        *,
        intact: bool = False,
        doubts: Mapping[str, Iterable[int]] | None = None,
    ) -> None:
        self.image, self.features = image, features
        self.bits = bits
        self.logs: dict[str, ActivityLog] = {}
        self.prepared: dict[str, set[int]] = {}
        self.attached: set[str] = set()
        self.sent: dict[str, set[int]] = {}
        self.copied: dict[str, int] = {}
        self.lost: dict[str, PairEvent] = {}
        self.unsettled: set[str] = {v for v, pair in image.pairs.items() if pair.standing.role is Role.SOURCE}
        self._index()
        for volume, regions in hot.items():
            if volume in image.volumes and not intact:
                self.mark_regions(volume, regions)
        for volume, tracks in (doubts or {}).items() if intact else ():
            self.mark_doubts(volume, tracks)

    # --- looking things up -------------------------------------------------------------------------------------------

    def volume(self, volume: str) -> Volume:
        """Return the volume. Raises :class:`HostRefused` when there is none."""
        found = self.image.volumes.get(volume)
        if found is None:
            raise HostRefused(f"there is no volume {volume}")
        return found

    def flashes_of(self, volume: str) -> tuple[Flash, ...]:
        """Return the relations in which the volume is source or target."""
        return self._flashes.get(volume, ())

    def plain(self, volume: str) -> bool:
        """Whether the volume stands in no relation: nothing records its changes, so its writes need no log."""
        return volume in self._plain

    def _index(self) -> None:
        self._flashes: dict[str, tuple[Flash, ...]] = {}
        for flash in self.image.flashes.values():
            for end in (flash.source, flash.target):
                self._flashes[end] = (*self._flashes.get(end, ()), flash)
        for name, volume in self.image.volumes.items():
            self.logs.setdefault(name, ActivityLog(-(-volume.size_bytes // REGION_BYTES)))
            self.prepared.setdefault(name, set())
        self._plain = self.image.volumes.keys() - self.image.pairs.keys() - self._flashes.keys()

    def apply(self, change: Change) -> None:
        """Become the array after ``change``; the shell has made it durable. Prepared regions are forgotten."""
        for volume, pair in change.image.pairs.items():
            before = self.image.pairs.get(volume)
            if before is not None and before.bits != pair.bits and volume in self.sent:
                self.sent[volume].clear()
        self.image = change.image
        known = {**self.bits, **change.fresh}
        self.bits = {name: known[name] for name in bitmap_names(change.image)}
        for gone in [name for name in self.logs if name not in change.image.volumes]:
            del self.logs[gone], self.prepared[gone]
        self.attached &= change.image.pairs.keys()
        self.unsettled &= change.image.pairs.keys()
        self._index()
        for regions in self.prepared.values():
            regions.clear()

    # --- host access -------------------------------------------------------------------------------------------------

    def check_key(self, host: str, key: int) -> None:
        """Refuse a host whose key is barred."""
        barred = max(self.image.barred.get(host, -1), self.image.barred.get(EVERY_HOST, -1))
        if key <= barred:
            raise HostRefused(f"access of {host} is revoked up to key {barred}")

    def check_access(self, host: str, volume: str) -> None:
        """Refuse a host that is not connected to a volume group of a volume that is in any."""
        groups = {group.id for group in self.image.groups.values() if volume in group.volumes}
        if groups and not any(one.host == host and one.group in groups for one in self.image.hosts.values()):
            raise HostRefused(f"volume {volume} is not in a volume group of host {host}")

    def check_read(self, volume: str) -> None:
        """Refuse host reads of a mirror target and of a copy that failed."""
        flash = self.image.flashes.get(volume)
        if flash is not None and flash.failed:
            raise HostRefused(f"the FlashCopy on volume {volume} is invalid: {flash.failed}")
        pair = self.image.pairs.get(volume)
        if pair is None or pair.standing.role is Role.SOURCE:
            return
        if not pair.target_read or pair.standing.phase is not Phase.FULL_DUPLEX:
            raise HostRefused(f"volume {volume} is the target of a mirror")

    def check_alone(self, pair: Pair) -> None:
        """Refuse a write to a source that critical mode keeps from going on without its target."""
        if pair.stopped:
            reason = f"volume {pair.local} is in critical mode and its target {pair.remote} cannot be reached"
            raise HostRefused(reason)

    def path_of(self, volume: str, remote: Endpoint) -> Path | None:
        """Return the mirror path between the subsystems of two volumes, also one that was removed."""
        return self.image.paths.get(path_key(remote.image, volume[:2], remote.volume[:2]))

    def route(self, volume: str, tracks: Sequence[int]) -> Route:
        """Say what a host write to ``tracks`` does; without tracks, what a flush does, which changes nothing. Raises
        :class:`HostRefused` when it may not happen at all."""
        for flash in self.flashes_of(volume) if tracks else ():
            if flash.revertible:
                raise HostRefused(f"volume {volume} is in a revertible FlashCopy: commit or revert it")
            if flash.target == volume and (flash.options.target_inhibit or flash.failed):
                raise HostRefused(f"volume {volume} is an inhibited or invalid FlashCopy target")
        pair = self.image.pairs.get(volume)
        if pair is None:
            return Route.LOCAL
        if pair.standing.role is Role.TARGET:
            raise HostRefused(f"volume {volume} is the target of a mirror")
        if pair.superseded:
            raise HostRefused(f"volume {volume} is write-inhibited: {pair.remote} has become source")
        return self._source_route(pair, tracks)

    def _source_route(self, pair: Pair, tracks: Iterable[int]) -> Route:
        if pair.standing.phase is Phase.SUSPENDED:
            self.check_alone(pair)
            return Route.HOLD if pair.local in self.unsettled else Route.LOCAL
        if pair.local not in self.attached:
            return Route.HOLD
        if pair.standing.phase is Phase.COPY_PENDING:
            bits, sent = self.bits[pair.bits], self.sent.get(pair.local, ())
            return Route.LOCAL if any(t in bits and t not in sent for t in tracks) else Route.MIRROR
        return Route.MIRROR

    # --- bytes -------------------------------------------------------------------------------------------------------

    def read_plan(self, volume: str, offset: int, length: int) -> list[Piece]:
        """Say which files the bytes come from: an uncopied track of a flash target is still its source's."""
        relation = self.image.flashes.get(volume)
        if relation is None or not len(self.bits[relation.uncopied]):
            return [Piece(volume, offset, length)]
        uncopied = self.bits[relation.uncopied]
        pieces: list[Piece] = []
        end = offset + length
        while offset < end:
            track = offset // TRACK_BYTES
            owner = relation.source if track < uncopied.size and track in uncopied else volume
            step = min(end, (track + 1) * TRACK_BYTES) - offset
            if owner == relation.source:
                step = min(step, max(0, self.image.volumes[owner].size_bytes - offset)) or step
            if pieces and pieces[-1].volume == owner:
                last = pieces[-1]
                pieces[-1] = Piece(owner, last.offset, last.length + step)
            else:
                pieces.append(Piece(owner, offset, step))
            offset += step
        return [part for piece in pieces for part in self._through(volume, piece)]

    def _through(self, volume: str, piece: Piece) -> list[Piece]:
        """Follow a cascade: what a flash source itself has not copied yet is still its own source's."""
        return [piece] if piece.volume == volume else self.read_plan(piece.volume, piece.offset, piece.length)

    def copy_work(self, volume: str, region: int) -> list[tuple[Flash, list[int]]]:
        """Return what must be copied before the region may change: each relation with its uncopied tracks there."""
        work = []
        for flash in self.flashes_of(volume):
            uncopied = self.bits[flash.uncopied]
            first = region * REGION_TRACKS
            tracks = [t for t in range(first, min(first + REGION_TRACKS, uncopied.size)) if t in uncopied]
            if tracks:
                work.append((flash, tracks))
        return work

    def records(self, volume: str, mirrored: bool) -> bool:
        """Whether a write sets any bit at all."""
        return not mirrored or volume in self._flashes

    def record(self, volume: str, tracks: Iterable[int], mirrored: bool) -> list[tuple[str, int]]:
        """Set the bits that a write to ``tracks`` sets; return those newly set as (bitmap, track)."""
        fresh: list[tuple[str, int]] = []
        if not mirrored and volume in self.sent:
            self.sent[volume].difference_update(tracks)
        for name in self._recorders(volume, mirrored):
            bits = self.bits[name]
            fresh.extend((name, track) for track in tracks if track < bits.size and bits.set(track))
        return fresh

    def _recorders(self, volume: str, mirrored: bool) -> list[str]:
        names = []
        pair = self.image.pairs.get(volume)
        if pair is not None and pair.standing.role is Role.SOURCE and not mirrored:
            names.append(pair.bits)
        for flash in self.flashes_of(volume):
            name = flash.source_changed if flash.source == volume else flash.target_changed
            if name:
                names.append(name)
        return names

    def mark_regions(self, volume: str, regions: Iterable[int]) -> None:
        """A power failure may have taken the last writes to ``regions``: count every track there as changed, wherever
        the volume's changes are recorded, and at a mirror target as what it may lack."""
        tracks = region_tracks(regions, self.image.volumes[volume].tracks)
        for name in self._recorders(volume, mirrored=False):
            self.bits[name].set_all(tracks)
        pair = self.image.pairs.get(volume)
        if pair is not None and pair.standing.role is Role.TARGET:
            self.bits[pair.bits].set_all(tracks)

    def mark_doubts(self, volume: str, tracks: Iterable[int]) -> None:
        """Count tracks whose mirrored writes may be at one end only as changed in the volume's pair, if it is a
        source's."""
        pair = self.image.pairs.get(volume)
        if pair is not None and pair.standing.role is Role.SOURCE:
            self.bits[pair.bits].set_all(tracks)
