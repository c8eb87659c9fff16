"""The four tests that the Metro Mirror agent's guide describes, in a replicated data cluster, its states asserted.

Migration, host failure, disaster and failback, in the guide's order and with its commands: four systems in two system
zones, two arrays that mirror, the ledger under load. Where the guide clicks *Switch To*, ``hagrp -switch`` is typed;
what it says of the volumes is read with ``lspprc`` from the array that it speaks of. In the end no acknowledged record
is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from holdfast.continuity.model.report import Report
from holdfast.continuity.model.sites import GROUP, MIRROR_RESOURCE, MIRRORED, Link
from holdfast.continuity.service.drill import boot, disaster, mirror, protect
from holdfast.continuity.service.drill.stage import Stage
from holdfast.lab.narrate import SilentNarrator
from holdfast.lab.sites import LabSites

SEED = 20021


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    sites = LabSites(tmp_path, root=False, seed=SEED)
    try:
        made = Stage(sites, SilentNarrator(), Report("user", SEED))
        boot.run(made)
        protect.run(made)
        yield made
    finally:
        sites.close()


def shown(stage: Stage, site: int) -> set[tuple[str, str]]:
    """State and reason of the mirrored volumes, as ``lspprc`` prints them at a site's array."""
    host = stage.systems(site)[0] if stage.sites.alive(stage.systems(site)[0]) else stage.systems(3 - site)[0]
    array = mirror.array_of(stage, site)
    out = stage.dscli(host, "lspprc", "-fmt", "delim", "-bnr", "off", "-hdr", "off", *MIRRORED, image=array)
    return {(row.split(",")[1], row.split(",")[2]) for row in out.splitlines() if ":" in row}


def await_shown(stage: Stage, site: int, state: str, reason: str = "-") -> None:
    stage.until(f"{state} ({reason}) at site {site}", lambda: shown(stage, site) == {(state, reason)}, 30)


def switch_to(stage: Stage, system: str) -> None:
    stage.run(system, "hagrp", "-switch", GROUP, "-to", system)
    stage.await_online(system)
    stage.await_writes(3)
    stage.insist_one_writer()


def resource_states(stage: Stage, system: str) -> set[str]:
    """The states of the group's resources on a system, as ``hares -state`` prints them."""
    out = stage.run(system, "hares", "-state")
    rows = [line.split() for line in out.splitlines() if not line.startswith("#")]
    return {row[3] for row in rows if len(row) == 4 and row[2] == system}


def migration(stage: Stage, hosta: str, hostb: str, hostc: str) -> None:
    """Switch To hostb: volumes remain FULL DUPLEX. To hostc: they become it, from TARGET FULL DUPLEX. And home."""
    await_shown(stage, 1, "Full Duplex")
    await_shown(stage, 2, "Target Full Duplex")
    switch_to(stage, hostb)
    assert shown(stage, 1) == {("Full Duplex", "-")}, "the local volumes remain in FULL DUPLEX"
    assert shown(stage, 2) == {("Target Full Duplex", "-")}
    assert resource_states(stage, hostb) == {"ONLINE"}
    assert resource_states(stage, hosta) == {"OFFLINE"}
    switch_to(stage, hostc)
    await_shown(stage, 2, "Full Duplex")
    await_shown(stage, 1, "Target Full Duplex")
    assert resource_states(stage, hostc) == {"ONLINE"}
    switch_to(stage, hosta)
    await_shown(stage, 1, "Full Duplex")
    await_shown(stage, 2, "Target Full Duplex")


def host_failure(stage: Stage, hosta: str, hostb: str) -> None:
    """Halt hosta: the group goes to hostb, FULL DUPLEX. Halt hostb: to hostc or hostd, roles swapped. Home again."""
    stage.sites.kill(hosta)
    stage.await_online(hostb, 40)
    stage.await_writes(3)
    assert shown(stage, 1) == {("Full Duplex", "-")}
    stage.sites.kill(hostb)
    owner = stage.until("the group in the other zone", lambda: one_of(stage, stage.systems(2)), 40)
    stage.await_writes(3)
    await_shown(stage, 2, "Full Duplex")
    await_shown(stage, 1, "Target Full Duplex")
    assert resource_states(stage, owner) == {"ONLINE"}
    stage.sites.start(hosta, hostb)
    stage.until("hosta ready to take it", lambda: stage.group()["probed"][hosta], 30)
    switch_to(stage, hosta)
    await_shown(stage, 1, "Full Duplex")
    await_shown(stage, 2, "Target Full Duplex")


def one_of(stage: Stage, systems: list[str]) -> str:
    online = stage.online_on()
    return online[0] if len(online) == 1 and online[0] in systems else ""


def disaster_at_site_1(stage: Stage) -> str:
    """Everything at the source goes at once: the group goes to hostc or hostd, its volumes are SUSPENDED there."""
    disaster.kill_site(stage, 1)
    owner = stage.until("the group at site 2", lambda: one_of(stage, stage.systems(2)), 40)
    stage.await_writes(3)
    await_shown(stage, 2, "Suspended", "Host Source")
    assert stage.group()["evidence"]["kind"] == "guard deadline past"
    return str(owner)


def failback(stage: Stage, owner: str, hosta: str) -> None:
    """Reconnect and reboot, offline with -any, the failback action, FULL DUPLEX and TARGET FULL DUPLEX, home."""
    disaster.revive_site(stage, 1)
    stage.until("hosta back", lambda: stage.group()["probed"][hosta], 40)
    stage.run(hosta, "hagrp", "-offline", GROUP, "-any")
    stage.until("the group offline", lambda: not stage.online_on(), 30)
    assert resource_states(stage, owner) == {"OFFLINE"}
    stage.run(owner, "hares", "-action", MIRROR_RESOURCE, "failback", "-sys", owner)
    await_shown(stage, 2, "Full Duplex")
    await_shown(stage, 1, "Target Full Duplex")
    mirror.insist_equal_bytes(stage, "after the failback")
    stage.run(owner, "hagrp", "-online", GROUP, "-sys", hosta)
    stage.await_online(hosta, 40)
    stage.await_writes(3)
    await_shown(stage, 1, "Full Duplex")
    await_shown(stage, 2, "Target Full Duplex")


def test_the_guides_four_tests_in_a_replicated_data_cluster(stage: Stage) -> None:
    hosta, hostb, hostc, _ = stage.systems()
    migration(stage, hosta, hostb, hostc)
    host_failure(stage, hosta, hostb)
    owner = disaster_at_site_1(stage)
    failback(stage, owner, hosta)
    assert stage.load.count() > 50
    assert stage.lost_writes() == 0


def refused(stage: Stage) -> Mapping[str, str] | None:
    note: Mapping[str, str] = stage.group()["note"]
    return note if note["code"] == "data-not-current" else None


def test_a_group_whose_mirror_was_cut_before_does_not_fail_over(stage: Stage) -> None:
    """The guide's condition: only if all volumes were in TARGET FULL DUPLEX and no copy was in progress."""
    stage.sites.cut(Link.MIRROR)
    stage.await_writes(5)
    await_shown(stage, 1, "Suspended", "Internal Conditions Target")
    disaster.kill_site(stage, 1)
    note = stage.until("a refusal", lambda: refused(stage), 40)
    assert "not recorded as current" in note["text"]
    assert not stage.online_on()
