"""The log of what foreign agents print: one file per resource, bounded, beside the resource's other files.

Their output is theirs, often long and rarely about what went wrong; what it says in one line becomes the resource's
detail, and the rest is kept here for the person who follows the remedy.
"""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.cluster.ports import AgentContext, CommandResult

_LIMIT_BYTES = 4 * 1024 * 1024
_LINE_CHARACTERS = 300
GRACE_S = 5.0
"""A command's own limit lies so much behind its entry point's timeout, so that the engine, which counts, is first."""


def path_of(context: AgentContext) -> Path:
    """Where a resource's log lies."""
    return context.run_directory / f"{context.resource}.log"


def closed_to_others(path: str, flags: int) -> int:
    """Open a log that others cannot read: what an agent prints may hold a password. For ``open``'s opener."""
    return os.open(path, flags, 0o600)


def note(context: AgentContext, action: str, result: CommandResult) -> None:
    """Append what a command printed; nothing for one that ended well in silence."""
    text = (result.stdout + result.stderr).strip()
    if result.ok and not text:
        return
    log = path_of(context)
    if log.exists() and log.stat().st_size > _LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with open(log, "a", encoding="utf-8", opener=closed_to_others) as file:
        file.write(f"--- {action} ended with {result.code}{' out of time' if result.timed_out else ''}\n{text}\n")


def last_line(result: CommandResult) -> str:
    """Return the last line that a command printed, on standard error if there is one."""
    lines = [line.strip() for line in (result.stderr.strip() or result.stdout.strip()).splitlines() if line.strip()]
    return lines[-1][:_LINE_CHARACTERS] if lines else ""


def limit_s(context: AgentContext, attribute: str, default_s: int = 60) -> float:
    """Return the time limit of a command that serves the entry point whose timeout is ``attribute``."""
    return (context.number(attribute) or default_s) + GRACE_S
