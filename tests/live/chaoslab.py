"""Runs in a lab without namespaces: brings the drill's service up under load and kills its parts, one random one after
another, at random moments; says what became of every record and of the backup.

    python chaoslab.py DIRECTORY SEED

Every choice comes from the seed. A killed part is started again after a random pause, as its host would; the guard
starts its daemon and the engine its application by themselves. Between two faults a person does what a person would:
clears faults and resumes the mirror, so that the next fault meets whole parts. Prints one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from holdfast.continuity.model.report import Report
from holdfast.continuity.model.sites import ARRAYS, GROUP, MIRROR_RESOURCE, MIRRORED, MOUNT_POINTS, Layout, Role
from holdfast.continuity.service.drill import boot, client, delhi, mirror, protect, tree
from holdfast.continuity.service.drill.stage import LEDGER, Stage, StepFailed
from holdfast.kernel.errors import HoldfastError
from holdfast.lab import processes
from holdfast.lab.narrate import SilentNarrator
from holdfast.lab.sites import LabSites

FAULTS_S = 60.0
"""Every part is killed once, however long that takes; no further fault is begun later than this."""
PATIENCE_S = 25.0
"""After this long a person clears what faulted when two parts died at once: such a group may wait for one."""
ONLINE_LIMIT_S = 40.0
DOWN_S = (0.2, 1.0, 5.0)
"""A killed part stays down for at most one of these; leases hold for three seconds."""
CLIENT = "hosta"
"""Where the backup client runs: its files lie in a plain directory, beside the group."""
DAEMON = "-m holdfast.app.system"
FILESPACE = MOUNT_POINTS[1]


class Watch(threading.Thread):
    """Looks at all processes of the machine, many times a second, for the application on two systems at once."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(daemon=True)
        self._systems = {f"{host.address}:{layout.ledger_port}": host.name for host in layout.of(Role.SYSTEM)}
        self.looks, self.violations, self._over = 0, list[str](), threading.Event()

    def run(self) -> None:
        """Look until told to stop. One that ended during the look does not count: the state is read again."""
        while not self._over.wait(0.03):
            running = [(pid, system) for pid, system in self._running() if processes.state(pid) not in ("", "Z", "X")]
            if len({system for _, system in running}) > 1:
                self.violations.append(f"{time.monotonic():.3f} {running}")
            self.looks += 1

    def stop(self) -> None:
        """End it."""
        self._over.set()
        self.join()

    def _running(self) -> list[tuple[int, str]]:
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").split("\0")
                    if len(words) > 4 and words[1].endswith("ledger.py") and words[2] == "serve":
                        found.append((int(entry), self._systems.get(words[4], "")))
        return [(pid, system) for pid, system in found if system]


