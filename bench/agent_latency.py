"""From the end of something to the system daemon's knowledge of it: ``make bench-agent-latency``, as root.

One real system under its guard, in namespaces of its own, with a resource of each kind of event: processes (pidfd), the
mount table, addresses and devices (netlink). Each is broken again and again from outside while another process keeps a
core busy; the figure is the time from just before the breaking call to the line in the daemon's log that calls the
resource offline, after its monitor has run. The log counts in whole milliseconds and cuts, so one is added. There is no
peer: a poller knows after half its interval.
"""

from __future__ import annotations

import asyncio
import calendar
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.harness import RESULTS, machine
from bench.netns import run, wait_for
from holdfast.app.store import open_store
from holdfast.cluster.config.files import read_files
from holdfast.cluster.model.facts import Phase, ResourceState
from holdfast.cluster.service import kernelcalls
from holdfast.cluster.service.client import ClusterClient

SAMPLES, WARM_UP, REACH_MS, SEEN_LIMIT_S = 200, 5, 20.0, 5.0

MAIN_CF = """include "types.cf"
cluster latency ( )
system alpha ( )
group web (
    SystemList = { alpha }
    AutoStartList = { alpha }
    )
    Application app (
        StartProgram = "sleep 300001 & echo $! > @D@/app.pid"
        StopProgram = "kill `cat @D@/app.pid`"
        PidFiles = { "@D@/app.pid" }
        RestartLimit = 100000
        )
    Process proc ( PathName = "/bin/sleep" Arguments = 300002 RestartLimit = 100000 )
    Mount mnt ( MountPoint = "@D@/mnt" BlockDevice = none FSType = tmpfs RestartLimit = 100000 )
    IP ip ( Device = trial0 Address = "10.99.0.5" NetMask = "255.255.255.0" RestartLimit = 100000 )
    NIC nic ( Device = trial1 Critical = 0 )
"""
BUSY = "n = 0\nwhile True: n += 1"


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource, how it is broken from outside, through what the event comes, and how it is mended."""

    resource: str
    through: str
    prepare: Callable[[Path], Callable[[], object]]
    mend: Callable[[], object] = lambda: None


_OBSERVER_NICE = -15


def _usual() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 0)


def _kill(pid: int) -> Callable[[], object]:
    return lambda: os.kill(pid, 9)


def _sleeper(word: bytes) -> int:
    line = b"/bin/sleep\0" + word + b"\0"
    paths = Path("/proc").glob("[0-9]*/cmdline")
    return next(int(path.parent.name) for path in paths if path.read_bytes() == line)


KINDS = (
    Kind("app", "Application: pidfd", lambda d: _kill(_host_pid(d))),
    Kind("proc", "Process: pidfd", lambda _: _kill(_sleeper(b"300002"))),
    Kind("mnt", "Mount: mountinfo", lambda d: lambda: run("umount", str(d / "mnt"))),
    Kind("ip", "IP: netlink", lambda _: lambda: run("ip", "addr", "del", "10.99.0.5/24", "dev", "trial0")),
    Kind(
        "nic",
        "NIC: netlink",
        lambda _: lambda: run("ip", "link", "set", "trial1", "down"),
        lambda: run("ip", "link", "set", "trial1", "up"),
    ),
)


def _host_pid(directory: Path) -> int:
    """The application's process, here: its own count is that of its workload's namespace."""
    inner = (directory / "app.pid").read_text().strip()
    for status in Path("/proc").glob("[0-9]*/status"):
        counts = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:")).split()
        if len(counts) > 2 and counts[-1] == inner and b"300001" in (status.parent / "cmdline").read_bytes():
            return int(status.parent.name)
    raise RuntimeError("the application is not there")


class Trial:
    """The running system and its log."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.log = directory, directory / "alpha.log"
        self.url = f"embedded://{directory}/cluster.db"

    def start(self) -> subprocess.Popen[bytes]:
        """Load the configuration and run the system."""
        (self.directory / "mnt").mkdir()
        (self.directory / "main.cf").write_text(MAIN_CF.replace("@D@", str(self.directory)))
        self._ask(lambda client: client.load(read_files(self.directory)))
        config = self.directory / "alpha.toml"
        config.write_text(
            f'name = "alpha"\nstore = "{self.url}"\nrun_directory = "{self.directory}/run"\nlog = "{self.log}"\n'
        )
        return subprocess.Popen(
            [sys.executable, "-m", "holdfast", "system", "run", "--config", str(config)], preexec_fn=_usual
        )

    def _ask(self, what):  # type: ignore[no-untyped-def]
        async def ask():  # type: ignore[no-untyped-def]
            store = open_store(self.url)
            try:
                return await what(ClusterClient(store, "bench"))
            finally:
                await store.close()

        return asyncio.run(ask())

    def online(self, resource: str) -> bool:
        """Whether the system reports the resource online and at rest."""
        facts = self._ask(lambda client: client.state()).facts.get(("web", "alpha"))
        fact = facts.resources.get(resource) if facts is not None else None
        return fact is not None and fact.state is ResourceState.ONLINE and fact.phase is Phase.IDLE

    def sample(self, kind: Kind) -> float:
        """Break the resource once; return milliseconds until the daemon knew."""
        wait_for(lambda: self.online(kind.resource), f"{kind.resource} online")
        strike = kind.prepare(self.directory)
        time.sleep(0.05)
        with self.log.open(encoding="utf-8") as log:
            log.seek(0, os.SEEK_END)
            began = time.time()
            strike()
            known = _known(log, f" {kind.resource} went offline unexpectedly")
        kind.mend()
        return (known - began) * 1000 + 1


