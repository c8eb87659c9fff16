"""What an operation answers, and how refusals become return codes (section 1)."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.backup.model import messages
from holdfast.kernel.errors import Refusal, Refused

OK, SYNTAX, ERROR, EXISTS, NOTFOUND, INUSE = 0, 3, 4, 10, 11, 12
CODES = {
    "exists": EXISTS,
    "not-found": NOTFOUND,
    "in-use": INUSE,
    "invalid": SYNTAX,
    "no-storage": 8,
    "authentication": 9,
    "referenced": 13,
}
Args = Mapping[str, str]


@dataclass(slots=True)
class Reply:
    """The answer of one operation. ``figures`` are for programs; ``layout`` ``list`` shows each row as a list;
    ``parts`` are the commands that a script ran with their answers."""

    messages: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)
    code: int = OK
    layout: str = ""
    parts: list[tuple[str, Reply]] = field(default_factory=list)


def refuse(code: str, reason: str, remedy: str = "") -> Refused:
    """Return the exception that refuses an operation."""
    return Refused(Refusal(code, reason, remedy))


def answer(what: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], detailed: bool = False) -> Reply:
    """Return the answer of a query; without rows it is ANR2034E and return code 11."""
    if not rows:
        return Reply([messages.text("ANR2034E", what=what)], columns, [], {}, NOTFOUND)
    return Reply([], columns, list(rows), layout="list" if detailed else "")


def matching(args: Args, key: str = "name") -> Callable[[str], bool]:
    """Return whether a name is among those that a parameter lists: commas, ``*`` and ``?``; all when it is absent."""
    patterns = [word.upper() for word in args.get(key, "*").split(",")]
    return lambda name: any(fnmatch.fnmatchcase(name.upper(), pattern) for pattern in patterns)


def number(args: Args, name: str, default: int, low: int, high: int, unlimited: int | None = None) -> int:
    """Return a whole number within bounds; NOLIMIT when ``unlimited`` is given."""
    text = args.get(name, "")
    if not text:
        return default
    if unlimited is not None and "NOLIMIT".startswith(text.upper()) and len(text) >= 3:
        return unlimited
    if not text.isdigit() or not low <= int(text) <= high:
        raise refuse("invalid", f"ANR2020E Invalid parameter - {name.upper()}={text}", f"{low} to {high}")
    return int(text)


def choice(args: Args, name: str, default: str, *options: str) -> str:
    """Return one of ``options`` (any unambiguous start of it)."""
    text = args.get(name, default).upper()
    found = [option for option in options if option == text] or [o for o in options if o.startswith(text)]
    if len(found) != 1:
        raise refuse("invalid", f"ANR2020E Invalid parameter - {name.upper()}={text}", f"one of {', '.join(options)}")
    return found[0]


def identifier(args: Args, name: str, limit: int = 64) -> str:
    """Return an object's name in capitals."""
    text = args.get(name, "").upper()
    if not text:
        raise refuse("invalid", f"ANR2022E One or more parameters are missing - {name.upper()}")
    if len(text) > limit or not all(letter.isalnum() or letter in "_.-+&" for letter in text):
        raise refuse("invalid", f"ANR2020E Invalid parameter - {text}", f"letters, digits and _.-+&, at most {limit}")
    return text
