"""Holdfast on three nodes with an etcd member on each, TLS throughout: the other side of the cluster benchmarks.

The group is FileOnOff (as Dummy is), IP and Application, with Holdfast's defaults for everything that is not said
here. Losing a node takes its etcd member along, as it would take the peer's membership daemon along.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bench.netns import PORT, SERVICE, Net, Node, wait_for
from bench.peers.pacemaker import HTTPD, application_of
from holdfast.app.hostfiles import ELECTION_MS, HEARTBEAT_MS, TIMER_SLACK_NS
from holdfast.runtime.authority import create_authority, issue
from holdfast.runtime.identity import host_label, save_identity

HOLDFAST = [sys.executable, "-m", "holdfast.app.main"]

MAIN_CF = """include "types.cf"
cluster bench ( )
@SYSTEMS@
group grp (
    SystemList = { @LIST@ }
    AutoStartList = { @LIST@ }
    )
    FileOnOff dummy ( PathName = "/run/bench/dummy" )
    IP ip ( Device = eth0 Address = "@SERVICE@" NetMask = "255.255.255.0" )
    Application app (
        StartProgram = "@PYTHON@ -S -E @HTTPD@ @SERVICE@ @PORT@ /run/bench/benchd.pid"
        StopProgram = "kill `cat /run/bench/benchd.pid`"
        CleanProgram = "kill -9 `cat /run/bench/benchd.pid`; true"
        PidFiles = { "/run/bench/benchd.pid" }
        RestartLimit = 1000
        )
    ip requires dummy
    app requires ip
"""

INIT = """
mount --make-rprivate /
mount -t tmpfs none /run
mkdir -p /run/bench
@ETCD@ &
exec_system() { @HOLDFAST@ system run --config @D@/system.toml; }
exec_system &
"""


class Ours:
    """A running cluster with its group. :meth:`stop` ends it whatever happened."""

    name = "holdfast"

    def __init__(self, directory: Path, nodes: int = 3, settings: str = "") -> None:
        self.directory, self.settings = directory, settings
        self.net = Net("h")
        self.nodes = [Node(self.net, n, directory / f"n{n}") for n in range(1, nodes + 1)]

    @property
    def store(self) -> str:
        """The store's URL, for commands on any node."""
        return self._store_of(self.nodes, self.directory / "client")

    def _store_of(self, nodes: list[Node], identity: Path) -> str:
        members = ",".join(f"{node.address}:2379" for node in nodes)
        return f"etcd://{members}?identity={identity}"

    def start(self) -> None:
        """Make identities, boot every node, load the configuration, wait until the group is online."""
        create_authority(self.directory / "ca")
        member = issue(self.directory / "ca", "store:etcd", [node.address for node in self.nodes])
        save_identity(member, self.directory / "etcd")
        save_identity(issue(self.directory / "ca", "client:bench"), self.directory / "client")
        self.net.make()
        for node in self.nodes:
            name = f"system:{node.name}"
            save_identity(issue(self.directory / "ca", name), self.directory / host_label(name))
            self.boot(node)
        main_cf = self.directory / "main.cf"
        systems = "\n".join(f"system {node.name} ( )" for node in self.nodes)
        words = {
            "@SYSTEMS@": systems, "@LIST@": ", ".join(node.name for node in self.nodes), "@SERVICE@": SERVICE,
            "@PORT@": str(PORT), "@PYTHON@": sys.executable, "@HTTPD@": str(HTTPD),
        }  # fmt: skip
        text = MAIN_CF
        for word, value in words.items():
            text = text.replace(word, value)
        main_cf.write_text(text)
        load = self.command(self.nodes[0], "cluster", "load", str(main_cf))
        wait_for(lambda: subprocess.run(load, capture_output=True, check=False).returncode == 0, "a configuration", 60)

    def boot(self, node: Node) -> None:
        """Give a node power: its etcd member and its system daemon."""
        identity = self.directory / host_label(f"system:{node.name}")
        store = self._store_of([node, *(one for one in self.nodes if one is not node)], identity)
        (node.directory / "system.toml").write_text(
            f'name = "{node.name}"\nstore = "{store}"\nrun_directory = "/run/bench/holdfast"\n'
            f'log = "{node.directory}/system.log"\n{self.settings}\n'
        )
        node.start(
            INIT.replace("@ETCD@", self.etcd_line(node)).replace("@HOLDFAST@", " ".join(HOLDFAST))
            .replace("@D@", str(node.directory))
        )  # fmt: skip

    def etcd_line(self, node: Node) -> str:
        """The shell's line that runs a node's etcd member, with the settings of ``holdfast cluster init``."""
        data = node.directory / "etcd"
        known = data.exists()
        members = ",".join(f"{one.name}=https://{one.address}:2380" for one in self.nodes)
        tls = self.directory / "etcd"
        words = [
            "etcd", "--name", node.name, "--data-dir", str(data), "--logger", "zap", "--log-level", "error",
            "--heartbeat-interval", str(HEARTBEAT_MS), "--election-timeout", str(ELECTION_MS),
            "--backend-batch-interval", "1s",
            "--listen-client-urls", f"https://{node.address}:2379",
            "--advertise-client-urls", f"https://{node.address}:2379",
            "--listen-peer-urls", f"https://{node.address}:2380",
            "--initial-advertise-peer-urls", f"https://{node.address}:2380",
            "--initial-cluster", members, "--initial-cluster-state", "existing" if known else "new",
            "--cert-file", str(tls / "cert.pem"), "--key-file", str(tls / "key.pem"),
            "--trusted-ca-file", str(tls / "ca.pem"), "--client-cert-auth",
            "--peer-cert-file", str(tls / "cert.pem"), "--peer-key-file", str(tls / "key.pem"),
            "--peer-trusted-ca-file", str(tls / "ca.pem"), "--peer-client-cert-auth",
        ]  # fmt: skip
        run = f"exec env GOMAXPROCS=1 {' '.join(words)}"
        return f"sh -c 'echo {TIMER_SLACK_NS} >/proc/self/timerslack_ns; {run}' >>{node.directory}/etcd.log 2>&1"

    def command(self, node: Node, *words: str) -> list[str]:
        """The command line that runs ``holdfast WORDS`` on a node."""
        settings = (
            "HOLDFAST_SOCKET=/run/bench/holdfast/control.sock",
            f"HOLDFAST_SYSTEM_CONFIG={node.directory}/system.toml",
        )
        return node.command("env", *settings, *HOLDFAST, *words)

    def owner(self) -> str:
        """The node on which the group is online, as the cluster says."""
        for node in self.nodes:
            if Path(f"/proc/{node.pid}").exists():
                words = self.command(node, "hagrp", "-state", "grp")
                told = subprocess.run(words, capture_output=True, text=True, check=False).stdout
                return next((line.split()[2] for line in told.splitlines() if "|ONLINE|" in line), "")
        return ""

    def node(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def switch(self, target: str, at: Node) -> list[str]:
        """The command line, for ``at``, that moves the group."""
        return self.command(at, "hagrp", "-switch", "grp", "-to", target)

    def summary(self, at: Node) -> list[str]:
        """The command line, for ``at``, that shows the state of everything."""
        return self.command(at, "hastatus", "-sum")

    def settle(self) -> None:
        """Wait until the group is online somewhere and nothing is under way."""
        wait_for(lambda: self.owner() != "", "the group online", 60)
        time.sleep(1.0)

    def application(self, node: Node) -> int:
        """The application's process, as this machine counts."""
        return application_of(node)

    def stop(self) -> None:
        """End every node and the network."""
        for node in self.nodes:
            node.end()
        self.net.remove()
