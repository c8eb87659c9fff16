"""The four tests that the Metro Mirror agent's guide describes, in a global cluster, its states asserted.

Two clusters with a store each, two arrays that mirror and settle who is source in a store of their own, the agent
typing dscli. Where the guide says that the administrator is notified and decides, the group must wait until somebody
declares the disaster.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from arraylab import VOLUME, A, B, Box, Lab, until
from test_global_cluster import MAIN_CF, Line, Site, two_clusters

from holdfast.cluster.model.widearea import RemoteState

TYPES = Path(__file__).resolve().parents[2] / "examples" / "two-sites" / "MetroMirrorTypes.cf"
MIRROR = """
    MetroMirror ora_mmir (
        DSCliHome = "@DSCLI@"
        HMC1 = "@HMC@"
        User = admin
        PasswdFile = "@DSCLI@/ds_pwfile"
        LocalStorageImageID = "@LOCAL@"
        RemoteStorageImageID = "@REMOTE@"
        VolIds = { 1260 }
        )
    flag requires ora_mmir
"""


class MirroredSite(Site):
    """A cluster whose group stands on a mirrored volume of its array."""

    def __init__(self, lab: Lab, name: str, out: Line, listen: int) -> None:
        self.lab, self.box = lab, lab.a if name == "east" else lab.b
        super().__init__(lab.directory / name, name, out, listen)

    def main_cf(self) -> str:
        shutil.copy(TYPES, self.directory)
        words = {
            "DSCLI": str(self.lab.directory / "dscli"), "HMC": self.box.management, "LOCAL": self.box.image,
            "REMOTE": B if self.box.image == A else A,
        }  # fmt: skip
        mirror = MIRROR
        for word, value in words.items():
            mirror = mirror.replace(f"@{word}@", value)
        return MAIN_CF.replace('include "types.cf"', 'include "types.cf"\ninclude "MetroMirrorTypes.cf"') + mirror

    def more(self) -> str:
        return (
            super().more()
            + f'pairs = "embedded://{self.lab.store_path}"\n'
            + f'[environment]\nHOLDFAST_IDENTITY = "{self.lab.identity}"\n'
            + '[agents]\nplugins = ["holdfast.continuity.agents.metromirror:MetroMirror"]\n'
        )

    def typed(self, *words: str) -> str:
        """Type a VCS command in this cluster; it must succeed."""
        environment = {**os.environ, "HOLDFAST_STORE": self.url, "HOLDFAST_SOCKET": "/nowhere"}
        command = [sys.executable, "-m", "holdfast", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def resource_states(self, system: str) -> set[str]:
        """The states of the group's resources on a system."""
        rows = [line.split() for line in self.typed("hares", "-state").splitlines() if not line.startswith("#")]
        return {row[3] for row in rows if len(row) == 4 and row[2] == system}


def shown(box: Box) -> tuple[str, str]:
    """State and reason of the pair at an array."""
    row = box.pair()
    return str(row["state"]), str(row["reason"])


def await_shown(box: Box, state: str, reason: str = "-") -> None:
    until(lambda: shown(box) == (state, reason), 30, f"{state} ({reason}) at {box.image}")


@pytest.fixture
def clusters(lab: Lab) -> Iterator[tuple[MirroredSite, MirroredSite]]:
    lab.mirror()
    home = lab.directory / "dscli"
    home.mkdir()
    (home / "dscli").symlink_to(Path(sys.executable).with_name("holdfast"))
    for box in (lab.a, lab.b):
        words = ("managepwfile", "-action", "add", "-mc1", box.management, "-name", "admin", "-pw", "-")
        command = [str(home / "dscli"), *words, "-pwfile", str(home / "ds_pwfile")]
        subprocess.run(command, input="secret\n", text=True, check=True, capture_output=True)
    yield from two_clusters(lab.directory, lambda name, out, port: MirroredSite(lab, name, out, port))


def migration(east: MirroredSite, west: MirroredSite) -> None:
    """Switch To hostb: the volumes remain FULL DUPLEX. To hostc: there they become it. And home."""
    assert (shown(east.box), shown(west.box)) == (("Full Duplex", "-"), ("Target Full Duplex", "-"))
    east.typed("hagrp", "-switch", "web", "-to", "hostb")
    east.until(east.online_on("hostb"), 30)
    assert (shown(east.box), shown(west.box)) == (("Full Duplex", "-"), ("Target Full Duplex", "-"))
    assert east.resource_states("hostb") == {"ONLINE"}
    assert east.resource_states("hosta") == {"OFFLINE"}
    east.typed("hagrp", "-switch", "web", "-to", "hostc", "-clus", "west")
    west.until(west.online_on("hostc"), 40)
    await_shown(west.box, "Full Duplex")
    await_shown(east.box, "Target Full Duplex")
    assert west.resource_states("hostc") == {"ONLINE"}
    assert east.resource_states("hostb") == {"OFFLINE"}
    west.typed("hagrp", "-switch", "web", "-to", "hosta", "-clus", "east")
    east.until(east.online_on("hosta"), 40)
    await_shown(east.box, "Full Duplex")
    await_shown(west.box, "Target Full Duplex")


