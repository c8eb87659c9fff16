"""Breaks one part of the system on purpose, to show that the drill notices. Nothing outside the lab knows of this.

Most ways replace one function of a part in the lab's processes, through a ``sitecustomize`` module that is put on their
path; the others are hands on the lab itself (a flipped byte on a disk, a guard that sleeps). A drill that passes with
any of them proves nothing, so the gate runs each and expects the named step to fail.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.continuity.model.sites import Link, Role
from holdfast.lab import provision
from holdfast.lab.sites import LabSites

VARIABLE = "HOLDFAST_SABOTAGE"
LATE_S = 0.5
GUARD_LATE_S = 9.0


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True)
class Way:
    """One way to break a part: what breaks, which steps must notice, by the beginnings of which claims that they
    insist on, which processes are patched (by a part of their command line), and how."""

    what: str
    noticed_in: tuple[str, ...]
    insisted: tuple[str, ...]
    process: str = ""
    patch: Callable[[], None] = _nothing
    root_only: bool = False


def _acknowledge_early() -> None:
    """The source array answers the host without waiting for the target, and sends a moment later."""
    import asyncio

    from holdfast.kernel.errors import Unavailable
    from holdfast.replication.service import frames
    from holdfast.replication.service.hostio import HostIO
    from holdfast.replication.service.sent import Sent

    under_way: set[asyncio.Task[None]] = set()
    original: Any = HostIO._forward

    class Early:
        """A link that answers before it sends."""

        def __init__(self, link: Any) -> None:
            self._link, self.next_seq = link, link.next_seq

        def send(self, frame: Any, data: Any) -> Sent:
            task = asyncio.create_task(self._late(frame, bytes(data)))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            answered = Sent()
            answered.settle(frames.TAKEN)
            return answered

        async def _late(self, frame: Any, data: bytes) -> None:
            await asyncio.sleep(LATE_S)
            try:
                await self._link.send(frame, data)
            except Unavailable:
                return

    def forward(self: HostIO, *what: Any) -> Any:
        *written, link = what
        return original(self, *written, Early(link))

    HostIO._forward = forward  # type: ignore[method-assign, assignment]


def _drop_a_bit() -> None:
    """One track of each volume, the first that changes after a flash copy of it was made, is never recorded."""
    from holdfast.replication.array.machine import Machine

    original, victims = Machine.record, dict[str, int]()

    def record(self: Machine, volume: str, tracks: Iterable[int], mirrored: bool) -> list[tuple[str, int]]:
        written = list(tracks)
        if written and any(flash.source == volume and flash.source_changed for flash in self.flashes_of(volume)):
            victims.setdefault(volume, written[0])
        return original(self, volume, [track for track in written if track != victims.get(volume)], mirrored)

    Machine.record = record  # type: ignore[method-assign]


def _skip_evidence() -> None:
    """A takeover is allowed on no evidence at all."""
    from holdfast.cluster.model.facts import Evidence, EvidenceKind
    from holdfast.cluster.plan import evidence, groups

    def takeover(_view: Any, _group: Any, intent: Any, _target: str) -> evidence.Proof:
        return evidence.Proof(Evidence(EvidenceKind.GUARD_DEADLINE, "skipped", intent.owner, intent.incarnation))

    vars(groups)["takeover"] = takeover


def _ignore_unknown_files() -> None:
    """Reconciliation does not look for files without a volume."""
    from holdfast.backup.service import reconcile as service

    original = vars(service)["reconcile"]

    def blind(volumes: Iterable[Any], files: Iterable[Any], *, fix: bool) -> Any:
        known = list(volumes)
        names = {volume.name for volume in known}
        return original(known, [file for file in files if file.name in names], fix=fix)

    vars(service)["reconcile"] = blind


_ONE_WRITER = ("the guard's kill on hosta before", "VCS_Cluster online on one system", "one system running the ledger")

WAYS: Mapping[str, Way] = {
    "mirror-early": Way(
        "the mirror acknowledges early", ("disaster",), ("lost acknowledged writes: 0",), " array serve",
        _acknowledge_early,
    ),
    "bit-dropped": Way(
        "a bit of a change bitmap is dropped", ("snapshot",),
        ("the copies equal to their sources", "only changed tracks copied"), " array serve", _drop_a_bit,
    ),
    # On a busy machine the isolated system's own clean may end the ledger before site 2 starts one: then there is one
    # writer, and the sleeping guard is noticed by a system that does not come back, whichever claim waits for it first.
    "guard-asleep": Way(
        "the guard sleeps past the deadline", ("trouble",),
        (*_ONE_WRITER, "the group offline", "site 1's system back in the cluster"),
    ),
    "guard-late": Way(
        "the guard kills some seconds after its deadline", ("trouble",), _ONE_WRITER, root_only=True
    ),
    "evidence-skipped": Way(
        "a takeover needs no evidence", ("trouble",), ("a refusal to take over", "no takeover without the last writes"),
        "holdfast.app.system", _skip_evidence,
    ),
    "chunk-flipped": Way("a bit of each vaulted volume is flipped", ("recover",), ("every command of the step",)),
    "difference-ignored": Way(
        "a planted difference is ignored", ("recover",), ("exactly the planted differences",), " server run",
        _ignore_unknown_files,
    ),
}  # fmt: skip


def sites(name: str, directory: Path, root: bool, seed: int, store: str) -> LabSites:
    """Return the lab, broken in the way called ``name`` (or not at all)."""
    if not name:
        return LabSites(directory, root, seed, store)
    (directory / "sabotage").mkdir()
    hook = "from holdfast.lab import sabotage\nsabotage.apply()\n"
    (directory / "sabotage" / "sitecustomize.py").write_text(hook)
    os.environ[VARIABLE] = name
    return BrokenSites(directory, root, seed, store, name)


def apply() -> None:
    """Patch this process as its environment says. Called by the lab's ``sitecustomize``."""
    way = WAYS.get(os.environ.get(VARIABLE, ""))
    command = Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    if way is not None and way.process and way.process in command:
        way.patch()


