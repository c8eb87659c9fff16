"""Holdfast's own agents as OCF agents, for Pacemaker and whatever else speaks OCF 1.1.

A type becomes an agent: its attributes are the parameters (``OCF_RESKEY_PathName``), its entry points the actions. What
OCF asks beyond them is added here: start and stop are idempotent and return only when a monitor agrees, a stop that
fails is followed by clean, states become exit codes. The stub that is installed carries its metadata with it, so that
it can be read by any user and costs no start of an interpreter.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from holdfast.cluster.agents.alone import Alone
from holdfast.cluster.agents.application import Application
from holdfast.cluster.agents.fileonoff import FileOnOff
from holdfast.cluster.agents.ip import IP
from holdfast.cluster.agents.mount import Mount
from holdfast.cluster.agents.ocf import REASON_PREFIX
from holdfast.cluster.agents.process import Process
from holdfast.cluster.model.attributes import AttributeDef, Dimension, Value
from holdfast.cluster.model.configuration import Resource, ResourceType
from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import Agent, AgentContext, MonitorResult
from holdfast.kernel.errors import HoldfastError, InputError

OFFERED: Mapping[str, Callable[[], Agent]] = {
    "Application": Application, "FileOnOff": FileOnOff, "IP": IP, "Mount": Mount, "Process": Process,
}  # fmt: skip
"""The types that can be started and stopped: a persistent one is none of another manager's resources."""

_OK, _FAILED, _NOT_IMPLEMENTED, _NOT_CONFIGURED, _NOT_RUNNING, _DEGRADED = 0, 1, 3, 6, 7, 190
_POLL_S = 0.1
_STOP_PATIENCE_S = 5.0
_DEFAULT_TIMEOUT_MS = 60_000
_FAILURES = (HoldfastError, OSError, ValueError)
ACTIONS = ("start", "stop", "monitor", "validate-all", "meta-data")


@dataclass(frozen=True, slots=True)
class Outcome:
    """An exit code of OCF, what to print, and the reason for a failure."""

    code: int
    output: str = ""
    reason: str = ""

    @property
    def error_line(self) -> str:
        """The line for standard error that the manager shows as the reason."""
        return f"{REASON_PREFIX}{' '.join(self.reason.split())}\n" if self.reason else ""


def metadata(kind: ResourceType) -> str:
    """Return the XML of ``meta-data`` for a type."""
    parameters = "".join(_parameter(kind.attributes[name]) for name in kind.arg_list if name in kind.attributes)
    times = {
        "start": _number(kind, "OnlineTimeout"), "stop": _number(kind, "OfflineTimeout"),
        "monitor": _number(kind, "MonitorTimeout"), "validate-all": 20, "meta-data": 5,
    }  # fmt: skip
    pause = f' interval="{_number(kind, "MonitorInterval")}s" depth="0"'
    actions = "".join(
        f'<action name="{name}" timeout="{limit}s"{pause if name == "monitor" else ""} />\n'
        for name, limit in times.items()
    )
    text = escape(f"The type {kind.name} of Holdfast as an OCF agent; see its how-to on agents.")
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">\n'
        f'<resource-agent name="{kind.name}" version="1.0">\n<version>1.0</version>\n'
        f'<longdesc lang="en">{text}</longdesc>\n<shortdesc lang="en">{escape(f"Holdfast {kind.name}")}</shortdesc>\n'
        f"<parameters>\n{parameters}</parameters>\n<actions>\n{actions}</actions>\n</resource-agent>\n"
    )


def _parameter(attribute: AttributeDef) -> str:
    kind = {"int": "integer", "boolean": "boolean"}.get(attribute.kind.value, "string")
    default = attribute.default if isinstance(attribute.default, str | int) else " ".join(attribute.default)
    shown = f" default={quoteattr(str(default))}" if attribute.declared_default else ""
    several = "" if attribute.dimension is Dimension.SCALAR else "; several, quoted as in a shell"
    return (
        f"<parameter name={quoteattr(attribute.name)}>\n"
        f'<longdesc lang="en">{attribute.name}{several}</longdesc>\n<shortdesc lang="en">{attribute.name}</shortdesc>\n'
        f'<content type="{kind}"{shown} />\n</parameter>\n'
    )


def _number(kind: ResourceType, name: str) -> int:
    return Resource("r", kind).number(name)


def stub(kind: ResourceType, program: str) -> str:
    """Return the agent's file: a shell script that prints its metadata itself and runs ``program`` for the rest."""
    return (
        f"#!/bin/sh\n# {kind.name} of Holdfast as an OCF agent. Written by: holdfast agent install\n"
        f"case \"$1\" in\nmeta-data)\ncat <<'END_OF_METADATA'\n{metadata(kind)}END_OF_METADATA\nexit 0\n;;\nesac\n"
        f'exec {program} agent ocf {kind.name} "$1"\n'
    )


