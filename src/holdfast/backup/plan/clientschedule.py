"""What a client does about its schedules: which is next, whether it is due, what its result is worth, what is logged.

The server says when (windows, places inside them, what was interrupted) and may overrule how (mode, periods, retries);
here that becomes one decision at a time. Times are the server's clock in nanoseconds.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from holdfast.kernel.errors import InputError

_SECOND_NS = 1_000_000_000
_HOUR_S, _MINUTE_S, _DAY_S = 3_600, 60, 86_400
POLLING, PROMPTED, ANY = "POLLING", "PROMPTED", "ANY"
COMPLETED, FAILED, STARTED, RESTARTED = "Completed", "Failed", "Started", "Restarted"
_ERROR = 12


class Row(Protocol):
    """What counts of a schedule that the server offers."""

    @property
    def start_ns(self) -> int:
        """When the window opens."""

    @property
    def window_ns(self) -> int:
        """How long it is open."""

    @property
    def assigned_ns(self) -> int:
        """When this node is to start."""

    @property
    def status(self) -> str:
        """What is on record of it."""


class Word(Protocol):
    """What the server says of how to behave; None leaves it to the client."""

    @property
    def schedmodes(self) -> str:
        """ANY, POLLING or PROMPTED."""

    @property
    def queryschedperiod_s(self) -> int | None:
        """Seconds between two questions."""

    @property
    def maxcmdretries(self) -> int | None:
        """How often a command is tried again."""

    @property
    def retryperiod_s(self) -> int | None:
        """Seconds between two tries."""


_R = TypeVar("_R", bound=Row)


@dataclass(frozen=True, slots=True)
class Conduct:
    """How the scheduler behaves. Seconds are seconds."""

    mode: str = POLLING
    query_s: int = 4 * _HOUR_S
    retries: int = 2
    retry_s: int = 20 * _MINUTE_S

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Conduct:
        """Return what SCHEDMODE, QUERYSCHEDPERIOD, MAXCMDRETRIES and RETRYPERIOD say. Raises ``InputError``."""
        mode = options.get("SCHEDMODE", POLLING).upper()
        full = next((one for one in (POLLING, PROMPTED) if len(mode) >= 2 and one.startswith(mode)), "")
        if not full:
            raise InputError(f"SCHEDMODE: {mode} is no mode", remedy="POLLING or PROMPTED")
        return cls(
            full,
            _number(options, "QUERYSCHEDPERIOD", 4, 1, 9_999) * _HOUR_S,
            _number(options, "MAXCMDRETRIES", 2, 0, 9_999),
            _number(options, "RETRYPERIOD", 20, 1, 9_999) * _MINUTE_S,
        )

    def under(self, word: Word) -> Conduct:
        """Return this conduct as the server overrules it."""
        mode = self.mode if word.schedmodes == ANY else word.schedmodes
        return Conduct(
            mode,
            self.query_s if word.queryschedperiod_s is None else word.queryschedperiod_s,
            self.retries if word.maxcmdretries is None else word.maxcmdretries,
            self.retry_s if word.retryperiod_s is None else word.retryperiod_s,
        )


def _number(options: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = options.get(name, "") or str(default)
    if not text.isdigit() or not low <= int(text) <= high:
        raise InputError(f"{name}: {text} is not a number from {low} to {high}", remedy=f"the default is {default}")
    return int(text)


def upcoming(rows: Iterable[_R], now_ns: int) -> _R | None:
    """Return the event to turn to next: one that was interrupted, else the one whose turn comes first.

    A window that has closed by now is nobody's business any more.
    """
    open_ones = [row for row in rows if row.start_ns + row.window_ns > now_ns]
    interrupted = [row for row in open_ones if row.status and row.start_ns <= now_ns]
    return min(interrupted or open_ones, key=lambda row: row.assigned_ns, default=None)


def wait_ns(row: Row, now_ns: int) -> int:
    """Return how long until the event is to start; 0 when it is due, or was interrupted in an open window."""
    if row.status and row.start_ns <= now_ns:
        return 0
    return max(row.assigned_ns - now_ns, 0)


def may_try_again(row: Row, now_ns: int, tried: int, conduct: Conduct) -> bool:
    """Return whether a command that could not begin is tried again after RETRYPERIOD: only while the window is open."""
    later_ns = now_ns + conduct.retry_s * _SECOND_NS
    return tried <= conduct.retries and later_ns < row.start_ns + row.window_ns


def result(action: str, code: int) -> str:
    """Return what an event's return code makes of it: 0, 4 and 8 complete it; a command only by 0."""
    if action == "COMMAND":
        return COMPLETED if code == 0 else FAILED
    return COMPLETED if 0 <= code < _ERROR else FAILED


class Disposal(enum.Enum):
    """What happens to records that are pruned."""

    DISCARD = "D"
    SAVE = "S"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long records stay in a log; ``days`` None: for ever."""

    days: int | None = None
    disposal: Disposal = Disposal.DISCARD

    @classmethod
    def of(cls, text: str, name: str = "SCHEDLOGRETENTION") -> Retention:
        """Read ``N`` or ``days[,D|S]``, the comma may be a blank. Raises ``InputError``."""
        words = text.upper().replace(",", " ").split()
        if not words or words == ["N"]:
            return cls()
        disposal = words[1] if len(words) > 1 else "D"
        if len(words) > 2 or not words[0].isdigit() or disposal not in ("D", "S"):
            raise InputError(f"{name}: {text!r} is no retention", remedy="N, or days and D or S, such as 14,D")
        return cls(int(words[0]), Disposal(disposal))


def prune(lines: Iterable[str], day_of: Callable[[str], float | None], oldest_s: float) -> tuple[list[str], list[str]]:
    """Return the lines that stay and those that go. A line without a date goes with the one above it."""
    kept: list[str] = []
    gone: list[str] = []
    current = kept
    for line in lines:
        at_s = day_of(line)
        if at_s is not None:
            current = gone if at_s < oldest_s else kept
        current.append(line)
    return kept, gone
