"""Group dependencies played out in the toy world, and what must hold at every moment of it."""

from __future__ import annotations

import random
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from world import World

from holdfast.cluster.model.facts import RequestState, ResourceFact, ResourceState

HERE = Path(__file__).parent


def load() -> list[Any]:
    scenarios = tomllib.loads((HERE / "dependencies.toml").read_text())["scenario"]
    return [pytest.param(one, id=one["name"].replace(" ", "-")) for one in scenarios]


def world_of(scenario: dict[str, Any]) -> World:
    systems = scenario.get("systems", ["s1", "s2", "s3"])
    listed = ", ".join(systems)
    text = "cluster c ( )\n" + "".join(f"system {name} ( )\n" for name in systems)
    for name, resource in (("db", "dbms"), ("app", "web")):
        starts = "" if "AutoStartList" in scenario.get(name, "") else "AutoStartList = { s1 } "
        text += f"group {name} ( SystemList = {{ {listed} }} {starts}{scenario.get(name, '')} )\n"
        text += f"Thing {resource} ( )\n" + (f"requires group db {scenario['link']}\n" if name == "app" else "")
    world = World(text)
    world.checks.append(lambda now: holds(now, scenario["link"]))
    return world


def holds(world: World, link: str) -> None:
    """What no moment may break: one owner at most, and what the link forbids outright."""
    for name in ("db", "app"):
        assert len(world.anything_on(name)) <= 1, f"{name} on two systems: {world.history[-5:]}"
    if link.startswith("offline"):
        assert not set(world.anything_on("db")) & set(world.anything_on("app")), world.history[-5:]


def play(world: World, line: str) -> None:
    words, _, code = line.partition(" = ")
    what, *rest = words.split()
    if what == "clear":
        fact = world.facts["db", rest[1]][rest[0]]
        world.facts["db", rest[1]][rest[0]] = type(fact)(fact.state, probed=True)
    elif what in ("fault", "crash", "boot"):
        getattr(world, what)(*rest)
    else:
        done = world.ask(what, *rest)
        assert done.code == code, done
        assert done.state is (RequestState.REFUSED if code else RequestState.DONE), done
    world.settle()


@pytest.mark.parametrize("scenario", load())
def test_dependencies(scenario: dict[str, Any]) -> None:
    world = world_of(scenario)
    world.settle()
    for line in scenario.get("play", []):
        play(world, line)
    found = {name: " ".join(world.online_on(name)) for name in ("db", "app")}
    told = "\n".join(world.history)
    assert found == scenario["expect"], f"{told}\n{world.notes}"
    assert scenario.get("passed", "") in told
    assert "never" not in scenario or scenario["never"] not in told


@pytest.mark.parametrize("link", ["online local soft", "online local firm", "online local hard", "online global firm",
                                  "online remote firm", "offline local"])  # fmt: skip
def test_whatever_happens_the_links_hold_in_the_end(link: str, rng: random.Random) -> None:
    for _ in range(12):
        world = world_of({"link": link})
        world.settle()
        happened: list[str] = []
        for _ in range(8):
            system = rng.choice(list(world.lives))
            match rng.choice(["crash", "boot", "fault", "switch", "offline", "online"]):
                case "crash" if len(world.dead) < 2:
                    happened.append(f"crash {system}")
                    world.crash(system)
                case "boot" if system in world.dead:
                    happened.append(f"boot {system}")
                    world.boot(system)
                case "fault" if system not in world.dead:
                    resource = rng.choice(["dbms", "web"])
                    happened.append(f"fault {resource} {system}")
                    world.fault(resource, system)
                case "switch" | "offline" | "online" as verb:
                    group = rng.choice(["db", "app"])
                    happened.append(f"{verb} {group} {system}")
                    world.ask(f"group.{verb}", group, "" if verb == "offline" else system)
            world.settle()
        stands(world, link, happened)


def stands(world: World, link: str, happened: list[str]) -> None:
    """At rest a parent is online only where its link allows it; a soft one may have outlived its child."""
    db, app = world.online_on("db"), world.online_on("app")
    story = f"{happened}\n" + "\n".join(world.history)
    if app and link in ("online local firm", "online local hard"):
        assert app == db, story
    if app and db and link == "online local soft":
        barred = any(fact.faulted for fact in world.facts["app", db[0]].values())  # it cannot follow there
        assert app == db or barred, story
    if app and link == "online global firm":
        assert db, story
    if app and link == "online remote firm":
        assert db, story
        assert app != db, story


HARD = """
cluster c ( )
system s1 ( )
system s2 ( )
group db (
    SystemList = { s1, s2 }
    AutoStartList = { s1 }
    )
Thing disk ( )
Thing dbms ( )
dbms requires disk
group app (
    SystemList = { s1, s2 }
    AutoStartList = { s1 }
    )
Thing top ( )
Thing web ( )
top requires web
requires group db online local @RIGIDITY@
"""


@pytest.mark.parametrize(("rigidity", "waits"), [("hard", True), ("firm", True), ("soft", False)])
def test_a_parent_is_offline_before_its_child_goes_down_unless_soft(rigidity: str, waits: bool) -> None:
    world = World(HARD.replace("@RIGIDITY@", rigidity))
    world.settle()
    early: list[str] = []

    def look(now: World) -> None:
        if now.facts["db", "s1"]["disk"].state is ResourceState.OFFLINE and "s1" in now.anything_on("app"):
            early.append("disk went while app was up")

    world.checks.append(look)
    world.fault("dbms", "s1")
    world.settle()
    assert world.online_on("db") == world.online_on("app") == ["s2"]
    assert bool(early) is not waits


