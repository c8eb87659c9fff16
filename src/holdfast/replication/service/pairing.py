"""Commands on pairs: establish, resume, fail back, pause, freeze, fail over, remove.

The order in each: check, commit who is source in the store, tell the peer where it must know, change this array's own
state. A freeze alone asks nobody: it holds the writes of a subsystem at once, and what the store has to know is
committed before the first write that goes on afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from holdfast.kernel.errors import Refusal, Refused
from holdfast.replication.array import commands
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import PairEvent, PairRecord, Phase, Role
from holdfast.replication.model.paths import Path
from holdfast.replication.plan import authority
from holdfast.replication.service import frames
from holdfast.replication.service.engine import now
from holdfast.replication.service.frames import LinkLost
from holdfast.replication.service.mirror import Mirror
from holdfast.replication.service.records import remove_record

Named = tuple[str, Endpoint]
"""A pair as a command names it: the volume here, the endpoint at the other array."""


@dataclass(frozen=True, slots=True)
class Modes:
    """How a pair is established or started again; None keeps what the pair has. ``suspend``: leave it suspended, to be
    resumed later."""

    copy: bool = True
    critical: bool | None = None
    target_read: bool | None = None
    suspend: bool = False


class Pairing:
    """Carries out commands on the pairs of one array. Each raises ``Refused`` or ``Unavailable`` and then did nothing,
    except that a store which did not answer may have taken a record; the command can be repeated.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror, self._engine = mirror, mirror.engine

    # --- establish, resume, fail back --------------------------------------------------------------------------------

    async def establish(self, volume: str, remote: Endpoint, modes: Modes) -> None:
        """``mkpprc``: start to copy ``volume`` to ``remote``."""
        async with self._mirror.lock(remote.image):
            found = commands.check_pairable(self._engine.machine, volume, Role.SOURCE)
            link = self._mirror.link(remote.image)
            self._need_paths([(volume, remote)])
            kept = await self._mirror.commit_records(
                [(volume, remote)], lambda v, r, record: authority.establish(record, self._mirror.local(v))
            )
            generation = kept[volume].generation
            critical, target_read = bool(modes.critical), bool(modes.target_read)
            item = frames.Item(remote.volume, volume, found.size_bytes, generation, critical, target_read)
            await link.request(frames.Begin(link.next_seq(), "establish", [item]))
            change = commands.add_pair(
                self._engine.machine,
                volume,
                remote,
                Role.SOURCE,
                copy=modes.copy,
                now=now(),
                generation=generation,
                critical=critical,
                target_read=target_read,
            )
            self._engine.commit(change)
            self._go([volume], modes)

    def _go(self, volumes: list[str], modes: Modes) -> None:
        if modes.suspend:
            self._mirror.events(dict.fromkeys(volumes, PairEvent.PAUSE))
            self._mirror.tell("pause", [self._engine.image.pairs[volume] for volume in volumes])
        else:
            self._begin_copy(volumes)

    async def restart_copy(self, pairs: Sequence[Named], kind: str, modes: Modes) -> None:
        """``resumepprc`` and ``failbackpprc`` at the side that keeps its data: copy what either side changed."""
        event = PairEvent.RESUME if kind == "resume" else PairEvent.FAILBACK_FROM
        for peer in dict.fromkeys(remote.image for _, remote in pairs):
            mine = [(volume, remote) for volume, remote in pairs if remote.image == peer]
            async with self._mirror.lock(peer):
                await self._restart_copy(peer, mine, kind, event, modes)

    async def _restart_copy(self, peer: str, pairs: list[Named], kind: str, event: PairEvent, modes: Modes) -> None:
        found = [commands.find_pair(self._engine.image, volume, remote) for volume, remote in pairs]
        for pair in found:
            if pair.standing.role is Role.TARGET or pair.standing.phase is not Phase.SUSPENDED:
                raise commands.refuse(
                    "not-suspended",
                    f"pair of volume {pair.local} is {pair.standing.display}, not Suspended",
                    "pausepprc or failoverpprc first",
                )
            commands.check_mirrorable(self._engine.machine, pair.local, Role.SOURCE)
        self._need_paths(pairs)
        link = self._mirror.link(peer)
        kept = await self._mirror.commit_records(pairs, self._recopy)
        volumes = [pair.local for pair in found]
        self._engine.machine.unsettled.difference_update(volumes)
        change = commands.set_modes(self._engine.machine, volumes, modes.critical, modes.target_read)
        self._engine.commit(change)
        items = [self._mirror.item(self._engine.image.pairs[volume]) for volume in volumes]
        reply = await link.request(frames.Begin(link.next_seq(), kind, items))
        assert isinstance(reply.payload, frames.Begun)
        for volume, changed in zip(volumes, reply.payload.changed, strict=True):
            self._engine.merge(volume, changed)
        self._mirror.events(dict.fromkeys(volumes, event), kept)
        self._go(volumes, modes)

    def _recopy(self, volume: str, remote: Endpoint, record: PairRecord | None) -> PairRecord | None:
        outcome = authority.recopy(record, self._mirror.local(volume))
        if isinstance(outcome, Refusal):
            raise Refused(outcome)
        return outcome

    def _begin_copy(self, volumes: list[str]) -> None:
        machine = self._engine.machine
        for volume in volumes:
            machine.attached.add(volume)
            machine.sent[volume] = set()
            machine.copied[volume] = 0
            machine.lost.pop(volume, None)
            self._mirror.once(f"copy {volume}", lambda volume=volume: self._mirror.copier.run(volume))  # type: ignore[misc]
        self._mirror.pulse.beat()

    def _need_paths(self, pairs: Iterable[Named]) -> None:
        for volume, remote in pairs:
            change = commands.need_path(self._engine.machine, volume, remote)
            if change is not None:
                self._engine.commit(change)

    # --- a FlashCopy onto a source -----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def alone(self, volumes: Iterable[str]) -> AsyncIterator[None]:
        """Keep other commands and the end of copies away from the pairs of ``volumes``."""
        pairs = [self._engine.image.pairs[volume] for volume in volumes if volume in self._engine.image.pairs]
        async with contextlib.AsyncExitStack() as stack:
            for peer in sorted({pair.remote.image for pair in pairs}):
                await stack.enter_async_context(self._mirror.lock(peer))
            yield

    async def copy_again(self, volume: str) -> None:
        """A source is about to get other bytes: its target is not in sync from now on, and is copied to again. The
        caller holds :meth:`alone`."""
        pair = commands.find_pair(self._engine.image, volume)
        if pair.standing.phase is Phase.SUSPENDED:
            return
        link = self._mirror.link(pair.remote.image)
        kept = await self._mirror.commit_records(
            [(volume, pair.remote)], lambda v, r, record: authority.diverge(record, self._mirror.local(v))
        )
        if volume not in kept:
            self._mirror.supersede([volume])
            raise commands.refuse("not-source", f"the store names {pair.remote} as source", "list the pair")
        try:
            await link.request(frames.Begin(link.next_seq(), "resume", [self._mirror.item(pair)]))
        except LinkLost:
            self._mirror.events({volume: PairEvent.LINK_LOST}, kept)
            raise
        self._mirror.events({volume: PairEvent.COPIED_ONTO}, kept)
        if pair.standing.phase is Phase.FULL_DUPLEX:
            self._begin_copy([volume])

    # --- pause and freeze --------------------------------------------------------------------------------------------

    async def pause(self, pairs: Sequence[tuple[str, Endpoint | None]]) -> None:
        """``pausepprc``: commit that the target falls behind, then stop mirroring."""
        for volume, remote in pairs:
            pair = commands.find_pair(self._engine.image, volume, remote)
            if pair.standing.role is Role.TARGET:
                raise commands.refuse("not-source", f"volume {volume} is a target", "pause at the source, or -at tgt")
            async with self._mirror.lock(pair.remote.image):
                kept = await self._mirror.commit_records(
                    [(volume, pair.remote)], lambda v, r, record: authority.diverge(record, self._mirror.local(v))
                )
                if volume not in kept:
                    self._mirror.supersede([volume])
                    raise commands.refuse("not-source", f"the store names {pair.remote} as source", "pause it there")
                self._mirror.detach([volume])
                self._mirror.events({volume: PairEvent.PAUSE}, kept)
                self._engine.machine.unsettled.discard(volume)
                self._mirror.tell("pause", [self._engine.image.pairs[volume]])

    def pause_target(self, volume: str, remote: Endpoint | None) -> None:
        """``pausepprc -at tgt``: take no more writes; the source suspends at once if it can be told, or at its next
        write."""
        pair = commands.find_pair(self._engine.image, volume, remote)
        if pair.standing.role is Role.SOURCE:
            raise commands.refuse("not-target", f"volume {volume} is a source", "leave out -at tgt")
        self._mirror.events({volume: PairEvent.PAUSE_TARGET})
        self._mirror.tell("target-paused", [pair])

    def freeze(self, source: str, target: str, peer: str | None) -> None:
        """``freezepprc``: hold the writes of a source subsystem, suspend its pairs and remove its paths, at one moment.

        The targets are told nothing and stay candidates for a takeover until a write goes on here.
        """
        pairs = [
            pair
            for pair in self._engine.image.pairs.values()
            if pair.standing.role is Role.SOURCE
            and (pair.local[:2], pair.remote.volume[:2]) == (source, target)
            and peer in (None, pair.remote.image)
            and not pair.superseded
        ]
        if not pairs:
            reason = f"no pair has its source in {source} and its target in {target}"
            raise commands.refuse("no-pair", reason, "list pairs with lspprc")
        self._mirror.busy.hold([source])
        going = [pair.local for pair in pairs if pair.standing.phase is not Phase.SUSPENDED]
        self._engine.machine.lost.update(dict.fromkeys(going, PairEvent.FREEZE))
        self._mirror.detach(going)
        frozen = [v for v in going if self._engine.image.pairs[v].standing.phase is not Phase.SUSPENDED]
        self._engine.machine.unsettled.update(going)
        self._mirror.events(dict.fromkeys(frozen, PairEvent.FREEZE))
        for volume in going:
            self._engine.machine.lost.pop(volume, None)
        for remote in {pair.remote.image for pair in pairs}:
            path = Path(remote, source, target)
            known = self._engine.image.paths.get(path.key)
            if known is None or not known.removed:
                self._engine.commit(commands.remove_path(self._engine.machine, path, force=True))

    def drop_path(self, path: Path, force: bool) -> None:
        """``rmpprcpath``; with ``force`` its pairs lose their targets as if the link had failed."""
        self._engine.commit(commands.remove_path(self._engine.machine, path, force=force))
        for pair in commands.pairs_of_path(self._engine.image, path):
            if pair.standing.phase is not Phase.SUSPENDED:
                self._mirror.stop_mirroring(pair.local, "")

    # --- fail over, remove -------------------------------------------------------------------------------------------

    async def failover(self, pairs: Sequence[Named], force: bool) -> None:
        """``failoverpprc`` at the recovery array: all named pairs in one commit, or none."""
        for volume, remote in pairs:
            pair = commands.find_pair(self._engine.image, volume, remote)
            alone = pair.standing.phase is Phase.SUSPENDED or pair.superseded
            if pair.standing.role is Role.SOURCE and not alone:
                raise commands.refuse(
                    "is-source",
                    f"volume {volume} already is source and {pair.standing.display}",
                    "nothing is to be done",
                )

        def decide(volume: str, remote: Endpoint, record: PairRecord | None) -> PairRecord:
            outcome = authority.failover(record, self._mirror.local(volume), remote, force)
            if isinstance(outcome, Refusal):
                raise Refused(outcome)
            return outcome

        kept = await self._mirror.commit_records(pairs, decide)
        self._engine.machine.unsettled.difference_update(kept)
        self._mirror.events(dict.fromkeys(kept, PairEvent.FAILOVER), kept)
        self._mirror.tell("superseded", [self._engine.image.pairs[volume] for volume in kept])

    async def remove(self, volume: str, remote: Endpoint | None, unconditional: bool, at: str | None) -> None:
        """``rmpprc``: end the pair at both arrays; ``unconditional`` ends it here only, when the other end cannot
        answer. A source that leaves takes the record along: its target proves nothing any more."""
        pair = commands.find_pair(self._engine.image, volume, remote)
        is_source = pair.standing.role is Role.SOURCE
        if at is not None and (at == "src") is not is_source:
            raise commands.refuse("wrong-end", f"volume {volume} is the {pair.standing.role.value}", "check -at")
        async with self._mirror.lock(pair.remote.image):
            if not unconditional:
                self._mirror.link(pair.remote.image)
            if is_source or not unconditional:
                await remove_record(self._mirror.witness, self._mirror.key(pair))
            if is_source:
                self._mirror.detach([volume])
            if not unconditional or at is None:
                self._mirror.tell("remove", [pair])
            self._engine.commit(commands.remove_pairs(self._engine.machine, [volume]))
            self._mirror.pulse.beat()
