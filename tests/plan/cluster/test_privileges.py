"""Who may ask for what, as a table that an administrator can read; and what a change of the configuration takes."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.app.configuration import edited
from holdfast.cluster.config.amend import Change
from holdfast.cluster.config.builder import build
from holdfast.cluster.config.edit import Draft, edit
from holdfast.cluster.config.history import ConfigurationStore
from holdfast.cluster.model.facts import Life, Request, RequestState, SystemView
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.privileges import denial
from holdfast.cluster.plan.view import View
from holdfast.cluster.service.client import ClusterClient
from holdfast.kernel.errors import HoldfastError, Refused
from holdfast.store.drivers.memory import MemoryStore

TYPES = "type FileOnOff ( static str ArgList[] = { PathName } str PathName )\n"
OPEN = (
    TYPES
    + "cluster c ( %s )\nsystem a ( )\n"
    + (
        "group web ( SystemList = { a } Operators = { olga } Administrators = { wanda } )\n"
        "FileOnOff page ( )\ngroup db ( SystemList = { a } )\nFileOnOff data ( )\n"
    )
)
TEXT = OPEN % 'UserNames = { alice = "", oscar = "", gina = "" } Administrators = { alice } Operators = { oscar }'

MAY = """
who     online-web  online-db  takeover-web  system-freeze  fence
root    yes         yes        yes           yes            yes
sue+    yes         yes        yes           yes            yes
daemon  yes         yes        yes           yes            yes
alice   yes         yes        yes           yes            yes
oscar   yes         yes        no            yes            no
wanda   yes         no         yes           no             no
olga    yes         no         no            no             no
gina    no          no         no            no             no
nobody  no          no         no            no             no
"""
ASKED = {
    "online-web": ("group.online", "web"), "online-db": ("group.online", "db"),
    "takeover-web": ("group.takeover", "web"),
    "system-freeze": ("system.freeze", ""), "fence": ("fence.confirm", ""),
}  # fmt: skip


def test_who_may_ask_for_what() -> None:
    heading, *rows = [line.split() for line in MAY.strip().splitlines()]
    for who, *answers in rows:
        for column, answer in zip(heading[1:], answers, strict=True):
            operation, group = ASKED[column]
            user = "sue as root" if who == "sue+" else who
            found = denial(build({"main.cf": TEXT}), user, operation, group, ("daemon",))
            assert ("yes" if found is None else "no") == answer, f"{who} {column}: {found}"


def test_without_users_everybody_who_reaches_the_store_may_do_all() -> None:
    text = TYPES + "cluster c ( )\nsystem a ( )\ngroup web ( SystemList = { a } )\n"
    assert denial(build({"main.cf": text}), "gina", "fence.confirm") is None


@pytest.mark.parametrize(
    ("who", "line", "allowed"),
    [
        ("alice", ("resource", "page", "PathName"), True),
        ("wanda", ("resource", "page", "PathName"), True),
        ("wanda", ("resource", "data", "PathName"), False),
        ("wanda", ("group", "web", "Operators"), False),
        ("olga", ("resource", "page", "PathName"), False),
        ("gina", ("system", "a", "ShutdownTimeout"), False),
        ("root", ("system", "a", "ShutdownTimeout"), True),
    ],
)
def test_who_may_change_what(who: str, line: tuple[str, str, str], allowed: bool) -> None:
    async def run() -> None:
        store = MemoryStore()
        await ClusterClient(store, "root").load({"main.cf": TEXT})

        def work(draft: Draft) -> None:
            draft.modify(*line, Change("set", ("7",)))

        if allowed:
            await edited(store, who, work, "a test")
            (told,) = await ClusterClient(store, who).audit()
            assert (told.by, told.reason) == (who, "a test")
            assert line[2] in told.text
        else:
            with pytest.raises(Refused) as refused:
                await edited(store, who, work)
            assert refused.value.refusal.code == "not-allowed"
            assert dict((await ConfigurationStore(store, "root").current()).files) == {"main.cf": TEXT}
            assert await ClusterClient(store, who).audit() == []
        await store.close()

    asyncio.run(run())


def test_a_change_that_cannot_be_changes_nothing_of_the_text() -> None:
    files = {"main.cf": TEXT}
    with pytest.raises(Refused):
        edit(files, lambda draft: draft.modify("resource", "page", "Critical", Change("set", ("perhaps",))))
    assert files == {"main.cf": TEXT}


def test_the_planner_refuses_the_request_of_who_has_not_the_right() -> None:
    systems = {"a": SystemView("a", Life.ALIVE, "1-x")}
    asked = tuple(
        Request(f"{place}", "group.freeze", "web", by=who) for place, who in enumerate(("gina", "olga", "daemon"))
    )
    view = View(build({"main.cf": TEXT}), systems, {}, {}, requests=asked, trusted=frozenset({"daemon"}))
    found = {one.by: one for one in decide(view).outcomes}
    assert (found["gina"].state, found["gina"].code) == (RequestState.REFUSED, "not-allowed")
    assert "hauser -addpriv gina Operator -group web" in found["gina"].remedy
    assert found["olga"].state is RequestState.DONE


def test_each_request_leaves_who_what_and_why() -> None:
    async def run() -> None:
        store = MemoryStore()
        client = ClusterClient(store, "olga")
        with pytest.raises(HoldfastError):
            await client.ask(Request("", "group.switch", "web", system="a", options={"reason": "patches"}), 0.01)
        (told,) = await client.audit()
        assert (told.by, told.reason, told.group, told.text) == ("olga", "patches", "web", "group.switch web on a")
        await store.close()

    asyncio.run(run())


def test_nobody_locks_himself_out_with_the_first_role() -> None:
    async def run() -> None:
        store = MemoryStore()
        await ClusterClient(store, "sue").load({"main.cf": TYPES + "cluster c ( )\n"})
        with pytest.raises(Refused, match="could change nothing"):
            await edited(store, "sue", lambda draft: draft.modify_cluster("UserNames", Change("add", ("maria", ""))))

        def both(draft: Draft) -> None:
            draft.modify_cluster("Administrators", Change("add", ("sue",)))

        await edited(store, "sue", both)
        await store.close()

    asyncio.run(run())
