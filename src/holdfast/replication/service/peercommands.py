"""What a peer asks about pairs or tells of them: become target, what are you, something happened.

A question is answered from the array as it is; a command checks every pair that it names before it changes the first.
"""

from __future__ import annotations

import contextlib

from holdfast.kernel.errors import Refused
from holdfast.replication.array import commands
from holdfast.replication.model.identity import Endpoint
from holdfast.replication.model.pairs import Pair, PairEvent, Phase, Role
from holdfast.replication.model.volumes import ArrayImage
from holdfast.replication.service import frames
from holdfast.replication.service.engine import now
from holdfast.replication.service.mirror import Mirror

PAUSED = "paused"
"""What a target that takes no writes calls itself."""
_EVENTS = {"synced": PairEvent.SYNCED, "pause": PairEvent.PAUSE}


def pair_with(image: ArrayImage, volume: str, remote: Endpoint) -> Pair | None:
    """Return the pair of a volume if it is with that remote volume."""
    pair = image.pairs.get(volume)
    return pair if pair is not None and pair.remote == remote else None


class PeerCommands:
    """Answers one peer."""

    def __init__(self, mirror: Mirror, peer: str) -> None:
        self._mirror, self._engine, self._peer = mirror, mirror.engine, peer

    def answer(self, request: frames.Begin | frames.Status | frames.Event) -> frames.Reply:
        """Carry out a request; return the reply, a refusal too."""
        payload: frames.Begun | frames.Standings | None = None
        try:
            if isinstance(request, frames.Begin):
                payload = self._begin(request)
            elif isinstance(request, frames.Status):
                payload = frames.Standings([self._standing(item) for item in request.items])
            else:
                self._event(request)
        except Refused as refused:
            refusal = refused.refusal
            return frames.Reply(request.seq, refusal.code, refusal.reason, remedy=refusal.remedy)
        return frames.Reply(request.seq, payload=payload)

    def _pair(self, item: frames.Item) -> Pair | None:
        return pair_with(self._engine.image, item.volume, Endpoint(self._peer, item.source))

    def _standing(self, item: frames.Item) -> frames.Standing:
        pair = self._pair(item)
        if pair is None:
            return frames.Standing("", 0, b"")
        if pair.standing.role is Role.SOURCE:
            return frames.Standing(Role.SOURCE.value, pair.generation, b"")
        bits = self._engine.machine.bits[pair.bits]
        role = PAUSED if pair.standing.phase is Phase.SUSPENDED else Role.TARGET.value
        return frames.Standing(role, pair.generation, frames.pack_bits(bits) if len(bits) else b"")

    def _begin(self, request: frames.Begin) -> frames.Begun:
        """Become target. Every item is checked before the first is changed."""
        machine = self._engine.machine
        found = [self._pair(item) for item in request.items]
        for item, pair in zip(request.items, found, strict=True):
            self._check_begin(request.kind, item, pair)
        changed: list[bytes | None] = []
        for item, pair in zip(request.items, found, strict=True):
            if pair is None:
                remote = Endpoint(self._peer, item.source)
                generation = item.generation
                self._engine.commit(
                    commands.add_pair(
                        machine,
                        item.volume,
                        remote,
                        Role.TARGET,
                        copy=True,
                        now=now(),
                        generation=generation,
                        critical=item.critical,
                        target_read=item.target_read,
                    )
                )
                changed.append(None)
                continue
            self._become_target(item, pair)
            bits = machine.bits[self._engine.image.pairs[item.volume].bits]
            changed.append(None if request.kind == "establish" else frames.pack_bits(bits))
        self._mirror.pulse.beat()
        return frames.Begun(changed)

    def _become_target(self, item: frames.Item, pair: Pair) -> None:
        machine = self._engine.machine
        event = PairEvent.RESUME
        if pair.standing.role is Role.SOURCE:
            machine.attached.discard(item.volume)
            machine.unsettled.discard(item.volume)
            machine.sent.pop(item.volume, None)
            self._engine.lose_link(item.volume)
            event = PairEvent.FAILBACK_TO
        generations = {item.volume: item.generation}
        self._engine.commit(commands.pair_events(machine, {item.volume: event}, now(), generations))
        self._engine.commit(commands.set_modes(machine, [item.volume], item.critical, item.target_read))

    def _check_begin(self, kind: str, item: frames.Item, pair: Pair | None) -> None:
        if pair is None:
            if kind == "resume":
                raise commands.refuse(
                    "no-pair", f"volume {item.volume} is not in that pair", "rmpprc what is left, then mkpprc"
                )
            commands.check_pairable(self._engine.machine, item.volume, Role.TARGET, item.size_bytes)
        elif pair.standing.role is Role.SOURCE and kind != "failback":
            raise commands.refuse("is-source", f"volume {item.volume} is source of that pair", "list it at both arrays")
        elif pair.standing.role is Role.SOURCE and pair.generation > item.generation:
            raise commands.refuse(
                "newer",
                f"both arrays claim to be source, and volume {item.volume} became source later",
                "fail back from that array, or run failoverpprc here again if its data are to be given up",
            )
        else:
            commands.check_mirrorable(self._engine.machine, item.volume, Role.TARGET)

    def _event(self, request: frames.Event) -> None:
        for item in request.items:
            pair = self._pair(item)
            if pair is None:
                continue
            if request.kind == "superseded":
                if pair.standing.role is Role.SOURCE and item.generation > pair.generation:
                    self._mirror.supersede([item.volume])
            elif pair.standing.role is Role.TARGET:
                self._target_event(request.kind, item)
            elif request.kind == "target-paused":
                self._mirror.stop_mirroring(item.volume, PAUSED)
            elif request.kind == "remove":
                self._mirror.detach([item.volume])
                self._engine.commit(commands.remove_pairs(self._engine.machine, [item.volume]))
                self._mirror.pulse.beat()

    def _target_event(self, kind: str, item: frames.Item) -> None:
        machine = self._engine.machine
        if kind == "remove":
            self._engine.commit(commands.remove_pairs(machine, [item.volume]))
        elif kind in _EVENTS and not self._is_level(kind, item.volume):
            with contextlib.suppress(Refused):
                generations = {item.volume: item.generation}
                self._engine.commit(commands.pair_events(machine, {item.volume: _EVENTS[kind]}, now(), generations))
        self._mirror.pulse.beat()

    def _is_level(self, kind: str, volume: str) -> bool:
        """True when a volume has been in sync all along, so that there is nothing to note."""
        pair = self._engine.image.pairs[volume]
        level = pair.standing.phase is Phase.FULL_DUPLEX and not len(self._engine.machine.bits[pair.bits])
        return kind == "synced" and level
