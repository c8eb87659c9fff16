"""The MetroMirror agent against two real arrays, through the real dscli dialect, entry point by entry point."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from arraylab import A, B, Box, Lab, until

from holdfast.app.dialect import install_links
from holdfast.app.store import open_store
from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentContext, CommandResult
from holdfast.cluster.service.turns import Turns
from holdfast.continuity.agents import metromirror
from holdfast.continuity.agents.metromirror import MetroMirror
from holdfast.kernel.errors import HoldfastError

VOLUMES = ("1260", "1261")
PAIRS = [f"{volume}:{volume}" for volume in VOLUMES]
OTHER = {A: B, B: A}
Result = TypeVar("Result")
EntryPoint = Callable[[MetroMirror, AgentContext], Awaitable[Result]]


class HostCommands:
    """Runs an agent's commands on this host; a cancelled call takes its process along, as the workload does."""

    def __init__(self) -> None:
        self.typed: list[str] = []

    async def run(
        self,
        command: str | Sequence[str],
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
        user: str = "",
        stdin: bytes = b"",
        cwd: str = "/",
    ) -> CommandResult:
        words = [command] if isinstance(command, str) else list(command)
        self.typed += [word for word in words if word.endswith("pprc")]
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        try:
            async with asyncio.timeout(timeout_s):
                out, err = await process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        return CommandResult(process.returncode or 0, out.decode(), err.decode())


