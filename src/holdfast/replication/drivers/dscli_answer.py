"""What dscli printed, read as values: messages by their ids, rows by column name, in whatever format it was set to.

Nothing here depends on a text that a release or a language may change. Banners are known by the words ``IBM DSCLI``,
messages by their id, a table by its ruler of ``=``, a stanza by its blocks, xml by its first tag. Where the names of
the columns are foreign, their positions decide (``parse(..., columns=)``). What cannot be read is an error and never an
empty answer: "no rows" is believed only of an answer that says so or that shows an empty table.

Pure. Source of formats and ids: reference on copy services, sections 1.2 to 1.5 and 3.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from xml.etree import ElementTree

from holdfast.kernel.errors import Refusal, Refused

PROMPT = "dscli>"
EMPTY = "CMUC00234I"
"""The id of "there is none", of every list command."""
NO_CONSOLE = "CMUN00018E"
"""The id of "cannot connect to the management console": nothing was sent."""
QUOTED_CHARACTERS = 200

LSPPRC = ("ID", "State", "Reason", "Type", "SourceLSS", "Timeout (secs)", "Critical Mode", "First Pass Status")
LSPPRC_LONG = (
    *("ID", "State", "Reason", "Type", "Out Of Sync Tracks", "Tgt Read", "Src Cascade", "Tgt Cascade"),
    *("Date Suspended", "SourceLSS", "Timeout (secs)", "Critical Mode", "First Pass Status", "Incremental Resync"),
    *("Tgt Write", "GMIR CG", "PPRC CG", "isTgtSE", "DisableAutoResync"),
)
LSFLASH_LONG = (
    *("ID", "SrcLSS", "SequenceNum", "Timeout", "ActiveCopy", "Recording", "Persistent", "Revertible"),
    *("SourceWriteEnabled", "TargetWriteEnabled", "BackgroundCopy", "OutOfSyncTracks", "DateCreated", "DateSynced"),
    *("State", "AllowTgtSE", "isTgtSE"),
)
COLUMNS: dict[tuple[str, bool], tuple[str, ...]] = {
    ("lspprc", False): LSPPRC,
    ("lspprc", True): LSPPRC_LONG,
    ("lsflash", True): LSFLASH_LONG,
}
"""List command, and whether ``-l`` was given → its columns in their order [K]: by position where names are foreign."""

_NAMES = tuple(sorted({*LSPPRC_LONG, *LSFLASH_LONG, "Attached Port", "Tgt WWNN"}, key=len, reverse=True))
_MESSAGE = re.compile(r"^(CMU[A-Z]\d{5})([IWE])\b[ \t]*(?:(?![0-9A-Fa-f]{4}:)([A-Za-z]\w*):)?\s*(.*)$")
_PAIR = re.compile(r"(?<![0-9A-Za-z])(?:[\w.-]+/)?([0-9A-Fa-f]{4}):(?:[\w.-]+/)?([0-9A-Fa-f]{4})(?![0-9A-Za-z])")
_ID = re.compile(r"[0-9A-F]{4}:[0-9A-F]{4}")
_BANNER = re.compile(r"\bIBM DSCLI\b")
_NOISE = re.compile(r"^(?:Command:.*|.*\bPress Enter\b.*)$", re.IGNORECASE)
_ASKS = re.compile(r"^\s*Enter (?:your |the )?(?:primary )?(?:user ?name|password|management console)", re.I | re.M)
_QUESTION = "[y/n]:"
_XML = re.compile(r"<IRETURNVALUE\b.*?</IRETURNVALUE>", re.DOTALL)


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


REMEDIES: dict[ExitKind, str] = {
    ExitKind.SYNTAX: "this release of dscli does not know an option that is used: compare `dscli help COMMAND`",
    ExitKind.CONNECTION: "see whether the management console answers, and name the second one",
    ExitKind.SERVER: "see lspprc -l and lsflash -l, and the array's log",
    ExitKind.LOGIN: "renew the password file: dscli managepwfile -action add -pwfile FILE -name USER -pw -",
    ExitKind.APPLICATION: "the console's copy services process failed: look at the console",
    ExitKind.UNKNOWN: "run the command by hand and see what it says",
}
"""Exit code's meaning → what a person can do."""


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
    """What dscli said: messages, table rows by column name, and how it ended. ``tables``: how many tables it showed,
    empty ones too."""

    messages: tuple[Message, ...]
    rows: tuple[dict[str, str], ...]
    ended: ExitKind
    tables: int = 0

    @property
    def failures(self) -> tuple[Message, ...]:
        """The messages that report failure."""
        return tuple(message for message in self.messages if message.severity == "E")

    @property
    def clean(self) -> bool:
        """Whether it ended well and reported no failure."""
        return self.ended is ExitKind.DONE and not self.failures

    @property
    def told_none(self) -> bool:
        """Whether it said that there is nothing to list."""
        return any(message.id == EMPTY for message in self.messages)

    @property
    def never_sent(self) -> bool:
        """Whether no console could be reached, so that no array heard of the command."""
        return self.ended is ExitKind.CONNECTION and any(one.id == NO_CONSOLE for one in self.failures)

    @property
    def said(self) -> str:
        """What went wrong, for people: the failures' ids and texts, else how it ended."""
        texts = [f"{one.id} {one.text}".strip() for one in self.failures]
        return "; ".join(texts)[: 2 * QUOTED_CHARACTERS] or self.ended.name.lower()

    def outcome_of(self, pair: str) -> Message | None:
        """Return the message that names ``pair``; a failure outweighs what was said before it."""
        named = [one for one in self.messages if one.object == pair and one.severity in "IE"]
        return next((one for one in named if one.severity == "E"), named[-1] if named else None)


