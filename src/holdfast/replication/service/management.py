"""The array's management service: one method, many verbs, from dscli, the native command and programs alike.

Remote calls arrive on threads; each is handed to the array's event loop, because only the loop touches the array.
A verb that names several objects answers for each, except a failover, which moves all its pairs or none.
"""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Awaitable, Callable
from concurrent.futures import TimeoutError as WaitTimeout
from dataclasses import replace
from typing import Any

import msgspec
from blake3 import blake3

from holdfast.kernel.errors import HoldfastError, InputError, Unavailable
from holdfast.kernel.sizes import MIB
from holdfast.replication.array import commands, storage
from holdfast.replication.model.identity import Endpoint, parse_image, parse_subsystem, parse_volume
from holdfast.replication.model.pairs import Role
from holdfast.replication.model.paths import DEFAULT_PORTS, Path
from holdfast.replication.operations import COMMON, METHOD, QUERIES, VERBS, Answer, Command, Outcome
from holdfast.replication.service import views
from holdfast.replication.service.config import ArrayConfig
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.flashing import Flashing
from holdfast.replication.service.mirror import Mirror
from holdfast.replication.service.nbdserver import NbdServer
from holdfast.replication.service.outcomes import failed, split_pair, split_subsystems
from holdfast.replication.service.pairing import Modes, Pairing
from holdfast.replication.service.provisioning import PROVISIONS, make_volumes
from holdfast.replication.service.users import Users
from holdfast.runtime.rpc import Methods

CALL_LIMIT_S = 25.0
_DIGEST_STEP = 4 * MIB
_MAKE_TOGETHER = 16

Rows = list[dict[str, Any]]
Action = Callable[[str, Command], Awaitable[None]]
_ENDS = ("src", "tgt")


