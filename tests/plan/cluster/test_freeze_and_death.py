"""A system that is frozen and another that dies in one and the same picture: the group goes to neither."""

from __future__ import annotations

import pytest
from world import World

from holdfast.cluster.model.facts import Request

MAIN_CF = """
cluster c ( )
system s1 ( )
system s2 ( )
system s3 ( )
group web ( SystemList = { s1, s2, s3 } AutoStartList = { s1 } )
Thing a ( )
"""


@pytest.mark.parametrize(("operation", "goes_to"), [("system.freeze", "s3"), ("system.unfreeze", "s2")])
def test_a_freeze_counts_for_what_is_placed_in_the_same_decision(operation: str, goes_to: str) -> None:
    world = World(MAIN_CF)
    world.settle()
    assert world.intents["web"].owner == "s1"
    world.crash("s1")
    world.requests.append(Request("r1", operation, "", "", "s2"))
    world.settle()
    assert world.intents["web"].owner == goes_to, world.history
