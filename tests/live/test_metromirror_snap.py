"""MetroMirrorSnap against two real arrays: a drill's copies at the target's side, while production goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from arraylab import A, B, Lab
from test_metromirror_agent import PAIRS, VOLUMES, Hosts, states, wait

from holdfast.cluster.config.files import read_files
from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.continuity.agents.metromirrorsnap import MetroMirrorSnap
from holdfast.kernel.errors import HoldfastError, InputError

SNAPS = {"1260": "1360", "1261": "1361"}
EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "two-sites"


@pytest.fixture
def drill(lab: Lab, tmp_path: Path) -> Hosts:
    """Two mirrored volumes in sync with a block written, room for copies at the second array, and the agent there."""
    for box in (lab.a, lab.b):
        box.create(*VOLUMES, size_bytes=4 << 20)
    lab.b.create(*SNAPS.values(), size_bytes=4 << 20)
    lab.a.client.change("mkpair", PAIRS, remote=B)
    wait(lab.a, "Full Duplex")
    with lab.a.open(volume="1260") as host:
        host.pwrite(b"before".ljust(4096), 0, fua=True)
    hosts = Hosts(lab, tmp_path)
    hosts.agent = MetroMirrorSnap()  # type: ignore[assignment]
    return hosts


def online(hosts: Hosts, image: str = B, **changed: object) -> None:
    hosts.online(image, **{"SnapIds": SNAPS, "RequireInStep": 1, **changed})


def test_the_drill_sees_a_moment_while_production_goes_on(lab: Lab, drill: Hosts) -> None:
    online(drill)
    assert drill.state(B) is ResourceState.ONLINE
    with lab.a.open(volume="1260") as host:
        host.pwrite(b"after".ljust(4096), 0, fua=True)
    with lab.b.open(volume="1360") as copy:
        assert copy.pread(6, 0) == b"before"
        copy.pwrite(b"the drill writes".ljust(4096), 8192, fua=True)
    assert states(lab.a) == ["Full Duplex", "Full Duplex"]
    told = drill.do(B, lambda agent, context: agent.info(context), SnapIds=SNAPS)
    assert told == {"1260:1360": "present", "1261:1361": "present"}
    drill.do(B, lambda agent, context: agent.offline(context), SnapIds=SNAPS)
    assert drill.state(B) is ResourceState.OFFLINE
    assert lab.b.client.run("flashes").rows == []
    assert lab.a.digest("1260") == lab.b.digest("1260"), "the drill left nothing in the mirror"


def test_a_drill_on_stale_data_or_on_the_wrong_side_is_refused(lab: Lab, drill: Hosts) -> None:
    with pytest.raises(HoldfastError, match="not a target: production may run on this side"):
        online(drill, A)
    lab.a.client.change("pause", PAIRS, remote=B)
    with pytest.raises(HoldfastError, match="1260 is Target Suspended"):
        online(drill)
    assert lab.b.client.run("flashes").rows == []
    online(drill, RequireInStep=0)
    assert drill.state(B) is ResourceState.ONLINE


def test_what_a_dead_drill_left_is_cleaned_and_does_not_hinder_the_next(lab: Lab, drill: Hosts) -> None:
    lab.b.client.change("mkflash", ["1260:1360"], copy=False)
    online(drill)
    assert len(lab.b.client.run("flashes").rows) == 2
    lab.b.client.change("rmflash", ["1261:1361"])
    assert drill.do(B, lambda agent, context: agent.clean(context, CleanReason.UNEXPECTED_OFFLINE), SnapIds=SNAPS)
    assert lab.b.client.run("flashes").rows == []
    with pytest.raises(InputError, match="which volume takes which copy"):
        online(drill, SnapIds={})


def test_its_type_file_loads() -> None:
    from holdfast.cluster.config.builder import build

    files = read_files(EXAMPLE)
    snap = (EXAMPLE / "MetroMirrorSnapTypes.cf").read_text()
    group = "group drill ( SystemList = { a } AutoStart = 0 )\nMetroMirrorSnap snap ( SnapIds = { 1260 = 1360 } )\n"
    text = f'include "MetroMirrorSnapTypes.cf"\ncluster c ( )\nsystem a ( )\n{group}'
    found = build({"main.cf": text, "MetroMirrorSnapTypes.cf": snap}).groups["drill"].resources["snap"]
    assert found.number("RequireInStep") == 1
    assert "MetroMirrorTypes.cf" in files
