"""A DS8000 (or the software array in its place) driven through dscli as a program.

What is typed and what follows from the answers is pure: :func:`commands` says what to type for a request,
:func:`changing` and :func:`listing` are the steps of a change and of a look, as generators that are sent each answer,
so that a thread (:class:`Ds8000`) and an agent on an event loop take the same ones. Message ids are matched, never
texts; any ``CMUxnnnnnE`` is a failure.

A change of several pairs may take effect on some of them. Whatever is not plainly done is settled by a list command
afterwards, and told pair by pair. The second console is used when the first cannot be reached, never after a refusal;
before a change is typed there, a look shows whether the first still carried it out. A pair's state at one box proves
little, so ``model/boxes.py`` takes what both boxes said (or that one did not answer).
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from holdfast.kernel.errors import HoldfastError, Refusal, Refused, Unavailable
from holdfast.replication.drivers import dscli_process
from holdfast.replication.drivers.dscli_answer import (
    COLUMNS,
    REMEDIES,
    ExitKind,
    Output,
    answers,
    insist_on_list,
    parse,
    query,
)
from holdfast.replication.drivers.dscli_process import NotStarted, Said, Turn

_VERBS = frozenset({"failover", "failback", "pause", "resume", "mkflash", "resyncflash", "rmflash"})
_NOTHING_DONE = frozenset({"dscli-missing", "dscli-login-prompt"})
_BEGUN = frozenset({ExitKind.SERVER, ExitKind.APPLICATION, ExitKind.CONNECTION, ExitKind.UNKNOWN, ExitKind.DONE})
"""How a command may end that may have taken effect; after a syntax error or a failed log-in nothing has."""

Rows = Mapping[str, Mapping[str, str]]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Console:
    """How dscli is called: the program, its environment's additions, consoles and credentials, or a profile that has
    them. ``timeout_s`` bounds one run; ``turn_s`` how long another command for the same array is waited for."""

    program: Sequence[str]
    hmc1: str
    user: str
    pwfile: str
    hmc2: str = ""
    environment: Mapping[str, str] | None = None
    timeout_s: float = 60.0
    turn_s: float = dscli_process.LOCK_WAIT_S
    profile: str = ""

    @property
    def exchanged(self) -> Console:
        """The same with the second console first."""
        return replace(self, hmc1=self.hmc2, hmc2=self.hmc1) if self.hmc2 else self

    def argv(self, words: Sequence[str] = ()) -> list[str]:
        """Return a whole command line; it holds no secret."""
        named = {"-cfg": self.profile, "-hmc1": self.hmc1, "-hmc2": self.hmc2, "-user": self.user}
        named["-pwfile"] = self.pwfile
        given = [word for option, value in named.items() if value for word in (option, value)]
        return [*self.program, *given, *words]


@dataclass(frozen=True, slots=True)
class Request:
    """One change: ``verb`` of pairs ``source:target`` at array ``dev``, the other array being ``remote``."""

    verb: str
    dev: str
    pairs: tuple[str, ...]
    remote: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One run of dscli that a step asks for: its words after the credentials, and at which console."""

    words: tuple[str, ...]
    changes: bool = False
    second: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a change, pair by pair: ``refused`` and ``unknown`` say why."""

    done: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    code: str = ""

    @property
    def complete(self) -> bool:
        """Whether it took effect on every pair."""
        return not self.refused and not self.unknown


class NotDone(Refused):
    """A change did not take effect on every pair; ``changed`` says on which it did."""

    def __init__(self, refusal: Refusal, changed: Changed) -> None:
        super().__init__(refusal)
        self.changed = changed


# --- what is typed ---------------------------------------------------------------------------------------------------


def commands(request: Request, facts: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words after the credentials for a change. ``facts`` maps pairs to their state, where known."""
    if request.verb not in _VERBS:
        raise HoldfastError(f"{request.verb!r} is not a request to an array")
    words = [f"{request.verb}pprc" if request.verb in ("failover", "failback", "pause", "resume") else request.verb]
    words += ["-dev", request.dev]
    if words[0].endswith("pprc"):
        words += ["-remotedev", request.remote]
        if request.verb != "pause":
            words += ["-type", "mmir"]
    if request.verb == "rmflash":
        words.append("-quiet")
    done = "Suspended" if request.verb in ("failover", "pause") else ""
    pairs = [pair for pair in request.pairs if not done or facts.get(pair) != done]
    return (*words, *request.options, *pairs) if pairs else ()


def read(words: Sequence[str], said: Said) -> Output:
    """Read the answer to one command. Raises ``Refused`` for what is no answer."""
    return parse(said.stdout, said.stderr, said.code, columns=COLUMNS.get((words[0], "-l" in words), ()))


# --- steps -----------------------------------------------------------------------------------------------------------


