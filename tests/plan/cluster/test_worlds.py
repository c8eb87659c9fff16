"""Reads ``worlds.toml``: small clusters in the toy world, what happens to them, and where their groups end up.

A line of ``play`` is ``fault RESOURCE SYSTEM``, ``found RESOURCE SYSTEM`` (somebody started it by hand), ``stopped
RESOURCE SYSTEM`` (somebody stopped it on purpose), ``waits RESOURCE SYSTEM`` (ManageFaults NONE), ``crash SYSTEM``,
``boot SYSTEM``, ``later SECONDS``, or a request: an operation, its group, then ``@SYSTEM``, ``+option``, ``.RESOURCE``;
``= code`` says that it is refused.
"""

from __future__ import annotations

import random
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from world import World

from holdfast.cluster.model.facts import CleanReason, Phase, RequestState, ResourceFact, ResourceState, Wanted
from holdfast.cluster.plan.status import group_flags, intent_state, resource_flags

HERE = Path(__file__).parent


def load() -> list[Any]:
    scenarios = tomllib.loads((HERE / "worlds.toml").read_text())["scenario"]
    return [pytest.param(one, id=one["name"].replace(" ", "-")) for one in scenarios]


def put(world: World, resource: str, system: str, fact: ResourceFact) -> None:
    group = world.configuration.group_of(resource)
    assert group is not None
    world.facts[group.name, system][resource] = fact


def happen(world: World, what: str, rest: list[str]) -> None:
    if what == "found":
        put(world, rest[0], rest[1], ResourceFact(ResourceState.ONLINE, probed=True))
    elif what == "stopped":
        put(world, rest[0], rest[1], ResourceFact(ResourceState.OFFLINE, probed=True, intentional=True))
    elif what == "waits":
        fact = ResourceFact(ResourceState.OFFLINE, probed=True, admin_wait=CleanReason.UNEXPECTED_OFFLINE)
        put(world, rest[0], rest[1], fact)
    elif what == "later":
        world.now += float(rest[0])
    else:
        getattr(world, what)(*rest)
    world.settle()


def play(world: World, line: str) -> None:
    words, _, code = line.partition(" = ")
    what, *rest = words.split()
    if "." not in what:
        happen(world, what, rest)
        return
    marked = {mark: [word[1:] for word in rest if word[0] == mark] for mark in "@+."}
    names = [word for word in rest if word[0] not in "@+."]
    done = world.ask(
        what, "".join(names), "".join(marked["@"]), "".join(marked["."]), **dict.fromkeys(marked["+"], "1")
    )
    assert done.code == code, done
    assert done.state is (RequestState.REFUSED if code else RequestState.DONE), done


@pytest.mark.parametrize("scenario", load())
def test_worlds(scenario: dict[str, Any]) -> None:
    systems = sorted(set(scenario["cluster"].replace(",", " ").split()) & {"s1", "s2", "s3", "s4"})
    blocks = "".join(f"system {name} ( {scenario.get('systems', {}).get(name, '')} )\n" for name in systems)
    world = World("cluster c ( )\n" + blocks + scenario["cluster"])
    world.settle()
    for line in scenario.get("play", []):
        play(world, line)
    found = {name: " ".join(sorted(world.online_on(name))) for name in scenario["expect"]}
    told = "\n".join(world.history)
    assert found == scenario["expect"], f"{told}\n{world.notes}"
    assert scenario.get("passed", "") in told, told
    assert "never" not in scenario or scenario["never"] not in told, told
    for unit, code in scenario.get("notes", {}).items():
        assert world.notes[unit].code == code, world.notes[unit]
    for where, flags in scenario.get("flags", {}).items():
        name, _, system = where.partition("@")
        group = world.configuration.groups[name]
        fact = world.picture().fact(name, system)
        assert "|".join(group_flags(group, fact, world.intents.get(group.on(system).unit), system)) == flags


def test_a_request_changes_nothing_it_does_not_name() -> None:
    world = World(
        "cluster c ( )\nsystem s1 ( )\nsystem s2 ( )\n"
        "group a ( SystemList = { s1, s2 } AutoStartList = { s1 } )\nThing ra ( )\n"
        "group b ( SystemList = { s1, s2 } AutoStartList = { s1 } Parallel = 1 )\nThing rb ( )\n"
    )
    world.settle()
    before = {unit: replace(intent) for unit, intent in world.intents.items()}
    world.ask("group.offline", "b", "s1")
    assert {unit for unit, intent in world.intents.items() if before.get(unit) != intent} == {"b@s1"}


