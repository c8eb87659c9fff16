"""Which triggers an event fires, and with which arguments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import CleanReason, GroupFact, Intent, Note, ResourceFact, ResourceState, Wanted
from holdfast.cluster.plan.triggers import of_group, of_notes, of_systems, preonline

UP = ResourceFact(ResourceState.ONLINE, probed=True)
DOWN = ResourceFact(ResourceState.OFFLINE, probed=True)


def web(attributes: str = "") -> Group:
    text = "type Thing ( str X )\ncluster c ( )\nsystem s1 ( )\nsystem s2 ( )\n"
    text += f"group web ( SystemList = {{ s1, s2 }} {attributes} )\nThing site ( )\nThing log ( )\n"
    return build({"main.cf": text}).groups["web"]


def fired(
    group: Group, before: tuple[ResourceFact, ResourceFact], after: tuple[ResourceFact, ResourceFact]
) -> list[str]:
    facts = [GroupFact("web", "s1", "1", 1, True, {"site": site, "log": log}) for site, log in (before, after)]
    found = of_group(group, facts[0], facts[1], Intent("web", "s1", "1", Wanted.ONLINE))
    return [" ".join((firing.name, *firing.arguments)) for firing in found]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((DOWN, UP), (UP, UP), ["postonline 0 s1 web"]),
        ((UP, DOWN), (DOWN, DOWN), ["postoffline 0 s1 web"]),
        ((UP, UP), (replace(DOWN, faulted=True), UP), ["resfault 0 s1 site ONLINE"]),
        ((UP, UP), (replace(UP, clean_failing=True), UP), ["resnotoff 0 s1 site"]),
        ((UP, UP), (replace(UP, admin_wait=CleanReason.MONITOR_HUNG), UP), ["resadminwait s1 site 5"]),
        ((UP, UP), (replace(UP, restarts=1), UP), []),
        ((UP, UP), (UP, UP), []),
    ],
)  # fmt: skip
def test_changes_of_resources(before: object, after: object, expected: list[str]) -> None:
    assert fired(web(), before, after) == expected  # type: ignore[arg-type]


def test_some_triggers_run_only_where_the_group_lists_them() -> None:
    listed = web("TriggersEnabled @s1 = { RESSTATECHANGE, RESRESTART }")
    assert fired(listed, (DOWN, DOWN), (replace(UP, restarts=1), DOWN)) == [
        "resrestart 0 s1 site",
        "resstatechange 0 s1 site OFFLINE ONLINE",
    ]
    elsewhere = web("TriggersEnabled @s2 = { RESSTATECHANGE, RESRESTART }")
    assert fired(elsewhere, (DOWN, DOWN), (replace(UP, restarts=1), DOWN)) == []


def test_what_is_found_at_first_fires_nothing() -> None:
    after = GroupFact("web", "s1", "1", 1, True, {"site": UP, "log": UP})
    assert not list(of_group(web(), None, after, None))
    unprobed = replace(after, resources={"site": ResourceFact(), "log": ResourceFact()})
    assert not list(of_group(web(), unprobed, after, None))


def test_a_second_system_that_runs_a_failover_group_is_a_violation() -> None:
    before = GroupFact("web", "s2", "1", 1, True, {"site": DOWN, "log": DOWN})
    after = replace(before, resources={"site": UP, "log": DOWN})
    names = [(one.name, one.arguments) for one in of_group(web(), before, after, Intent("web", "s1", "1"))]
    assert ("violation", ("s2", "web")) in names
    assert not list(of_group(web("Parallel = 1"), before, after, Intent("web", "s1", "1", at="s1")))


def test_preonline_says_why_and_can_be_passed_over() -> None:
    asked, intent = web("PreOnline = 1"), Intent("web", "s2", "1", Wanted.ONLINE)
    firing = preonline(asked, intent, "s2")
    assert firing is not None
    assert firing.arguments == ("0", "s2", "web", "MANUAL")
    firing = preonline(asked, replace(intent, cause="s1"), "s2")
    assert firing is not None
    assert firing.arguments == ("0", "s2", "web", "FAULT", "s1")
    assert preonline(asked, replace(intent, nopre=True), "s2") is None
    assert preonline(web(), intent, "s2") is None


def test_systems_come_and_go() -> None:
    def told(before: dict[str, str], after: dict[str, str]) -> list[str]:
        return [" ".join((one.name, *one.arguments)) for one in of_systems(before, after)]

    assert told({}, {"s1": "alive", "s2": "uncertain"}) == ["sysup s1 RUNNING"]
    assert told({"s1": "alive", "s2": "uncertain"}, {"s1": "alive", "s2": "alive"}) == ["sysjoin s2 RUNNING"]
    assert told({"s1": "alive", "s2": "alive"}, {"s1": "dead", "s2": "left"}) == [
        "sysoffline s1 FAULTED",
        "sysoffline s2 EXITED",
    ]
    assert told({"s1": "uncertain"}, {"s1": "dead"}) == []


def test_nofailover_fires_once_for_a_group_that_nobody_can_take() -> None:
    intents = {"web": Intent("web", "s1", "1", Wanted.ONLINE)}
    note = Note("web", "no-target", "nobody can")
    assert [one.arguments for one in of_notes([note], {}, intents)] == [("s1", "web")]
    assert not list(of_notes([note], {"web": Note("web", "no-evidence")}, intents))
    assert not list(of_notes([note], {}, {"web": replace(intents["web"], wanted=Wanted.OFFLINE)}))