def listing(words: Sequence[str], dev: str, second: bool) -> Generator[Call, Output, Output]:
    """The steps of a list command; ``second``: there is a second console. Raises ``Unavailable`` when no console can be
    reached, ``Refused`` for a refusal or an answer that is none."""
    output = yield Call(tuple(words))
    if output.ended is ExitKind.CONNECTION and second:
        output = yield Call(tuple(words), second=True)
    if output.ended is ExitKind.CONNECTION:
        raise Unavailable(f"the console of {dev} does not answer: {output.said}", REMEDIES[ExitKind.CONNECTION])
    if not output.clean:
        raise Refused(Refusal(_code(output), f"{words[0]} at {dev}: {output.said}", REMEDIES[output.ended]))
    return insist_on_list(output, words)


def changing(request: Request, facts: Mapping[str, str], second: bool) -> Generator[Call, Output, Changed]:
    """The steps of a change, to be sent each output or thrown each error. Returns what became of every pair.

    Raises what hindered it from being started at all.
    """
    words = commands(request, facts)
    if not words:
        return Changed(request.pairs)
    pairs = tuple(word for word in words if word in request.pairs)
    before: Rows = {}
    if request.verb in ("mkflash", "resyncflash"):
        before = yield from _look(request, pairs, second)
    changed = yield from _attempt(request, words, pairs, before, second, at_second=False)
    rest = tuple(changed.refused) if changed.code == _CONNECTION else ()
    if rest and second:
        again = commands(replace(request, pairs=rest), {})
        later = yield from _attempt(request, again, rest, before, second, at_second=True)
        changed = replace(later, done=tuple(pair for pair in pairs if pair in {*changed.done, *later.done}))
    skipped = [pair for pair in request.pairs if pair not in pairs]
    return replace(changed, done=(*skipped, *changed.done))


_CONNECTION = "dscli-CONNECTION"


def _attempt(
    request: Request, words: tuple[str, ...], pairs: Sequence[str], before: Rows, second: bool, at_second: bool
) -> Generator[Call, Output, Changed]:
    """Type a change once, then find out on which pairs it took effect."""
    code, said, output = "", "", None
    try:
        output = yield Call(words, changes=True, second=at_second)
    except NotStarted:
        raise
    except Unavailable as error:
        code, said = "dscli-late", error.message
    except Refused as error:
        if error.refusal.code in _NOTHING_DONE:
            raise
        code, said = error.refusal.code, error.message
    if output is not None:
        outcomes = {pair: output.outcome_of(pair) for pair in pairs}
        if output.clean and all(outcomes.values()):
            return Changed(tuple(pairs))
        code, said = _code(output), output.said
        if output.ended not in _BEGUN:
            return Changed(refused=dict.fromkeys(pairs, said), code=code)
        told = {pair: f"{one.id} {one.text}" for pair, one in outcomes.items() if one and one.severity == "E"}
        if len(told) == len(pairs) and output.ended is ExitKind.SERVER:
            return Changed(refused=told, code=code)
    else:
        told = {}
    try:
        rows = yield from _look(request, pairs, second)
    except HoldfastError as error:
        unknown = {pair: f"{told.get(pair, said)}; the look afterwards failed: {error.message}" for pair in pairs}
        return Changed(unknown=unknown, code=code)
    effects = {pair: _took_effect(request.verb, rows.get(pair), before.get(pair)) for pair in pairs}
    done = tuple(pair for pair in pairs if effects[pair] and pair not in told)
    refused = {pair: told.get(pair, said) for pair in pairs if effects[pair] is False or pair in told}
    unknown = {pair: said for pair in pairs if effects[pair] is None and pair not in told}
    return Changed(done, refused, unknown, code)


def _look(request: Request, pairs: Sequence[str], second: bool) -> Generator[Call, Output, Rows]:
    command = "lsflash" if request.verb.endswith("flash") else "lspprc"
    objects = [pair.partition(":")[0] for pair in pairs]
    output = yield from listing(query(command, request.dev, objects), request.dev, second)
    return {row["ID"]: row for row in output.rows}


def _took_effect(verb: str, row: Mapping[str, str] | None, before: Mapping[str, str] | None) -> bool | None:
    """Whether a pair is as the change would leave it; None where its row cannot tell."""
    state = row.get("State", "") if row else ""
    match verb:
        case "failover":
            return state == "Suspended"
        case "pause":
            return state.endswith("Suspended")
        case "failback" | "resume":
            return state in ("Copy Pending", "Full Duplex")
        case "rmflash":
            return row is None
    if row is None or (before is None and verb == "resyncflash"):
        return False
    return True if before is None or row.get("DateSynced") != before.get("DateSynced") else None


def _code(output: Output) -> str:
    if output.ended is ExitKind.CONNECTION:
        return _CONNECTION
    ids = [failure.id for failure in output.failures if failure.id]
    return f"dscli-{ids[0] if ids else output.ended.name}"


def insist(request: Request, changed: Changed) -> Changed:
    """Return a complete change. Raises :class:`NotDone` with what became of each pair, ``Unavailable`` when nobody can
    say whether anything took effect."""
    if changed.complete:
        return changed
    reasons = list(dict.fromkeys((*changed.refused.values(), *changed.unknown.values())))
    text = f"{request.verb} at {request.dev}: {'; '.join(reasons)}"
    if changed.done:
        text += f"; it took effect on {' '.join(changed.done)}, not on {' '.join(changed.refused) or 'the others'}"
    if changed.unknown:
        text += f"; whether it took effect on {' '.join(changed.unknown)} is not known"
    if (changed.unknown and not changed.done and not changed.refused) or changed.code == _CONNECTION:
        raise Unavailable(text, REMEDIES[ExitKind.CONNECTION])
    raise NotDone(Refusal(changed.code, text, REMEDIES[ExitKind.SERVER]), changed)


