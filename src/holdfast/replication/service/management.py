"""The array's management service: one method, many verbs, from dscli, the native command and programs alike.

Remote calls arrive on threads; each is handed to the array's event loop, because only the loop touches the array.
A verb that names several objects answers for each, except a failover, which moves all its pairs or none.
"""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Awaitable, Callable
from concurrent.futures import TimeoutError as WaitTimeout
from typing import Any

import msgspec
from blake3 import blake3

from holdfast.kernel.errors import HoldfastError, InputError, Refused, Unavailable
from holdfast.kernel.sizes import MIB
from holdfast.replication.array import commands
from holdfast.replication.model.flash import FlashOptions
from holdfast.replication.model.identity import Endpoint, parse_image, parse_subsystem, parse_volume
from holdfast.replication.model.pairs import Role
from holdfast.replication.model.volumes import Volume
from holdfast.replication.operations import METHOD, QUERIES, VERBS, Answer, Command, Outcome
from holdfast.replication.service import views
from holdfast.replication.service.engine import Engine, now
from holdfast.replication.service.longbusy import LongBusy
from holdfast.replication.service.mirror import Mirror
from holdfast.replication.service.nbdserver import NbdServer
from holdfast.replication.service.pairing import Pairing
from holdfast.replication.service.users import Users
from holdfast.runtime.rpc import Methods

CALL_LIMIT_S = 25.0
_DIGEST_STEP = 4 * MIB

Rows = list[dict[str, Any]]
_FLASHES = {
    "mkflash": commands.make_flash, "resyncflash": commands.resync_flash, "reverseflash": commands.reverse_flash,
}  # fmt: skip


