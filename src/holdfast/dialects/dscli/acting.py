"""What all dscli commands work with: the array, how to print and ask, and how one object's outcome is told.

One object's failure is an ``E`` line on the error stream; the other objects still get their ``I`` line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.dialects.dscli import facts
from holdfast.dialects.dscli.grammar import Line, UsageError
from holdfast.dialects.dscli.layout import Layout, Row, lay_out
from holdfast.replication.model.identity import expand_pairs, expand_volumes


class Array(Protocol):
    """What the commands need of an array's client."""

    image: str

    def run(self, verb: str, objects: list[str] | None = None, timeout_s: float = 30.0, **options: Any) -> Any:
        """Send one command."""


@dataclass(slots=True)
class Context:
    """Where a command runs: the array, how to print, how to ask, and the ids in force."""

    array: Array
    layout: Layout
    out: Callable[[str], None]
    fail: Callable[[str], None]
    ask: Callable[[str], str]
    fullid: bool = False
    remote: str = ""


Handler = Callable[[Line, Context], int]


def listed(line: Line, context: Context, columns: Sequence[str], found: list[Row]) -> int:
    """Print rows in the layout in force, or that there are none; return the exit code."""
    if not found:
        context.out(f"{facts.EMPTY} {line.command}: {facts.NOTHING[line.command]}")
        return facts.RC_OK
    if line.has("s"):
        index = list(columns).index("ID") if "ID" in columns else 0
        columns, found = [columns[index]], [[row[index]] for row in found]
    for text in lay_out(columns, found, context.layout):
        context.out(text)
    return facts.RC_OK


def options(line: Line, context: Context, **more: Any) -> dict[str, Any]:
    """Return the options for the array: those that every command has, and ``more``."""
    found: dict[str, Any] = dict(more)
    if line.has("dev"):
        found["dev"] = line.get("dev")
    remote = line.get("remotedev") or context.remote
    if remote:
        found["remote"] = remote
    return found


def pairs(line: Line) -> list[str]:
    """Return the pairs that a line names. Raises :class:`UsageError` when it names none."""
    words = [bare(part) for word in line.parameters for part in word.split(",") if part]
    found = [f"{source}:{target}" for word in words for source, target in expand_pairs(word)]
    if not found:
        raise UsageError(line.command, "names no pair")
    return found


def bare(word: str) -> str:
    """Return a volume, or a pair of them, or of ranges, without the arrays before them."""
    return ":".join(part.rsplit("/", 1)[-1] for part in word.split(":"))


def volumes(line: Line) -> list[str]:
    """Return the volumes that a line names."""
    return [volume for word in line.parameters for part in word.split(",") for volume in expand_volumes(part)]


def change(line: Line, context: Context, verb: str, objects: list[str], **more: Any) -> int:
    """Run a change, print one line per object."""
    answer = context.array.run(verb, objects, **options(line, context, **more))
    code = facts.RC_OK
    ident, text = facts.DONE[line.command]
    for outcome in answer.outcomes:
        if outcome.code:
            context.fail(failure(line.command, outcome.object, outcome.code, outcome.reason, outcome.remedy))
            code = facts.RC_SERVER
        else:
            context.out(f"{ident} {line.command}: {text.format(outcome.object)}")
    return code


def failure(command: str, name: str, code: str, reason: str, remedy: str = "") -> str:
    """Return the ``E`` line of a refused object."""
    ident = facts.FAILURES.get(code, facts.OTHER_FAILURE)
    hint = f" ({remedy})" if remedy else ""
    subject = f"{name}: " if name else ""
    return f"{ident} {command}: {subject}Copy Services operation failure: {reason}{hint}"


def agreed(line: Line, context: Context, objects: list[str]) -> list[str]:
    """Ask for each object unless -quiet; return those to go on with."""
    if line.has("quiet"):
        return objects
    ident, text = facts.PROMPTS[line.command]
    return [name for name in objects if context.ask(f"{ident} {line.command}: {text.format(name)}").lower() == "y"]
