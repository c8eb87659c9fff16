"""What a report makes of words that the network delivered late."""

from __future__ import annotations

from holdfast.cluster.config.builder import build
from holdfast.cluster.model.facts import (
    Evidence,
    EvidenceKind,
    GroupFact,
    Heartbeat,
    Intent,
    ResourceFact,
    ResourceState,
    Wanted,
)
from holdfast.cluster.service.records import State
from holdfast.cluster.service.report import group_report

MAIN_CF = """
type Thing ( str X )
cluster trial ( )
system hosta ( )
system hostb ( )
group web ( SystemList = { hosta, hostb } )
    Thing app ( )
"""


def reported(evidence: Evidence) -> dict[str, tuple[str, ...]]:
    """The group's flags when hostb owns it, and hosta's heartbeat and fact of its life ``a1`` are in the store."""
    group = build({"main.cf": MAIN_CF}).groups["web"]
    up = {"app": ResourceFact(ResourceState.ONLINE, probed=True)}
    state = State(
        heartbeats={name: Heartbeat(name, f"{name[-1]}1", "s", 7) for name in ("hosta", "hostb")},
        judged={"hosta": "alive", "hostb": "alive"},
        facts={("web", name): GroupFact("web", name, f"{name[-1]}1", 3, True, up) for name in ("hosta", "hostb")},
        intents={"web": Intent("web", "hostb", "b1", Wanted.ONLINE, 3, 1, evidence)},
    )
    return dict(group_report(state, group).systems)


def test_a_life_that_is_proven_over_is_not_shown_online_by_its_late_heartbeat() -> None:
    over = Evidence(EvidenceKind.GUARD_DEADLINE, "its guard's deadline is past", "hosta", "a1")
    assert reported(over) == {"hosta": ("UNKNOWN",), "hostb": ("ONLINE",)}


def test_a_life_that_goes_on_is_shown_as_it_is() -> None:
    earlier = Evidence(EvidenceKind.GUARD_DEADLINE, "its guard's deadline is past", "hosta", "a0")
    confirmed = Evidence(EvidenceKind.OFFLINE_CONFIRMED, "hosta confirmed every resource offline", "hosta", "a1")
    for evidence in (earlier, confirmed):
        assert reported(evidence)["hosta"] == ("ONLINE",)