def alert_and_decision(west: MirroredSite) -> None:
    """A cluster down alert appears; nothing happens until the administrator initiates the failover."""
    west.until(lambda state: "web" in state.notes and state.notes["web"].code == "cluster-down", 30)
    assert not west.up()
    assert shown(west.box) == ("Target Full Duplex", "-")
    west.typed("haclus", "-declare", "disaster", "-clus", "east", "-failover")
    west.until(west.online_on("hostc"), 40)


def host_failure(east: MirroredSite, west: MirroredSite) -> None:
    """Halt hosta: hostb, FULL DUPLEX. Halt hostb: an alert, a decision, roles swapped. Reboot both, switch home."""
    east.lose("hosta")
    east.until(east.online_on("hostb"), 30)
    assert shown(east.box) == ("Full Duplex", "-")
    west.peer_lives(False)
    east.lose("hostb")
    (east.directory / "flag").unlink(missing_ok=True)
    alert_and_decision(west)
    await_shown(west.box, "Full Duplex")
    await_shown(east.box, "Target Full Duplex")
    reboot(east, west)
    west.typed("hagrp", "-switch", "web", "-to", "hosta", "-clus", "east")
    east.until(east.online_on("hosta"), 40)
    await_shown(east.box, "Full Duplex")
    await_shown(west.box, "Target Full Duplex")


def reboot(east: MirroredSite, west: MirroredSite) -> None:
    """The hosts return; they start nothing, because the other cluster has the authority."""
    west.peer_lives(True)
    east.boot()
    west.peer_is(RemoteState.RUNNING)
    east.until(lambda state: "web" in state.authorities and not state.authorities["web"].held, 30)
    assert not east.up()


def disaster(east: MirroredSite, west: MirroredSite) -> None:
    """All hosts of the source side and its array go; after the failover the volumes are SUSPENDED, Host Source."""
    west.peer_lives(False)
    east.lose("hosta", "hostb")
    east.box.kill()
    (east.directory / "flag").unlink(missing_ok=True)
    alert_and_decision(west)
    await_shown(west.box, "Suspended", "Host Source")


def failback(east: MirroredSite, west: MirroredSite) -> None:
    """Reconnect and reboot; offline, the failback action, FULL DUPLEX and TARGET FULL DUPLEX; migrate home."""
    client = west.box.open(host="hostc")
    client.pwrite(b"written after the disaster".ljust(512, b"."), 0)
    client.flush()
    client.close()
    east.box.start()
    reboot(east, west)
    west.typed("hagrp", "-offline", "web", "-any")
    west.until(lambda _: not west.up(), 30)
    west.typed("hares", "-action", "ora_mmir", "failback", "-sys", "hostc")
    await_shown(west.box, "Full Duplex")
    await_shown(east.box, "Target Full Duplex")
    assert east.box.digest(VOLUME) == west.box.digest(VOLUME)
    west.typed("hagrp", "-online", "web", "-sys", "hostc")
    west.until(west.online_on("hostc"), 30)
    west.typed("hagrp", "-switch", "web", "-to", "hosta", "-clus", "east")
    east.until(east.online_on("hosta"), 40)
    await_shown(east.box, "Full Duplex")
    await_shown(west.box, "Target Full Duplex")


def test_the_guides_four_tests_in_a_global_cluster(clusters: tuple[MirroredSite, MirroredSite]) -> None:
    east, west = clusters
    east.until(east.online_on("hosta"), 40)
    west.peer_is(RemoteState.RUNNING)
    migration(east, west)
    host_failure(east, west)
    disaster(east, west)
    failback(east, west)


def test_data_that_is_not_current_is_not_taken_even_when_a_disaster_is_declared(
    clusters: tuple[MirroredSite, MirroredSite],
) -> None:
    east, west = clusters
    east.until(east.online_on("hosta"), 40)
    west.peer_is(RemoteState.RUNNING)
    east.box.client.change("pause", [f"{VOLUME}:{VOLUME}"], remote=B)
    await_shown(east.box, "Suspended", "Host Source")
    west.peer_lives(False)
    east.lose("hosta", "hostb")
    east.box.kill()
    west.until(lambda state: "web" in state.notes and state.notes["web"].code == "cluster-down", 30)
    command = ["haclus", "-declare", "disaster", "-clus", "east", "-failover"]
    environment = {**os.environ, "HOLDFAST_STORE": west.url, "HOLDFAST_SOCKET": "/nowhere"}
    words = [sys.executable, "-m", "holdfast", *command]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 1, said
    assert "not recorded as current" in said.stdout + said.stderr
    assert not west.up()