class Ds8000:
    """Runs dscli against one box: single commands, scripts, lines on standard input. One command at a time for a box,
    among all processes of this user."""

    def __init__(self, console: Console, dev: str) -> None:
        self._console, self.dev = console, dev

    def argv(self, words: Sequence[str]) -> list[str]:
        """Return the whole command line; it holds no secret."""
        return self._console.argv(words)

    def run(self, words: Sequence[str]) -> Output:
        """Run one command as it stands. Raises ``Unavailable`` when no console answers or the program does not end,
        ``Refused`` when it is missing, floods, asks for a log-in or cannot be read."""
        with self._turn():
            output = self._one(Call(tuple(words)))
            if output.never_sent and self._console.hmc2:
                output = self._one(Call(tuple(words), second=True))
        if output.ended is ExitKind.CONNECTION:
            raise Unavailable(f"the console of {self.dev} does not answer: {output.said}", REMEDIES[output.ended])
        return output

    def run_lines(self, lines: Sequence[str]) -> tuple[Output, ...]:
        """Run commands on dscli's standard input, in one log-in; return one output each. Raises as :meth:`run`, and
        ``Refused`` if it answered fewer than were given.

        Interactive mode has no exit codes; what went to standard error belongs to no command and counts for the last.
        """
        with self._turn():
            said = self._said(self._console.argv(), "".join(f"{line}\n" for line in lines))
        parts = answers(said.stdout)
        if said.code or len(parts) < len(lines):
            output = parse(said.stdout, said.stderr, said.code)
            if output.ended is ExitKind.CONNECTION:
                raise Unavailable(f"the console of {self.dev} does not answer: {output.said}", REMEDIES[output.ended])
            text = f"dscli answered {len(parts)} of {len(lines)} commands: {output.said}"
            raise Refused(Refusal(_code(output), text, REMEDIES[output.ended]))
        last = len(lines) - 1
        return tuple(
            parse(part, said.stderr if number == last else "", 0, _delimiter(lines), _columns(lines[number]))
            for number, part in enumerate(parts[: len(lines)])
        )

    def run_script(self, lines: Sequence[str]) -> Output:
        """Run commands as a script, in one log-in; the exit code is known only of the whole. Raises as :meth:`run`."""
        with tempfile.NamedTemporaryFile("w", prefix="dscli-", suffix=".script") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            return self.run(("-script", file.name))

    def states(self, objects: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the rows of ``lspprc -l`` by pair."""
        return self._rows(query("lspprc", self.dev, objects))

    def flashes(self, objects: Sequence[str] = ()) -> dict[str, dict[str, str]]:
        """Return the rows of ``lsflash -l`` by pair."""
        return self._rows(query("lsflash", self.dev, objects))

    def change(self, request: Request, facts: Mapping[str, str] | None = None) -> Changed:
        """Carry out a change on all its pairs. Raises :class:`NotDone` with the box's own words and what became of
        each pair, ``Unavailable`` when nobody can say or nothing was started."""
        second = bool(self._console.hmc2)
        return insist(request, self._drive(lambda: changing(request, facts or {}, second)))

    def _rows(self, words: Sequence[str]) -> dict[str, dict[str, str]]:
        output = self._drive(lambda: listing(words, self.dev, bool(self._console.hmc2)))
        return {row["ID"]: row for row in output.rows}

    def _drive(self, steps: Callable[[], Generator[Call, Output, Result]]) -> Result:
        with self._turn():
            return drive(steps(), self._one)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        dscli_process.insist_on_secret(self._console.pwfile)
        with Turn(self.dev, self._console.hmc1).held(self._console.turn_s):
            yield

    def _one(self, call: Call) -> Output:
        console = self._console.exchanged if call.second else self._console
        return read(call.words, self._said(console.argv(call.words)))

    def _said(self, argv: Sequence[str], given: str = "") -> Said:
        console = self._console
        return dscli_process.run(argv, console.timeout_s, given, console.environment)


def drive(steps: Generator[Call, Output, Result], run: Callable[[Call], Output]) -> Result:
    """Take the steps, each with one run."""
    try:
        call = next(steps)
        while True:
            try:
                output = run(call)
            except HoldfastError as error:
                call = steps.throw(error)
            else:
                call = steps.send(output)
    except StopIteration as stop:
        result: Result = stop.value
        return result


def _columns(line: str) -> Sequence[str]:
    words = line.split()
    return COLUMNS.get((words[0], "-l" in words), ()) if words else ()


def _delimiter(lines: Sequence[str]) -> str:
    """The delimiter that the lines ask for, or the one that dscli uses by itself."""
    words = " ".join(lines).split()
    return words[words.index("-delim") + 1].strip("'\"") if "-delim" in words[:-1] else ","
