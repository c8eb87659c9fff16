"""Decisions, kept with the picture that they were made on, so that each can be explained and made again.

The planner is a function: the same picture gives the same decision, bit for bit. So the coordinator keeps both, packed,
beside every commit that changed an intent; ``holdfast explain`` reads them, shows what mattered, decides again and
compares. A record is written after its commit and never in its way: that the cluster acts counts for more than that it
can be asked why. The configuration is named by its revision (``cluster/config/history.py`` keeps the texts).

``cluster.decisions/TIME`` holds a record: its parts as JSON, packed with zstd; at most :data:`LIMIT`, outside
``cluster/`` so that no daemon has to read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from holdfast import __version__
from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import Evidence, GroupFact, Intent, Request, Standing, SystemView
from holdfast.cluster.model.widearea import Authority, RemoteCluster
from holdfast.cluster.plan.view import Answer, Ask, Decision, View
from holdfast.kernel.errors import HoldfastError, Refusal
from holdfast.store.port import Put, Store

DECISIONS = "cluster.decisions/"
LIMIT = 200
RECORD_LIMIT_BYTES = 512 * 1024
_UNPACKED_LIMIT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Told:
    """An answer to a question, as one of its kinds."""

    ask: Ask
    evidence: Evidence | None = None
    refusal: Refusal | None = None
    standing: Standing | None = None

    @property
    def answer(self) -> Answer:
        """The answer itself."""
        return self.evidence or self.refusal or self.standing


@dataclass(frozen=True, slots=True)
class Sight:
    """A planner's view without what follows from the rest: the configuration is named, facts of the living derived."""

    systems: Mapping[str, SystemView]
    intents: Mapping[str, Intent]
    facts: tuple[GroupFact, ...]
    requests: tuple[Request, ...] = ()
    answers: tuple[Told, ...] = ()
    fenced: tuple[str, ...] = ()
    confirmed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    now: float = 0.0
    epoch: int = 0
    trusted: tuple[str, ...] = ()
    authorities: Mapping[str, Authority] = field(default_factory=dict)
    remotes: Mapping[str, RemoteCluster] = field(default_factory=dict)
    powered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """One decision: by whom and when (wall-clock seconds), on which configuration, what was seen, what was decided.

    ``version`` is the planner's: another one may decide otherwise, which is no fault of the record.
    """

    system: str
    at: float
    configuration: int
    sight: Sight
    decision: msgspec.Raw
    version: str = __version__


def keep(view: View, decision: Decision, system: str, configuration: int) -> Kept:
    """Return the record of a decision; nothing in it changes when the watch goes on."""
    sight = Sight(
        systems=dict(view.systems), intents=dict(view.intents), facts=tuple(view.last_facts.values()),
        requests=view.requests, answers=tuple(_told(ask, answer) for ask, answer in view.answers.items()),
        fenced=tuple(sorted(view.fenced)), confirmed=dict(view.confirmed), now=view.now, epoch=view.epoch,
        trusted=tuple(sorted(view.trusted)), authorities=dict(view.authorities), remotes=dict(view.remotes),
        powered=tuple(sorted(view.powered)),
    )  # fmt: skip
    return Kept(system, view.now, configuration, sight, msgspec.Raw(msgspec.json.encode(decision)))


def _told(ask: Ask, answer: Answer) -> Told:
    match answer:
        case Evidence():
            return Told(ask, evidence=answer)
        case Refusal():
            return Told(ask, refusal=answer)
        case Standing():
            return Told(ask, standing=answer)
    return Told(ask)


def pack(kept: Kept) -> bytes:
    """Return a record as it lies in the store and in an exported file."""
    import zstandard  # --help and most commands do without

    return zstandard.compress(msgspec.json.encode(kept), 3)


def unpack(data: bytes) -> Kept:
    """Return the record that :func:`pack` made. Raises ``ValueError`` for anything else."""
    import zstandard

    try:
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=_UNPACKED_LIMIT_BYTES)
    except zstandard.ZstdError as error:
        raise ValueError(f"not a decision: {error}") from error
    return msgspec.json.decode(plain, type=Kept)


def decided(kept: Kept) -> Decision:
    """Return what was decided."""
    return msgspec.json.decode(kept.decision, type=Decision)


def view_of(kept: Kept, configuration: Configuration) -> View:
    """Return the picture that the planner had."""
    sight = kept.sight
    every = {(fact.group, fact.system): fact for fact in sight.facts}
    living = {
        key: fact
        for key, fact in every.items()
        if key[1] in sight.systems and fact.incarnation == sight.systems[key[1]].incarnation
    }
    return View(
        configuration=configuration, systems=sight.systems, intents=sight.intents, facts=living, last_facts=every,
        requests=sight.requests, answers={told.ask: told.answer for told in sight.answers},
        fenced=frozenset(sight.fenced), confirmed=sight.confirmed, now=sight.now, epoch=sight.epoch,
        trusted=frozenset(sight.trusted), authorities=sight.authorities, remotes=sight.remotes,
        powered=frozenset(sight.powered),
    )  # fmt: skip


def same_again(kept: Kept, configuration: Configuration, planner: Callable[[View], Decision]) -> bool:
    """Whether ``planner`` decides the same on the same picture, bit for bit."""
    return msgspec.json.encode(planner(view_of(kept, configuration))) == bytes(kept.decision)


def put(kept: Kept, stamp: int) -> Put | None:
    """Return the write that keeps a record under the time of its events; None for one that is too large."""
    data = pack(kept)
    return Put(f"{DECISIONS}{stamp:020d}", data) if len(data) <= RECORD_LIMIT_BYTES else None


class Keeper:
    """Keeps a coordinator's decisions in ``store``, each after its commit. ``view`` is what was decided on last."""

    def __init__(self, store: Store, log: Callable[[str, str], None], enabled: bool) -> None:
        self._store, self._log, self._enabled = store, log, enabled
        self._tasks: set[asyncio.Task[None]] = set()
        self.view: View | None = None

    def record(self, decision: Decision, system: str, configuration: int) -> Kept | None:
        """Return the record of a decision on ``view``; None when it changes no intent, or none are kept."""
        if not self._enabled or not decision.changes or self.view is None:
            return None
        return keep(self.view, decision, system, configuration)

    def keep(self, kept: Kept | None, stamp: int) -> None:
        """Write a record under the time of its events, in the background."""
        if kept is not None:
            task = asyncio.create_task(self._write(kept, stamp), name="decision kept")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write(self, kept: Kept, stamp: int) -> None:
        """One that cannot be written is only missed by those who ask why."""
        try:
            write = await asyncio.to_thread(put, kept, stamp)
            if write is not None:
                await self._store.transact([], [write])
        except HoldfastError as error:
            self._log("info", f"a decision is not kept: {error}")
