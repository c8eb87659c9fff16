"""Flash resync around a running service: real arrays, a real system under its guard, the ledger on a raw volume."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from arraylab import VOLUME, A, B, Lab, free_port, until

from holdfast.app.dialect import install_links
from holdfast.app.store import open_store
from holdfast.cluster.config.files import read_files
from holdfast.cluster.model.facts import Intent, Request, ResourceState
from holdfast.cluster.service.client import ClusterClient
from holdfast.cluster.service.records import State
from holdfast.continuity.service.resync import POINTS
from holdfast.runtime.procedure import unsettled

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "two-sites"
HOST, COPY, GROUP = "127.0.0.15", "1360", "web"
PAIR = f"{VOLUME}:{COPY}"
Result = TypeVar("Result")

MAIN_CF = """
include "types.cf"
include "MetroMirrorTypes.cf"
cluster trial ( )
system hosta ( )
group web (
    SystemList = { hosta }
    AutoStartList = { hosta }
    )
    MetroMirror ora_mmir (
        DSCliHome = "@DIR@/bin"
        HMC1 = "@HMC@"
        User = admin
        PasswdFile = "@DIR@/pw/security.dat"
        LocalStorageImageID = "@A@"
        RemoteStorageImageID = "@B@"
        VolIds = { 1260 }
        )
    Application ledger (
        StartProgram = "@PYTHON@ @LEDGER@ start --listen @LISTEN@ --volume @URI@ --pid-file @DIR@/ledger.pid"
        StopProgram = "@DIR@/stop"
        CleanProgram = "@PYTHON@ @LEDGER@ stop --pid-file @DIR@/ledger.pid"
        PidFiles = { "@DIR@/ledger.pid" }
        )
    ledger requires ora_mmir