def _wake(guards: list[int]) -> None:
    for guard in guards:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(guard, signal.SIGCONT)
        os.close(guard)


class BrokenSites(LabSites):
    """A lab with hands that break things at the right moment."""

    def __init__(self, directory: Path, root: bool, seed: int, store: str, name: str) -> None:
        super().__init__(directory, root, seed, store)
        self._name = name

    def cut(self, link: Link) -> None:
        """Put the guards of site 1 to sleep before their site is cut off, for ever or a while, if that is the way."""
        if self._name in ("guard-asleep", "guard-late") and link is Link.SITE1:
            self._sleep(None if self._name == "guard-asleep" else GUARD_LATE_S)
        super().cut(link)

    def _sleep(self, for_s: float | None) -> None:
        hosts = [system.name for system in self.layout.of(Role.SYSTEM, 1)]
        guards = [os.pidfd_open(pid) for host in hosts for pid in self.pids(host, "holdfast.cluster.service.guard")]
        for guard in guards:
            signal.pidfd_send_signal(guard, signal.SIGSTOP)
        if for_s is not None:
            timer = threading.Timer(for_s, _wake, [guards])
            timer.daemon = True
            timer.start()

    def kill(self, host: str) -> None:
        """Flip bits of what TOKYO keeps when DELHI dies, if that is the way."""
        super().kill(host)
        if self._name == "chunk-flipped" and host == "DELHI":
            flip_bits(provision.host_directory(self.directory, "TOKYO"))

    def _environment(self, host: str) -> dict[str, str]:
        broken = {VARIABLE: self._name, "PYTHONPATH": str(self.directory / "sabotage")}
        return super()._environment(host) | broken


def flip_bits(server: Path) -> None:
    """Flip a bit in the middle of every pool volume that a vault keeps, leaving its dates as they were."""
    for volume in [path for path in server.rglob("ADSM.*BFS*") if path.is_file()]:
        dates = volume.stat()
        with volume.open("r+b") as file:
            file.seek(dates.st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        os.utime(volume, ns=(dates.st_atime_ns, dates.st_mtime_ns))
