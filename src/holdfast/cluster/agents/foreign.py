"""The agent of every type that nobody registered: it runs what the type itself names.

A type made by ``holdfast type import`` names an OCF agent in AgentFile; a VCS type file names a directory of scripts
in AgentDirectory, or means the one that bears its name. Which of the two is seen in the resource's own attributes, so
nothing has to be configured for a new type, and a type that names nothing gets an error that says what to write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast.cluster.agents.ocf import OCF
from holdfast.cluster.agents.script import Script
from holdfast.cluster.model.facts import CleanReason
from holdfast.cluster.ports import Agent, AgentContext, CommandResult, MonitorResult


class Foreign:
    """Hands each entry point to the agent that the type names. ``kind`` is the type's name."""

    def __init__(self, kind: str) -> None:
        self._ocf, self._script = OCF(), Script(kind)

    def _agent(self, context: AgentContext) -> Agent:
        return self._ocf if context.text("AgentFile").lower().startswith("ocf:") else self._script

    async def open(self, context: AgentContext) -> None:
        """See ``Agent.open``."""
        await self._agent(context).open(context)

    async def close(self, context: AgentContext) -> None:
        """See ``Agent.close``."""
        await self._agent(context).close(context)

    async def online(self, context: AgentContext) -> float:
        """See ``Agent.online``."""
        return await self._agent(context).online(context)

    async def offline(self, context: AgentContext) -> float:
        """See ``Agent.offline``."""
        return await self._agent(context).offline(context)

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """See ``Agent.monitor``."""
        return await self._agent(context).monitor(context)

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """See ``Agent.clean``."""
        return await self._agent(context).clean(context, reason)

    async def action(self, context: AgentContext, name: str, arguments: Sequence[str]) -> CommandResult:
        """See ``Agent.action``."""
        return await self._agent(context).action(context, name, arguments)

    async def info(self, context: AgentContext) -> Mapping[str, str]:
        """See ``Agent.info``."""
        return await self._agent(context).info(context)
