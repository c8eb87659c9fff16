"""Pacemaker and Corosync on three nodes, as Debian packages them: the peer of the cluster benchmarks.

Each node has private /etc/corosync, /var/lib/corosync, /var/lib/pacemaker, /var/log, /run and /dev/shm. The group is
Dummy, IPaddr2 and a small OCF agent around the benchmark's application. ``token_ms`` 0 leaves Corosync's own default.
No fencing device: what is measured is what Pacemaker does once the membership says that a node is gone, which is to
the peer's advantage.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.netns import PORT, SERVICE, Net, Node, run, wait_for

HTTPD = Path(__file__).with_name("httpd.py")

AGENT = f"""#!/bin/sh
: ${{OCF_FUNCTIONS_DIR=$OCF_ROOT/lib/heartbeat}}
. $OCF_FUNCTIONS_DIR/ocf-shellfuncs
PIDFILE=/run/benchd.pid
alive() {{ [ -e $PIDFILE ] && kill -0 $(cat $PIDFILE) 2>/dev/null; }}
case "$1" in
meta-data) cat <<END
<?xml version="1.0"?>
<resource-agent name="benchd" version="1.0"><version>1.0</version>
<longdesc lang="en">The benchmark's application</longdesc><shortdesc lang="en">benchd</shortdesc>
<parameters/>
<actions><action name="start" timeout="20s"/><action name="stop" timeout="20s"/>
<action name="monitor" timeout="20s" interval="10s" depth="0"/><action name="meta-data" timeout="5s"/></actions>
</resource-agent>
END
exit 0;;
start) alive && exit 0; {sys.executable} -S -E {HTTPD} {SERVICE} {PORT} $PIDFILE || exit 1; exit 0;;
stop) alive && {{ kill $(cat $PIDFILE); while alive; do sleep 0.01; done; }}; rm -f $PIDFILE; exit 0;;
monitor) alive && exit 0; exit 7;;
*) exit 3;;
esac
"""

INIT = """
mount --make-rprivate /
for place in etc/corosync var/lib/corosync var/lib/pacemaker var/log; do mount --bind @D@/$place /$place; done
mount --bind @D@/resource.d /usr/lib/ocf/resource.d
mount -t tmpfs none /run
mount -t tmpfs none /dev/shm
install -d -o hacluster -g haclient -m 770 /run/crm
corosync -f &
sleep 1
pacemakerd &
"""


def _corosync(nodes: int, token_ms: int) -> str:
    token = f"token: {token_ms}\n token_coefficient: 0\n" if token_ms else ""
    members = "\n".join(
        f" node {{\n ring0_addr: 10.77.0.{n}\n name: n{n}\n nodeid: {n}\n }}" for n in range(1, nodes + 1)
    )
    return (
        f"totem {{\n version: 2\n cluster_name: bench\n transport: knet\n crypto_cipher: none\n crypto_hash: none\n"
        f" {token}}}\nnodelist {{\n{members}\n}}\nquorum {{\n provider: corosync_votequorum\n}}\n"
        f"logging {{\n to_logfile: yes\n logfile: /var/log/corosync.log\n to_syslog: no\n}}\n"
    )


def _resources(monitor_s: int) -> str:
    return f"""<group id="grp">