"""

STOP = """#!/bin/sh
# "spoil" in the directory: whoever stops the service also withdraws its flash copy, so the next step must fail.
if [ -e @DIR@/spoil ]; then @PYTHON@ -m holdfast flash remove @PAIR@ --array @HMC@; fi
exec @PYTHON@ @LEDGER@ stop --pid-file @DIR@/ledger.pid
"""


class Service:
    """A group of MetroMirror and ledger on one system, attached to the first array of a lab."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab, self.directory, self.url = lab, directory, f"embedded://{lab.store_path}"
        self.listen = f"{HOST}:{free_port(HOST)}"
        self.config, self.spoil = directory / "hosta.toml", directory / "spoil"
        self.environment = {
            **os.environ,
            "HOLDFAST_IDENTITY": str(lab.identity),
            "HOLDFAST_SYSTEM_CONFIG": str(self.config),
        }
        self._prepare()
        self.guard = subprocess.Popen(
            [sys.executable, "-m", "holdfast", "system", "run", "--config", str(self.config)],
            start_new_session=True,
            env=self.environment,
        )

    def _prepare(self) -> None:
        install_links(self.directory / "bin")
        words = ["managepwfile", "-action", "add", "-name", "admin", "-pw", "-"]
        words += ["-pwfile", str(self.directory / "pw" / "security.dat")]
        subprocess.run(
            [self.directory / "bin" / "dscli", *words], input="secret\n", text=True, check=True, capture_output=True
        )
        (self.directory / "main.cf").write_text(self._filled(MAIN_CF))
        (self.directory / "MetroMirrorTypes.cf").write_text((EXAMPLE / "MetroMirrorTypes.cf").read_text())
        stop = self.directory / "stop"
        stop.write_text(self._filled(STOP))
        stop.chmod(0o755)
        self.ask(lambda client: client.load(read_files(self.directory)))
        self.config.write_text(
            f'name = "hosta"\nstore = "{self.url}"\nrun_directory = "{self.directory}/run"\nisolation = "marker"\n'
            f'process_scope = "workload"\nlog = "{self.directory}/hosta.log"\n'
            f'[environment]\nHOLDFAST_IDENTITY = "{self.lab.identity}"\n'
            '[agents]\nplugins = ["holdfast.continuity.agents.metromirror:MetroMirror"]\n'
            f'[settings]\nsystem = "hosta"\nstore = "{self.url}"\nidentity = "{self.lab.identity}"\n'
            f'storage_image = "{A}"\n[settings.arrays]\n"{A}" = "{self.lab.a.management}"\n'
        )

    def _filled(self, text: str) -> str:
        values = {
            "DIR": self.directory, "HMC": self.lab.a.management, "A": A, "B": B, "PYTHON": sys.executable,
            "LEDGER": EXAMPLE / "ledger.py", "LISTEN": self.listen, "PAIR": PAIR,
            "URI": self.lab.a.client.nbd_uri(VOLUME, "hosta", 1),
        }  # fmt: skip
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return text

    def ask(self, what: Callable[[ClusterClient], Awaitable[Result]]) -> Result:
        async def run() -> Result:
            store = open_store(self.url)
            try:
                return await what(ClusterClient(store, "test"))
            finally:
                await store.close()

        return asyncio.run(run())

    def state(self) -> State:
        return self.ask(lambda client: client.state())

    def online(self) -> bool:
        fact = self.state().facts.get((GROUP, "hosta"))
        return fact is not None and all(one.state is ResourceState.ONLINE for one in fact.resources.values())

    def in_maintenance(self) -> bool:
        return self.state().intents.get(GROUP, Intent(GROUP)).in_maintenance

    def points(self) -> list[dict[str, Any]]:
        async def read() -> list[dict[str, Any]]:
            store = open_store(self.url)
            try:
                entries = (await store.read(POINTS)).entries
                return [json.loads(entries[key].value) for key in sorted(entries)]
            finally:
                await store.close()

        return asyncio.run(read())

    def request(self, operation: str, **options: str) -> None:
        self.ask(lambda client: client.ask(Request("", operation, GROUP, options=options), 10))

    def doing(self) -> str:
        async def read() -> str:
            store = open_store(self.url)
            try:
                return "".join(entry.doing for entry in await unsettled(store))
            finally:
                await store.close()

        return asyncio.run(read())

    def append(self, *records: str) -> list[str]:
        words = [sys.executable, "-m", "holdfast.lab.ask", self.listen]
        return [
            subprocess.run(
                [*words, f"APPEND {record}"], capture_output=True, text=True, timeout=20, check=True
            ).stdout.strip()
            for record in records
        ]

    def resync(self, *options: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "holdfast", "snapshot", "resync", GROUP, PAIR, "--json", *options]
        return subprocess.run(words, capture_output=True, text=True, timeout=90, env=self.environment, check=False)

    def stop(self) -> None:
        self.guard.send_signal(signal.SIGTERM)
        try:
            self.guard.wait(20)
        except subprocess.TimeoutExpired:
            self.guard.kill()
            self.guard.wait()


@pytest.fixture
def service(lab: Lab, tmp_path: Path) -> Iterator[Service]:
    """The service online on a mirrored volume, with a flash copy that records."""
    lab.mirror()
    lab.a.create(COPY)
    lab.a.client.change("mkflash", [PAIR], persist=True, record=True)
    made = Service(lab, tmp_path)
    try:
        until(made.online, 20, "the group online")
        yield made
    finally:
        made.stop()
        print((tmp_path / "hosta.log").read_text())