class Management:
    """Carries out commands on one array."""

    def __init__(self, engine: Engine, mirror: Mirror, nbd: NbdServer, users: Users, config: ArrayConfig) -> None:
        self._engine, self._mirror, self._nbd, self._users, self._config = engine, mirror, nbd, users, config
        self._pairing = Pairing(mirror)
        self.flashing = Flashing(engine, self._pairing, mirror.busy)
        self._singles: dict[str, Action] = {
            "mkpair": self._make_pair,
            "rmpair": self._remove_pair,
            "pause": self._pause,
            "mkpath": self._make_path,
            "rmpath": self._remove_path,
            "freeze": self._freeze,
            "thaw": self._thaw,
            "rmflash": self.flashing.withdraw,
            "setrevertible": self.flashing.set_revertible,
            "commitflash": self.flashing.commit,
            "revertflash": self.flashing.revert,
        }

    def methods(self, loop: asyncio.AbstractEventLoop) -> Methods:
        """Return the remote methods; ``loop`` is the array's."""

        def handle(request: bytes, caller: str) -> bytes:
            try:
                command = msgspec.msgpack.decode(request, type=Command)
            except msgspec.DecodeError as error:
                raise commands.refuse(
                    "bad-request", f"the request cannot be read: {error}", "use a client of this version"
                ) from error
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
        elif not any(fnmatch.fnmatchcase(caller, pattern) for pattern in self._config.callers):
            raise commands.refuse("no-authority", f"{caller} may not manage this array", "add it to `callers`")

    async def execute(self, command: Command) -> Answer:
        """Carry out one command."""
        image = self._engine.image.image
        verb = VERBS.get(command.verb)
        if verb is None:
            raise commands.refuse("bad-request", f"unknown verb {command.verb!r}", "use a client of this version")
        unknown = sorted(command.options.keys() - {*verb.options, *COMMON})
        if unknown:
            raise commands.refuse(
                "bad-request", f"{command.verb} takes no option {unknown[0]!r}", f"it takes {', '.join(verb.options)}"
            )
        if command.options.get("dev", image) != image:
            raise commands.refuse("wrong-array", f"this is {image}, not {command.options['dev']}", "check -dev")
        return await self._carry_out(command)

    async def _carry_out(self, command: Command) -> Answer:
        image = self._engine.image.image
        if command.verb in ("failover", "failback", "resume"):
            return Answer(image, outcomes=await self._together(command))
        if command.verb in ("mkflash", "resyncflash", "reverseflash"):
            return Answer(image, outcomes=await self.flashing.make(command))
        if command.verb == "mkvolume":
            return Answer(image, outcomes=await self._make_volumes(command))
        if command.verb in PROVISIONS:
            outcomes = []
            for name in command.objects:
                outcomes.append(self._provision(name, command))
                await asyncio.sleep(0)  # hosts and mirrors are served between one object and the next
            return Answer(image, outcomes=outcomes)
        single = self._singles.get(command.verb)
        if single is not None:
            return Answer(image, outcomes=[await self._one(single, name, command) for name in command.objects])
        return Answer(image, rows=await self._query(command))

    @staticmethod
    async def _one(action: Action, name: str, command: Command) -> Outcome:
        try:
            await action(name, command)
        except (HoldfastError, OSError) as error:
            return failed(name, error)
        return Outcome(name)

    async def _make_volumes(self, command: Command) -> list[Outcome]:
        """Make volumes a batch at a time, each in one step; as long as it took, hosts and mirrors are served."""
        outcomes: list[Outcome] = []
        loop = asyncio.get_running_loop()
        for start in range(0, len(command.objects), _MAKE_TOGETHER):
            names, began = command.objects[start : start + _MAKE_TOGETHER], loop.time()
            try:
                refused = make_volumes(self._engine, names, command.options)
            except OSError as error:
                outcomes += [failed(name, error) for name in names]
            else:
                outcomes += [failed(name, refused[name]) if name in refused else Outcome(name) for name in names]
            await asyncio.sleep(loop.time() - began)
        return outcomes

    def _provision(self, name: str, command: Command) -> Outcome:
        try:
            return Outcome(PROVISIONS[command.verb](self._engine, name, command.options))
        except (HoldfastError, OSError) as error:
            return failed(name, error)

    # --- queries -----------------------------------------------------------------------------------------------------

    async def _query(self, command: Command) -> Rows:
        engine = self._engine
        wanted = {parse_volume(name) for name in command.objects if command.verb != "lsspaths"}
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
                return [views.link_row(self._mirror, peer) for peer in sorted(self._mirror.links)]
            case "lsspaths":
                peers = sorted(self._mirror.links)
                subsystems = {parse_subsystem(name) for name in command.objects}
                return [
                    views.path_row(self._mirror, path) for path in commands.paths_of(engine.machine, subsystems, peers)
                ]
            case "pools" | "volgroups" | "hosts":
                return views.STORES[command.verb](engine)
            case "connections":
                return [{"export": str(export)} for export in self._nbd.connections()]
            case "digest":
                return [{"id": name, "blake3": await self._digest(name)} for name in sorted(wanted)]
            case "revoke":
                return [self._revoke(str(command.options["host"]), int(command.options["key"]))]
            case _:
                return [{"image": engine.image.image, "nbd": self._config.nbd, "volumes": len(engine.image.volumes)}]

    async def _digest(self, volume: str) -> str:
        size = commands.find_volume(self._engine.image, volume).size_bytes
        hasher = blake3()
        for offset in range(0, size, _DIGEST_STEP):
            hasher.update(self._engine.read(volume, offset, min(_DIGEST_STEP, size - offset)))
            await asyncio.sleep(0)
        return hasher.hexdigest()

    def _revoke(self, host: str, key: int) -> dict[str, Any]:
        """Bar the host; the row is the evidence that no write of it can be applied any more."""
        self._engine.commit(storage.revoke(self._engine.machine, host, key))
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

    async def _make_pair(self, name: str, command: Command) -> None:
        volume, remote = self._pair(name, command)
        await self._pairing.establish(volume, remote, _modes(command))

    async def _remove_pair(self, name: str, command: Command) -> None:
        volume, remote = self._named(name, command)
        await self._pairing.remove(volume, remote, bool(command.options.get("unconditional", False)), _end(command))

    async def _pause(self, name: str, command: Command) -> None:
        if _end(command) == "tgt":
            self._pairing.pause_target(*self._named(name, command))
        else:
            await self._pairing.pause([self._pair(name, command)])

    async def _make_path(self, name: str, command: Command) -> None:
        ports = tuple(str(port) for port in command.options.get("ports") or DEFAULT_PORTS)
        path = replace(self._path(name, command), consistent=bool(command.options.get("consistgrp")), ports=ports)
        self._engine.commit(commands.make_path(self._engine.machine, path))

    async def _remove_path(self, name: str, command: Command) -> None:
        self._pairing.drop_path(self._path(name, command), bool(command.options.get("force", False)))

    async def _freeze(self, name: str, command: Command) -> None:
        """Hold the writes of a source subsystem and suspend its pairs to the target's: all at one point in time."""
        source, target = split_subsystems(name)
        self._pairing.freeze(source, target, command.options.get("remote"))

    async def _thaw(self, name: str, command: Command) -> None:
        """Let the writes of a subsystem go."""
        subsystem, _ = split_subsystems(name)
        if not self._mirror.busy.thaw(subsystem):
            raise commands.refuse("not-frozen", f"no writes of {subsystem} are held", "they were let go, or never held")

    # --- changes of several objects together -------------------------------------------------------------------------

    async def _together(self, command: Command) -> list[Outcome]:
        try:
            pairs = [self._pair(name, command) for name in command.objects]
            if command.verb == "failover":
                await self._pairing.failover(pairs, bool(command.options.get("force", False)))
            else:
                await self._pairing.restart_copy(pairs, command.verb, _modes(command))
        except HoldfastError as error:
            return [failed(name, error) for name in command.objects]
        return [Outcome(name) for name in command.objects]

    # --- names -------------------------------------------------------------------------------------------------------

    def _path(self, name: str, command: Command) -> Path:
        source, target = split_subsystems(name)
        remote = command.options.get("remote") or (
            next(iter(self._mirror.links)) if len(self._mirror.links) == 1 else ""
        )
        if remote not in self._mirror.links:
            known = ", ".join(sorted(self._mirror.links)) or "none"
            reason = f"{remote or 'no array'} is not a configured peer"
            raise commands.refuse("no-peer", reason, f"give -remotedev; peers: {known}")
        return Path(str(remote), source, target)

    def _pair(self, name: str, command: Command) -> tuple[str, Endpoint]:
        local, other = split_pair(name)
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
        first, second = split_pair(name)
        pair = self._engine.image.pairs.get(second)
        if pair is not None and pair.standing.role is Role.TARGET and pair.remote.volume == first:
            return second, pair.remote
        return self._pair(name, command)


def _modes(command: Command) -> Modes:
    given = command.options
    return Modes(
        bool(given.get("copy", True)), given.get("critmode"), given.get("tgtread"), bool(given.get("suspend", False))
    )


def _end(command: Command) -> str | None:
    end = command.options.get("at")
    if end not in (None, "", *_ENDS):
        raise InputError(f"-at {end} is not known", remedy="use src or tgt")
    return end or None


def _in(name: str, wanted: set[str]) -> bool:
    return not wanted or name in wanted