<primitive id="dummy" class="ocf" provider="heartbeat" type="Dummy"><operations>
<op id="dummy-m" name="monitor" interval="10s"/></operations></primitive>
<primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="ip-a">
<nvpair id="ip-a-ip" name="ip" value="{SERVICE}"/><nvpair id="ip-a-m" name="cidr_netmask" value="24"/>
<nvpair id="ip-a-n" name="nic" value="eth0"/></instance_attributes>
<operations><op id="ip-m" name="monitor" interval="10s"/></operations></primitive>
<primitive id="app" class="ocf" provider="bench" type="benchd"><operations>
<op id="app-m" name="monitor" interval="{monitor_s}s"/></operations></primitive></group>"""


class Pacemaker:
    """A running cluster with its group. :meth:`stop` ends it whatever happened."""

    name = "pacemaker"

    def __init__(self, directory: Path, token_ms: int = 0, monitor_s: int = 1, nodes: int = 3) -> None:
        self.directory, self.token_ms, self.monitor_s = directory, token_ms, monitor_s
        self.net = Net("p")
        self.nodes = [Node(self.net, n, directory / f"n{n}") for n in range(1, nodes + 1)]

    def start(self) -> None:
        """Boot every node, wait for all to be members, create the group, wait until it answers."""
        self.net.make()
        for node in self.nodes:
            self._prepare(node)
            self.boot(node)
        self.await_members(len(self.nodes))
        any_node = self.nodes[0]
        for name, value in (("stonith-enabled", "false"), ("no-quorum-policy", "stop")):
            any_node.run("crm_attribute", "--type", "crm_config", "--name", name, "--update", value)
        any_node.run("crm_attribute", "--type", "rsc_defaults", "--name", "resource-stickiness", "--update", "100")
        any_node.run("cibadmin", "-C", "-o", "resources", "--xml-text", _resources(self.monitor_s))

    def _prepare(self, node: Node) -> None:
        for place in ("etc/corosync", "var/lib/corosync", "var/lib/pacemaker"):
            run("mkdir", "-p", str((node.directory / place).parent))
            run("cp", "-a", f"/{place}", str(node.directory / place))
        (node.directory / "var/log/pacemaker").mkdir(parents=True)
        shutil.chown(node.directory / "var/log/pacemaker", "hacluster", "haclient")
        run("cp", "-a", "/usr/lib/ocf/resource.d", str(node.directory / "resource.d"))
        agent = node.directory / "resource.d/bench/benchd"
        agent.parent.mkdir()
        agent.write_text(AGENT)
        agent.chmod(0o755)
        conf = node.directory / "etc/corosync/corosync.conf"
        conf.write_text(_corosync(len(self.nodes), self.token_ms))

    def boot(self, node: Node) -> None:
        """Give a node power."""
        node.start(INIT.replace("@D@", str(node.directory)))

    def await_members(self, count: int) -> None:
        """Wait until ``count`` nodes are online in the eyes of the first living node."""
        wait_for(lambda: self._online() == count, f"{count} members", 90)

    def _online(self) -> int:
        for node in self.nodes:
            if node.pid and Path(f"/proc/{node.pid}").exists():
                nodes = subprocess.run(
                    node.command("crm_mon", "-1"), capture_output=True, text=True, check=False
                ).stdout
                line = next((one for one in nodes.splitlines() if "Online:" in one), "")
                return len(line.partition("[")[2].partition("]")[0].split())
        return 0

    def owner(self) -> str:
        """The node on which the group runs, as the cluster says."""
        for node in self.nodes:
            if Path(f"/proc/{node.pid}").exists():
                told = node.run("crm_resource", "--resource", "app", "--locate", quiet=True)
                return told.rpartition(":")[2].strip().split()[0] if "running on" in told else ""
        return ""

    def node(self, name: str) -> Node:
        """The node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def switch(self, target: str, at: Node) -> list[str]:
        """The command line, for ``at``, that moves the group."""
        return at.command("crm_resource", "--move", "--resource", "grp", "--node", target)

    def summary(self, at: Node) -> list[str]:
        """The command line, for ``at``, that shows the state of everything."""
        return at.command("crm_mon", "-1")

    def settle(self) -> None:
        """Wait until nothing is under way and forget the last move and all failures."""
        node = next(node for node in self.nodes if Path(f"/proc/{node.pid}").exists())
        node.run("crm_resource", "--clear", "--resource", "grp", quiet=True)
        node.run("crm_resource", "--cleanup", quiet=True)
        node.run("crm_resource", "--wait", quiet=True)
        time.sleep(1.0)

    def application(self, node: Node) -> int:
        """The application's process, as this machine counts."""
        return application_of(node)

    def stop(self) -> None:
        """End every node and the network."""
        for node in self.nodes:
            node.end()
        self.net.remove()


def application_of(node: Node) -> int:
    """The process of the benchmark's application on ``node``, as this machine counts; 0 when there is none."""
    for pid in node.processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(HTTPD).encode() in words[:5]:
            return pid
    return 0
