"""Real daemons under real guards on one embedded store: start, switch, deaths of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.app.store import open_store
from holdfast.cluster.config.files import read_files
from holdfast.cluster.model.facts import Intent, Request, ResourceState, Wanted
from holdfast.cluster.plan.status import group_flags
from holdfast.cluster.service.client import ClusterClient, configuration_of
from holdfast.cluster.service.records import State
from holdfast.kernel.errors import Refused

MAIN_CF = """
include "types.cf"
cluster trial ( )
system alpha ( )
system beta ( )
group web (
    SystemList = { alpha, beta }
    AutoStartList = { alpha }
    )
    FileOnOff flag ( PathName = "@DIR@/%s.flag" )
    Application app (
        StartProgram = "sleep 1000 & echo $! > @DIR@/app.pid"
        StopProgram = "kill `cat @DIR@/app.pid`"
        PidFiles = { "@DIR@/app.pid" }
        RestartLimit = 1
        MonitorInterval = 5
        )
    app requires flag
"""


class Cluster:
    def __init__(self, directory: Path, isolation: str) -> None:
        self.directory, self.url = directory, f"embedded://{directory}/cluster.db"
        self.guards: dict[str, subprocess.Popen[bytes]] = {}
        self.isolation = isolation
        (directory / "main.cf").write_text(MAIN_CF.replace("@DIR@", str(directory)))
        self.ask(lambda client: client.load(read_files(directory)))

    def start(self, *names: str) -> None:
        for name in names:
            path = self.directory / f"{name}.toml"
            path.write_text(
                f'name = "{name}"\nstore = "{self.url}"\nrun_directory = "{self.directory}/run-{name}"\n'
                "heartbeat_interval_s = 0.2\nlease_ttl_s = 1.0\nmargin_s = 0.3\n"
                f'isolation = "{self.isolation}"\nlog = "{self.directory}/{name}.log"\n'
            )
            code = f"from holdfast.app.system import become_guard; from pathlib import Path; become_guard(Path({str(path)!r}))"
            self.guards[name] = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)

    def ask(self, what):  # type: ignore[no-untyped-def]
        async def run():  # type: ignore[no-untyped-def]
            store = open_store(self.url)
            try:
                return await what(ClusterClient(store, "test"))
            finally:
                await store.close()

        return asyncio.run(run())

    def state(self) -> State:
        return self.ask(lambda client: client.state())  # type: ignore[no-any-return]

    def request(self, operation: str, wait_s: float = 10.0, **fields: object) -> Request:
        request = Request("", operation, "web", **fields)  # type: ignore[arg-type]
        return self.ask(lambda client: client.ask(request, wait_s))  # type: ignore[no-any-return]

    def until(self, check: Callable[[State], object], limit_s: float = 12.0) -> State:
        end = time.monotonic() + limit_s
        while True:
            state = self.state()
            if check(state):
                return state
            if time.monotonic() > end:
                for log in self.directory.glob("*.log"):
                    print(f"--- {log.name}\n{log.read_text()}")
                raise AssertionError(f"not reached: {state.intents} {state.facts} {state.notes}")
            time.sleep(0.02)

    def online_on(self, name: str) -> Callable[[State], bool]:
        def check(state: State) -> bool:
            intent = state.intents.get("web", Intent("web"))
            group = configuration_of(state).groups["web"]
            return intent.owner == name and "ONLINE" in group_flags(group, state.facts.get(("web", name)), intent, name)

        return check

    def daemon_pid(self, name: str) -> int:
        guard = self.guards[name].pid
        children = Path(f"/proc/{guard}/task/{guard}/children").read_text().split()
        return next(int(pid) for pid in children if b"holdfast.app.system" in Path(f"/proc/{pid}/cmdline").read_bytes())

    def tree(self, name: str) -> list[int]:
        found, waiting = [], [self.guards[name].pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                waiting += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return found

    def stop(self) -> None:
        for name, guard in self.guards.items():
            with contextlib.suppress(ProcessLookupError):
                for pid in self.tree(name):
                    os.kill(pid, signal.SIGCONT)
            guard.kill()
            guard.wait()


def apps(directory: Path) -> list[int]:
    """Host process ids of the application: sleepers whose parent shell ran in this directory's cluster."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            log = os.readlink(path / "fd" / "1")
            if (path / "cmdline").read_bytes().startswith(b"sleep\x001000") and log.startswith(str(directory)):
                found.append(int(path.name))
    return found


@pytest.fixture(params=["auto", "marker"])
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if request.param == "auto" and os.geteuid() != 0:
        pytest.skip("PID namespaces need root")
    made = Cluster(tmp_path, request.param)
    try:
        yield made
    finally:
        made.stop()


def test_group_starts_switches_and_refuses(cluster: Cluster) -> None:
    cluster.start("alpha", "beta")
    cluster.until(cluster.online_on("alpha"))
    assert len(apps(cluster.directory)) == 1
    cluster.request("group.switch", system="beta")
    state = cluster.until(cluster.online_on("beta"))
    assert state.intents["web"].evidence is not None
    assert not (cluster.directory / "alpha.flag").exists()
    assert len(apps(cluster.directory)) == 1
    with pytest.raises(Refused) as refused:
        cluster.request("group.switch", system="beta")
    assert refused.value.refusal.code == "same-system"
    cluster.request("group.offline")
    assert not apps(cluster.directory)
