"""Runs dscli for an agent, inside the workload, with the credentials that the resource's attributes name.

The steps are the driver's (``replication/drivers/ds8000.py``); here they are taken on the event loop, one command at a
time for an array, within the time that the entry point has left. No change is begun with less time than it needs: cut
off half-way it would leave volumes between two states, while one that was never begun leaves them as they were.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from dataclasses import replace
from typing import TypeVar

from holdfast.cluster.ports import OUTPUT_LIMIT_BYTES, AgentContext, CommandResult
from holdfast.continuity.plan.metromirror import OtherSide, PairRow
from holdfast.kernel.errors import HoldfastError, Unavailable
from holdfast.replication.drivers import dscli_process
from holdfast.replication.drivers.ds8000 import Call, Changed, Console, Request, changing, insist, listing, read
from holdfast.replication.drivers.dscli_answer import Output, query
from holdfast.replication.drivers.dscli_process import LOCALE, NotStarted, Said, Turn
from holdfast.replication.model.identity import parse_subsystem

COMMAND_TIMEOUT_S = 60.0
CHANGE_NEEDS_S = 10.0
"""A change is begun only with as much time left: a console under load takes seconds to log in and to answer."""
RETRY_PAUSE_S = 1.0
RETRIES = 3
OTHER_BOX_S = 10.0
_TURN_STEP_S = 0.05
_MISSING = frozenset({126, 127})
BATCH, LONG_BATCH = OUTPUT_LIMIT_BYTES // 100, OUTPUT_LIMIT_BYTES // 250
"""Volumes of one list command: the workload keeps the head of what a command prints, and a list must be whole."""

Result = TypeVar("Result")


class CopyServices:
    """The local array of a MetroMirror resource, through dscli. ``deadline``: when the entry point must be done, on the
    event loop's clock; None if nobody waits."""

    def __init__(self, context: AgentContext, deadline: float | None = None) -> None:
        self._context, self._deadline = context, deadline
        self._console = Console(
            program=(f"{context.text('DSCliHome')}/dscli",),
            hmc1=context.text("HMC1"),
            hmc2=context.text("HMC2"),
            user=context.text("User"),
            pwfile=context.text("PasswdFile"),
        )
        self._dev, self._remote = context.text("LocalStorageImageID"), context.text("RemoteStorageImageID")
        self._others: dict[str, str] = {}

    async def volumes(self) -> tuple[str, ...]:
        """Return the resource's volumes: those of VolIds, and the local ones of all pairs in the subsystems of LSSList
        (an extension). Raises as :meth:`pairs`, and for a subsystem without any pair."""
        found = dict.fromkeys(self._context.names("VolIds"))
        for text in self._context.names("LSSList"):
            lss = parse_subsystem(text)
            listed = [row.volume for row in await self.pairs([f"{lss}00-{lss}FF"]) if row.volume.startswith(lss)]
            if not listed:
                reason = f"{self._dev} lists no pair in subsystem {lss}"
                raise HoldfastError(reason, "correct LSSList, or make the pairs")
            found |= dict.fromkeys(sorted(listed))
        return tuple(found)

    async def pairs(self, volumes: Sequence[str]) -> tuple[PairRow, ...]:
        """Return the local array's view of the volumes' pairs. Raises ``Unavailable`` or ``Refused``."""
        rows = []
        for row in await self._list("lspprc", volumes):
            source, _, target = row["ID"].partition(":")
            is_target = row.get("State", "").startswith("Target")
            local, other = (target, source) if is_target else (source, target)
            self._others[local] = other
            rows.append(PairRow(local, row.get("State", ""), row.get("Reason", "-")))
        return tuple(rows)

    async def other_sides(self, volumes: Sequence[str]) -> dict[str, OtherSide] | None:
        """Return what the other box shows of the volumes' pairs, by local volume; None when it does not answer in time,
        which proves nothing.

        It is asked at the consoles RemoteHMC1 and RemoteHMC2 (extensions), else at this side's, which may manage both.
        """
        context = self._context
        there = CopyServices(context)
        there._dev = self._remote
        if context.text("RemoteHMC1"):
            hmc1, hmc2 = context.text("RemoteHMC1"), context.text("RemoteHMC2")
            there._console = replace(self._console, hmc1=hmc1, hmc2=hmc2)
        asked = {self._others.get(volume, volume): volume for volume in volumes}
        try:
            async with asyncio.timeout(OTHER_BOX_S):
                rows = await there._list("lspprc", tuple(asked), long=True, patient=False)
        except (HoldfastError, TimeoutError):
            return None
        sides = dict.fromkeys(volumes, OtherSide())
        for row in rows:
            source, _, target = row["ID"].partition(":")
            is_target = row.get("State", "").startswith("Target")
            theirs, ours = (target, source) if is_target else (source, target)
            if asked.get(theirs) == ours:
                tracks = row.get("Out Of Sync Tracks", "")
                sides[ours] = OtherSide(row.get("State", ""), int(tracks) if tracks.isdecimal() else None)
        return sides

    def paired_alike(self, volumes: Sequence[str]) -> bool:
        """Whether each volume is paired with the one of the same id, as far as the last look showed."""
        return all(self._others.get(volume, volume) == volume for volume in volumes)

    async def failover(self, volumes: Sequence[str]) -> Changed:
        """Make targets writable here: failoverpprc at the local array, local volume first. Raises ``NotDone`` with what
        became of each pair, ``NotStarted`` when there is too little time left."""
        return await self._change("failover", volumes)

    async def failback(self, volumes: Sequence[str]) -> Changed:
        """Copy what changed to the other array and mirror in this direction. Raises as :meth:`failover`."""
        return await self._change("failback", volumes)

    async def flash(self, pairs: Sequence[str]) -> None:
        """Make flash copies, source to target, all at one point in time. Raises ``Refused`` with what was said."""
        await self._carry_out(Request("mkflash", self._dev, tuple(pairs), options=("-nocp",)))

    async def withdraw(self, pairs: Sequence[str]) -> None:
        """Withdraw flash copies. Raises ``Refused``."""
        await self._carry_out(Request("rmflash", self._dev, tuple(pairs)))

    async def flashes(self, pairs: Sequence[str]) -> tuple[str, ...]:
        """Return those of ``pairs`` that are flash copies now."""
        found = {row["ID"] for row in await self._list("lsflash", [pair.partition(":")[0] for pair in pairs])}
        return tuple(pair for pair in pairs if pair in found)

    # --- steps -------------------------------------------------------------------------------------------------------

    async def _list(
        self, command: str, volumes: Sequence[str], long: bool = False, patient: bool = True
    ) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = []
        batch, tries = (LONG_BATCH if long else BATCH), (RETRIES if patient else 1)
        for start in range(0, max(1, len(volumes)), batch):
            words = query(command, self._dev, tuple(volumes[start : start + batch]), long=long)
            rows += (await self._listed(words, tries)).rows
        return rows

    async def _listed(self, words: Sequence[str], tries: int) -> Output:
        second = bool(self._console.hmc2)
        for _ in range(tries - 1):
            with contextlib.suppress(Unavailable):
                return await self._drive(lambda: listing(words, self._dev, second))
            await asyncio.sleep(RETRY_PAUSE_S)
        return await self._drive(lambda: listing(words, self._dev, second))

    async def _change(self, verb: str, volumes: Sequence[str]) -> Changed:
        if any(volume not in self._others for volume in volumes):
            await self.pairs(volumes)
        pairs = tuple(f"{volume}:{self._others.get(volume, volume)}" for volume in volumes)
        return await self._carry_out(Request(verb, self._dev, pairs, self._remote))

    async def _carry_out(self, request: Request) -> Changed:
        second = bool(self._console.hmc2)
        return insist(request, await self._drive(lambda: changing(request, {}, second)))

    async def _drive(self, steps: Callable[[], Generator[Call, Output, Result]]) -> Result:
        await asyncio.to_thread(dscli_process.insist_on_secret, self._console.pwfile)
        async with self._turn():
            begun = steps()
            try:
                call = next(begun)
                while True:
                    try:
                        output = await self._run(call)
                    except HoldfastError as error:
                        call = begun.throw(error)
                    else:
                        call = begun.send(output)
            except StopIteration as stop:
                result: Result = stop.value
                return result

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        turn = Turn(self._dev, self._console.hmc1)
        loop = asyncio.get_running_loop()
        limit_s = min(dscli_process.LOCK_WAIT_S, max(0.0, self._left_s()))
        last = loop.time() + limit_s
        while not turn.take():
            if loop.time() >= last:
                raise turn.busy(limit_s)
            await asyncio.sleep(_TURN_STEP_S)
        try:
            yield
        finally:
            turn.drop()

    def _left_s(self) -> float:
        if self._deadline is None:
            return dscli_process.LOCK_WAIT_S
        return self._deadline - asyncio.get_running_loop().time()

    async def _run(self, call: Call) -> Output:
        left_s = self._left_s()
        if call.changes and left_s < CHANGE_NEEDS_S:
            text = f"{call.words[0]} was not begun: {max(0.0, left_s):.0f} s are left, it may need {CHANGE_NEEDS_S:.0f}"
            raise NotStarted(text, "raise the entry point's timeout")
        limit_s = min(COMMAND_TIMEOUT_S, max(1.0, left_s))
        argv = (self._console.exchanged if call.second else self._console).argv(call.words)
        result: CommandResult = await self._context.commands.run(
            argv, timeout_s=limit_s, env={**self._context.environment, **LOCALE}
        )
        if max(len(text.encode()) for text in (result.stdout, result.stderr)) >= OUTPUT_LIMIT_BYTES:
            raise dscli_process.flooded(OUTPUT_LIMIT_BYTES)
        if result.timed_out:
            raise dscli_process.late(limit_s)
        if result.code in _MISSING:
            raise dscli_process.missing(argv[0], f"exit code {result.code} {result.stderr.strip()[:200]}".strip())
        return read(call.words, Said(result.stdout, result.stderr, result.code))
