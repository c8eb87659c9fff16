"""Runs the steps of a drill in order, keeps the report, and says exactly what failed.

The table :data:`STEPS` is the drill. A step that fails ends the drill; the lab is taken down by whoever made it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.continuity.model.report import INTERRUPTED, Failure, Report, StepResult
from holdfast.continuity.service.drill import (
    backup,
    boot,
    disaster,
    failback,
    protect,
    recover,
    snapshot,
    switch,
    trouble,
    vault,
)
from holdfast.continuity.service.drill.stage import Stage, StepFailed
from holdfast.kernel.errors import HoldfastError

SEEN_LIMIT = 1200
"""How many characters of what was seen a report keeps."""

Run = Callable[[Stage], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a name for programs, a title for people, and what it does; it returns its figures."""

    name: str
    title: str
    run: Run


STEPS: tuple[Step, ...] = (
    Step("boot", "Two sites, two arrays, two backup servers, a witness", boot.run),
    Step("protect", "Mirror the volumes, bring the service online, put it under load", protect.run),
    Step("snapshot", "Flash copy of the running service, resynced in maintenance mode", snapshot.run),
    Step("backup", "Back the service up from the flash copy", backup.run),
    Step("vault", "Storage pool and database of DELHI to TOKYO as virtual volumes", vault.run),
    Step("switch", "Move the service within the site, to the other site, and home", switch.run),
    Step("disaster", "Site 1 dies with everything in it", disaster.run),
    Step("recover", "A new DELHI from the vault; reconcile; restore; compare", recover.run),
    Step("failback", "Site 1 returns; only changed tracks travel; home again", failback.run),
    Step("trouble", "Mirror loss, isolation and a paused system, at the worst moments", trouble.run),
)


def run_drill(stage: Stage, until: str = "") -> Report:
    """Run the steps, up to and including ``until`` if given; the report's verdict says how it ended."""
    report = stage.report
    for step in STEPS:
        stage.narrator.step(step.name, step.title)
        began = time.monotonic()
        try:
            figures = dict(step.run(stage))
        except (Exception, KeyboardInterrupt) as error:
            report.steps.append(StepResult(step.name, False, round(time.monotonic() - began, 2)))
            report.failure = _failure(step.name, error, stage)
            stage.narrator.failed(report.failure)
            if isinstance(error, KeyboardInterrupt):
                raise
            return report
        seconds = round(time.monotonic() - began, 2)
        report.steps.append(StepResult(step.name, True, seconds, figures))
        stage.narrator.done(step.name, seconds)
        if step.name == until:
            report.skipped += [f"step {later.name}: not reached" for later in STEPS[STEPS.index(step) + 1 :]]
            break
    report.acknowledged_writes = stage.load.count()
    report.verdict = "pass"
    return report


def _failure(step: str, error: BaseException, stage: Stage) -> Failure:
    """Say what a step failed on. This is the supervisor of the steps: whatever one raises ends as a report."""
    if isinstance(error, StepFailed):
        return Failure(step, error.expected, _shortened(error.seen), error.logs)
    if isinstance(error, KeyboardInterrupt):
        return Failure(step, "the drill to run to its end", INTERRUPTED)
    seen = str(error) if isinstance(error, HoldfastError) else f"{type(error).__name__}: {error}"
    return Failure(step, "every command of the step to succeed", _shortened(seen), stage.logs())


def _shortened(seen: str) -> str:
    return seen if len(seen) <= SEEN_LIMIT else f"{seen[:SEEN_LIMIT]} … ({len(seen) - SEEN_LIMIT} characters more)"
