"""Step 10, trouble: three of the worst orders in which things fail. Each ends in a takeover that loses nothing, or in
a refusal that says why and what a person can do. Never two writers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from holdfast.continuity.model.report import Trouble
from holdfast.continuity.model.sites import MIRRORED, Link
from holdfast.continuity.service.drill import disaster, failback, mirror, switch
from holdfast.continuity.service.drill.stage import LEDGER, Stage

LEAST_WRITES = 500
"""What the load must have had acknowledged over the whole drill, or "none lost" would say little."""
GRACE_S = 2.0
"""How long a takeover that was refused is given the chance to happen all the same; every deadline is past by then."""


def run(stage: Stage) -> Mapping[str, Any]:
    """Run every case from the same start: the group at home, the pairs in full duplex."""
    for case in (mirror_then_site, network_then_mirror, paused_system):
        trouble = case(stage)
        stage.report.trouble.append(trouble)
        stage.narrator.note(f"{trouble.case}: {trouble.outcome}. {trouble.reason}")
        stage.insist(trouble.lost_writes == 0, "lost acknowledged writes: 0", trouble.lost_writes)
        stage.insist_one_writer()
    stage.report.lost_writes = stage.lost_writes()
    stage.insist(
        stage.load.count() >= LEAST_WRITES, f"{LEAST_WRITES} acknowledged writes", stage.load.count(), "client"
    )
    return {"cases": len(stage.report.trouble)}


def mirror_then_site(stage: Stage) -> Trouble:
    """The mirror fails, the source goes on alone, then its site dies: site 2 must not take over stale data."""
    owner = stage.owner()
    stage.sites.cut(Link.MIRROR)
    stage.await_writes(10)
    mirror.await_states(stage, 1, "Suspended")
    disaster.kill_site(stage, 1)
    note = stage.until("a refusal to take over", lambda: _refusal(stage), 20)
    _insist_nobody_starts(stage)
    disaster.revive_site(stage, 1)
    stage.await_online(owner, 40)
    stage.await_writes(5)
    lost = stage.lost_writes()
    one, two = mirror.array_of(stage, 1), mirror.array_of(stage, 2)
    pairs = [f"{volume}:{volume}" for volume in MIRRORED]
    stage.dscli(owner, "resumepprc", "-dev", one, "-remotedev", two, "-type", "mmir", *pairs)
    mirror.await_states(stage, 1, "Full Duplex")
    return Trouble("mirror, then site", "refused", f"{note['text']}; remedy: {note['remedy']}", lost)


def network_then_mirror(stage: Stage) -> Trouble:
    """Site 1 is cut off from the witness and everyone else, then the mirror fails too: site 2 takes over."""
    owner = stage.owner()
    stage.sites.cut(Link.SITE1)
    time.sleep(0.2)
    stage.sites.cut(Link.MIRROR)
    stage.until("the group online at site 2", lambda: _taken_over(stage, owner), 40, *stage.systems(2))
    stage.await_writes(5)
    evidence = stage.group()["evidence"]
    stage.sites.mend(Link.SITE1)
    stage.sites.mend(Link.MIRROR)
    stage.until(
        "the isolated array refusing writes", lambda: all(r["write_inhibited"] for r in mirror.pair_rows(stage, 1)), 15
    )
    lost = stage.lost_writes()
    failback.fail_back(stage)
    return Trouble("network, then mirror", "takeover", f"{evidence['kind']}: {evidence['text']}", lost)


def paused_system(stage: Stage) -> Trouble:
    """A whole system is stopped past its deadline, the group moves, the system wakes: its late writes must bounce."""
    owner, other = stage.systems(1)
    stage.sites.pause(owner)
    stage.await_online(other, 40)
    stage.await_writes(5)
    evidence = stage.group()["evidence"]
    stage.insist(evidence["kind"] == "fenced", "the array's confirmation before a takeover beside it", evidence, other)
    stage.sites.resume(owner)
    stage.until("the guard's kill on the woken system", lambda: not stage.sites.processes(owner, LEDGER), 5, owner)
    stage.await_writes(5)
    lost = stage.lost_writes()
    stage.until("the woken system back in the cluster", lambda: stage.group()["probed"][owner], 20, owner)
    switch.switch_to(stage, other, owner)
    return Trouble("paused system", "takeover", f"{evidence['kind']}: {evidence['text']}", lost)


def _taken_over(stage: Stage, isolated: str) -> bool:
    """Whether the group is online at site 2. The service there and on the isolated system at once is two writers."""
    there = [name for name in stage.systems(2) if stage.sites.processes(name, LEDGER)]
    if there:
        here = stage.sites.processes(isolated, LEDGER)
        stage.insist(not here, f"the guard's kill on {isolated} before {there[0]} starts", "two writers", isolated)
    return stage.online_on() in [[name] for name in there]


def _refusal(stage: Stage) -> Mapping[str, Any] | None:
    note = stage.group()["note"]
    assert isinstance(note, dict)
    return note if note["code"] == "data-not-current" else None


def _insist_nobody_starts(stage: Stage) -> None:
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        online = stage.online_on()
        stage.insist(not online, "no takeover without the last writes", f"online on {online}", *online)
        time.sleep(0.2)
