"""Plans: what will be done, in which order, and why, before anything is done.

A planner returns a :class:`Plan`; an executor runs each :class:`Step` once every step it waits for has succeeded.
A plan is a value: it can be printed, stored, compared with an expectation and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from holdfast.kernel.errors import Refusal


def _frozen(values: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(values))


@dataclass(frozen=True, slots=True)
class Step:
    """One action of a plan. ``after`` names the steps that must have succeeded before this one may start."""

    id: str
    action: str
    args: Mapping[str, str] = field(default_factory=lambda: _frozen({}))
    after: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps with reasons; ``refusals`` says what was asked for and will not be done, and why."""

    steps: tuple[Step, ...] = ()
    reasons: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for step in self.steps:
            if step.id in seen:
                raise ValueError(f"step {step.id!r} stands twice in the plan")
            missing = [name for name in step.after if name not in seen]
            if missing:
                raise ValueError(f"step {step.id!r} waits for {missing}, which do not stand before it")
            seen.add(step.id)

    @property
    def quiet(self) -> bool:
        """True when there is nothing to do: facts equal intent."""
        return not self.steps
