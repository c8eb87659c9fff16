"""Runs dscli for an agent, inside the workload, with the credentials that the resource's attributes name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from holdfast.cluster.ports import AgentContext, CommandResult
from holdfast.continuity.plan.metromirror import PairRow
from holdfast.kernel.errors import Refusal, Refused, Unavailable
from holdfast.replication.drivers.ds8000 import Console, Ds8000, ExitKind, Output, Request, commands, parse, query

COMMAND_TIMEOUT_S = 60.0
RETRY_PAUSE_S = 1.0
RETRIES = 3


class CopyServices:
    """The local array of a MetroMirror resource, through dscli."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        console = Console(
            program=(f"{context.text('DSCliHome')}/dscli",),
            hmc1=context.text("HMC1"),
            hmc2=context.text("HMC2"),
            user=context.text("User"),
            pwfile=context.text("PasswdFile"),
        )
        self._array = Ds8000(console, context.text("LocalStorageImageID"))
        self._remote = context.text("RemoteStorageImageID")

    async def pairs(self, volumes: Sequence[str]) -> tuple[PairRow, ...]:
        """Return the local array's view of the volumes' pairs. Raises ``Unavailable`` or ``Refused``."""
        output = await self._query(query("lspprc", self._array.dev, tuple(volumes)))
        rows = []
        for row in output.rows:
            source, _, target = row["ID"].partition(":")
            local = target if row["State"].startswith("Target") else source
            rows.append(PairRow(local, row["State"], row["Reason"]))
        return tuple(rows)

    async def failover(self, volumes: Sequence[str]) -> CommandResult:
        """Make targets writable here: failoverpprc at the local array, local volume first."""
        return await self._change("failover", volumes)

    async def failback(self, volumes: Sequence[str]) -> CommandResult:
        """Copy what changed to the other array and mirror in this direction."""
        return await self._change("failback", volumes)

    async def flash(self, pairs: Sequence[str]) -> None:
        """Make flash copies, source to target, all at one point in time. Raises ``Refused`` with what was said."""
        await self._insist(Request("mkflash", self._array.dev, tuple(pairs), options=("-nocp",)))

    async def withdraw(self, pairs: Sequence[str]) -> None:
        """Withdraw flash copies. Raises ``Refused``."""
        await self._insist(Request("rmflash", self._array.dev, tuple(pairs)))

    async def flashes(self, pairs: Sequence[str]) -> tuple[str, ...]:
        """Return those of ``pairs`` that are flash copies now."""
        sources = [pair.partition(":")[0] for pair in pairs]
        found = {row["ID"] for row in (await self._query(query("lsflash", self._array.dev, sources))).rows}
        return tuple(pair for pair in pairs if pair in found)

    async def _insist(self, request: Request) -> None:
        words = commands(request, {})
        result = await self._run(words)
        self._check(words, parse(result.stdout, result.stderr, result.code))

    async def _change(self, verb: str, volumes: Sequence[str]) -> CommandResult:
        pairs = tuple(f"{volume}:{volume}" for volume in volumes)
        return await self._run(commands(Request(verb, self._array.dev, pairs, self._remote), {}))

    async def _query(self, words: Sequence[str]) -> Output:
        for attempt in range(RETRIES):
            result = await self._run(words)
            output = parse(result.stdout, result.stderr, result.code)
            if output.ended is not ExitKind.CONNECTION:
                break
            if attempt + 1 < RETRIES:
                await asyncio.sleep(RETRY_PAUSE_S)
        if output.ended is ExitKind.CONNECTION:
            raise Unavailable(f"the console of {self._array.dev} does not answer")
        return self._check(words, output)

    def _check(self, words: Sequence[str], output: Output) -> Output:
        if output.failures or output.ended is not ExitKind.DONE:
            said = "; ".join(f"{failure.id} {failure.text}".strip() for failure in output.failures)
            raise Refused(Refusal("dscli", f"{words[0]} at {self._array.dev}: {said or output.ended.name}"))
        return output

    async def _run(self, words: Sequence[str]) -> CommandResult:
        return await self._context.commands.run(
            self._array.argv(words), timeout_s=COMMAND_TIMEOUT_S, env=dict(self._context.environment)
        )
