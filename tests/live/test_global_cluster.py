"""Two clusters with a store each share a group: the four procedures of the MetroMirror agent's guide for a global
cluster (migration, host failure, disaster, failback), and the split brain that a cut line leaves behind.

Real daemons, guards and connectors on loopback; a proxy between the connectors is the line that is cut.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from clusterlab import Cluster

from holdfast.cluster.model.facts import Request
from holdfast.cluster.model.widearea import RemoteState
from holdfast.kernel.errors import Refused
from holdfast.runtime.authority import create_authority, issue
from holdfast.runtime.identity import save_identity

MAIN_CF = """
include "types.cf"
cluster @ME@ ( )
@SYSTEMS@
remotecluster @PEER@ ( ClusterAddress = "127.0.0.1:@PORT@" SocketTimeout = 2 )
heartbeat Sign (
    ClusterList = { @PEER@ }
    AgentFile = "@DIR@/sign"
    AYAInterval = 1
    AYATimeout = 1
    AYARetryLimit = 1
    )
group web (
    SystemList = { @LIST@ }
    AutoStartList = { @LIST@ }
    ClusterList = { east = 0, west = 1 }
    Authority = @AUTHORITY@
    )
    FileOnOff flag ( PathName = "@DIR@/flag" MonitorInterval = 1 )
