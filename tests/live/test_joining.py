"""A cluster set up as an administrator does it, on machines of their own network: init, join, join, leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from etcdlab import needs_etcd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.netns import Net, Node

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are made as root")

HOLDFAST = [sys.executable, "-m", "holdfast"]
SCRIPT = "mount --make-rprivate /\nmount -t tmpfs none /run"
GROUP = """include "types.cf"
cluster payroll ( )
system n1 ( )
group web (
    SystemList = { n1 }
    AutoStartList = { n1 }
    )
    FileOnOff flag ( PathName = "/run/web.flag" )
"""


class Machines:
    """Three machines on one network; each keeps its files below a root of its own."""

    def __init__(self, directory: Path) -> None:
        self.net = Net("j")
        self.nodes = {f"n{number}": Node(self.net, number, directory / f"n{number}") for number in (1, 2, 3)}

    def start(self) -> None:
        self.net.make()
        for node in self.nodes.values():
            node.start(SCRIPT)

    def root(self, name: str) -> Path:
        return self.nodes[name].directory / "root"

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``holdfast WORDS`` on a machine."""
        config = f"HOLDFAST_SYSTEM_CONFIG={self.root(name)}/etc/holdfast/system.toml"
        command = self.nodes[name].command("env", config, "HOLDFAST_REASON=test", *HOLDFAST, *words)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def ask(self, name: str, *words: str) -> Any:
        """Run a command that must succeed; return its JSON."""
        done = self.run(name, *words, "--json")
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}{self.logs()}"
        return json.loads(done.stdout)

    def set_up(self, name: str, *words: str) -> Any:
        mine = ("--system", name, "--address", self.nodes[name].address, "--root", str(self.root(name)))
        return self.ask(name, "cluster", *words, *mine)

    def until(self, name: str, words: tuple[str, ...], check: Callable[[Any], object], limit_s: float = 60.0) -> Any:
        end = time.monotonic() + limit_s
        while True:
            found = self.ask(name, *words)
            if check(found):
                return found
            assert time.monotonic() < end, f"{found}{self.logs()}"
            time.sleep(0.3)

    def logs(self) -> str:
        files = [path for name in self.nodes for path in self.root(name).glob("var/log/holdfast/*.log")]
        return "".join(f"\n--- {path}\n{path.read_text()[-2500:]}" for path in files)

    def stop(self) -> None:
        for node in self.nodes.values():
            node.end()
        self.net.remove()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """Three machines with power, and nothing on them."""
    needs_etcd()
    made = Machines(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def running(names: set[str]) -> Callable[[Any], bool]:
    return lambda found: {one["name"] for one in found if one["state"] == "RUNNING"} == names


def test_init_join_join_and_leave_with_a_group_that_moves(machines: Machines, tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(GROUP)
    words = ("init", "--name", "payroll", "--etcd", "--config", str(tmp_path / "main.cf"))
    made = machines.set_up("n1", *words)
    again = machines.set_up("n1", *words)
    assert again["cluster"] == "payroll", "what is done already is found done"
    secrets = [token["token"].rpartition(".")[0] for token in (made, again)]
    kept = (machines.root("n1") / "etc/holdfast/tokens.json").read_text()
    assert not any(secret in kept for secret in secrets), "tokens are kept as hashes"

    wrong = "0" * 32 + "." + made["token"].rpartition(".")[2]
    mine = ("--system", "n2", "--address", machines.nodes["n2"].address, "--root", str(machines.root("n2")))
    refused = machines.run("n2", "cluster", "join", machines.nodes["n1"].address, "--token", wrong, *mine)
    assert refused.returncode != 0
    assert "token is not known" in refused.stderr

    first = machines.nodes["n1"].address
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text(again["token"] + "\n")
    for name, token in (("n2", made["token"]), ("n3", f"@{tmp_path}/token")):
        machines.set_up(name, "join", first, "--token", token)
    machines.set_up("n2", "join", first, "--token", made["token"])  # the same system again: nothing changes
    machines.until("n3", ("system", "list"), running({"n1", "n2", "n3"}))
    thief = ("--system", "n9", "--address", machines.nodes["n2"].address, "--root", str(tmp_path / "thief"))
    refused = machines.run("n2", "cluster", "join", first, "--token", made["token"], *thief)
    assert "another system has used it" in refused.stderr
    machines.ask("n2", "cluster", "leave", "--root", str(tmp_path / "thief"))
    assert not (tmp_path / "thief/etc/holdfast/cluster.json").exists(), "one that was never admitted just forgets"
    for name in ("n2", "n3"):
        assert not list(machines.root(name).rglob("ca.key")), "the authority's key stays where it was made"

    machines.ask("n1", "group", "modify", "web", "SystemList", "--add", "n2", "1", "n3", "2")
    machines.ask("n1", "group", "switch", "web", "--to", "n2", "--wait", "30")
    left = machines.ask("n2", "cluster", "leave", "--root", str(machines.root("n2")))
    assert left["system"] == "n2"
    machines.until("n3", ("system", "list"), running({"n1", "n3"}))
    (group,) = machines.until("n3", ("group", "list"), lambda found: "ONLINE" in str(found[0]["systems"]))
    assert group["owner"] in ("n1", "n3")
    assert not list(machines.root("n2").rglob("key.pem")), "keys are destroyed"

    machines.nodes["n3"].lose()
    with pytest.raises(AssertionError, match="etcd"):  # two members were left: one alone is no majority
        machines.ask("n1", "system", "list")
