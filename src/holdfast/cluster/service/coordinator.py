"""The coordinator: one system's daemon at a time reads the whole state, plans, and commits under its epoch.

Each commit compares the coordinator key and every intent it changes, so a coordinator that was paused or replaced
changes nothing. It decides on what the daemon's watch has shown, and again only when that, or who lives, has changed:
a quiet cluster costs the store nothing. Before anything is committed the signs of life are read afresh and the watch
has to have come that far, and who lives is judged as of the time at which they were asked for: what piled up while this
process was held up is seen first, and an answer that lay waiting says nothing of the time since. Ports are asked in the
background; their answers are used while they are fresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from holdfast.cluster.model.configuration import Configuration
from holdfast.cluster.model.facts import (
    CoordinatorRecord,
    Event,
    Evidence,
    Heartbeat,
    Life,
    Request,
    RequestState,
    Standing,
    SystemView,
)
from holdfast.cluster.model.protocol import PROTOCOL, needed_by, reached_by
from holdfast.cluster.plan.decide import decide
from holdfast.cluster.plan.load import overloaded
from holdfast.cluster.plan.roster import Roster
from holdfast.cluster.plan.triggers import Firing, of_jeopardy, of_notes, of_systems
from holdfast.cluster.plan.view import Answer, Ask, AskKind, Decision, View
from holdfast.cluster.ports import Fence, Power, Standings
from holdfast.cluster.service.decisions import DECISIONS, LIMIT, Keeper
from holdfast.cluster.service.machine import Clock
from holdfast.cluster.service.membership import Membership
from holdfast.cluster.service.picture import frozen_systems, picture
from holdfast.cluster.service.records import (
    AUDIT,
    AUDIT_LIMIT,
    AUTHORITY,
    CONFIG,
    CONFIRMED,
    COORDINATOR,
    EVENT_LIMIT,
    EVENTS,
    GROUPS,
    REQUEST_LIMIT,
    REQUESTS,
    ROOT,
    SYSTEMS,
    State,
    decode,
    encode,
    event_key,
)
from holdfast.cluster.service.telling import Teller
from holdfast.kernel.errors import HoldfastError, Refusal, Refused
from holdfast.store.port import Compare, Conflict, Delete, Put, Store, Write

_ANSWER_FRESH_S = {AskKind.FENCE: 5.0, AskKind.ADMIT: 2.0, AskKind.STANDING: 1.0, AskKind.POWER: 10.0}
_ENDED_FRESH_S = 60.0
"""That a system was ended from outside holds for its incarnation, however often it is asked."""
_ASK_LIMIT_S = 15.0
_POWER_LIMIT_S = 600.0
"""Every device of a system has its own time limit."""
_TRIM_EVERY = 200
LOOK_AGAIN_S = 1.0
_LOOK_SHARE = 20.0
"""What stays the same is decided on again after a second, or after twenty times as long as a decision takes."""
_LAG_LIMIT_S, _LAG_POLL_S = 1.0, 0.01


@dataclass(frozen=True)
class Seat:
    """Who this coordinator is and what it was given. ``fences`` maps a group to its fence; "*" stands for all."""

    system: str
    session: str
    store: Store
    fences: Mapping[str, Fence] = field(default_factory=dict)
    standings: Standings | None = None
    log: Callable[[str, str], None] = lambda _level, _text: None
    clock: Clock = field(default_factory=Clock)
    planner: Callable[[View], Decision] = decide
    user: str = ""
    """As whom the daemon runs: that user may ask for anything."""
    keeps_decisions: bool = False
    """Whether each decision that changes an intent is kept with its picture."""
    fire: Callable[[Iterable[Firing]], None] = lambda _firings: None
    """Called with the triggers of what was committed."""
    power: Power | None = None

    def fence(self, group: str) -> Fence | None:
        """The fence of a group, if it has one."""
        return self.fences.get(group) or self.fences.get("*")


@dataclass(frozen=True, slots=True)
class _Commission:
    """What is to be committed, and what is to be told and fired once it is."""

    compares: tuple[Compare, ...]
    writes: tuple[Write, ...]
    lines: tuple[str, ...]
    firings: tuple[Firing, ...]
    stamp: int = 0


class Coordinator:
    """Call :meth:`round` often; it does nothing unless this daemon holds, or can take, the coordinator key.

    ``mirror`` returns what this daemon's watch has shown of ``cluster/`` so far.
    """

    def __init__(self, seat: Seat, membership: Membership, mirror: Callable[[], State]) -> None:
        self._seat, self._membership, self._mirror = seat, membership, mirror
        self._seen: tuple[object, ...] = ()
        self._look_again, self._answered = 0.0, 0
        self._committed, self._committed_at = 0, 0.0
        self._answers: dict[Ask, tuple[float, Answer]] = {}
        self._asking: dict[Ask, asyncio.Task[None]] = {}
        self._commits = 0
        self._above: dict[str, float] = {}
        self._understood = True
        self._teller = Teller(seat.clock)
        self._keeper = Keeper(seat.store, seat.log, seat.keeps_decisions)
        self.wake = asyncio.Event()
        self.views: dict[str, SystemView] = {}

    async def round(self, configuration: Configuration) -> None:
        """Look once, decide once, commit once. Raises ``Unavailable`` when the store cannot be reached.

        Nothing leaves this process, neither a commit nor a question to a fence, before the newest signs of life are in.
        """
        state = self._mirror()
        if state.revision < self._committed and self._seat.clock.monotonic() < self._committed_at + _LAG_LIMIT_S:
            return  # the watch has yet to show what was committed last, and wakes this one then
        self._judge(state, configuration, self._seat.clock.monotonic())
        if not self._leads(state):
            if self._seat_is_free(state):
                await self._take_seat(configuration)
            return
        seen = self._sight(state)
        if seen == self._seen and self._seat.clock.monotonic() < self._look_again:
            return
        decision = self._decide(state, configuration)
        unasked = any(ask not in self._asking for ask in decision.asks)
        if not unasked and not self._commission(state, decision).writes:
            self._seen = seen
            return
        asked = self._seat.clock.monotonic()
        state = await self._newest()
        self._judge(state, configuration, asked)
        if self._sight(state) != seen:
            decision = self._decide(state, configuration)
        self._seen = ()
        self._ask(decision.asks)
        commission = self._commission(state, decision)
        kept = self._keeper.record(decision, self._seat.system, state.revisions.get(CONFIG, 0))
        if await self._commit(commission):
            self._keeper.keep(kept, commission.stamp)

    def _judge(self, state: State, configuration: Configuration, at: float) -> None:
        frozen = frozen_systems(state, configuration)
        judged = self._membership.judge(configuration.systems, at, frozen, state.jeopardy)
        beats = state.heartbeats
        self.views = {
            name: replace(view, available=beats[name].available) if name in beats else view
            for name, view in judged.items()
        }

    def _decide(self, state: State, configuration: Configuration) -> Decision:
        began = self._seat.clock.monotonic()
        view = self._keeper.view = self._view(state, configuration)
        decision = self._seat.planner(view)
        self._above, due = overloaded(replace(view, intents=Roster(view.intents)), self._above, began)
        self._seat.fire(due)
        now = self._seat.clock.monotonic()
        self._look_again = now + max(LOOK_AGAIN_S, _LOOK_SHARE * (now - began))
        return decision

    def _sight(self, state: State) -> tuple[object, ...]:
        """Everything that a decision depends on, but for the passing of time: the same sight, the same decision."""
        lives = tuple(
            (view.name, view.life, view.incarnation, view.frozen, view.left, view.jeopardy)
            for view in self.views.values()
        )
        return (id(state), state.substance, lives, self._answered)

    async def _newest(self) -> State:
        """Return a picture that is as new as the newest sign of life in the store, after taking in all of those.

        The watch shows commits in their order, so one that has shown the newest heartbeat has shown all before it. A
        process that was held up so hears of everybody before it calls anybody dead; where the watch lags, the store
        is read as a whole.
        """
        found = await self._seat.store.read(SYSTEMS)
        now = self._seat.clock.monotonic()
        for entry in found.entries.values():
            self._membership.observe(decode(entry.value, Heartbeat), now)
        newest = max((entry.revision for entry in found.entries.values()), default=0)
        while self._mirror().revision < newest:
            if self._seat.clock.monotonic() > now + _LAG_LIMIT_S:
                return State.of(await self._seat.store.read(ROOT))
            await asyncio.sleep(_LAG_POLL_S)
        return self._mirror()

    def _leads(self, state: State) -> bool:
        return state.coordinator is not None and state.coordinator.session == self._seat.session

    def _seat_is_free(self, state: State) -> bool:
        record = state.coordinator
        if record is None or not self._understands_all(state):
            return record is None
        beat = state.heartbeats.get(record.system)
        same_daemon = beat is not None and beat.session == record.session
        life = self.views.get(record.system, SystemView(record.system, Life.DEAD)).life
        if same_daemon and beat is not None and beat.protocol < PROTOCOL:
            return True  # an older planner leaves the seat to a newer one
        return not ((same_daemon and life is not Life.DEAD) or (beat is None and life is Life.UNCERTAIN))

    def _understands_all(self, state: State) -> bool:
        newest = _newest_protocol(state, self.views)
        if newest > PROTOCOL and self._understood:
            self._seat.log("warning", f"does not coordinate: protocol {newest} is spoken here, {PROTOCOL} by this one")
        self._understood = newest <= PROTOCOL
        return self._understood

    async def _take_seat(self, configuration: Configuration) -> None:
        asked = self._seat.clock.monotonic()
        state = State.of(await self._seat.store.read(ROOT))
        now = self._seat.clock.monotonic()
        for beat in state.heartbeats.values():
            self._membership.observe(beat, now)
        self._judge(state, configuration, asked)
        if not self._seat_is_free(state):
            return
        epoch = 1 if state.coordinator is None else state.coordinator.epoch + 1
        reached = _reached(state, configuration)
        mine = CoordinatorRecord(self._seat.system, self._seat.session, epoch, reached)
        text = f"{self._seat.system} coordinates in epoch {epoch}"
        event = Event(self._seat.clock.wall(), "coordinator", text, system=self._seat.system, revision=state.revision)
        compare = Compare(COORDINATOR, state.revisions.get(COORDINATOR, 0))
        writes = [Put(COORDINATOR, encode(mine)), Put(event_key(self._seat.clock.wall_ns(), 0), encode(event))]
        if not isinstance(await self._seat.store.transact([compare], writes), Conflict):
            self._seat.log("info", text)
        self.wake.set()

    def _view(self, state: State, configuration: Configuration) -> View:
        now = self._seat.clock.monotonic()
        self._answers = {ask: found for ask, found in self._answers.items() if now - found[0] < _fresh_s(ask, found[1])}
        assert state.coordinator is not None
        return picture(
            state,
            configuration,
            self.views,
            self._seat.clock.wall(),
            {ask: answer for ask, (_, answer) in self._answers.items()},
            (name for name in configuration.groups if self._seat.fence(name) is not None),
            filter(None, [self._seat.user]),
            self._seat.power.systems if self._seat.power is not None else (),
        )

    def _ask(self, asks: tuple[Ask, ...]) -> None:
        for ask in asks:
            if ask not in self._asking:
                self._asking[ask] = asyncio.create_task(self._answer(ask), name=f"ask {ask.kind.value}")

    async def _answer(self, ask: Ask) -> None:
        answer: Answer
        try:
            async with asyncio.timeout(_POWER_LIMIT_S if ask.kind is AskKind.POWER else _ASK_LIMIT_S):
                answer = await self._consult(ask)
        except Refused as refused:
            answer = refused.refusal
        except TimeoutError:
            answer = Refusal("no-answer", f"{ask.kind.value} did not answer in time")
        except (HoldfastError, OSError) as error:
            answer = Refusal("no-answer", str(error))
        self._answers[ask] = (self._seat.clock.monotonic(), answer)
        self._asking.pop(ask, None)
        self._answered += 1
        self.wake.set()

    async def _consult(self, ask: Ask) -> Answer:
        if ask.kind is AskKind.POWER:
            if self._seat.power is None or ask.system == self._seat.system:
                return Refusal("no-device", f"no device that ends {ask.system} is configured here")
            return await self._seat.power.end(ask.system, ask.incarnation)
        if ask.kind is AskKind.STANDING:
            if self._seat.standings is None:
                return Standing(None, "nothing that knows the state of the data is configured")
            return await self._seat.standings.standing(ask.group, ask.system)
        fence = self._seat.fence(ask.group)
        if fence is None:
            return Refusal("no-fence", "no fence is configured")
        if ask.kind is AskKind.FENCE:
            return await fence.fence(ask.system, ask.incarnation, ask.group)
        return await fence.admit(ask.system, ask.incarnation, ask.group)

    def _commission(self, state: State, decision: Decision) -> _Commission:
        """Turn a decision into one transaction; nothing is awaited, so it is of the same picture."""
        writes: list[Write] = []
        compares = [Compare(COORDINATOR, state.revisions[COORDINATOR])]
        stamp = self._seat.clock.wall_ns()
        for place, change in enumerate(decision.changes):
            key = GROUPS + change.intent.unit
            compares.append(Compare(key, state.revisions.get(key, 0)))
            event = Event(
                self._seat.clock.wall(), change.kind, change.text, change.intent.group, change.intent.owner, change.by,
                change.intent.reason, state.revision,
            )  # fmt: skip
            writes += [Put(key, encode(change.intent)), Put(event_key(stamp, place), encode(event))]
        for request in decision.outcomes:
            compares.append(Compare(REQUESTS + request.id, state.revisions.get(REQUESTS + request.id, 0)))
            writes.append(Put(REQUESTS + request.id, encode(request)))
        writes += [Put(CONFIRMED + word.system, encode(word)) for word in decision.words]
        lines = [change.text for change in decision.changes]
        claimed = [AUTHORITY + one.group for one in decision.authorities]
        compares += [Compare(key, state.revisions.get(key, 0)) for key in claimed]
        parts = (self._teller.freezes, self._teller.loads, self._teller.wide_area, self._teller.notes)
        for more, told in (part(state, decision, stamp) for part in parts):
            writes += more
            lines += told
        writes += _surplus_requests(state)
        judged = {name: "left" if view.left else view.life.value for name, view in self.views.items()}
        if judged != state.judged:
            more, told = self._teller.judgement(state, judged, stamp)
            writes += more
            lines += told
        jeopardy = {name: view.jeopardy for name, view in self.views.items() if view.jeopardy}
        if jeopardy != state.jeopardy:
            more, told = self._teller.jeopardies(state, jeopardy, stamp)
            writes += more
            lines += told
        firings = [*of_systems(state.judged, judged), *of_jeopardy(state.jeopardy, jeopardy)]
        firings += of_notes(decision.notes, state.notes, state.intents)
        return _Commission(tuple(compares), tuple(writes), tuple(lines), tuple(firings), stamp)

    async def _commit(self, commission: _Commission) -> bool:
        if not commission.writes:
            return False
        done = await self._seat.store.transact(commission.compares, commission.writes)
        if not isinstance(done, Conflict):
            self._committed, self._committed_at = done.revision, self._seat.clock.monotonic()
            for line in commission.lines:
                self._seat.log("info", line)
            self._seat.fire(commission.firings)
        self.wake.set()
        self._commits += 1
        if self._commits % _TRIM_EVERY == 0:
            await self._trim_events()
        return not isinstance(done, Conflict)

    async def _trim_events(self) -> None:
        for prefix, limit in ((EVENTS, EVENT_LIMIT), (AUDIT, AUDIT_LIMIT), (DECISIONS, LIMIT)):
            keys = sorted((await self._seat.store.read(prefix)).entries)
            surplus = keys[: max(0, len(keys) - limit)]
            if surplus:
                await self._seat.store.transact([], [Delete(key) for key in surplus[:100]])


def _fresh_s(ask: Ask, answer: Answer) -> float:
    """For how long an answer is used before the question is put again. Seconds."""
    ended = ask.kind is AskKind.POWER and isinstance(answer, Evidence)
    return _ENDED_FRESH_S if ended else _ANSWER_FRESH_S[ask.kind]


def _surplus_requests(state: State) -> list[Write]:
    finished = [
        name
        for name, request in sorted(state.requests.items())
        if request.state in (RequestState.DONE, RequestState.REFUSED)
    ]
    return [Delete(REQUESTS + name) for name in finished[: max(0, len(finished) - REQUEST_LIMIT)]]


def finished(request: Request) -> bool:
    """Whether nothing more will happen to a request."""
    return request.state in (RequestState.DONE, RequestState.REFUSED)


def _newest_protocol(state: State, views: Mapping[str, SystemView]) -> int:
    """The protocol that a planner must understand: that of every living system, and of what may stand in the store."""
    living = (
        beat.protocol for name, beat in state.heartbeats.items() if name in views and views[name].life is Life.ALIVE
    )
    return needed_by(living, 0 if state.coordinator is None else state.coordinator.protocol)


def _reached(state: State, configuration: Configuration) -> int:
    beats = [state.heartbeats.get(name) for name in configuration.systems]
    before = 0 if state.coordinator is None else state.coordinator.protocol
    return reached_by((0 if beat is None else beat.protocol for beat in beats), before)
