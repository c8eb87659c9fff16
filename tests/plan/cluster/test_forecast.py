"""What ``holdfast plan`` says before it happens is what then happens; and asking changes nothing in the store."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from world import TYPES, World

from holdfast.app.main import main, native_root
from holdfast.cluster.model.facts import Heartbeat, Life, Standing, SystemView
from holdfast.cluster.plan.forecast import Forecast, WhatIf, forecast
from holdfast.cluster.plan.view import Ask, AskKind
from holdfast.cluster.service.records import CONFIG, FACTS, GROUPS, JUDGED, SYSTEMS, ConfigRecord, encode
from holdfast.store.drivers.embedded import EmbeddedStore
from holdfast.store.port import Put

MAIN_CF = """
cluster c ( )
system s1 ( )
system s2 ( )
system s3 ( )
group db (
    SystemList = { s1, s2, s3 }
    SystemZones = { s1 = 0, s2 = 0, s3 = 1 }
    AutoStartList = { s1 }
    )
Thing disk ( )
Thing dbms ( )
dbms requires disk
group app (
    SystemList = { s1, s2, s3 }
    AutoStartList = { s1 }
    @APP@
    )
Thing web ( )
requires group db online local firm
"""


def store_of(world: World, path: Path, text: str) -> str:
    """Write what a cluster in that state keeps in its store; return the URL."""
    view = world.picture()
    writes = [
        Put(CONFIG, encode(ConfigRecord({"main.cf": TYPES + text}))),
        Put(JUDGED, encode({name: one.life.value for name, one in view.systems.items()})),
        *(Put(SYSTEMS + name, encode(Heartbeat(name, one.incarnation, "1", 1))) for name, one in view.systems.items()),
        *(Put(GROUPS + unit, encode(one)) for unit, one in view.intents.items()),
        *(Put(f"{FACTS}{system}/{group}", encode(one)) for (group, system), one in view.last_facts.items()),
    ]

    async def write() -> None:
        store = EmbeddedStore(path)
        await store.transact([], writes)
        await store.close()

    asyncio.run(write())
    return f"embedded://{path}"


def revision(url: str) -> int:
    async def read() -> int:
        store = EmbeddedStore(Path(url.removeprefix("embedded://")))
        found = (await store.read("")).revision
        await store.close()
        return found

    return asyncio.run(read())


@pytest.fixture
def url(tmp_path: Path) -> str:
    text = MAIN_CF.replace("@APP@", "")
    world = World(text)
    world.settle()
    return store_of(world, tmp_path / "cluster.db", text)


def ask(url: str, *words: str) -> dict[str, object]:
    before = revision(url)
    done = CliRunner().invoke(native_root(), ["plan", *words, "--store", url, "--json"])
    assert done.exit_code == 0, done.output
    assert revision(url) == before, "a plan writes nothing"
    found: dict[str, object] = json.loads(done.stdout)
    return found


def told(found: dict[str, object]) -> str:
    return json.dumps(found["steps"])


def ends(found: dict[str, object]) -> dict[str, list[str]]:
    endings = found["endings"]
    assert isinstance(endings, list)
    return {one["group"]: one["after"] for one in endings}


def test_a_lost_system_with_the_reason_for_every_rejection(url: str) -> None:
    found = ask(url, "--lose", "s1")
    assert ends(found) == {"db": ["s2"], "app": ["s2"]}
    placed = [one for one in found["steps"] if one["kind"] == "placed" and one["group"] == "db"]  # type: ignore[attr-defined]
    assert placed[0]["rejected"] == {"s1": "the group is leaving it"}
    assert placed[0]["evidence"].startswith("guard deadline past")


def test_a_lost_site_needs_current_data(url: str) -> None:
    assert ends(ask(url, "--lose-site", "0")) == {"db": ["s3"], "app": ["s3"]}
    found = ask(url, "--lose-site", "0", "--assume", "data-unknown")
    assert ends(found)["db"] == []
    assert "not recorded as current" in told(found)
    assert "--accept-data-loss" in told(found)


def test_a_fence_that_refuses_leaves_the_group_where_it_was(url: str) -> None:
    found = ask(url, "--lose", "s1", "--assume", "fence-refuses")
    assert ends(found)["db"] == ["s3"], "not in the same zone, where only the fence counts"
    assert "the fence did not confirm" in told(found)


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (["--fault", "dbms"], {"db": ["s2"], "app": ["s2"]}),
        (["--fault", "web@s1"], {"db": ["s1"], "app": []}),
        (["--do", "group offline app", "--do", "group switch db --to s3"], {"db": ["s3"], "app": []}),
        (["--do", "group offline app"], {"db": ["s1"], "app": []}),
        (["--do", "group switch db --to s3"], {"db": ["s1"], "app": ["s1"]}),  # refused: app requires it there
        (["--do", "system freeze s2", "--lose", "s1"], {"db": ["s3"], "app": ["s3"]}),
        (["--do", "system stop s1 --evacuate"], {"db": ["s2"], "app": ["s2"]}),
        (["--do", "system stop s1"], {"db": [], "app": []}),
        (["--do", "system stop s1 --force"], {"db": [], "app": []}),
    ],
)
def test_what_people_do_and_what_faults(url: str, words: list[str], after: dict[str, list[str]]) -> None:
    assert ends(ask(url, *words)) == after


def test_a_configuration_is_tried_before_it_is_applied(url: str, tmp_path: Path) -> None:
    file = tmp_path / "main.cf"
    extra = "group new ( SystemList = { s3 } AutoStartList = { s3 } )\nThing fresh ( )\n"
    file.write_text(TYPES + MAIN_CF.replace("@APP@", "") + extra)
    assert ends(ask(url, "--config", str(file))) == {"db": ["s1"], "app": ["s1"], "new": ["s3"]}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--lose", "sx"], 3, "no system 'sx'"),
        (["--lose-site", "7"], 3, "no group has a zone '7'"),
        (["--lose-array", "IBM.1"], 3, "no resource names 'IBM.1'"),
        (["--fault", "nothing"], 3, "no resource 'nothing'"),
        (["--fault", "web@s9"], 3, "s9 is not in its SystemList"),
        (["--do", "cluster load x"], 1, "cannot be planned"),
        (["--assume", "luck", "--lose", "s1"], 1, "cannot be assumed"),
        ([], 1, "nothing is to happen"),
    ],
)
def test_what_makes_no_sense_is_told(
    url: str, words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["holdfast", "plan", *words, "--store", url]) == code
    assert says in capsys.readouterr().err


def test_hagrp_forecast(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOLDFAST_STORE", url)
    assert main(["hagrp", "-forecast", "db"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["db", "s1", "s2"]
    assert main(["hagrp", "-forecast", "db", "-verbose"]) == 0
    assert "not s1: the group is leaving it" in capsys.readouterr().out


def foreseen(world: World, first: WhatIf) -> Forecast:
    return forecast(world.picture(), first)


def test_what_was_foreseen_is_what_happens(rng: random.Random) -> None:
    for _ in range(25):
        world = World(MAIN_CF.replace("@APP@", rng.choice(["", "AutoFailOver = 0", "OnlineRetryLimit = 1"])))
        world.settle()
        for _ in range(4):
            living = [name for name in world.lives if name not in world.dead]
            system = rng.choice(living)
            groups = [name for name in ("db", "app") if world.anything_on(name)]
            if rng.random() < 0.5 and len(living) > 1:
                found = foreseen(world, WhatIf(lost=(system,), silent_s=9.0))
                world.crash(system)
            elif groups:
                resource = "dbms" if rng.choice(groups) == "db" else "web"
                found = foreseen(world, WhatIf(faults=((resource, system),)))
                world.fault(resource, system)
            else:
                break
            answered(world, found)
            world.settle()
            ends = {one.group: list(one.after) for one in found.endings}
            assert ends == {name: world.anything_on(name) for name in ("db", "app")}, world.history[-8:]


def answered(world: World, found: Forecast) -> None:
    """Let the outside answer as the forecast assumed."""
    for step in found.steps:
        if step.kind == "assumed":
            ask = Ask(AskKind.STANDING, step.group, step.system)
            world.answers[ask] = Standing(True, f"assumed: {step.text}")


def test_a_picture_with_a_system_nobody_heard_of_waits() -> None:
    world = World(MAIN_CF.replace("@APP@", ""))
    world.settle()
    view = world.picture()
    silent = {**view.systems, "s1": SystemView("s1", Life.UNCERTAIN, "s1-1")}
    found = forecast(replace(view, systems=silent), WhatIf(lost=("s2",)))
    assert {one.group: one.after for one in found.endings} == {"db": ("s1",), "app": ("s1",)}
    assert any(one.kind == "waits" and "nothing is known of s1" in one.text for one in found.steps)
