"""The logs that VCS users read: ``engine_A.log`` and one log for each agent, as lines in their layout.

A system daemon tells its chronicle what it says and how its resources change; this one writes that down. A log that
has grown large becomes B, then C, then goes. Losing a line never stops a daemon: a directory that cannot be written is
complained of once.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from holdfast.cluster.model.configuration import Group
from holdfast.cluster.model.facts import Phase, ResourceFact, ResourceState
from holdfast.dialects.vcs.layout import RESOURCE_MESSAGES, SAID

LIMIT_BYTES = 8 * 1024 * 1024
LETTERS = "ABC"
_SEVERITIES = {"info": "INFO", "notice": "NOTICE", "warning": "WARNING", "error": "ERROR", "critical": "CRITICAL"}


def line(at: float, severity: str, number: int, text: str) -> str:
    """Return one line of a log; ``at`` is wall-clock seconds."""
    stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(at))
    return f"{stamp} VCS {severity} V-16-1-{number:05d} {' '.join(text.split())}"


class EngineLog:
    """Writes the logs of one system into ``directory``. Implements ``ports.Chronicle``."""

    def __init__(self, directory: Path, system: str, limit_bytes: int = LIMIT_BYTES) -> None:
        self._directory, self._system, self._limit_bytes = directory, system, limit_bytes
        self._complained = False

    def said(self, at: float, level: str, text: str) -> None:
        """Write what the daemon says of itself."""
        self._write("engine", line(at, _SEVERITIES.get(level, "INFO"), SAID, text))

    def changed(self, at: float, group: Group, name: str, before: ResourceFact, after: ResourceFact) -> None:
        """Write how a resource changed, into the engine's log and that of its agent."""
        kind = group.resources[name].type.name
        for event in _events(before, after):
            severity, number, text = RESOURCE_MESSAGES[event]
            told = text.format(name=name, group=group.name, system=self._system, detail=after.detail).rstrip(": ")
            self._write("engine", line(at, severity, number, told))
            self._write(kind, line(at, severity, number, told))

    def _write(self, name: str, text: str) -> None:
        path = self._directory / f"{name}_A.log"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size + len(text) > self._limit_bytes:
                rotate(self._directory, name)
            with path.open("a", encoding="utf-8") as log:
                log.write(text + "\n")
        except OSError as error:
            if not self._complained:
                sys.stderr.write(f"{path} cannot be written: {error.strerror}\n")
            self._complained = True


def rotate(directory: Path, name: str) -> None:
    """Make A of a log B, and B C."""
    for older, newer in reversed(list(zip(LETTERS[1:], LETTERS, strict=False))):
        path = directory / f"{name}_{newer}.log"
        if path.exists():
            path.replace(directory / f"{name}_{older}.log")


def _events(before: ResourceFact, after: ResourceFact) -> list[str]:
    """What happened between two looks at a resource, as keys of the table of messages."""
    events = []
    if after.phase is not before.phase and after.phase is not Phase.IDLE:
        events.append(after.phase.value)
    if after.probed and (after.state is not before.state or not before.probed):
        unexpected = after.state is ResourceState.OFFLINE and before.state is ResourceState.ONLINE
        by_us = {before.phase, after.phase} & {Phase.STOPPING, Phase.CLEANING}
        events.append("went-down" if unexpected and not by_us else after.state.value.lower())
    if after.faulted and not before.faulted:
        events.append("faulted")
    if before.faulted and not after.faulted:
        events.append("cleared")
    if after.clean_failing and not before.clean_failing:
        events.append("clean-failed")
    return events
