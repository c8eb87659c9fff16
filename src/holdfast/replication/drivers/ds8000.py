"""A DS8000 (or the software array in its place) driven through dscli as a program.

Pure on both sides of one run: :func:`commands` says what to type for a request, :func:`parse` reads what came back.
Message ids are matched, never texts; any ``CMUxnnnnnE`` is a failure. A pair's state at one box proves little, so
:func:`classify` takes what both boxes said (or that one did not answer).
"""

from __future__ import annotations

import enum
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.kernel.errors import HoldfastError, Refusal, Refused, Unavailable

DELIMITER = "|"
PROMPT = "dscli>"
_MESSAGE = re.compile(r"^(CMU[A-Z]\d{5})([IWE])\s+(\S+?):\s*(.*)$")
_PAIR = re.compile(r"\b([0-9A-F]{4}:[0-9A-F]{4})\b")
_VERBS = frozenset({"failover", "failback", "pause", "resume", "mkflash", "resyncflash", "rmflash"})


class ExitKind(enum.Enum):
    """What dscli's exit code says (0, 2 to 6 are documented)."""

    DONE = 0
    SYNTAX = 2
    CONNECTION = 3
    SERVER = 4
    LOGIN = 5
    APPLICATION = 6
    UNKNOWN = -1

    @classmethod
    def of(cls, code: int) -> ExitKind:
        """Return the kind of an exit code."""
        return next((kind for kind in cls if kind.value == code), cls.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Console:
    """How dscli is called: the program, its environment's additions, consoles and credentials."""

    program: Sequence[str]
    hmc1: str
    user: str
    pwfile: str
    hmc2: str = ""
    environment: Mapping[str, str] | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """One change: ``verb`` of pairs ``source:target`` at array ``dev``, the other array being ``remote``."""

    verb: str
    dev: str
    pairs: tuple[str, ...]
    remote: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One message line: id, severity I, W or E, the verb, the pair or volume it names, and its text."""

    id: str
    severity: str
    verb: str
    object: str
    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """What dscli said: messages, table rows by column name, and how it ended."""

    messages: tuple[Message, ...]
    rows: tuple[dict[str, str], ...]
    ended: ExitKind

    @property
    def failures(self) -> tuple[Message, ...]:
        """The messages that report failure."""
        return tuple(message for message in self.messages if message.severity == "E")


class PairView(enum.Enum):
    """What both boxes together say of a pair, from the local box's side."""

    SOURCE_IN_SYNC = "local is source, in full duplex"
    SOURCE_ALONE = "local is source, suspended"
    COPYING = "a copy is under way"
    TARGET_IN_SYNC = "local is target and displays full duplex"
    TARGET_BEHIND = "local is target and known to be behind"
    ABSENT = "there is no pair"


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


def query(command: str, dev: str, objects: Sequence[str] = (), long: bool = True) -> tuple[str, ...]:
    """Return the words of a list command in the format that :func:`parse` reads."""
    style = ("-fmt", "delim", "-delim", DELIMITER, "-bnr", "off", "-hdr", "on")
    return (command, "-dev", dev, *style, *(("-l",) if long else ()), *objects)


def parse(stdout: str, stderr: str, code: int, delimiter: str = DELIMITER) -> Output:
    """Read what dscli printed. Rows shorter than their header are an error."""
    messages, rows = [], []
    lines = [line.strip() for line in stdout.replace(PROMPT, "").splitlines()]
    header: list[str] = []
    for index, line in enumerate(lines):
        found = _MESSAGE.match(line)
        if found:
            named = _PAIR.search(found[4])
            messages.append(Message(found[1] + found[2], found[2], found[3], named[1] if named else "", found[4]))
        elif index + 1 < len(lines) and set(lines[index + 1]) == {"="}:
            header = line.split(delimiter)
        elif header and delimiter in line:
            cells = line.split(delimiter)
            if len(cells) < len(header):
                raise HoldfastError(f"dscli printed a row with {len(cells)} of {len(header)} fields: {line!r}")
            rows.append(dict(zip(header, cells, strict=False)))
    for line in stderr.splitlines():
        found = _MESSAGE.match(line)
        named = _PAIR.search(line)
        name = named[1] if named else ""
        messages.append(
            Message(found[1] + found[2], found[2], found[3], name, found[4])
            if found
            else Message("", "E", "", name, line)
        )
    return Output(tuple(messages), tuple(rows), ExitKind.of(code))


def classify(local: str | None, remote: str | None) -> PairView:
    """Say what a pair is, from its state at the local box and, where it answered, at the remote box.

    A local ``Target Full Duplex`` counts as in sync only as a display; whether it permits a takeover is the record's
    to say. A remote source that says it is suspended overrides it.
    """
    if local is None:
        return PairView.ABSENT
    if local.endswith("Copy Pending"):
        return PairView.COPYING
    if local == "Full Duplex":
        return PairView.SOURCE_IN_SYNC
    if local == "Suspended":
        return PairView.SOURCE_ALONE
    if local == "Target Full Duplex":
        return PairView.TARGET_BEHIND if remote == "Suspended" else PairView.TARGET_IN_SYNC
    return PairView.TARGET_BEHIND


class Ds8000:
    """Runs dscli against one box."""

    def __init__(self, console: Console, dev: str) -> None:
        self._console, self.dev = console, dev

    def argv(self, words: Sequence[str]) -> list[str]:
        """Return the whole command line; it holds no secret."""
        console = self._console
        second = ["-hmc2", console.hmc2] if console.hmc2 else []
        return [
            *console.program,
            "-hmc1",
            console.hmc1,
            *second,
            "-user",
            console.user,
            "-pwfile",
            console.pwfile,
            *words,
        ]

    def run(self, words: Sequence[str]) -> Output:
        """Run one command. Raises ``Unavailable`` when the console does not answer."""
        environment = {**os.environ, **(self._console.environment or {})}
        try:
            done = subprocess.run(
                self.argv(words), capture_output=True, text=True, timeout=self._console.timeout_s, env=environment
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"dscli did not end within {self._console.timeout_s:.0f} s") from error
        except OSError as error:
            raise HoldfastError(f"dscli cannot be run: {error}", "check DSCliHome") from error
        output = parse(done.stdout, done.stderr, done.returncode)
        if output.ended is ExitKind.CONNECTION:
            raise Unavailable(f"the console of {self.dev} does not answer: {_said(output)}")
        return output

    def states(self, objects: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the rows of ``lspprc -l`` by pair."""
        return {row["ID"]: row for row in self._checked(query("lspprc", self.dev, objects)).rows}

    def flashes(self, objects: Sequence[str] = ()) -> dict[str, dict[str, str]]:
        """Return the rows of ``lsflash -l`` by pair."""
        return {row["ID"]: row for row in self._checked(query("lsflash", self.dev, objects)).rows}

    def change(self, request: Request, facts: Mapping[str, str] | None = None) -> Output:
        """Carry out a change. Raises ``Refused`` with the box's own words when any pair failed."""
        words = commands(request, facts or {})
        return self._checked(words) if words else Output((), (), ExitKind.DONE)

    def _checked(self, words: Sequence[str]) -> Output:
        output = self.run(words)
        if output.failures or output.ended is not ExitKind.DONE:
            code = output.failures[0].id if output.failures else output.ended.name
            raise Refused(Refusal(f"dscli-{code}", f"{words[0]} at {self.dev}: {_said(output)}", "see the array's log"))
        return output


def _said(output: Output) -> str:
    return "; ".join(f"{message.id} {message.text}".strip() for message in output.failures) or output.ended.name.lower()