class Chaos:
    """The stage, the chance, and one generator for each part that can be killed: it kills, waits at its ``yield`` for
    as long as its caller likes, then starts the part again."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self.stage, self.chance = stage, chance
        self.sites: LabSites = stage.sites  # type: ignore[assignment]
        self.rounds: list[dict[str, Any]] = []
        self.faults: dict[str, Callable[[], Iterator[None]]] = {
            "daemon": self.daemon, "guard": self.guard, "source array": self.source_array,
            "target array": self.target_array, "witness": self.witness, "backup server, backing up": self.backing_up,
            "backup server, restoring": self.restoring, "application": self.application,
        }  # fmt: skip

    def daemon(self) -> Iterator[None]:
        """Kill a system daemon; its guard starts another."""
        return self._kill(DAEMON, self._owner_or_other())

    def guard(self) -> Iterator[None]:
        """Kill a guard, and with it all that runs for the groups on its system."""
        return self._bounce(self._owner_or_other())

    def source_array(self) -> Iterator[None]:
        """Kill the array that the service writes to."""
        return self._bounce(ARRAYS[self._source()])

    def target_array(self) -> Iterator[None]:
        """Kill the array at the other end of the mirror."""
        return self._bounce(ARRAYS[1 - self._source()])

    def witness(self) -> Iterator[None]:
        """Kill the store, sometimes for longer than the leases hold."""
        return self._bounce("witness")

    def application(self) -> Iterator[None]:
        """Kill the service itself."""
        return self._kill(LEDGER, *self.stage.systems())

    def backing_up(self) -> Iterator[None]:
        """Kill the backup server while a client sends to it."""
        self.change_files()
        return self._bounce_server(lambda: client.incremental(self.stage, CLIENT, {FILESPACE: tree.place(self.stage)}))

    def restoring(self) -> Iterator[None]:
        """Kill the backup server while a client reads from it."""
        target = self.stage.sites.directory / f"torn-{len(self.rounds)}"
        return self._bounce_server(lambda: restore(self.stage, target))

    def change_files(self) -> None:
        """Add, change and remove files of the tree that is backed up."""
        top = Path(tree.place(self.stage)) / f"more-{self.chance.randrange(4)}"
        top.mkdir(exist_ok=True)
        for number in range(40):
            (top / f"{number}").write_bytes(self.chance.randbytes(self.chance.randrange(100_000)))
        (top / "0").unlink()

    def _owner_or_other(self) -> str:
        owner = self.stage.until("the owner", lambda: self.stage.group()["owner"])
        return str(owner) if self.chance.random() < 0.5 else self.chance.choice(self.stage.systems())

    def _source(self) -> int:
        owner = self.stage.until("the owner", lambda: self.stage.group()["owner"])
        return self.stage.layout.host(owner).site - 1

    def _kill(self, pattern: str, *systems: str) -> Iterator[None]:
        for system in systems:
            for pid in self.sites.pids(system, pattern):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        yield

    def _bounce(self, host: str) -> Iterator[None]:
        self.sites.crash(host)
        yield
        self.sites.start(host)

    def _bounce_server(self, work: Callable[[], Any]) -> Iterator[None]:
        worker = threading.Thread(target=_ignoring_failure, args=(work,))
        worker.start()
        time.sleep(self.chance.uniform(0.3, 1.5))
        yield from self._bounce("DELHI")
        worker.join()

    def round(self, first: str) -> None:
        """Kill one part, sometimes a second before it is back; wait for the service; let a person tidy up."""
        names = [first]
        if self.chance.random() < 0.4:
            names.append(self.chance.choice(self._beside(first)))
        time.sleep(self.chance.uniform(0.0, 1.0))
        began = time.monotonic()
        this: dict[str, Any] = {"faults": names, "before": self.stage.online_on()}
        self.rounds.append(this)
        faults = [self.faults[name]() for name in names]
        for fault in faults:
            next(fault)
            time.sleep(self.chance.uniform(0.0, 0.5))
        self.chance.shuffle(faults)
        for fault in faults:
            time.sleep(self.chance.uniform(0.0, self.chance.choice(DOWN_S)))
            next(fault, None)
        this["down_s"] = round(time.monotonic() - began, 1)
        this["cleared"] = self._await_service(PATIENCE_S if len(names) > 1 else 0.0)
        self.stage.await_writes(8, timeout_s=30)
        this["away_s"], this["after"] = self.stage.load.longest_gap(began), self.stage.group()["owner"]
        self.tidy()
        this["seconds"] = round(time.monotonic() - began, 1)

    def _await_service(self, patience_s: float) -> bool:
        """Wait for the service; return whether a person had to clear faults, which ``patience_s`` 0 forbids."""
        what, systems = "the group online on one system", self.stage.systems()
        try:
            self.stage.until(what, self._settled, patience_s or ONLINE_LIMIT_S, *systems)
            return False
        except StepFailed:
            if not patience_s:
                raise
        self.stage.run(CLIENT, "hagrp", "-clear", GROUP)
        self.stage.until(what, self._settled, ONLINE_LIMIT_S, *systems)
        return True

    def tidy(self) -> None:
        """Do what a person does after a fault: bring the mirror back, clear what faulted."""
        self.stage.until("both ends of the mirror in duplex", self._mirrored, ONLINE_LIMIT_S, *ARRAYS)
        self.stage.run(CLIENT, "hagrp", "-clear", GROUP)
        self.stage.until("every system probed", lambda: all(self.stage.group()["probed"].values()), 20)

    def _beside(self, first: str) -> list[str]:
        """Return what may die beside ``first``: anything else, but one backup server dies once."""
        return [name for name in self.faults if name != first and name.split(",")[0] != first.split(",")[0]]

    def _mirrored(self) -> bool:
        group = self.stage.group()
        site = self.stage.layout.host(group["owner"]).site
        if not self._settled():
            return False
        if mirror.states(self.stage, site) == {"Full Duplex"}:
            return mirror.states(self.stage, 3 - site) == {"Target Full Duplex"}
        if "Suspended" in mirror.states(self.stage, site):
            owner = group["owner"]
            self.stage.attempt(owner, "hares", "-action", MIRROR_RESOURCE, "failback", "-sys", owner)
            time.sleep(0.3)
        return False

    def _settled(self) -> bool:
        group = self.stage.group()
        return [name for name, flags in group["systems"].items() if flags == ["ONLINE"]] == [group["owner"]]


def _ignoring_failure(work: Callable[[], Any]) -> None:
    with contextlib.suppress(HoldfastError, json.JSONDecodeError):
        work()


def restore(stage: Stage, target: Path) -> dict[str, Any]:
    """Restore the filespace as it was backed up last; return the figures."""
    words = (FILESPACE, str(target), "--optfile", f"{client.option_directory(stage)}/dsm.opt")
    result = stage.json(CLIENT, "holdfast", "restore", *words)
    assert isinstance(result, dict)
    return result


def cross(stage: Stage) -> bool:
    """Bring the service to the other site in order; return whether both arrays held the same bytes in between."""
    owner = stage.group()["owner"]
    stage.run(CLIENT, "hagrp", "-offline", GROUP, "-any")
    stage.until("the group offline", lambda: stage.group()["systems"][owner] == ["OFFLINE"], 20, owner)
    one, two = (mirror.digests(stage, site, MIRRORED) for site in (1, 2))
    other = stage.systems(3 - stage.layout.host(owner).site)[0]
    stage.run(CLIENT, "hagrp", "-online", GROUP, "-sys", other)
    stage.await_online(other)
    return one == two


def run(stage: Stage, seed: int, found: dict[str, Any]) -> None:
    """Bring everything up, kill until the time is over, cross to the other site, compare."""
    began = time.monotonic()
    boot.run(stage)
    protect.run(stage)
    delhi.set_up(stage)
    client.incremental(stage, CLIENT, {FILESPACE: tree.place(stage)})
    watch = Watch(stage.layout)
    watch.start()
    chaos = Chaos(stage, random.Random(seed))
    found["rounds"], found["violations"] = chaos.rounds, watch.violations
    names = chaos.chance.sample(sorted(chaos.faults), len(chaos.faults))
    while names or time.monotonic() < began + FAULTS_S:
        chaos.round(names.pop() if names else chaos.chance.choice(sorted(chaos.faults)))
    found["equal_bytes"] = cross(stage)
    found["watched_to_the_end"] = watch.is_alive()
    watch.stop()
    lost = stage.until("the ledger's answer", lambda: [stage.lost_writes()])[0]
    found |= {"looks": watch.looks, "lost": lost, "acknowledged": stage.load.count()}
    chaos.change_files()
    last = client.incremental(stage, CLIENT, {FILESPACE: tree.place(stage)})
    back = stage.sites.directory / "back"
    figures = restore(stage, back)
    arguments = ("rsync", "-aHAXni", "--checksum", "--delete", f"{tree.place(stage)}/", f"{back}/")
    found |= {"objects": last["objects"], "restored": figures["objects"]}
    found["differences"] = stage.run(CLIENT, *arguments).splitlines()


def main() -> None:
    """Do what the command line says."""
    directory, seed = Path(sys.argv[1]), int(sys.argv[2])
    sites = LabSites(directory, root=False, seed=seed)
    stage = Stage(sites, SilentNarrator(), Report(mode="user", seed=seed))
    found: dict[str, Any] = {"seed": seed}
    began = time.monotonic()
    try:
        run(stage, seed, found)
    except HoldfastError as failed:
        found["failed"] = str(failed)
        with contextlib.suppress(HoldfastError):
            found["group"] = dict(stage.group())
        with contextlib.suppress(HoldfastError):
            found["pairs"] = [mirror.pair_rows(stage, site) for site in (1, 2)]
    finally:
        sites.close()
        found["seconds"] = round(time.monotonic() - began, 1)
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