class Management:
    """Carries out commands on one array."""

    def __init__(
        self,
        engine: Engine,
        mirror: Mirror,
        nbd: NbdServer,
        users: Users,
        callers: tuple[str, ...],
        nbd_address: str,
        busy: LongBusy,
    ) -> None:
        self._engine, self._mirror, self._nbd, self._users, self._callers = engine, mirror, nbd, users, callers
        self._pairing = Pairing(mirror)
        self._nbd_address, self._busy = nbd_address, busy
        self.start_copy: Callable[[str], None] = lambda target: None

    def methods(self, loop: asyncio.AbstractEventLoop) -> Methods:
        """Return the remote methods; ``loop`` is the array's."""

        def handle(request: bytes, caller: str) -> bytes:
            try:
                command = msgspec.msgpack.decode(request, type=Command)
            except msgspec.DecodeError as error:
                raise commands.refuse("bad-request", f"the request cannot be read: {error}") from error
            self._authorise(command, caller)
            task = asyncio.run_coroutine_threadsafe(self.execute(command), loop)
            try:
                return msgspec.msgpack.encode(task.result(CALL_LIMIT_S))
            except InputError as error:
                raise commands.refuse("bad-request", error.message, error.remedy) from error
            except Unavailable as error:
                raise commands.refuse("unavailable", error.message, error.remedy) from error
            except WaitTimeout as error:
                task.cancel()
                raise commands.refuse("timeout", "the array did not finish in time", "list the state") from error

        return Methods(unary={METHOD: handle})

    def _authorise(self, command: Command, caller: str) -> None:
        if command.user:
            self._users.check(command.user, command.password, command.verb not in QUERIES)
        elif not any(fnmatch.fnmatchcase(caller, pattern) for pattern in self._callers):
            raise commands.refuse("no-authority", f"{caller} may not manage this array", "add it to `callers`")

    async def execute(self, command: Command) -> Answer:
        """Carry out one command."""
        image = self._engine.image.image
        if command.verb not in VERBS:
            raise commands.refuse("bad-request", f"unknown verb {command.verb!r}")
        if command.options.get("dev", image) != image:
            raise commands.refuse("wrong-array", f"this is {image}, not {command.options['dev']}", "check -dev")
        if command.verb in ("failover", "failback", "resume"):
            return Answer(image, outcomes=await self._together(command))
        if command.verb in _FLASHES:
            return Answer(image, outcomes=self._flash(command))
        single = getattr(self, f"_do_{command.verb}", None)
        if single is not None:
            return Answer(image, outcomes=[await self._one(single, name, command) for name in command.objects])
        return Answer(image, rows=await self._query(command))

    @staticmethod
    async def _one(action: Callable[[str, Command], Awaitable[None]], name: str, command: Command) -> Outcome:
        try:
            await action(name, command)
        except HoldfastError as error:
            return _failed(name, error)
        return Outcome(name)

    # --- queries -----------------------------------------------------------------------------------------------------

    async def _query(self, command: Command) -> Rows:
        engine = self._engine
        wanted = {parse_volume(name) for name in command.objects}
        match command.verb:
            case "volumes":
                return [views.volume_row(engine, v) for k, v in sorted(engine.image.volumes.items()) if _in(k, wanted)]
            case "pairs":
                return [
                    views.pair_row(self._mirror, p) for k, p in sorted(engine.image.pairs.items()) if _in(k, wanted)
                ]
            case "flashes":
                found = sorted(engine.image.flashes.values(), key=lambda flash: (flash.source, flash.target))
                return [views.flash_row(engine, f) for f in found if _in(f.source, wanted) or f.target in wanted]
            case "paths":
                return [views.path_row(self._mirror, peer) for peer in sorted(self._mirror.links)]
            case "connections":
                return [{"export": str(export)} for export in self._nbd.connections()]
            case "digest":
                return [{"id": name, "blake3": await self._digest(name)} for name in sorted(wanted)]
            case "revoke":
                return [self._revoke(str(command.options["host"]), int(command.options["key"]))]
            case _:
                return [{"image": engine.image.image, "nbd": self._nbd_address, "volumes": len(engine.image.volumes)}]

    async def _digest(self, volume: str) -> str:
        size = commands.find_volume(self._engine.image, volume).size_bytes
        hasher = blake3()
        for offset in range(0, size, _DIGEST_STEP):
            hasher.update(self._engine.read(volume, offset, min(_DIGEST_STEP, size - offset)))
            await asyncio.sleep(0)
        return hasher.hexdigest()

    def _revoke(self, host: str, key: int) -> dict[str, Any]:
        """Bar the host; the row is the evidence that no write of it can be applied any more."""
        self._engine.commit(commands.revoke(self._engine.machine, host, key))
        closed = self._nbd.drop(host, key)
        image = self._engine.image
        return {
            "array": image.image,
            "host": host,
            "key": image.barred[host],
            "sequence": image.sequence,
            "connections_closed": closed,
        }

    # --- changes, one object at a time -------------------------------------------------------------------------------

    async def _do_mkvolume(self, name: str, command: Command) -> None:
        options = command.options
        volume = Volume(
            parse_volume(name),
            str(options.get("name", name)),
            int(options["size_bytes"]),
            str(options.get("pool", "P0")),
        )
        self._engine.commit(commands.create_volume(self._engine.machine, volume))

    async def _do_rmvolume(self, name: str, command: Command) -> None:
        self._engine.commit(commands.remove_volume(self._engine.machine, parse_volume(name)))

    async def _do_mkpair(self, name: str, command: Command) -> None:
        volume, remote = self._pair(name, command)
        await self._pairing.establish(volume, remote, bool(command.options.get("copy", True)))

    async def _do_rmpair(self, name: str, command: Command) -> None:
        volume, remote = self._named(name, command)
        await self._pairing.remove(volume, remote, bool(command.options.get("unconditional", False)))

    async def _do_pause(self, name: str, command: Command) -> None:
        await self._pairing.pause([self._pair(name, command)])

    async def _do_freeze(self, name: str, command: Command) -> None:
        """Hold the writes of a source subsystem and suspend its pairs to the target's: all at one point in time."""
        first, colon, second = name.partition(":")
        source, target = parse_subsystem(first), parse_subsystem(second if colon else first)
        pairs = [
            (pair.local, pair.remote)
            for pair in self._engine.image.pairs.values()
            if pair.standing.role is Role.SOURCE and (pair.local[:2], pair.remote.volume[:2]) == (source, target)
        ]
        if not pairs:
            raise commands.refuse("no-pair", f"no pair has its source in {source} and its target in {target}", "lspprc")
        self._busy.hold([source])
        try:
            await self._pairing.pause(pairs)
        except HoldfastError:
            self._busy.thaw(source)
            raise

    async def _do_thaw(self, name: str, command: Command) -> None:
        """Let the writes of a subsystem go."""
        subsystem = parse_subsystem(name.partition(":")[0])
        if not self._busy.thaw(subsystem):
            raise commands.refuse("not-frozen", f"no writes of {subsystem} are held", "they were let go, or never held")

    async def _do_rmflash(self, name: str, command: Command) -> None:
        source, target = _split(name)
        while command.options.get("copy") and self._engine.copy_some(target):
            await asyncio.sleep(0)
        self._engine.commit(commands.remove_flash(self._engine.machine, source, target))

    # --- changes of several objects together -------------------------------------------------------------------------

    async def _together(self, command: Command) -> list[Outcome]:
        try:
            pairs = [self._pair(name, command) for name in command.objects]
            if command.verb == "failover":
                await self._pairing.failover(pairs, bool(command.options.get("force", False)))
            else:
                await self._pairing.restart_copy(pairs, command.verb)
        except HoldfastError as error:
            return [_failed(name, error) for name in command.objects]
        return [Outcome(name) for name in command.objects]

    def _flash(self, command: Command) -> list[Outcome]:
        """One point in time for all pairs: nothing can write between the first and the last."""
        given = command.options
        options = FlashOptions(
            persist=bool(given.get("persist", False)) or bool(given.get("record", False)),
            record=bool(given.get("record", False)),
            background_copy=bool(given.get("copy", True)),
            target_inhibit=bool(given.get("tgtinhibit", False)),
            sequence=str(given.get("seqnum", "0")),
        )
        if given.get("freeze"):
            self._busy.hold(_split(name)[0][:2] for name in command.objects)
        make = _FLASHES[command.verb]
        moment, outcomes = now(), []
        for name in command.objects:
            try:
                source, target = _split(name)
                self._engine.commit(make(self._engine.machine, source, target, options, moment))
            except HoldfastError as error:
                outcomes.append(_failed(name, error))
            else:
                outcomes.append(Outcome(name))
                if options.background_copy:
                    self.start_copy(source if command.verb == "reverseflash" else target)
        return outcomes

    def _pair(self, name: str, command: Command) -> tuple[str, Endpoint]:
        local, other = _split(name)
        remote = command.options.get("remote")
        if remote:
            return local, Endpoint(parse_image(str(remote)), other)
        known = self._engine.image.pairs.get(local)
        if known is not None and known.remote.volume == other:
            return local, known.remote
        if len(self._mirror.links) == 1:
            return local, Endpoint(next(iter(self._mirror.links)), other)
        raise InputError(f"the other array of pair {name} is not named", remedy="give -remotedev")

    def _named(self, name: str, command: Command) -> tuple[str, Endpoint]:
        """A pair as source:target, whichever end is here."""
        first, second = _split(name)
        pair = self._engine.image.pairs.get(second)
        if pair is not None and pair.standing.role is Role.TARGET and pair.remote.volume == first:
            return second, pair.remote
        return self._pair(name, command)


def _split(name: str) -> tuple[str, str]:
    first, colon, second = name.partition(":")
    if not colon:
        raise InputError(f"{name!r} is not a pair", remedy="write source:target")
    return parse_volume(first), parse_volume(second)


def _in(name: str, wanted: set[str]) -> bool:
    return not wanted or name in wanted


def _failed(name: str, error: HoldfastError) -> Outcome:
    code = "unavailable" if isinstance(error, Unavailable) else "error"
    if isinstance(error, Refused):
        code = error.refusal.code
    return Outcome(name, code, error.message, error.remedy)