def install(kinds: Mapping[str, ResourceType], into: Path, program: str) -> list[Path]:
    """Write a stub for every offered type below ``into``; return their paths. Raises :class:`InputError`."""
    try:
        into.mkdir(parents=True, exist_ok=True)
        written = []
        for name in OFFERED:
            path = into / name
            path.write_text(stub(kinds[name], program), "utf-8")
            path.chmod(0o755)
            written.append(path)
        return written
    except OSError as error:
        raise InputError(f"{into} cannot be written: {error.strerror}", remedy="name another directory") from error


async def act(kind: ResourceType, action: str, environment: Mapping[str, str], system: str) -> Outcome:
    """Carry out one action of OCF for a resource that the environment describes."""
    if action == "meta-data":
        return Outcome(_OK, metadata(kind))
    if action not in ACTIONS:
        return Outcome(_NOT_IMPLEMENTED, reason=f"{kind.name} has no action {action!r}")
    agent = OFFERED[kind.name]()
    try:
        context = _context(kind, environment, system)
        limit_s = int(environment.get("OCF_RESKEY_CRM_meta_timeout", _DEFAULT_TIMEOUT_MS)) / 1000
        if action == "start":
            started = await _start(agent, context, limit_s)
            await _finish(limit_s)
            return started
        if action == "stop":
            return await _stop(agent, context)
        found = await _look(agent, context)
        return Outcome(_OK) if action == "validate-all" else _says(found)
    except InputError as error:
        return Outcome(_NOT_CONFIGURED, reason=f"{error.message}: {error.remedy}")
    except _FAILURES as error:
        return Outcome(_FAILED, reason=str(error))


async def _finish(limit_s: float) -> None:
    """Wait for what a start goes on with in the background: this process ends with the action."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    if rest:
        await asyncio.wait(rest, timeout=limit_s)


def _context(kind: ResourceType, environment: Mapping[str, str], system: str) -> AgentContext:
    attributes: dict[str, Value] = {**Resource("r", kind).resolved(system)}
    for name, attribute in kind.attributes.items():
        text = environment.get(f"OCF_RESKEY_{name}")
        if text is not None and not attribute.static:
            attributes[name] = text if attribute.dimension is Dimension.SCALAR else tuple(shlex.split(text))
    run_directory = Path(environment.get("HA_RSCTMP", "/run/resource-agents"), "holdfast")
    run_directory.mkdir(parents=True, exist_ok=True)
    resource = environment.get("OCF_RESOURCE_INSTANCE", "").replace("/", "_").replace(":", "_") or kind.name
    return AgentContext(resource, "", system, "", attributes, Alone(), run_directory)


async def _look(agent: Agent, context: AgentContext) -> MonitorResult:
    found = await agent.monitor(context)
    for descriptor in found.pidfds:
        os.close(descriptor)
    return found


def _says(found: MonitorResult) -> Outcome:
    if found.broken or found.state is ResourceState.UNKNOWN:
        return Outcome(_FAILED, reason=found.detail or "its state is unknown")
    if found.state is ResourceState.OFFLINE:
        return Outcome(_NOT_RUNNING)
    return Outcome(_OK if found.confidence >= 100 else _DEGRADED, reason=found.detail)


async def _start(agent: Agent, context: AgentContext, limit_s: float) -> Outcome:
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s * 0.9
    found = await _look(agent, context)
    if found.state is ResourceState.ONLINE and not found.broken:
        return Outcome(_OK)
    await asyncio.sleep(await agent.online(context))
    while True:
        found = await _look(agent, context)
        if found.state is ResourceState.ONLINE and not found.broken:
            return Outcome(_OK)
        if loop.time() > end:
            return Outcome(_FAILED, reason=found.detail or "it is not online after its start")
        await asyncio.sleep(_POLL_S)


async def _stop(agent: Agent, context: AgentContext) -> Outcome:
    """Take it offline, by force if need be. A monitor that cannot say what is there is no reason to leave it there."""
    reason = ""
    try:
        if (await _look(agent, context)).state is ResourceState.OFFLINE:
            return Outcome(_OK)
    except _FAILURES as error:
        reason = str(error)
    try:
        await asyncio.sleep(await agent.offline(context))
        if await _down(agent, context):
            return Outcome(_OK)
    except _FAILURES as error:
        reason = str(error)
    if await agent.clean(context, CleanReason.OFFLINE_INEFFECTIVE) and await _down(agent, context):
        return Outcome(_OK)
    return Outcome(_FAILED, reason=reason or "it is not offline after its stop, and clean failed")


async def _down(agent: Agent, context: AgentContext) -> bool:
    loop = asyncio.get_running_loop()
    end = loop.time() + _STOP_PATIENCE_S
    while True:
        try:
            if (await _look(agent, context)).state is ResourceState.OFFLINE:
                return True
        except _FAILURES:
            if loop.time() > end:
                raise
        if loop.time() > end:
            return False
        await asyncio.sleep(_POLL_S)