def test_a_person_may_say_that_a_silent_system_runs_nothing() -> None:
    world = World(
        "cluster c ( )\nsystem s1 ( )\nsystem s2 ( )\ngroup a ( SystemList = { s1, s2 } AutoStartList = { s1 } )\n"
    )
    world.settle()
    assert world.ask("group.autoenable", "a", "s1").code == "alive"
    world.crash("s1")
    done = world.ask("group.autoenable", "a", "s1")
    assert done.state is RequestState.DONE
    assert [(word.system, word.incarnation) for word in world.words] == [("s1", "s1-1")]


LINKS = ("online local soft", "online local firm", "online global firm", "online remote soft", "offline local")
OWN = ("", "AutoFailOver = 0", "FaultPropagation = 0", "OnlineRetryLimit = 1", "Enabled @s2 = 0", "AutoRestart = 0")
ASKED = (
    "group.online",
    "group.offline",
    "group.switch",
    "group.flush",
    "group.freeze",
    "group.unfreeze",
    "group.clear",
)


def random_world(rng: random.Random) -> World:
    """Three groups on three systems, the lowest of them sometimes parallel."""
    parallel, listed = rng.choice(["", "Parallel = 1"]), "SystemList = { s1, s2, s3 }"
    return World(
        "cluster c ( )\nsystem s1 ( )\nsystem s2 ( )\nsystem s3 ( )\n"
        f"group low ( {listed} AutoStartList = {{ s1, s2 }} {parallel} {rng.choice(OWN)} )\nThing dg ( )\n"
        f"group mid ( {listed} AutoStartList = {{ s1, s3 }} {rng.choice(OWN)} )\nThing web ( )\nThing mnt ( )\n"
        f"web requires mnt\nrequires group low {rng.choice(LINKS)}\n"
        f"group top ( {listed} AutoStartList = {{ s2 }} {rng.choice(OWN)} )\nThing site ( )\n"
        "requires group mid online global soft\n"
    )


def one_owner(world: World) -> None:
    for name, group in world.configuration.groups.items():
        assert group.parallel or len(world.anything_on(name)) <= 1, f"{name} twice: {world.history[-5:]}"


def something(world: World, rng: random.Random) -> None:
    what, system, group = rng.randrange(8), rng.choice(["s1", "s2", "s3"]), rng.choice(["low", "mid", "top"])
    if what < 2 and system not in world.dead and len(world.dead) < 2:
        world.crash(system)
    elif what < 4 and system in world.dead:
        world.boot(system)
    elif what == 4 and system not in world.dead:
        world.fault(rng.choice(["dg", "web", "mnt", "site"]), system)
    elif what == 5:
        world.ask(rng.choice(["system.freeze", "system.unfreeze"]), system=system, evacuate=rng.choice(["", "1"]))
    else:
        options = {name: "1" for name in ("propagate", "force") if rng.random() < 0.4}
        world.ask(rng.choice(ASKED), group, rng.choice(["", system]), **options)
    world.now += rng.choice([1.0, 100.0])
    world.settle()


def test_whatever_people_ask_and_systems_suffer_it_comes_to_rest_with_one_owner(rng: random.Random) -> None:
    for _ in range(15):
        world = random_world(rng)
        world.checks.append(one_owner)
        world.settle()
        for _ in range(10):
            something(world, rng)


def test_what_a_resource_waits_for_is_said_in_words() -> None:
    down, up = ResourceFact(ResourceState.OFFLINE, probed=True), ResourceFact(ResourceState.ONLINE, probed=True)
    assert intent_state(down, Wanted.ONLINE) == "waiting for children online"
    assert intent_state(down, Wanted.OFFLINE) == "not waiting"
    assert intent_state(replace(down, phase=Phase.STARTING), Wanted.ONLINE) == "waiting to go online"
    assert intent_state(replace(up, phase=Phase.STOPPING), Wanted.OFFLINE) == "waiting to go offline"
    assert intent_state(replace(down, faulted=True), Wanted.ONLINE) == "not waiting"


def test_the_flags_of_a_resource() -> None:
    up = ResourceFact(ResourceState.ONLINE, probed=True)
    assert resource_flags(replace(up, timed_out=True)) == ("ONLINE", "MONITOR TIMEDOUT")
    assert resource_flags(replace(up, clean_failing=True)) == ("ONLINE", "UNABLE TO OFFLINE")
    assert resource_flags(replace(up, admin_wait=CleanReason.OFFLINE_HUNG)) == ("ONLINE", "ADMIN_WAIT")
    assert resource_flags(replace(up, phase=Phase.CLEANING, restarts=1)) == ("ONLINE", "RESTARTING")
    assert resource_flags(ResourceFact()) == ("OFFLINE", "STATE UNKNOWN")