"""
SYSTEMS = {"east": ("hosta", "hostb"), "west": ("hostc", "hostd")}
PEER = {"east": "west", "west": "east"}


class Line:
    """A TCP proxy: the line on which one cluster calls the other. Cut, it ends every connection and takes no other."""

    def __init__(self) -> None:
        self.to, self._ends, self.whole = 0, list[socket.socket](), True
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            near, _ = self._server.accept()
            try:
                if not self.whole:
                    raise ConnectionError
                far = socket.create_connection(("127.0.0.1", self.to), 2)
            except OSError:
                near.close()
                continue
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        self.whole = False
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()


class Site(Cluster):
    """One of the two clusters."""

    def __init__(self, directory: Path, name: str, out: Line, listen: int) -> None:
        directory.mkdir()
        self.name, self.out, self.listen = name, out, listen
        super().__init__(directory, "auto" if os.geteuid() == 0 else "marker")

    def load(self, _main_cf: str) -> None:
        sign = self.directory / "sign"
        sign.write_text(f"#!/bin/sh\ntest -e {self.directory}/peer-lives\n")
        sign.chmod(0o755)
        self.peer_lives(True)
        words = {
            "ME": self.name, "PEER": PEER[self.name], "PORT": str(self.out.port),
            "AUTHORITY": "1" if self.name == "east" else "0", "LIST": ", ".join(SYSTEMS[self.name]),
            "SYSTEMS": "\n".join(f"system {name} ( )" for name in SYSTEMS[self.name]),
        }  # fmt: skip
        text = self.main_cf()
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        super().load(text)

    def main_cf(self) -> str:
        """Its configuration, before the words in it are replaced."""
        return MAIN_CF

    def peer_lives(self, lives: bool) -> None:
        mark = self.directory / "peer-lives"
        mark.touch() if lives else mark.unlink()

    def more(self) -> str:
        listen, identity = (
            f'listen = "127.0.0.1:{self.listen}"',
            f'identity = "{self.directory.parent}/{self.name}.tls"',
        )
        plugins = '[plugins]\nstandings = "holdfast.app.continuity:pair_standings"'
        return f'[wide_area]\n{listen}\n{identity}\n{plugins}\n[settings]\nstore = "{self.url}"\n'

    def boot(self) -> None:
        self.start(*SYSTEMS[self.name])

    def lose(self, *names: str) -> None:
        for name in names:
            for pid in self.tree(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.guards[name].wait()

    def peer_is(self, state: RemoteState) -> None:
        peer = PEER[self.name]
        self.until(lambda seen: peer in seen.remotes and seen.remotes[peer].state is state, 25.0)

    def held(self) -> bool:
        found = self.state().authorities.get("web")
        return found.held if found is not None else self.name == "east"

    def up(self) -> bool:
        return (self.directory / "flag").exists()

    def declare(self) -> Request:
        options = {"cluster": PEER[self.name], "kind": "disaster", "failover": "1", "reason": "test"}
        asked = Request("", "cluster.declare", options=options)
        return self.ask(lambda client: client.ask(asked, 15.0))  # type: ignore[no-any-return]


Built = TypeVar("Built", bound=Site)


def two_clusters(directory: Path, make: Callable[[str, Line, int], Built]) -> Iterator[tuple[Built, Built]]:
    """Two running clusters with a line between them, made by ``make(name, line out, port)``; ended in the end. The
    authority lies in ``directory``."""
    made = list[Built]()
    lines = {name: Line() for name in SYSTEMS}
    for name in SYSTEMS:
        save_identity(issue(directory / "ca", f"cluster:{name}"), directory / f"{name}.tls")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        lines[PEER[name]].to = port
        made.append(make(name, lines[name], port))
    try:
        for site in made:
            site.boot()
        yield made[0], made[1]
    finally:
        for site in made:
            site.stop()


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    create_authority(tmp_path / "ca")
    yield from two_clusters(tmp_path, lambda name, out, port: Site(tmp_path / name, name, out, port))


def test_migration_host_failure_and_failback(sites: tuple[Site, Site]) -> None:
    east, west = sites
    east.until(east.online_on("hosta"), 30.0)
    west.peer_is(RemoteState.RUNNING)
    assert not west.up()
    assert not west.held()
    with pytest.raises(Refused) as refused:
        west.request("group.online")
    assert refused.value.refusal.code == "no-authority"
    # migration: to the other host of this cluster, to the other cluster, and back to where it began
    east.request("group.switch", system="hostb")
    east.until(east.online_on("hostb"))
    done = east.request("group.switch", 30.0, system="hostc", options={"cluster": "west"})
    assert "hostc" in done.output
    west.until(west.online_on("hostc"))
    assert (east.held(), east.up(), west.held()) == (False, False, True)
    west.request("group.switch", 30.0, system="hosta", options={"cluster": "east"})
    east.until(east.online_on("hosta"))
    assert (east.held(), west.held(), west.up()) == (True, False, False)
    # host failure: hosta is lost, then hostb, then a person decides
    east.lose("hosta")
    east.until(east.online_on("hostb"), 20.0)
    west.peer_lives(False)
    east.lose("hostb")
    (east.directory / "flag").unlink(missing_ok=True)
    west.until(lambda state: state.notes["web"].code == "cluster-down", 25.0)
    assert not west.up(), "Manual: never by itself"
    west.declare()
    west.until(west.online_on("hostc"), 20.0)
    # failback: the hosts of the old cluster return and start nothing; then it is moved back
    west.peer_lives(True)
    east.boot()
    west.peer_is(RemoteState.RUNNING)
    east.until(lambda state: "web" in state.authorities and not state.authorities["web"].held, 20.0)
    assert not east.up()
    west.request("group.switch", 30.0, options={"cluster": "east"})
    east.until(lambda state: east.up(), 20.0)
    assert not west.up()


def test_split_brain_the_later_claim_wins_when_the_line_returns(sites: tuple[Site, Site]) -> None:
    east, west = sites
    east.until(east.online_on("hosta"), 30.0)
    west.peer_is(RemoteState.RUNNING)
    west.until(lambda state: (said := state.remotes["east"].summary) and said.groups["web"].online)  # a second behind
    _vcs_commands_reach_the_other_cluster(west)
    with pytest.raises(Refused) as refused:
        west.declare()
    assert refused.value.refusal.code == "cluster-alive"
    for site in sites:
        site.out.cut()
    west.peer_is(RemoteState.LOST_CONN)
    assert east.up(), "a cut line alone moves nothing"
    _a_lost_clusters_group_is_left_where_it_is(west)
    west.declare()
    west.until(west.online_on("hostc"), 20.0)
    for site in sites:
        site.out.whole = True
    east.until(lambda _: not east.up(), 25.0)
    east.until(lambda state: not state.authorities["web"].held)
    assert west.up()
    assert west.held()
    assert west.state().authorities["web"].counter == east.state().authorities["web"].counter


def _a_lost_clusters_group_is_left_where_it_is(west: Site) -> None:
    west.until(lambda state: state.notes["web"].code == "cluster-down")
    assert "CFAULT_web" in west.typed("haalert", "-list").stdout
    assert west.typed("hagrp", "-ignore", "web", "-clus", "north").returncode == 1
    assert west.typed("hagrp", "-ignore", "web", "-clus", "east").returncode == 0
    assert "CFAULT_web" not in west.typed("haalert", "-list").stdout
    again = west.typed("hagrp", "-ignore", "web", "-clus", "east")
    assert (again.returncode, "nothing waits for a person" in again.stderr) == (1, True)


def _vcs_commands_reach_the_other_cluster(west: Site) -> None:
    def typed(*words: str) -> tuple[int, str]:
        done = west.typed(*words)
        return done.returncode, done.stdout + done.stderr

    assert typed("hagrp", "-state", "web", "hosta", "-clus", "east") == (0, "|ONLINE|\n")
    assert typed("haclus", "-state", "east") == (0, "RUNNING\n")
    _, shown = typed("hastatus", "-sum")
    assert re.search(r"^L +Sign +east +ALIVE$", shown, re.M), shown
    assert re.search(r"^O +web +east:hosta +ONLINE$", shown, re.M), shown
    assert typed("hagrp", "-freeze", "web", "-clus", "east") == (0, "")
    code, said = typed("hagrp", "-offline", "web", "-any", "-clus", "east")
    assert code == 1
    assert "frozen" in said, "refused by the coordinator of the other cluster"
    assert typed("hagrp", "-unfreeze", "web", "-clus", "east") == (0, "")
    code, said = typed("hagrp", "-modify", "web", "AutoStart", "0", "-clus", "east")
    assert code == 1
    assert "run it in cluster east" in said