def test_resync_around_a_service_and_what_happens_when_a_step_fails(lab: Lab, service: Service) -> None:
    service.append("aa" * 50, "bb" * 5000)
    done = service.resync("--verify")
    assert done.returncode == 0, done.stderr
    point = json.loads(done.stdout)
    assert point["verified"] is True
    assert point["consistency"] == "application stopped, raw volumes"
    assert 0 < point["tracks_copied"] < point["tracks_total"]
    assert service.points() == [point]
    assert not service.in_maintenance()
    assert service.online()
    assert service.append("cc") == ["OK 3"], "it goes on with every record"
    assert lab.a.digest(VOLUME) != lab.a.digest(COPY), "the copy stays at its point in time"

    _refused(service, "too-soon", "--min-delay", "3600")
    with lab.a.open("somebody", 1, COPY):
        _refused(service, "target-in-use")

    service.spoil.touch()
    done = service.resync()
    assert done.returncode != 0
    assert "resyncflash" in done.stderr
    assert not service.in_maintenance(), "maintenance is left although a step failed"
    service.spoil.unlink()
    until(service.online, 20, "the engine brings the service back to its intent")
    assert service.append("dd") == ["OK 4"]
    assert service.points() == [point], "no recovery point of a copy that failed"
    events = [event.kind for event in service.ask(lambda client: client.events())]
    assert events.count("maintenance-on") == events.count("maintenance-off") == 2

    _refused(service, "pair-missing")


@pytest.mark.parametrize(("killed_in", "outcome"), [("offline-ledger", "undone"), ("online-ledger", "completed")])
def test_a_resync_killed_on_the_way_is_settled(lab: Lab, service: Service, killed_in: str, outcome: str) -> None:
    service.append("aa" * 50)
    words = [sys.executable, "-m", "holdfast", "snapshot"]
    running = subprocess.Popen([*words, "resync", GROUP, PAIR], env=service.environment)
    until(lambda: service.doing() == killed_in, 30, f"the resync in {killed_in}")
    running.kill()
    running.wait()

    def snapshot(verb: str) -> Any:
        done = subprocess.run(
            [*words, verb, GROUP, "--json"], env=service.environment, capture_output=True, text=True, check=False
        )
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr

    assert service.in_maintenance()
    assert len(snapshot("list")["unsettled"]) == 1
    told = [snapshot("settle")]
    assert "is under way" in told[0], "until its mark lapses nobody can know that it is dead"
    until(lambda: isinstance(told.append(snapshot("settle")) or told[-1], dict), 20, "the dead one's mark lapsed")
    assert told[-1]["outcome"] == outcome
    assert not service.in_maintenance()
    until(service.online, 20, "the engine brings the service back to its intent")
    assert service.append("dd") == ["OK 2"]
    listed = snapshot("list")
    assert listed["unsettled"] == []
    assert len(listed["points"]) == (1 if outcome == "completed" else 0)
    again = service.resync()
    assert again.returncode == 0, again.stderr


def _refused(service: Service, code: str, *options: str) -> None:
    before = service.state()
    done = service.resync(*options)
    after = service.state()
    assert done.returncode == 3, f"{code}: {done}"
    assert "remedy" in done.stderr, code
    assert after.intents[GROUP] == before.intents[GROUP], f"{code}: a refusal changes nothing"
    assert service.online()


def test_a_resync_leaves_only_the_maintenance_that_it_began(lab: Lab, service: Service) -> None:
    """Killed in maintenance; a person ends that and begins one of their own: settling spares it."""
    service.append("aa" * 50)
    words = [sys.executable, "-m", "holdfast", "snapshot"]
    running = subprocess.Popen([*words, "resync", GROUP, PAIR], env=service.environment)
    until(lambda: service.doing() == "offline-ledger", 30, "the resync in maintenance")
    running.kill()
    running.wait()
    service.request("group.maintenance", mode="off", force="1")
    until(service.online, 20, "the engine brings the service back to its intent")
    service.request("group.maintenance", mode="on", for_s="300")

    def settled() -> bool:
        done = subprocess.run([*words, "settle", GROUP], env=service.environment, capture_output=True, check=False)
        return done.returncode == 0

    until(settled, 20, "the dead one's mark lapsed")
    assert service.in_maintenance(), "a person's maintenance stays"
    assert service.points() == []
