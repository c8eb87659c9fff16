"""Types of products that Holdfast does not drive: a configuration that names them loads, and each resource says what
to use instead. Better a plain word at the first monitor than a group that fails half-way through a failover.
"""

from __future__ import annotations

from typing import NoReturn

from holdfast.cluster.model.facts import CleanReason
from holdfast.cluster.ports import AgentBase, AgentContext, MonitorResult
from holdfast.kernel.errors import InputError


class Absent(AgentBase):
    """Refuses everything that would need the product; clean has nothing that it could do."""

    def __init__(self, product: str, instead: str) -> None:
        self._product, self._instead = product, instead

    def _refuse(self, context: AgentContext) -> NoReturn:
        raise InputError(f"{context.resource}: {self._product} is not driven here", remedy=self._instead)

    async def online(self, context: AgentContext) -> float:
        """Refuse."""
        self._refuse(context)

    async def offline(self, context: AgentContext) -> float:
        """Refuse."""
        self._refuse(context)

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Refuse."""
        self._refuse(context)

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Nothing was started, so nothing can be cleaned, and nobody can say that it is gone."""
        return False