KEEPS = """
cluster c ( )
system s1 ( )
system s2 ( )
group web (
    SystemList = { s1, s2 }
    AutoStartList = { s1 }
    )
Watched nic ( )
Keeper once ( )
Thing address ( )
Keeper top ( Critical = 0 )
address requires nic
address requires once
top requires address
"""


def test_what_is_never_taken_offline_does_not_hold_the_group_back() -> None:
    world = World(KEEPS)
    world.settle()
    assert world.online_on("web") == ["s1"]
    assert world.ask("group.switch", "web", "s2").state is RequestState.DONE
    assert world.online_on("web") == ["s2"]
    left = {name: fact.state.value for name, fact in world.facts["web", "s1"].items()}
    assert left == {"nic": "ONLINE", "once": "ONLINE", "address": "OFFLINE", "top": "ONLINE"}
    assert world.ask("group.offline", "web").state is RequestState.DONE
    assert world.ask("group.online", "web", "s1").state is RequestState.DONE
    world.fault("nic", "s1")
    world.settle()
    assert world.online_on("web") == ["s2"]


@pytest.mark.parametrize("link", ["online global firm", "online remote firm"])
def test_an_observer_that_begins_anew_takes_nothing_down(link: str) -> None:
    world = world_of({"link": link, "app": "AutoStartList = { s3 }"})
    world.settle()
    before = dict(world.intents)
    for silent in (["s1"], ["s1", "s3"], ["s3"]):
        world.unheard = set(silent)
        world.settle()
        assert world.intents == before, f"nothing was heard of {silent}: {world.history[-2:]}"
        refused = world.ask("group.offline", "db")
        assert refused.code == "parent-group-online"
    world.unheard = set()
    world.settle()
    assert (world.online_on("db"), world.online_on("app")) == (["s1"], ["s3"])


def test_a_soft_parent_stays_where_it_is_rather_than_go_where_it_cannot_run() -> None:
    world = world_of({"link": "online local soft", "systems": ["s1", "s2"]})
    world.settle()
    world.fault("web", "s2")
    assert world.ask("group.switch", "db", "s2").state is RequestState.DONE
    assert (world.online_on("db"), world.online_on("app")) == (["s2"], ["s1"])
    assert "web is faulted there" in world.notes["app"].rejected["s2"]
    world.facts["app", "s2"]["web"] = ResourceFact(ResourceState.OFFLINE, probed=True)
    world.settle()
    assert world.online_on("app") == ["s2"]


def test_a_first_start_by_a_person_does_not_join_a_group_that_must_not_be_there() -> None:
    world = world_of({"link": "offline local", "db": "AutoStart = 0", "app": "AutoStartList = { s1 }"})
    world.settle()
    assert world.online_on("app") == ["s1"]
    assert world.ask("group.online", "db", "s1").code == "group-in-the-way"
    assert world.ask("group.online", "db", "s2").state is RequestState.DONE


def test_running_groups_whose_intents_were_lost_are_adopted_as_they_are() -> None:
    text = "cluster c ( )\nsystem s1 ( )\nsystem s2 ( )\n"
    listed = "SystemList = { s1, s2 } AutoStartList = { s1 }"
    text += f"group app ( {listed} )\nThing web ( )\nrequires group db online global firm\n"
    text += f"group db ( {listed} )\nThing dbms ( )\n"
    world = World(text)
    up = ResourceFact(ResourceState.ONLINE, probed=True)
    world.facts["app", "s1"]["web"] = world.facts["db", "s2"]["dbms"] = up
    world.settle()
    assert (world.online_on("db"), world.online_on("app")) == (["s2"], ["s1"])
    assert "app goes offline" not in "\n".join(world.history)


@pytest.mark.parametrize("held_by", ["an unknown probe", "maintenance"])
def test_a_parent_that_is_not_stopped_or_not_known_holds_nothing_up(held_by: str) -> None:
    world = world_of({"link": "online local hard"})
    world.settle()
    if held_by == "maintenance":
        world.intents["app"] = replace(world.intents["app"], maintenance_until=2000.0)
        world.fault("dbms", "s1")
        world.settle()
        assert world.online_on("db") == ["s2"]
        return
    assert world.ask("group.offline", "app").state is RequestState.DONE
    world.facts["app", "s1"]["web"] = ResourceFact(ResourceState.UNKNOWN, probed=True)
    assert world.ask("group.switch", "db", "s2").state is RequestState.DONE
    assert world.online_on("db") == ["s2"]


ENOUGH = """
cluster c ( )
system s1 ( )
system s2 ( )
group web (
    SystemList = { s1, s2 }
    AutoStartList = { s1 }
    )
Thing n1 ( Critical = 0 )
Thing n2 ( Critical = 0 )
Thing n3 ( Critical = 0 )
Thing address ( )
address requires atleast 2 from n1, n2, n3
"""


def test_atleast_starts_with_enough_bears_the_loss_of_the_rest_and_moves_when_too_few_are_left() -> None:
    world = World(ENOUGH)
    early: list[str] = []

    def look(now: World) -> None:
        facts = now.facts["web", "s1"]
        up = [name for name, fact in facts.items() if fact.state is ResourceState.ONLINE]
        if "address" in up and len(up) < 3:
            early.append(" ".join(up))

    world.checks.append(look)
    world.settle()
    assert world.online_on("web") == ["s1"]
    world.fault("n2", "s1")
    world.settle()
    assert world.facts["web", "s1"]["address"].state is ResourceState.ONLINE, "two of three are enough"
    assert not early
    world.fault("n3", "s1")
    world.checks.clear()
    world.settle()
    assert world.online_on("web") == ["s2"]
    assert world.ask("group.offline", "web").state is RequestState.DONE
    assert world.anything_on("web") == []
