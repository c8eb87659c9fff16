"""Procedures are journaled plans: the store knows at every moment how far one has come, whoever dies.

A procedure has one entry in the store, ``procedures/NAME/SUBJECT``, from its first step to its end: the plan's steps,
those that are done, the one that is under way, and notes that whoever settles it will need. Beside it, under a lease,
stands the mark of the process that runs it. An entry without that mark is an *orphan*: its process died or lost the
store. Whoever comes next takes the orphan over and settles it, forward or back, before anything else is begun.

Each change compares the entry's revision, so of two processes that believe to run the same procedure one fails at its
next step. The end of a procedure and what it leaves behind are one transaction: a result is recorded once or never.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from holdfast.kernel.errors import Refusal, Refused, Unavailable
from holdfast.kernel.plan import Plan, Step
from holdfast.store.port import Compare, Conflict, Delete, Put, Store, Write

ENTRIES = "procedures/"
RUNNERS = "procedures.running/"
RUNNER_TTL_S = 10.0
LOST = "procedure-lost"
"""The code of the refusal that a process gets whose procedure somebody else took over: it must touch nothing more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How far a procedure has come. ``began`` is in seconds since the epoch; ``steps`` are the ids of its plan's."""

    name: str
    subject: str
    by: str
    began: float
    steps: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    doing: str = ""

    @property
    def key(self) -> str:
        """Where it stands in the store."""
        return f"{ENTRIES}{self.name}/{self.subject}"

    @property
    def runner(self) -> str:
        """Where the mark of the process that runs it stands."""
        return f"{RUNNERS}{self.name}/{self.subject}"

    @property
    def progress(self) -> str:
        """How far it came, for people."""
        return f"{len(self.done)} of {len(self.steps)} steps done" + (f", in step {self.doing}" if self.doing else "")


class Journal:
    """One procedure under way. Made by :func:`begun` and :func:`orphaned`."""

    def __init__(self, store: Store, entry: Entry, revision: int) -> None:
        self.entry = entry
        self._store, self._revision = store, revision

    async def perform(self, plan: Plan, act: Callable[[Step], Awaitable[None]]) -> None:
        """Carry out the plan's steps in order; each is in the store as under way before and as done after."""
        for step in plan.steps:
            await self._write(replace(self.entry, doing=step.id))
            await act(step)
            await self._write(replace(self.entry, doing="", done=(*self.entry.done, step.id)))

    async def note(self, **notes: str) -> None:
        """Add to the notes, durably, before the act that they are about."""
        await self._write(replace(self.entry, notes={**self.entry.notes, **notes}))

    async def end(self, writes: Sequence[Write] = ()) -> None:
        """Remove the entry and apply ``writes`` in one transaction."""
        await self._commit([Delete(self.entry.key), *writes], None)

    async def _write(self, entry: Entry) -> None:
        value = msgspec.json.encode(entry)
        await self._commit([Put(entry.key, value)], value)
        self.entry = entry

    async def _commit(self, writes: Sequence[Write], value: bytes | None) -> None:
        try:
            done = await self._store.transact([Compare(self.entry.key, self._revision)], writes)
        except Unavailable:
            if not await self._took_effect(value):
                raise
            return
        if isinstance(done, Conflict):
            subject = f"the {self.entry.name} of {self.entry.subject}"
            raise Refused(Refusal(LOST, f"somebody else took over {subject}", "look at what became of it"))
        self._revision = done.revision

    async def _took_effect(self, value: bytes | None) -> bool:
        """Whether a commit whose answer was lost left the entry as ``value`` (None: removed)."""
        found = (await self._store.read(self.entry.key)).entries.get(self.entry.key)
        if found is None or value is None:
            return found is None and value is None
        self._revision = found.revision if found.value == value else self._revision
        return found.value == value


@contextlib.asynccontextmanager
async def begun(store: Store, entry: Entry, ttl_s: float = RUNNER_TTL_S) -> AsyncIterator[Journal]:
    """Begin a procedure. Raises ``Refused`` when one of this name and subject runs or was left unsettled."""
    async with _running(store, entry, 0, ttl_s) as journal:
        yield journal


@contextlib.asynccontextmanager
async def orphaned(store: Store, name: str, subject: str) -> AsyncIterator[Journal | None]:
    """Take over what a dead process left of a procedure, or None. Raises ``Refused`` while it is being run."""
    key = Entry(name, subject, "", 0.0, ()).key
    found = (await store.read(key)).entries.get(key)
    if found is None:
        yield None
        return
    async with _running(store, msgspec.json.decode(found.value, type=Entry), found.revision, RUNNER_TTL_S) as journal:
        yield journal


async def unsettled(store: Store) -> list[Entry]:
    """Return every procedure that has begun and has not ended, whether it runs or is orphaned."""
    entries = (await store.read(ENTRIES)).entries
    return [msgspec.json.decode(entries[key].value, type=Entry) for key in sorted(entries)]


@contextlib.asynccontextmanager
async def _running(store: Store, entry: Entry, revision: int, ttl_s: float) -> AsyncIterator[Journal]:
    lease = await store.grant(ttl_s)
    try:
        compares = [Compare(entry.runner, 0), Compare(entry.key, revision)]
        marks = [Put(entry.runner, entry.by.encode(), lease), Put(entry.key, msgspec.json.encode(entry))]
        done = await store.transact(compares, marks)
        if isinstance(done, Conflict):
            running = done.key == entry.runner
            remedy = "wait until it is over" if running else "try again: what an earlier one left is settled first"
            raise Refused(Refusal("procedure-running", f"a {entry.name} of {entry.subject} is under way", remedy))
        renewal = asyncio.create_task(_renew(store, lease, ttl_s), name=f"lease of {entry.name} {entry.subject}")
        try:
            yield Journal(store, entry, done.revision)
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])
    finally:
        with contextlib.suppress(Unavailable):
            await store.revoke(lease)


async def _renew(store: Store, lease: int, ttl_s: float) -> None:
    """Keep the mark alive. That the lease lapses is no fence: the next commit notices who took over."""
    while True:
        await asyncio.sleep(ttl_s / 4)
        with contextlib.suppress(Unavailable):
            await store.renew(lease)
