"""OCF: any resource agent of the Open Cluster Framework, unchanged, as a resource.

The agent gets the environment of OCF 1.1 and what agents in the wild read besides. Its exit codes become states by one
table. The same code means different things at different times: a *probe* asks what is there (1 to 6 mean that nobody
can say, which is UNKNOWN with the agent's reason), a *recurring* monitor asks whether what was started still works (1
to 6 and 9 mean that it is broken and must be stopped before anything else). A resource is expected to run from its
start, or from the first monitor that finds it, until its stop; that is noted in a file, because a daemon that is
started again must ask as the one before it did.

``stop`` must return 0; anything else is an error and leads to clean, which is stop again. Clean is done only when
the agent then says "not running". Clones and promotion are not offered: 8 counts as running, 9 as failed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.cluster.agents import foreignlog, ocf_metadata, residents
from holdfast.cluster.agents.ocf_metadata import AgentName, Metadata
from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, CommandResult, MonitorResult
from holdfast.kernel.errors import HoldfastError, InputError, Refusal, Refused

REASON_PREFIX = "ocf-exit-reason:"
_FEATURE_SET = "3.1.0"
_REASON_CHARACTERS = 300
_DEGRADED_CONFIDENCE = 50
_NOT_RUNNING = 7
_ACTIONS = frozenset(("validate-all", "reload", "reload-agent", "meta-data"))
_WATCH_MOUNTS = frozenset(("Filesystem", "fs", "netfs"))
_WATCH_ADDRESSES = frozenset(("IPaddr2", "IPaddr", "IPv6addr", "IPsrcaddr"))

CODES: Mapping[int, str] = {
    0: "ok", 1: "failed", 2: "wrong arguments", 3: "action not implemented", 4: "insufficient permission",
    5: "something it needs is not installed", 6: "not configured", 7: "not running", 8: "running, promoted",
    9: "failed, promoted", 190: "degraded", 191: "degraded, promoted",
}  # fmt: skip
"""Exit code → what it means (OCF 1.1; ``cluster.md`` section 13.4)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a monitor's exit code says."""

    state: ResourceState
    confidence: int = 0
    broken: bool = False


def read_code(code: int, probe: bool) -> Reading:
    """Return what ``code`` of a monitor means, for a probe or for a recurring monitor."""
    if code in (0, 8):
        return Reading(ResourceState.ONLINE, 100)
    if code in (190, 191):
        return Reading(ResourceState.ONLINE, _DEGRADED_CONFIDENCE)
    if code == _NOT_RUNNING:
        return Reading(ResourceState.OFFLINE)
    if probe or code not in CODES:
        return Reading(ResourceState.UNKNOWN)
    return Reading(ResourceState.ONLINE, broken=True)


