"""A cluster of real guards and daemons as processes of this machine, for tests that let it start, switch and die.

Each system is a ``holdfast system run`` under a guard of its own; all share one embedded store, or another that a
subclass names, so that only what runs under the guards tells the systems apart. Whoever takes a cluster from
:func:`lab` gets every process ended in the end, stopped ones too, and the logs printed for the report of a failure.
"""

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
from holdfast.cluster.model.facts import Intent, Request, Wanted
from holdfast.cluster.plan.status import group_flags
from holdfast.cluster.service.client import ClusterClient, configuration_of
from holdfast.cluster.service.records import State

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
        StartProgram = "cd @DIR@; S=$HOLDFAST_SYSTEM; [ -e $S.flag ] || sleep 200; sleep 1000 & echo $! > $S.pid"
        StopProgram = "kill `cat @DIR@/$HOLDFAST_SYSTEM.pid`"
        PidFiles @alpha = { "@DIR@/alpha.pid" }
        PidFiles @beta = { "@DIR@/beta.pid" }
        RestartLimit = 1
        MonitorInterval = 5
        )
    app requires flag
"""


class Cluster:
    """Systems of one configuration; ``isolation`` is the guards' own word: ``auto`` (PID namespaces) or ``marker``."""

    def __init__(self, directory: Path, isolation: str) -> None:
        self.directory, self.url = directory, f"embedded://{directory}/cluster.db"
        self.guards: dict[str, subprocess.Popen[bytes]] = {}
        self.isolation, self.ttl_s = isolation, 1.0
        self.load(MAIN_CF)

    def load(self, main_cf: str) -> None:
        (self.directory / "main.cf").write_text(main_cf.replace("@DIR@", str(self.directory)))
        self.ask(lambda client: client.load(read_files(self.directory)))

    def start(self, *names: str) -> None:
        for name in names:
            path = self.directory / f"{name}.toml"
            path.write_text(
                f'name = "{name}"\nstore = "{self.url}"\nrun_directory = "{self.directory}/run-{name}"\n'
                f"heartbeat_interval_s = 0.2\nlease_ttl_s = {self.ttl_s}\nmargin_s = 0.3\n"
                f'isolation = "{self.isolation}"\nlog = "{self.directory}/{name}.log"\n'
                f'triggers = "{self.directory}/triggers"\n{self.more()}'
            )
            command = [sys.executable, "-m", "holdfast", "system", "run", "--config", str(path)]
            self.guards[name] = subprocess.Popen(command, start_new_session=True)

    def more(self) -> str:
        """What else stands in a system's file."""
        return ""

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

    def typed(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type a command where the store is known and no daemon's door is near."""
        environment = {**os.environ, "HOLDFAST_STORE": self.url, "HOLDFAST_SOCKET": "/nonexistent"}
        command = [sys.executable, "-m", "holdfast", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def request(self, operation: str, wait_s: float = 10.0, **fields: object) -> Request:
        request = Request("", operation, "web", **fields)  # type: ignore[arg-type]
        return self.ask(lambda client: client.ask(request, wait_s))  # type: ignore[no-any-return]

    def until(self, check: Callable[[State], object], limit_s: float = 12.0) -> State:
        """The first state that the check holds in; what it looks up may not be in the store yet.

        Raises:
            AssertionError: It does not hold within the limit.
        """
        end = time.monotonic() + limit_s
        while True:
            state = self.state()
            with contextlib.suppress(KeyError):
                if check(state):
                    return state
            if time.monotonic() > end:
                raise AssertionError(f"not reached: {state.intents} {state.facts} {state.notes}")
            time.sleep(0.02)

    def online_on(self, name: str) -> Callable[[State], bool]:
        def check(state: State) -> bool:
            intent = state.intents.get("web", Intent("web"))
            group = configuration_of(state).groups["web"]
            settled = intent.owner == name and intent.wanted is Wanted.ONLINE
            return settled and "ONLINE" in group_flags(group, state.facts.get(("web", name)), intent, name)

        return check

    def daemon_pid(self, name: str) -> int:
        guard = self.guards[name].pid
        children = Path(f"/proc/{guard}/task/{guard}/children").read_text().split()
        lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
        return next(pid for pid, line in lines.items() if b"-m\0holdfast.app.system\0" in line)

    def tree(self, name: str) -> list[int]:
        found, waiting = [], [self.guards[name].pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                waiting += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return found

    def stop(self) -> None:
        for log in self.directory.glob("*.log"):
            print(f"--- {log.name}\n{log.read_text()}")
        for name, guard in self.guards.items():
            with contextlib.suppress(ProcessLookupError):
                for pid in self.tree(name):
                    os.kill(pid, signal.SIGCONT)
            guard.kill()
            guard.wait()


def apps(directory: Path) -> list[int]:
    """Host process ids of the application: sleepers that were started in this directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            where = os.readlink(path / "cwd")
            if (path / "cmdline").read_bytes().startswith(b"sleep\x001000") and where == str(directory):
                found.append(int(path.name))
    return found


def lab(directory: Path, isolation: str) -> Iterator[Cluster]:
    if isolation == "auto" and os.geteuid() != 0:
        pytest.skip("PID namespaces need root")
    made = Cluster(directory, isolation)
    try:
        yield made
    finally:
        made.stop()
