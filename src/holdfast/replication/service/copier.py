"""Copying tracks to a mirror target: the initial copy, the resync of changed tracks, and catching up after a bounce.

A track's bit is cleared only after the target confirmed it *and* flushed it. Until then the track stands in the
machine's ``sent`` set: writes to it are mirrored behind the copy, and a lost link finds the bit still set.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from holdfast.kernel.errors import Refusal, Refused, Unavailable
from holdfast.kernel.sizes import TRACK_BYTES
from holdfast.replication.array import commands
from holdfast.replication.array.activity import REGION_TRACKS
from holdfast.replication.array.bitmap import Bitmap
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import Pair, PairEvent, PairRecord, Phase, Role
from holdfast.replication.plan import authority
from holdfast.replication.service import frames
from holdfast.replication.service.frames import LinkLost
from holdfast.replication.service.link import OutLink
from holdfast.replication.service.sent import Sent

if TYPE_CHECKING:
    from holdfast.replication.service.mirror import Mirror

_LOG = structlog.get_logger("holdfast.replication.copier")
_RETRY_S = 0.5
_CATCH_UP_WINDOW = 64
_BREATH_TRACKS = 32
_AHEAD_REGIONS = 256
_ZEROS = bytes(TRACK_BYTES)


class Copier:
    """Runs the copies of one array's pairs."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    async def run(self, volume: str) -> None:
        """Copy until the pair is in Full Duplex, or stop when it is no longer copying from here."""
        try:
            while self._copying(volume):
                if not await self._round(volume) and await self._finish(volume):
                    return
        except LinkLost:
            return

    def _copying(self, volume: str) -> bool:
        engine = self._mirror.engine
        pair = engine.image.pairs.get(volume)
        return (
            pair is not None
            and pair.standing.role is Role.SOURCE
            and pair.standing.phase is Phase.COPY_PENDING
            and volume in engine.machine.attached
        )

    async def _round(self, volume: str) -> bool:
        """Send every marked track once, flush the target, clear what it has. False when nothing was marked."""
        engine, machine = self._mirror.engine, self._mirror.engine.machine
        pair, sent = engine.image.pairs[volume], machine.sent[volume]
        link = self._mirror.link(pair.remote.image)
        replies: list[Sent] = []
        track, announced = self._bits(volume).next_set(0), -1
        while track is not None:
            if track > announced:
                announced = self._announce(link, pair, track)
            if len(replies) % _BREATH_TRACKS == 0:
                await asyncio.sleep(0)  # what is sent must go out, and its answers come in, while there is more to send
            await link.room()
            if not self._copying(volume):
                raise LinkLost("the copy was stopped")
            bits = self._bits(volume)
            if track in bits:
                sent.add(track)
                replies.append(self._send(link, pair, track))
                machine.copied[volume] = machine.copied.get(volume, 0) + 1
            track = bits.next_set(track + 1)
        for reply in replies:
            if (await reply).code:
                raise LinkLost("the target refuses the copy")
        if not replies:
            return False
        done = set(sent)
        await link.request(frames.Flush(link.next_seq(), [pair.remote.volume]))
        if not self._copying(volume):
            raise LinkLost("the copy was stopped")
        bits = self._bits(volume)
        for track in done & sent:
            bits.clear(track)
        sent -= done
        engine.media.write_all_bits(engine.image.pairs[volume].bits, bits)
        return True

    def _announce(self, link: OutLink, pair: Pair, track: int) -> int:
        """Tell the target which tracks come next, from ``track`` on, one of each region; return the last of them."""
        bits, last = self._bits(pair.local), track
        tracks = [track]
        while len(tracks) < _AHEAD_REGIONS and (following := bits.next_set(last + 1)) is not None:
            if following // REGION_TRACKS != last // REGION_TRACKS:
                tracks.append(following)
            last = following
        link.say(frames.Ahead(pair.remote.volume, pair.local, tracks))
        return last

    def _bits(self, volume: str) -> Bitmap:
        """Return the pair's bitmap as it is now: a FlashCopy onto the source puts another in its place."""
        engine = self._mirror.engine
        return engine.machine.bits[engine.image.pairs[volume].bits]

    def _send(self, link: OutLink, pair: Pair, track: int) -> Sent:
        engine = self._mirror.engine
        offset = track * TRACK_BYTES
        length = min(TRACK_BYTES, engine.image.volumes[pair.local].size_bytes - offset)
        data = b"" if engine.is_hole(pair.local, offset, length) else engine.read(pair.local, offset, length)
        if data == _ZEROS[: len(data)]:
            data = b""
        frame = frames.Write(link.next_seq(), pair.remote.volume, pair.local, offset, 0 if data else length)
        return link.send(frame, data)

    async def _finish(self, volume: str) -> bool:
        """Everything is at the target and durable: say so in the store, then enter Full Duplex."""
        mirror, machine = self._mirror, self._mirror.engine.machine
        pair = mirror.engine.image.pairs[volume]

        def decide(name: str, remote: Endpoint, record: PairRecord | None) -> PairRecord:
            outcome = authority.synced(record, mirror.local(name))
            if isinstance(outcome, Refusal):
                raise Refused(outcome)
            return outcome

        async with mirror.lock(pair.remote.image):
            if not self._copying(volume) or len(machine.bits[pair.bits]):
                return False
            machine.unsettled.add(volume)
            try:
                kept = await mirror.commit_records([(volume, pair.remote)], decide)
            except Unavailable as error:
                _LOG.warning("in sync, but the store is away", volume=volume, error=str(error))
                await asyncio.sleep(_RETRY_S)
                return False
            except Refused:
                mirror.supersede([volume])
                return True
            if not self._copying(volume):
                return True
            machine.unsettled.discard(volume)
            mirror.events({volume: PairEvent.SYNCED}, kept)
            machine.sent.pop(volume, None)
            mirror.tell("synced", [mirror.engine.image.pairs[volume]])
            return True

    async def catch_up(self, link: OutLink, pair: Pair) -> None:
        """A Full Duplex source is reconnected and its writes are still held: copy the tracks in doubt."""
        engine = self._mirror.engine
        bits = engine.machine.bits[pair.bits]
        tracks = list(bits)
        if tracks:
            self._announce(link, pair, tracks[0])
        for start in range(0, len(tracks), _CATCH_UP_WINDOW):
            batch = [self._send(link, pair, track) for track in tracks[start : start + _CATCH_UP_WINDOW]]
            for reply in batch:
                if (await reply).code:
                    raise commands.refuse(
                        "not-target", f"{pair.remote} no longer is target", "list the pair at both arrays"
                    )
        if tracks:
            await link.request(frames.Flush(link.next_seq(), [pair.remote.volume]))
            for track in tracks:
                bits.clear(track)
            engine.media.write_all_bits(pair.bits, bits)
