"""Script: a VCS script agent, unchanged: a directory with online, offline, monitor, clean and more.

Every script gets the resource's name, clean the reason (0 to 5) after it, then the values of ArgList: a scalar as it
is, a list or an association as its count and its values. A type whose AgentFile is one of VCS's ``Script50Agent`` and
later gets each attribute as name, count and values. Monitor answers 100 offline, 101 to 110 online with confidence 10
to 100, 200 intentionally offline, anything else unknown. Online and offline answer with the seconds to wait before the
first monitor. Type Script names the directory in Directory; other types in AgentDirectory, or it is the one that VCS
would use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from holdfast.cluster.agents import foreignlog, residents
from holdfast.cluster.model.attributes import Value
from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, CommandResult, MonitorResult
from holdfast.kernel.errors import HoldfastError, InputError, Refusal, Refused

VCS_DIRECTORIES = ("/opt/VRTSagents/ha/bin", "/opt/VRTSvcs/bin")
_NAMED_VALUES = ("Script50Agent", "Script51Agent", "Script60Agent")
_NOT_RUN = (126, 127)
_OFFLINE, _LEAST, _MOST, _INTENTIONAL = 100, 101, 110, 200


def read_monitor(result: CommandResult) -> MonitorResult:
    """Return what the exit code of a monitor script means."""
    said = foreignlog.last_line(result)
    if result.code == _OFFLINE:
        return MonitorResult(ResourceState.OFFLINE, 0, said)
    if result.code == _INTENTIONAL:
        return MonitorResult(ResourceState.OFFLINE, 0, f"intentionally offline {said}".strip(), intentional=True)
    if _LEAST <= result.code <= _MOST:
        return MonitorResult(ResourceState.ONLINE, (result.code - _OFFLINE) * 10)
    return MonitorResult(ResourceState.UNKNOWN, 0, f"monitor ended with {result.code}{': ' + said if said else ''}")


def arguments(names: Sequence[str], attributes: Mapping[str, Value], named: bool) -> list[str]:
    """Return the values of ArgList as a script gets them; ``named`` is the convention of VCS 5.0 and later."""
    found: list[str] = []
    for name in names:
        value = attributes.get(name, "")
        words = list(_words(value))
        if named:
            found += [name, str(len(words)), *words]
        elif isinstance(value, str | int):
            found += words
        else:
            found += [str(len(words)), *words]
    return found


def _words(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, text in value.items():
            yield from (key, text)
    elif isinstance(value, str | int):
        yield str(value)
    else:
        yield from value


class Script(AgentBase):
    """A directory of scripts. ``kind`` is the name of the type that it serves."""

    def __init__(self, kind: str = "Script") -> None:
        self._kind = kind

    async def open(self, context: AgentContext) -> None:
        """Run the script if there is one."""
        residents.forget(context)
        await self._optional(context, "open", "OpenTimeout")

    async def close(self, context: AgentContext) -> None:
        """Run the script if there is one."""
        await self._optional(context, "close", "CloseTimeout")

    async def online(self, context: AgentContext) -> float:
        """Run the script; its exit value is the seconds to wait before the first monitor."""
        async with residents.noting(context):
            result = await self._run(context, "online", "OnlineTimeout")
        return _pause_s(result, "online")

    async def offline(self, context: AgentContext) -> float:
        """Run the script; its exit value is the seconds to wait before the first monitor."""
        return _pause_s(await self._run(context, "offline", "OfflineTimeout"), "offline")

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Run the script and read its exit code."""
        result = await self._run(context, "monitor", "MonitorTimeout")
        if result.timed_out:
            raise TimeoutError("monitor ran out of time")
        found = read_monitor(result)
        if found.state is not ResourceState.ONLINE:
            return found
        return MonitorResult(found.state, found.confidence, found.detail, residents.watched(context))

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Run the script with the reason; without one, offline. Done at exit 0; the monitor after it decides."""
        if self._script(context, "clean").exists():
            result = await self._run(context, "clean", "CleanTimeout", [str(reason.value)])
            return result.ok
        result = await self._run(context, "offline", "CleanTimeout")
        await residents.kill(context)
        return not result.timed_out

    async def action(self, context: AgentContext, name: str, arguments: Sequence[str]) -> CommandResult:
        """Run ``actions/NAME``, or script ``action`` with the name as its first argument."""
        if "/" in name or name.startswith("."):
            raise InputError(f"{name!r} is not the name of an action", remedy="see SupportedActions")
        own = f"actions/{name}"
        if self._script(context, own).exists():
            return await self._run(context, own, "ActionTimeout", (), arguments)
        if self._script(context, "action").exists():
            return await self._run(context, "action", "ActionTimeout", [name], arguments)
        directory = self._directory(context)
        raise Refused(Refusal("no-action", f"{context.resource} has no action {name}", f"add {directory}/{own}"))

    async def info(self, context: AgentContext) -> Mapping[str, str]:
        """Run the script if there is one; each line it prints is ``name=value`` or ``name value``."""
        result = await self._optional(context, "info", "InfoTimeout")
        found: dict[str, str] = {}
        for line in (result.stdout if result is not None else "").splitlines():
            name, _, value = line.replace("=", " ", 1).strip().partition(" ")
            if name:
                found[name] = value.strip()
        return found

    async def _optional(self, context: AgentContext, name: str, timeout: str) -> CommandResult | None:
        return await self._run(context, name, timeout) if self._script(context, name).exists() else None

    async def _run(
        self, context: AgentContext, name: str, timeout: str, first: Sequence[str] = (), last: Sequence[str] = ()
    ) -> CommandResult:
        script = self._script(context, name)
        if not script.is_file():
            raise InputError(f"{context.resource}: there is no script {script}", remedy="add it, or correct the path")
        if not os.access(script, os.X_OK):
            raise InputError(f"{context.resource}: {script} cannot be executed", remedy=f"chmod 755 {script}")
        named = Path(context.text("AgentFile")).name in _NAMED_VALUES
        names = [each for each in context.names("ArgList") if each != "Directory"]
        values = arguments(names, context.attributes, named)
        if self._kind == "Script":
            values = list(context.names("Arguments"))
        environment = {**context.environment, "HOLDFAST_SYSTEM": context.system}
        command = [str(script), context.resource, *first, *values, *last]
        result = await context.commands.run(command, foreignlog.limit_s(context, timeout), environment)
        if name != "monitor":
            foreignlog.note(context, name, result)
        return result

    def _script(self, context: AgentContext, name: str) -> Path:
        return Path(self._directory(context), name)

    def _directory(self, context: AgentContext) -> str:
        named = context.text("Directory" if self._kind == "Script" else "AgentDirectory").strip()
        if named.startswith("/") and Path(named).is_dir():
            return named
        attribute = "Directory" if self._kind == "Script" else "AgentDirectory"
        if named:
            raise InputError(
                f"{context.resource}: {attribute} {named!r} is no directory", remedy="name the directory of its scripts"
            )
        usual = [f"{directory}/{self._kind}" for directory in VCS_DIRECTORIES]
        for directory in usual:
            if Path(directory).is_dir():
                return directory
        raise InputError(
            f"{context.resource}: no agent for type {self._kind}",
            remedy=f"set {attribute} to the directory of its scripts, or AgentFile to ocf:PROVIDER:AGENT, "
            "or add it to [agents] plugins",
        )


def _pause_s(result: CommandResult, name: str) -> float:
    if result.code in _NOT_RUN:
        raise HoldfastError(f"{name} cannot be run: {foreignlog.last_line(result)}", "check its first line")
    if result.timed_out or result.code < 0:
        how = "ran out of time" if result.timed_out else f"was killed by signal {-result.code}"
        raise HoldfastError(f"{name} {how}: {foreignlog.last_line(result)}")
    return float(result.code)
