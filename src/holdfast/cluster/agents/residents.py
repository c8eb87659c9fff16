"""The daemons that an agent's start left behind: found once, remembered, watched, and killed when nothing else helps.

Agents that people already have say nothing about processes: they start something and later say whether it runs. So
that its end is an event and not the next poll, the orphans that a start leaves in the group's workload are noted in a
file of the resource (process id and start time, so that a reused id is never mistaken) and handed to the engine as
pidfds with each monitor. A wrong guess costs one monitor too many and nothing else, because only the agent's own
monitor says what is online; killed is only what is surely the resource's: marked so in its environment, in a session
with such a process, or, where a daemon has written its title over its environment, come up while no other resource had
a command under way. Processes that leave the workload (systemd units) are not seen here.

Clean also uses the notes. A daemon's children outlive it when it is killed: nginx's workers hold the port while its
agent says "not running", and every restart fails. They are found by the session that they share with the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.cluster.agents.marked import RESOURCE_MARK, MarkedCommands
from holdfast.cluster.ports import AgentContext

_WATCH_LIMIT = 16
_SETTLE_S = 0.02
_MARK = f"{RESOURCE_MARK}=".encode()
_ERASED = "\0"


@dataclass(frozen=True, slots=True)
class Resident:
    """One process of a workload: its id, its parent's, its session's and when it started, as the system counts.

    ``own`` says that it is surely the resource's, so that clean may kill it.
    """

    pid: int
    parent: int
    session: int
    started: int
    own: bool = False


async def residents(context: AgentContext) -> Mapping[int, Resident]:
    """Return the processes of the group's workload by process id."""
    found: dict[int, Resident] = {}
    for pidfd in await context.commands.using("/"):
        try:
            resident = _look(_pid_of(pidfd))
        finally:
            os.close(pidfd)
        if resident is not None:
            found[resident.pid] = resident
    return found


@asynccontextmanager
async def noting(context: AgentContext) -> AsyncIterator[None]:
    """Note the daemons that the work inside leaves: the topmost new processes, which the workload has adopted.

    What was noted before and still runs stays noted: to start what runs already starts nothing. Work that raises or
    is cancelled leaves its note too: the clean that follows has to know what a failed start left.
    """
    others = _others(context)
    before = await residents(context)
    try:
        yield
    finally:
        await asyncio.sleep(_SETTLE_S)  # a command that just ended is reaped meanwhile
        now = await residents(context)
        _remember(context, before, now, alone=others[1] == 0 and _others(context) == others)


def _others(context: AgentContext) -> tuple[int, int]:
    """Return what other resources have begun and have under way; without a ledger somebody may always be at work."""
    return context.commands.others() if isinstance(context.commands, MarkedCommands) else (0, 1)


def _remember(context: AgentContext, before: Mapping[int, Resident], now: Mapping[int, Resident], alone: bool) -> None:
    fresh = {pid: one for pid, one in now.items() if pid not in before or before[pid].started != one.started}
    marks = {pid: _mark(pid) for pid in fresh}
    sessions = {one.session for pid, one in fresh.items() if marks[pid] == context.resource}
    kept = [one for one in _noted(context) if one.pid in now and now[one.pid].started == one.started]
    for pid, one in fresh.items():
        mark = marks[pid]
        if one.parent not in fresh and mark in ("", _ERASED, context.resource):
            own = mark == context.resource or one.session in sessions or (mark == _ERASED and alone)
            kept.append(replace(one, own=own))
    lines = [f"{one.pid} {one.session} {one.started} {int(one.own)}" for one in kept[:_WATCH_LIMIT]]
    _record(context).write_text("\n".join(lines), "ascii")


def _mark(pid: int) -> str:
    """Return the resource that a process's environment names; empty when it names none or cannot be read.

    ``_ERASED`` when its title lies where its environment was: nothing after the title's end looks like a variable.
    """
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        entries = file.read().split(b"\0")
        for entry in entries:
            if entry.startswith(_MARK):
                return entry.removeprefix(_MARK).decode("utf-8", "replace")
        if len(entries) > 1 and not any(b"=" in entry for entry in entries[1:]):
            return _ERASED
    return ""


def forget(context: AgentContext) -> None:
    """Forget the noted daemons."""
    _record(context).unlink(missing_ok=True)


def watched(context: AgentContext) -> tuple[int, ...]:
    """Return pidfds of the noted daemons that still run; the caller closes them."""
    found: list[int] = []
    for one in _noted(context):
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(one.pid)
            now = _look(one.pid)
            if now is not None and now.started == one.started:
                found.append(descriptor)
            else:
                os.close(descriptor)
    return tuple(found)


async def kill(context: AgentContext) -> int:
    """Kill what the noted daemons left in the workload: themselves and whoever is of their sessions.

    Returns how many were killed.
    """
    sessions = {one.session: one.started for one in _noted(context) if one.own and _still_its(one)}
    if not sessions:
        return 0
    killed = 0
    for pidfd in await context.commands.using("/"):
        try:
            one = _look(_pid_of(pidfd))
            if one is None or one.started < sessions.get(one.session, one.started + 1):
                continue
            if _mark(one.pid) in ("", _ERASED, context.resource):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                killed += 1
        except ProcessLookupError:
            continue
        finally:
            os.close(pidfd)
    return killed


def _still_its(noted: Resident) -> bool:
    """Whether the session noted with a daemon is still the daemon's, although ids are used again.

    While the daemon lives its start time proves it. When it is dead, the kernel gives its session's id to nobody else
    as long as a process of that session lives; a leader that is younger than the daemon shows that it was given away.
    """
    now, leader = _look(noted.pid), _look(noted.session)
    if now is not None:
        return now.started == noted.started and now.session == noted.session
    return leader is None or leader.started <= noted.started


def _noted(context: AgentContext) -> list[Resident]:
    try:
        rows = [line.split() for line in _record(context).read_text("ascii").splitlines()]
        return [Resident(int(row[0]), 0, int(row[1]), int(row[2]), row[3] == "1") for row in rows]
    except (OSError, ValueError, IndexError):
        return []


def _pid_of(pidfd: int) -> int:
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("Pid:")), -1)


def _look(pid: int) -> Resident | None:
    """Read what the kernel says of a process; None when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else Resident(pid, int(fields[1]), int(fields[3]), int(fields[19]))
    except (OSError, IndexError):
        return None


def _record(context: AgentContext) -> Path:
    return context.run_directory / f"{context.resource}.residents"