def query(command: str, dev: str, objects: Sequence[str] = (), long: bool = True, delimiter: str = "|") -> list[str]:
    """Return the words of a list command in the format that is safest to read: fields with a delimiter, a header, no
    banner, no paging. With them nothing of a profile or of an earlier ``setenv`` matters."""
    style = ("-fmt", "delim", "-delim", delimiter, "-bnr", "off", "-hdr", "on", "-p", "off")
    return [command, "-dev", dev, *style, *(("-l",) if long else ()), *objects]


def parse(stdout: str, stderr: str, code: int, delimiter: str = "|", columns: Sequence[str] = ()) -> Output:
    """Read what one run printed. ``columns``: the columns that the command has, by which a table with foreign names is
    read by position. Raises ``Refused`` (``dscli-login-prompt``, ``dscli-unreadable``) for what is no answer."""
    if _ASKS.search(stdout) or _ASKS.search(stderr):
        reason = "dscli asks for a user name or password: the password file does not hold what it needs"
        raise Refused(Refusal("dscli-login-prompt", reason, REMEDIES[ExitKind.LOGIN]))
    messages = [message for message in map(_message, _lines(stdout)) if message is not None]
    messages += [_message(line) or Message("", "E", "", _object(line), line) for line in _lines(stderr) if line.strip()]
    rows: list[dict[str, str]] = []
    tables = 0
    for names, found in _tables(stdout, delimiter):
        tables += 1
        rows += [dict(zip(_named(names, columns), cells, strict=True)) for cells in found]
    return Output(tuple(messages), tuple(rows), ExitKind.of(code), tables)


def answers(stdout: str) -> list[str]:
    """Split what an interactive session printed at its prompts: one answer per command, after the start-up text."""
    return [part.strip() for part in stdout.split(PROMPT)[1:]]


def insist_on_list(output: Output, words: Sequence[str]) -> Output:
    """Return the answer of a list of pairs. Raises ``Refused`` if it neither shows a table nor says that there is none,
    or if its rows lack the id or have something else in its place."""
    if not output.tables and not output.told_none:
        raise unreadable(f"{words[0]} printed neither a table nor that there is none")
    if any("ID" not in row for row in output.rows):
        raise unreadable(f"{words[0]} printed rows without an ID: {sorted(output.rows[0])}")
    rows = tuple({**row, "ID": bare_pair(row["ID"])} for row in output.rows)
    wrong = next((row["ID"] for row in rows if not _ID.fullmatch(row["ID"])), None)
    if wrong is not None:
        raise unreadable(f"{words[0]} printed {wrong[:QUOTED_CHARACTERS]!r} where a pair's id stands")
    return replace(output, rows=rows)


def bare_pair(text: str) -> str:
    """Return a pair, or a volume, without the arrays before it, in upper case."""
    return ":".join(part.rsplit("/", 1)[-1] for part in text.split(":")).upper()


def unreadable(text: str) -> Refused:
    """Return the error for an answer that cannot be understood."""
    reason = text if len(text) <= 2 * QUOTED_CHARACTERS else text[: 2 * QUOTED_CHARACTERS] + " …"
    return Refused(Refusal("dscli-unreadable", reason, REMEDIES[ExitKind.UNKNOWN]))


# --- lines -----------------------------------------------------------------------------------------------------------


def _lines(text: str) -> list[str]:
    """The lines without prompts, banners, echoed commands and what a pager asks."""
    found = []
    for line in text.replace("\r", "").replace(_QUESTION, _QUESTION + "\n").split("\n"):
        bare = line
        while bare.lstrip().startswith(PROMPT):
            bare = bare.lstrip().removeprefix(PROMPT).removeprefix(" ")
        if not _BANNER.search(bare) and not _NOISE.match(bare.strip()):
            found.append(bare.rstrip())
    return found