class Hosts:
    """A host at each array: its context for the agent, and what it typed."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab, self.directory, self.agent = lab, directory, MetroMirror()
        programs, self.pwfile = directory / "dscli", directory / "pw" / "security.dat"
        install_links(programs)
        words = ["managepwfile", "-action", "add", "-name", "admin", "-pw", "-", "-pwfile", str(self.pwfile)]
        subprocess.run([programs / "dscli", *words], input="secret\n", text=True, check=True, capture_output=True)
        self.commands = {image: HostCommands() for image in OTHER}
        self.contexts = {box.image: self._context(box, programs) for box in (lab.a, lab.b)}

    def _context(self, box: Box, programs: Path) -> AgentContext:
        run_directory = self.directory / f"run-{box.host}"
        run_directory.mkdir()
        attributes = {
            "DSCliHome": str(programs),
            "HMC1": box.management,
            "User": "admin",
            "PasswdFile": str(self.pwfile),
            "LocalStorageImageID": box.image,
            "RemoteStorageImageID": OTHER[box.image],
            "VolIds": dict.fromkeys(VOLUMES, ""),
            "OnlineTimeout": 60,
        }
        environment = {"HOLDFAST_IDENTITY": str(self.lab.identity)}
        commands = self.commands[box.image]
        return AgentContext(
            "ora_mmir", "VCS_Cluster", box.host, "1-a", attributes, commands, run_directory, environment=environment
        )

    def do(
        self, image: str, what: Callable[[MetroMirror, AgentContext], Awaitable[Result]], **changed: object
    ) -> Result:
        context = self.contexts[image]
        context = replace(context, attributes={**context.attributes, **changed})  # type: ignore[dict-item]

        async def run() -> Result:
            async with asyncio.timeout(30):
                return await what(self.agent, context)

        return asyncio.run(run())

    def online(self, image: str, **changed: object) -> None:
        self.do(image, lambda agent, context: agent.online(context), **changed)

    def clean(self, image: str) -> bool:
        return self.do(image, lambda agent, context: agent.clean(context, CleanReason.ONLINE_HUNG))

    def state(self, image: str) -> ResourceState:
        return self.do(image, lambda agent, context: agent.monitor(context)).state

    def left(self, image: str) -> list[str]:
        """The files that the agent keeps on a host."""
        return sorted(path.suffix for path in self.contexts[image].run_directory.iterdir())

    def typed(self, image: str) -> list[str]:
        """The changes that were typed on a host since the last look."""
        found = [word for word in self.commands[image].typed if word != "lspprc"]
        self.commands[image].typed.clear()
        return found


@pytest.fixture
def hosts(lab: Lab, tmp_path: Path) -> Hosts:
    """Two mirrored volumes in sync, and a host at each end."""
    for box in (lab.a, lab.b):
        box.create(*VOLUMES, size_bytes=4 << 20)
    lab.a.client.change("mkpair", PAIRS, remote=B)
    wait(lab.a, "Full Duplex")
    wait(lab.b, "Target Full Duplex")
    return Hosts(lab, tmp_path)


def wait(box: Box, state: str) -> None:
    for volume in VOLUMES:
        box.wait_state(state, volume)


def states(box: Box) -> list[str]:
    return [box.pair(volume)["state"] for volume in VOLUMES]


def test_online_on_the_source_makes_the_lock_file_and_nothing_else(lab: Lab, hosts: Hosts) -> None:
    before = lab.record()
    assert hosts.state(A) is ResourceState.OFFLINE
    hosts.online(A)
    assert hosts.state(A) is ResourceState.ONLINE
    assert hosts.left(A) == [".lock"]
    assert hosts.typed(A) == []
    assert lab.record() == before
    hosts.do(A, lambda agent, context: agent.offline(context))
    assert hosts.state(A) is ResourceState.OFFLINE
    assert hosts.typed(A) == [], "offline touches no array"
    hosts.online(A)
    assert hosts.clean(A)
    assert hosts.left(A) == []
    hosts.online(A)
    hosts.do(A, lambda agent, context: agent.open(context))
    assert hosts.state(A) is ResourceState.OFFLINE, "open removes what an earlier life left"
    assert states(lab.a) == ["Full Duplex"] * 2


def test_targets_in_sync_swap_the_roles_and_suspended_ones_are_refused(lab: Lab, hosts: Hosts) -> None:
    with lab.a.open() as volume:
        volume.pwrite(b"before".ljust(4096), 0, fua=True)
    hosts.online(B)
    assert hosts.typed(B) == ["failoverpprc", "failbackpprc"]
    assert hosts.left(B) == [".lock"]
    wait(lab.b, "Full Duplex")
    wait(lab.a, "Target Full Duplex")
    record = lab.record()
    assert record is not None
    assert (record.source.image, record.in_sync) == (B, True)
    with lab.b.open("hostc") as volume:
        assert volume.pread(6, 0) == b"before"
        volume.pwrite(b"after".ljust(4096), 0, fua=True)
    assert lab.a.digest() == lab.b.digest()
    _paused_target_is_refused(lab, hosts)


def _paused_target_is_refused(lab: Lab, hosts: Hosts) -> None:
    shown = hosts.do(B, lambda agent, context: agent.info(context))
    assert shown == dict.fromkeys(VOLUMES, "Full Duplex (-)")
    lab.b.client.change("pause", PAIRS, remote=A)
    wait(lab.a, "Target Suspended")
    with pytest.raises(HoldfastError, match="may be stale"):
        hosts.online(A)
    assert hosts.typed(A) == []
    assert hosts.left(A) == []
    assert hosts.clean(A), "nothing was begun: the resource may be faulted"
    with pytest.raises(HoldfastError, match="failoverpprc"):
        hosts.online(A, SplitTakeover=1)
    record = lab.record()
    assert record is not None
    assert (record.source.image, record.in_sync) == (B, False), "the array refuses by the record, whoever insists"
    assert states(lab.b) == ["Suspended"] * 2


def test_takeover_from_a_dead_array_then_the_action_failback(lab: Lab, hosts: Hosts) -> None:
    lab.a.kill()
    hosts.online(B)
    assert hosts.left(B) == [".lock"], "an old source that cannot be reached does not hinder the takeover"
    assert states(lab.b) == ["Suspended"] * 2
    with lab.b.open("hostc") as volume:
        volume.pwrite(b"only here".ljust(4096), 1 << 20, fua=True)
    lab.a.start()
    until(lambda: all(lab.a.pair(v)["write_inhibited"] for v in VOLUMES), what="the old source inhibits writes")
    until(lambda: lab.b.client.run("paths").rows[0]["state"] == "Success", what="path back")
    done = hosts.do(B, lambda agent, context: agent.action(context, "failback", ()))
    assert done.ok, done
    wait(lab.b, "Full Duplex")
    wait(lab.a, "Target Full Duplex")
    assert lab.b.pair()["tracks_copied"] < lab.b.pair()["tracks_total"]
    assert lab.a.digest() == lab.b.digest()
    assert hosts.do(B, lambda agent, context: agent.action(context, "nonsense", ())).code == 1


def test_an_array_that_starts_again_is_waited_for(lab: Lab, hosts: Hosts) -> None:
    lab.a.kill()
    returning = threading.Timer(2.0, lab.a.start)
    returning.start()
    hosts.online(A)
    returning.join()
    assert hosts.left(A) == [".lock"]
    assert hosts.typed(A) == [], "the volumes are still its own: nothing was changed"


def test_an_array_that_stays_away_is_a_fault_in_bounded_time(
    lab: Lab, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metromirror, "ARRAY_PATIENCE_S", 1.0)
    lab.a.kill()
    with pytest.raises(HoldfastError, match="does not answer"):
        hosts.online(A)
    assert hosts.left(A) == []


def test_a_returned_source_whose_peer_took_over_is_refused(lab: Lab, hosts: Hosts) -> None:
    lab.a.kill()
    lab.b.client.change("failover", PAIRS, remote=A)
    lab.a.start()
    until(lambda: all(lab.a.pair(v)["write_inhibited"] for v in VOLUMES), what="the old source inhibits writes")
    with pytest.raises(HoldfastError, match="other array is source now"):
        hosts.online(A)


class Slowed(threading.Thread):
    """Lets an array run for a small part of the time, never stopped for so long that it loses its links."""

    def __init__(self, box: Box) -> None:
        super().__init__(daemon=True)
        self.box, self.ended = box, threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            self.box.signal(signal.SIGSTOP)
            time.sleep(0.3)
            self.box.signal(signal.SIGCONT)
            time.sleep(0.01)


def test_a_target_that_is_still_copied_is_waited_for(lab: Lab, tmp_path: Path) -> None:
    for box in (lab.a, lab.b):
        box.create(*VOLUMES, size_bytes=256 << 20)
    hosts = Hosts(lab, tmp_path)
    slowed = Slowed(lab.a)
    lab.a.client.change("mkpair", PAIRS, remote=B)
    slowed.start()
    try:
        online = threading.Thread(target=hosts.online, args=(B,), daemon=True)
        online.start()
        until(lambda: hosts.commands[B].typed[:2] == ["lspprc"] * 2, what="a second look: it waits")
    finally:
        slowed.ended.set()
        slowed.join()
    online.join(30)
    assert hosts.typed(B) == ["failoverpprc", "failbackpprc"]
    wait(lab.b, "Full Duplex")
    assert hosts.left(B) == [".lock"]


def test_a_stale_target_that_still_displays_full_duplex_is_refused_by_the_array(lab: Lab, hosts: Hosts) -> None:
    with lab.a.open() as volume:
        lab.b.signal(signal.SIGSTOP)
        volume.pwrite(b"only here".ljust(4096), 0, fua=True)
        assert lab.a.pair()["state"] == "Suspended"
        lab.a.kill()
        lab.b.signal(signal.SIGCONT)
    assert lab.b.pair()["state"] == "Target Full Duplex"
    with pytest.raises(HoldfastError, match="failoverpprc"):
        hosts.online(B)
    assert ".lock" not in hosts.left(B)
    assert hosts.clean(B), "refused as a whole: both volumes are still targets"
    assert hosts.left(B) == []
    lab.b.kill()
    began = time.monotonic()
    with pytest.raises(HoldfastError, match="does not answer"):
        hosts.online(B)
    assert time.monotonic() - began < 15, "a console that does not answer fails the online in time"
    assert hosts.left(B) == []


def test_clean_after_an_interrupted_online(lab: Lab, hosts: Hosts) -> None:
    def interrupted(agent: MetroMirror, context: AgentContext) -> Awaitable[None]:
        async def run() -> None:
            task = asyncio.create_task(agent.online(context))
            journal = context.run_directory / "ora_mmir.journal"
            while not journal.exists():
                await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        return run()

    hosts.do(B, interrupted)
    assert hosts.left(B) == [".journal"], "the timeout came while the command was under way"
    if len({state.startswith("Target") for state in states(lab.b)}) == 1:
        assert hosts.clean(B), "both volumes are on the same side of the mirror"
        assert hosts.left(B) == []
    # what a console that died between two volumes leaves: one is source, one is target
    target = next((v for v in VOLUMES if lab.b.pair(v)["state"].startswith("Target")), "")
    if not target:
        pytest.skip("the interrupted command had already moved both")
    lab.b.client.change("failover", [f"{target}:{target}"], remote=A)
    (hosts.contexts[B].run_directory / "ora_mmir.journal").write_text(target)
    assert {state.startswith("Target") for state in states(lab.b)} == {True, False}
    assert not hosts.clean(B), "half-way: faulting here would send the group on with volumes on both sides"
    assert hosts.left(B) == [".journal"]
    hosts.online(B)
    assert hosts.left(B) == [".lock"], "a second online completes what the first began"
    assert hosts.clean(B)


def test_whole_subsystems_are_taken_over_by_their_pairs(lab: Lab, hosts: Hosts) -> None:
    with pytest.raises(HoldfastError, match="lists no pair in subsystem 13"):
        hosts.online(B, VolIds={}, LSSList={"13": ""})
    hosts.online(B, VolIds={}, LSSList={"12": ""})
    assert hosts.state(B) is ResourceState.ONLINE
    until(lambda: states(lab.b) == ["Full Duplex"] * 2, what="both swapped")
    info = hosts.do(B, lambda agent, context: agent.info(context), VolIds={}, LSSList={"12": ""})
    assert set(info) == set(VOLUMES)


def test_systems_of_a_parallel_group_take_over_once(lab: Lab, hosts: Hosts, tmp_path: Path) -> None:
    """Two hosts at the recovery array go online at the same moment; the lock of the cluster lets one act."""
    url = f"embedded://{lab.store_path}"
    contexts = []
    for name in ("hostb", "hostc"):
        directory = tmp_path / name
        directory.mkdir()
        contexts.append(replace(hosts.contexts[B], system=name, run_directory=directory))

    async def online(context: AgentContext) -> None:
        store = open_store(url)
        try:
            turns = Turns(store, context.system)
            await MetroMirror().online(replace(context, turn=lambda: turns.hold("VCS_Cluster/ora_mmir")))
        finally:
            await store.close()

    async def both() -> None:
        await asyncio.gather(*(online(context) for context in contexts))

    asyncio.run(both())
    assert hosts.typed(B).count("failoverpprc") == 1
    assert [sorted(path.suffix for path in one.run_directory.iterdir()) for one in contexts] == [[".lock"]] * 2
    until(lambda: states(lab.b) == ["Full Duplex"] * 2, what="swapped")
