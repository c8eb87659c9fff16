"""The commands that people give for pairs: establish, resume, fail back, pause, fail over, remove.

Each checks its rules, commits what the store must know *before* the array changes, and runs under the peer's lock, so
that a lost link is handled either before or after a command, never in the middle. What happens by itself (link loss,
divergence, restart) stands in ``service.mirror``.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.kernel.errors import Refusal, Refused, Unavailable
from holdfast.replication.array import commands
from holdfast.replication.array.bitmap import Bitmap
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import PairEvent, PairRecord, Phase, Role
from holdfast.replication.plan import authority
from holdfast.replication.service import frames
from holdfast.replication.service.engine import now
from holdfast.replication.service.mirror import Mirror


class Pairing:
    """Carries out commands on the pairs of one array. Each raises ``Refused`` or ``Unavailable`` and then did nothing,
    except that a store which did not answer may have taken a record; the command can be repeated.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror, self._engine = mirror, mirror.engine

    async def establish(self, volume: str, remote: Endpoint, copy: bool) -> None:
        """``mkpprc``: start to copy ``volume`` to ``remote``."""
        async with self._mirror.lock(remote.image):
            link = self._mirror.link(remote.image)
            found = commands.check_pairable(self._engine.machine, volume, Role.SOURCE)
            kept = await self._mirror.commit_records(
                [(volume, remote)], lambda v, r, record: authority.establish(record, self._mirror.local(v))
            )
            generation = kept[volume].generation
            item = frames.Item(remote.volume, volume, found.size_bytes, generation)
            await link.request(frames.Begin(link.next_seq(), "establish", [item]))
            machine = self._engine.machine
            self._engine.commit(
                commands.add_pair(machine, volume, remote, Role.SOURCE, copy=copy, now=now(), generation=generation)
            )
            self._begin_copy([volume])

    async def restart_copy(self, pairs: Sequence[tuple[str, Endpoint]], kind: str) -> None:
        """``resumepprc`` and ``failbackpprc`` at the side that keeps its data: copy what either side changed."""
        event = PairEvent.RESUME if kind == "resume" else PairEvent.FAILBACK_FROM
        for peer in dict.fromkeys(remote.image for _, remote in pairs):
            mine = [(volume, remote) for volume, remote in pairs if remote.image == peer]
            async with self._mirror.lock(peer):
                await self._restart_copy(peer, mine, kind, event)

    async def _restart_copy(self, peer: str, pairs: list[tuple[str, Endpoint]], kind: str, event: PairEvent) -> None:
        found = [commands.find_pair(self._engine.image, volume, remote) for volume, remote in pairs]
        for pair in found:
            if pair.standing.role is Role.TARGET or pair.standing.phase is not Phase.SUSPENDED:
                raise commands.refuse(
                    "not-suspended", f"pair of volume {pair.local} is {pair.standing.display}, not Suspended"
                )
        link = self._mirror.link(peer)
        await self._mirror.commit_records(pairs, self._keep_if_source)
        reply = await link.request(frames.Begin(link.next_seq(), kind, [self._mirror.item(pair) for pair in found]))
        assert isinstance(reply.payload, frames.Begun)
        for pair, changed in zip(found, reply.payload.changed, strict=True):
            bits = self._engine.machine.bits[pair.bits]
            bits.merge(Bitmap.full(bits.size) if changed is None else Bitmap(bits.size, changed))
            self._engine.media.write_all_bits(pair.bits, bits)
        self._mirror.events({pair.local: event for pair in found})
        self._begin_copy([pair.local for pair in found])

    def _keep_if_source(self, volume: str, remote: Endpoint, record: PairRecord | None) -> PairRecord | None:
        refusal = authority.may_copy_from(record, self._mirror.local(volume))
        if refusal is not None:
            raise Refused(refusal)
        return record

    def _begin_copy(self, volumes: list[str]) -> None:
        machine = self._engine.machine
        for volume in volumes:
            machine.attached.add(volume)
            machine.sent[volume] = set()
            machine.copied[volume] = 0
            self._mirror.once(f"copy {volume}", lambda volume=volume: self._mirror.copier.run(volume))  # type: ignore[misc]
        self._mirror.pulse.beat()

    async def pause(self, pairs: Sequence[tuple[str, Endpoint | None]]) -> None:
        """``pausepprc``: commit that the target falls behind, then stop mirroring."""
        for volume, remote in pairs:
            pair = commands.find_pair(self._engine.image, volume, remote)
            if pair.standing.role is Role.TARGET:
                raise commands.refuse("not-source", f"volume {volume} is a target", "pause at the source")
            async with self._mirror.lock(pair.remote.image):
                kept = await self._mirror.commit_records(
                    [(volume, pair.remote)], lambda v, r, record: authority.diverge(record, self._mirror.local(v))
                )
                if volume not in kept:
                    self._mirror.supersede([volume])
                    raise commands.refuse("not-source", f"the store names {pair.remote} as source")
                self._mirror.detach([volume])
                self._mirror.events({volume: PairEvent.PAUSE}, kept)
                self._mirror.tell("pause", [self._engine.image.pairs[volume]])

    async def failover(self, pairs: Sequence[tuple[str, Endpoint]], force: bool) -> None:
        """``failoverpprc`` at the recovery array: all named pairs in one commit, or none."""
        for volume, remote in pairs:
            pair = commands.find_pair(self._engine.image, volume, remote)
            alone = pair.standing.phase is Phase.SUSPENDED or pair.superseded
            if pair.standing.role is Role.SOURCE and not alone:
                raise commands.refuse("is-source", f"volume {volume} already is source and {pair.standing.display}")

        def decide(volume: str, remote: Endpoint, record: PairRecord | None) -> PairRecord:
            outcome = authority.failover(record, self._mirror.local(volume), remote, force)
            if isinstance(outcome, Refusal):
                raise Refused(outcome)
            return outcome

        kept = await self._mirror.commit_records(pairs, decide)
        self._engine.machine.unsettled.difference_update(kept)
        self._mirror.events(dict.fromkeys(kept, PairEvent.FAILOVER), kept)
        self._mirror.tell("superseded", [self._engine.image.pairs[volume] for volume in kept])

    async def remove(self, volume: str, remote: Endpoint | None, unconditional: bool) -> None:
        """``rmpprc``: end the pair at both arrays; ``unconditional`` ends it here when the other end cannot answer."""
        pair = commands.find_pair(self._engine.image, volume, remote)
        async with self._mirror.lock(pair.remote.image):
            if not unconditional:
                self._mirror.link(pair.remote.image)
            try:
                seen = await self._mirror.witness.read([self._mirror.key(pair)])
                key = self._mirror.key(pair)
                if seen[key].record is not None:
                    await self._mirror.witness.compare_and_set({key: seen[key].revision}, {key: None})
            except Unavailable:
                if not unconditional:
                    raise
            if pair.standing.role is Role.SOURCE:
                self._mirror.detach([volume])
            self._mirror.tell("remove", [pair])
            self._engine.commit(commands.remove_pairs(self._engine.machine, [volume]))
            self._mirror.pulse.beat()
