"""What a drill measured and how it ended: the object that ``holdfast drill --json`` prints.

Every figure comes from the part that did the work; a figure that was not reached stays ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

INTERRUPTED = "it was interrupted"
"""What is seen of a drill that a signal ended."""


@dataclass(slots=True)
class StepResult:
    """One step of the drill: its name, whether it held, how long it took, what it measured."""

    name: str
    ok: bool
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Failure:
    """Why a drill failed: the step, what was expected, what was seen, and where the logs are."""

    step: str
    expected: str
    seen: str
    logs: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Trouble:
    """One case of the trouble step: how it ended, why, and how many acknowledged writes were lost."""

    case: str
    outcome: str
    reason: str
    lost_writes: int


@dataclass(slots=True)
class Report:
    """The whole drill."""

    mode: str
    seed: int
    verdict: str = "fail"
    skipped: list[str] = field(default_factory=list)
    steps: list[StepResult] = field(default_factory=list)
    acknowledged_writes: int | None = None
    lost_writes: int | None = None
    failover_seconds: float | None = None
    switch_seconds: float | None = None
    flash_resync: dict[str, int] = field(default_factory=dict)
    failback: dict[str, int] = field(default_factory=dict)
    backup: dict[str, int] = field(default_factory=dict)
    restore: dict[str, int] = field(default_factory=dict)
    reconcile: dict[str, int] = field(default_factory=dict)
    trouble: list[Trouble] = field(default_factory=list)
    failure: Failure | None = None
