"""The simulation keeps its own promises: seeds hold, a seed tells the same story twice, and what is broken is found.

Each sabotage breaks one part of the production code, or of the guard; a bounded number of seeds must find it, or the
checkers prove nothing.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.cluster.model.facts import Evidence, EvidenceKind, ResourceState
from holdfast.cluster.plan import evidence, groups, local
from holdfast.cluster.service import coordinator, membership
from holdfast.cluster.service.entrypoints import EntryPoints
from holdfast.sim.guard import SimGuard
from holdfast.sim.run import run

SEEDS_TO_FIND = 60


def test_promises_hold_for_some_seeds_of_this_run(rng: random.Random) -> None:
    for seed in [rng.randrange(2**31) for _ in range(8)]:
        report = run(seed)
        assert not report.violation, f"python -m holdfast.sim --seed {seed}: {report.violation}"
        assert report.faults.total() > 5


def test_a_seed_tells_the_same_story_in_every_process() -> None:
    command = [sys.executable, "-m", "holdfast.sim", "--seed", "11", "--faulty", "60"]
    stories = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert stories[0] == stories[1]
    assert stories[0].splitlines()[-1] == "every promise was kept"


def _hasty(patch: pytest.MonkeyPatch) -> None:
    usual = membership.Membership.__init__

    def hasty(self: membership.Membership, ttl_s: float, margin_s: float, since: float) -> None:
        usual(self, ttl_s / 2, 0.0, since)

    patch.setattr(membership.Membership, "__init__", hasty)


def _no_children(patch: pytest.MonkeyPatch) -> None:
    def may_start(_group: Any, name: str, facts: Any) -> bool:
        return not facts[name].faulted and facts[name].state is ResourceState.OFFLINE

    patch.setattr(local, "_may_start", may_start)


def _credulous(patch: pytest.MonkeyPatch) -> None:
    def proof(view: Any, group: Any, intent: Any, target: str) -> evidence.Proof:
        return evidence.Proof(Evidence(EvidenceKind.GUARD_DEADLINE, "", intent.owner, intent.incarnation))

    patch.setattr(groups, "takeover", proof)


def _thaws(patch: pytest.MonkeyPatch) -> None:
    usual = local.charge

    def charge(intent: Any, *rest: Any) -> Any:
        given = usual(intent, *rest)
        frozen = intent is not None and intent.frozen
        return local.Charge(local.Mandate.RUN, "") if frozen and intent.owner == rest[0] else given

    from holdfast.cluster.service import engine

    patch.setattr(engine, "charge", charge)


def _unsure_stop(patch: pytest.MonkeyPatch) -> None:
    async def clean(self: EntryPoints, reason: Any) -> bool:
        return True

    patch.setattr(EntryPoints, "clean", clean)


def _careless(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(coordinator, "Compare", lambda key, revision: coordinator_compare_of_nothing())


def coordinator_compare_of_nothing() -> Any:
    from holdfast.store.port import Compare

    return Compare("cluster.nothing", 0)


SABOTAGE: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "observers wait half a lease": (_hasty, "one owner"),
    "a takeover needs no evidence": (_credulous, "one owner"),
    "the guard never fires": (lambda patch: patch.setattr(SimGuard, "enforce", lambda self: None), "one owner"),
    "clean is believed without a look": (_unsure_stop, ""),
    "a parent starts before its child": (_no_children, "children first"),
    "a frozen group is acted on": (_thaws, "hands off"),
    "commits compare nothing": (_careless, ""),
}


@pytest.mark.parametrize("name", SABOTAGE)
def test_sabotage_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The promise that it breaks is found broken; in some stories what follows from that shows first."""
    break_it, promise = SABOTAGE[name]
    break_it(monkeypatch)
    for seed in range(1, SEEDS_TO_FIND + 1):
        report = run(seed)
        if report.violation:
            print(f"seed {seed}: {report.violation}")
            if report.violation.startswith(promise):
                return
    pytest.fail(f"{SEEDS_TO_FIND} seeds did not find it")