def _known(log, words: str) -> float:  # type: ignore[no-untyped-def]
    """Follow the log until a line has ``words``; return its time."""
    end = time.monotonic() + SEEN_LIMIT_S
    while time.monotonic() < end:
        line = log.readline()
        if words in line:
            stamp, _, rest = line.partition(".")
            return calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S")) + int(rest[:3]) / 1000
        if not line:
            time.sleep(0.002)
    raise RuntimeError(f"not seen within {SEEN_LIMIT_S} s:{words}")


def measure(directory: Path, samples: int) -> list[dict[str, object]]:
    """Run the system, break each kind in turn, return a row for each."""
    kernelcalls.share_mounts()
    for device in ("trial0", "trial1"):
        run("ip", "link", "add", device, "type", "veth", "peer", "name", f"{device}p")
        run("ip", "link", "set", f"{device}p", "up")
        run("ip", "link", "set", device, "up")
    trial = Trial(directory)
    system = trial.start()
    busy = subprocess.Popen([sys.executable, "-c", BUSY])
    os.nice(_OBSERVER_NICE)  # what waits for a turn here is not what is measured
    try:
        figures: dict[str, list[float]] = {kind.resource: [] for kind in KINDS}
        for turn in range(samples + WARM_UP):
            for kind in KINDS:
                value = trial.sample(kind)
                if turn >= WARM_UP:
                    figures[kind.resource].append(value)
    finally:
        busy.kill()
        system.kill()
        sys.stderr.write("".join(trial.log.read_text().splitlines(keepends=True)[-12:]))
    return [_row(kind.through, figures[kind.resource]) for kind in KINDS]


def _row(what: str, values: list[float]) -> dict[str, object]:
    ordered = sorted(values)
    p99 = round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 1)
    median = round(statistics.median(ordered), 1)
    return {
        "what": what, "samples": len(ordered), "median_ms": median, "p99_ms": p99, "max_ms": round(ordered[-1], 1),
        "reach_ms": REACH_MS, "met": p99 <= REACH_MS,
    }  # fmt: skip


def main() -> int:
    """Measure in namespaces, print the table, keep it; return 0 when the reach was met everywhere."""
    if os.geteuid():
        sys.stderr.write("as root only: it makes network devices and mounts in namespaces of its own\n")
        return 2
    if len(sys.argv) > 1:
        print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
        return 0
    samples = int(os.environ.get("SAMPLES", SAMPLES))
    with tempfile.TemporaryDirectory(prefix="holdfast-latency-") as name:
        away = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
        words = [*away, sys.executable, "-m", "bench.agent_latency", name, str(samples)]
        rows = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    load = Path("/proc/loadavg").read_text().split()[0]
    document = {"machine": machine(), "busy": "one process on one core", "load_1min": load, "rows": rows}
    (RESULTS / "agent_latency.json").write_text(json.dumps(document, indent=2) + "\n")
    sys.stdout.write(f"{'event':<22}{'samples':>8}{'median':>9}{'p99':>9}{'max':>9}  ms; reach {REACH_MS} at p99\n")
    for row in rows:
        cells = "".join(f"{row[name]:>9}" for name in ("median_ms", "p99_ms", "max_ms"))
        sys.stdout.write(f"{row['what']:<22}{row['samples']:>8}{cells}  {'met' if row['met'] else 'NOT met'}\n")
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