def reason_of(result: CommandResult, action: str) -> str:
    """Return why an action ended as it did: the agent's own reasons, otherwise the code's meaning and its last line."""
    marked = [line.partition(REASON_PREFIX)[2].strip() for line in result.stderr.splitlines() if REASON_PREFIX in line]
    meaning = "ran out of time" if result.timed_out else CODES.get(result.code, "no code of OCF")
    said = "; ".join(dict.fromkeys(filter(None, marked))) or foreignlog.last_line(result)
    return f"{action} ended with {result.code} ({meaning}){': ' + said if said else ''}"[:_REASON_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Setting:
    """One resource's agent: its name, where it lies, the parameters it gets."""

    name: AgentName
    root: str
    path: Path
    params: Mapping[str, str]


class OCF(AgentBase):
    """Attributes Provider, Agent, Params, CheckLevel; or those of a type made by ``holdfast type import``."""

    def __init__(self) -> None:
        self._metadata: dict[tuple[str, int], Metadata | None] = {}

    async def open(self, context: AgentContext) -> None:
        """Forget what an earlier life expected to run."""
        _expected(context).unlink(missing_ok=True)
        residents.forget(context)

    async def online(self, context: AgentContext) -> float:
        """Run ``start``. Raises with the agent's reason."""
        setting = await self._checked(context)
        async with residents.noting(context):
            result = await _act(context, setting, "start", "OnlineTimeout")
            if result.timed_out or result.code not in (0, 8):
                raise HoldfastError(reason_of(result, "start"), f"see {foreignlog.path_of(context)}")
        _expected(context).touch()
        return 0.0

    async def offline(self, context: AgentContext) -> float:
        """Run ``stop``. Raises for anything but 0."""
        setting = _setting(context)
        _expected(context).unlink(missing_ok=True)
        result = await _act(context, setting, "stop", "OfflineTimeout")
        if not result.ok:
            raise HoldfastError(reason_of(result, "stop"), f"see {foreignlog.path_of(context)}")
        residents.forget(context)
        return 0.0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Run ``monitor``, as a probe or as a recurring one."""
        setting = await self._checked(context)
        probe = not _expected(context).exists()
        result = await _act(context, setting, "monitor", "MonitorTimeout", probe)
        if result.timed_out:
            raise TimeoutError("monitor ran out of time")
        found = read_code(result.code, probe)
        fine = found.confidence == 100 or (result.code == _NOT_RUNNING and REASON_PREFIX not in result.stderr)
        online = found.state is ResourceState.ONLINE
        if online and not found.broken:
            _expected(context).touch()
        return MonitorResult(
            found.state, found.confidence, "" if fine else reason_of(result, "monitor"),
            residents.watched(context) if online else (),
            watch_mounts=setting.name.agent in _WATCH_MOUNTS,
            watch_addresses=setting.name.agent in _WATCH_ADDRESSES,
            broken=found.broken,
        )  # fmt: skip

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Run ``stop``, then kill what the start left and still runs. Done when a probe says "not running"."""
        setting = _setting(context)
        _expected(context).unlink(missing_ok=True)
        await _act(context, setting, "stop", "CleanTimeout")
        await residents.kill(context)
        probe = await _act(context, setting, "monitor", "MonitorTimeout", True)
        gone = probe.code == _NOT_RUNNING and not probe.timed_out
        if gone:
            residents.forget(context)
        return gone

    async def action(self, context: AgentContext, name: str, arguments: Sequence[str]) -> CommandResult:
        """Run ``validate-all``, ``reload``, ``reload-agent`` or ``meta-data``."""
        if name not in _ACTIONS:
            raise Refused(
                Refusal("no-action", f"{context.resource} has no action {name}", f"known are {', '.join(_ACTIONS)}")
            )
        return await _act(context, await self._checked(context), name, "ActionTimeout")

    async def info(self, context: AgentContext) -> Mapping[str, str]:
        """Return the agent's name and place, and its summary."""
        setting = await self._checked(context)
        found = await self._asked(context, setting)
        return {"agent": str(setting.name), "path": str(setting.path), "summary": found.summary if found else ""}

    async def _checked(self, context: AgentContext) -> Setting:
        """Return the setting. Raises :class:`InputError` when a parameter that the agent needs is missing."""
        setting = _setting(context)
        required = context.names("RequiredParams")
        if not context.text("AgentFile"):
            found = await self._asked(context, setting)
            required = found.required if found else ()
        missing = [each for each in required if not setting.params.get(each)]
        if missing:
            example = ", ".join(f'{each} = "..."' for each in missing)
            raise InputError(
                f"{context.resource}: {setting.name} needs {', '.join(missing)}",
                remedy=f"set Params = {{ {example} }}",
            )
        return setting

    async def _asked(self, context: AgentContext, setting: Setting) -> Metadata | None:
        """Return the agent's metadata, asked for once per version of its file; None if it cannot be had."""
        key = (str(setting.path), setting.path.stat().st_mtime_ns)
        if key not in self._metadata:
            result = await _act(context, setting, "meta-data", "MonitorTimeout")
            try:
                self._metadata[key] = ocf_metadata.parse(result.stdout, str(setting.name)) if result.ok else None
            except InputError:
                self._metadata[key] = None
        return self._metadata[key]


def _setting(context: AgentContext) -> Setting:
    """Return the setting unchecked, as stop and clean use it: they must not wait for what only a start needs."""
    where = f"{context.resource}: "
    root = context.environment.get("OCF_ROOT", ocf_metadata.OCF_ROOT)
    name = _name(context, where)
    return Setting(name, root, ocf_metadata.locate(name, root, where), _params(context))


def _name(context: AgentContext, where: str) -> AgentName:
    if context.text("AgentFile"):
        return ocf_metadata.parse_name(context.text("AgentFile"), f"{where}AgentFile ")
    for attribute, example in (("Provider", "heartbeat"), ("Agent", "Dummy")):
        if not context.text(attribute):
            raise InputError(f"{where}no {attribute}", remedy=f"set {attribute}, for example {attribute} = {example}")
    return ocf_metadata.parse_name(f"ocf:{context.text('Provider')}:{context.text('Agent')}", where)


def _params(context: AgentContext) -> Mapping[str, str]:
    """Return the agent's parameters: what is given in Params, and the attributes of an imported type that are set,
    under the names that the type's OcfParameters give them."""
    params: dict[str, str] = {}
    if context.text("AgentFile"):
        params = {name: text for name in context.names("ArgList") if (text := context.text(name))}
    named = context.attributes.get("OcfParameters")
    if isinstance(named, Mapping):
        params = {theirs: text for ours, theirs in named.items() if (text := context.text(ours))}
    given = context.attributes.get("Params")
    return {**params, **given} if isinstance(given, Mapping) else params


async def _act(
    context: AgentContext, setting: Setting, action: str, timeout: str, probe: bool = False
) -> CommandResult:
    environment = environment_of(context, setting, action, timeout, probe)
    result = await context.commands.run([str(setting.path), action], foreignlog.limit_s(context, timeout), environment)
    if action not in ("monitor", "meta-data"):
        foreignlog.note(context, action, result)
    return result


def environment_of(
    context: AgentContext, setting: Setting, action: str, timeout: str, probe: bool
) -> Mapping[str, str]:
    """Return the environment of OCF 1.1 for one action, and what agents in the wild read besides. Times in ms."""
    temporary = context.run_directory / "ocf"
    temporary.mkdir(exist_ok=True)
    recurring = action == "monitor" and not probe
    values = {
        **context.environment,
        "OCF_ROOT": setting.root,
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": context.resource,
        "OCF_RESOURCE_TYPE": setting.name.agent,
        "OCF_RESOURCE_PROVIDER": setting.name.provider,
        "OCF_CHECK_LEVEL": str(context.number("CheckLevel")) if action == "monitor" else "0",
        "OCF_OUTPUT_FORMAT": "text",
        "OCF_EXIT_REASON_PREFIX": REASON_PREFIX,
        "OCF_RESKEY_CRM_meta_interval": str(context.number("MonitorInterval") * 1000 if recurring else 0),
        "OCF_RESKEY_CRM_meta_timeout": str((context.number(timeout) or 60) * 1000),
        "OCF_RESKEY_CRM_meta_name": action,
        "OCF_RESKEY_CRM_meta_on_node": context.system,
        "OCF_RESKEY_CRM_meta_on_node_uuid": context.system,
        "OCF_RESKEY_crm_feature_set": _FEATURE_SET,
        "HA_RSCTMP": str(temporary),
        "HA_LOGFACILITY": "none",
        "HA_LOGD": "no",
        "PATH": os.pathsep.join(("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")),
        "HOLDFAST_GROUP": context.group,
        "HOLDFAST_SYSTEM": context.system,
    }
    return {**values, **{f"OCF_RESKEY_{name}": text for name, text in setting.params.items()}}


def _expected(context: AgentContext) -> Path:
    return context.run_directory / f"{context.resource}.expected"