def _message(line: str) -> Message | None:
    found = _MESSAGE.match(line.strip())
    if found is None:
        return None
    return Message(found[1] + found[2], found[2], found[3] or "", _object(found[4]), found[4])


def _object(text: str) -> str:
    named = _PAIR.search(text)
    return f"{named[1]}:{named[2]}".upper() if named else ""


# --- tables ----------------------------------------------------------------------------------------------------------

Table = tuple[list[str], list[list[str]]]


def _tables(stdout: str, delimiter: str) -> Iterator[Table]:
    documents = _XML.findall(stdout)
    if documents:
        yield from map(_xml, documents)
        return
    lines = _lines(stdout)
    rulers = [index for index, line in enumerate(lines) if index and len(line) > 1 and set(line.strip()) == {"="}]
    if not rulers:
        block = [line for line in lines if _message(line) is None]
        yield from _stanzas(block)
        return
    for number, ruler in enumerate(rulers):
        end = rulers[number + 1] - 1 if number + 1 < len(rulers) else len(lines)
        body = [line for line in lines[ruler + 1 : end] if line.strip() and _message(line) is None]
        if lines[ruler - 1].strip():
            yield _delimited(lines[ruler - 1], body, delimiter)


def _delimited(header: str, body: list[str], delimiter: str) -> Table:
    names = header.split(delimiter)
    if len(names) == 1:
        return _fixed(header, body)
    rows = [line.split(delimiter) for line in body]
    for cells in rows:
        if len(cells) != len(names):
            quoted = delimiter.join(cells)[:QUOTED_CHARACTERS]
            raise unreadable(f"dscli printed a row with {len(cells)} of {len(names)} fields: {quoted!r}")
    return [name.strip() for name in names], [[cell.strip() for cell in cells] for cells in rows]


def _fixed(header: str, body: list[str]) -> Table:
    """A table of fixed width: a column begins where its name does. Names with spaces are known, or are told by rows
    that have text across the gap."""
    starts = [0] + [at for at in _word_starts(header) if all(line[at - 1 : at] in ("", " ") for line in body)]
    ends = [*starts[1:], None]
    for line in body:
        if not line[: ends[0]].strip():
            raise unreadable(f"dscli printed a row that its header does not fit: {line[:QUOTED_CHARACTERS]!r}")
    spans = list(zip(starts, ends, strict=True))
    return [header[a:b].strip() for a, b in spans], [[line[a:b].strip() for a, b in spans] for line in body]


def _word_starts(header: str) -> list[int]:
    starts, at = [], 0
    while at < len(header):
        if header[at] == " ":
            at += 1
            continue
        starts.append(at)
        at += len(_known(header[at:]) or header[at:].split(" ", 1)[0])
    return starts[1:]


def _known(text: str) -> str:
    """The longest known column name that ``text`` begins with."""
    return next((name for name in _NAMES if text == name or text.startswith(name + " ")), "")


def _stanzas(lines: list[str]) -> Iterator[Table]:
    """Blocks of ``name value`` lines; the value's column is the same in all of them."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    blocks = [block for block in blocks if block]
    flat = [line for block in blocks for line in block]
    least = max((len(_known(line)) for line in flat), default=0) + 1
    if not any(_known(line) for line in flat):
        return
    longest = max(len(line) for line in flat) + 1
    at = next((at for at in range(least, longest) if all(_splits(line, at) for line in flat)), 0)
    if not at:
        raise unreadable(f"dscli printed stanzas whose values do not line up: {flat[0][:QUOTED_CHARACTERS]!r}")
    for block in blocks:
        yield [line[:at].strip() for line in block], [[line[at:].strip() for line in block]]


def _splits(line: str, at: int) -> bool:
    return line[at - 1 : at] in ("", " ") and line[at : at + 1] != " " and bool(line[:at].strip())


def _xml(document: str) -> Table:
    if "<!" in document:
        raise unreadable("dscli printed xml with declarations in it")
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError as error:
        raise unreadable(f"dscli printed xml that cannot be read: {error}") from error
    names: list[str] = []
    rows = []
    for instance in root.iter("INSTANCE"):
        found = {one.get("NAME", ""): (one.findtext("VALUE") or "").strip() for one in instance.iter("PROPERTY")}
        names = names or list(found)
        if list(found) != names:
            raise unreadable("dscli printed xml whose instances differ in their properties")
        rows.append(list(found.values()))
    return names, rows


def _named(names: list[str], columns: Sequence[str]) -> list[str]:
    """The names as this program knows them: those printed, or by position where not one of them is known."""
    if not columns or set(names) & set(columns) or len(names) < len(columns):
        return names
    return [*columns, *names[len(columns) :]]
