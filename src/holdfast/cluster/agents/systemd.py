"""Systemd: a unit, started and stopped through systemctl.

What a unit runs is a child of systemd, not of the group's workload: the guard's kill at the lease deadline does not
reach it. So online is refused unless the guard reboots the whole system (``on_expiry = "reboot"``) or the resource
says in so many words that this is accepted (``AcceptUnguarded = 1``). The main process is watched by pidfd. A unit
must not be enabled: who starts it at boot does not ask the cluster.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.cluster.agents import foreignlog
from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, CommandResult, MonitorResult
from holdfast.kernel.errors import HoldfastError, InputError, Refusal, Refused

ON_EXPIRY = "HOLDFAST_ON_EXPIRY"
"""In an agent's environment: what the guard does at the lease deadline, ``kill`` or ``reboot``."""

_BOOTED = "/run/systemd/system"
_PROPERTIES = "LoadState,ActiveState,SubState,MainPID,Result,UnitFileState"
_SHOW_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Unit:
    """What systemd says of a unit; ``main_pid`` is 0 when it has no main process."""

    load: str
    active: str
    sub: str = ""
    main_pid: int = 0
    result: str = ""
    enabled: str = ""

    @property
    def restarting(self) -> bool:
        """Its process ended and systemd is about to start it again (``Restart=``), of its own accord."""
        return self.active == "activating" and self.sub.startswith("auto-restart")


def parse(output: str) -> Unit:
    """Read ``systemctl show --property=…``. Raises :class:`HoldfastError` when the states are missing."""
    pairs = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    if not pairs.get("LoadState") or not pairs.get("ActiveState"):
        raise HoldfastError("systemctl show printed no state", "run it by hand")
    pid = pairs.get("MainPID", "0")
    return Unit(
        pairs["LoadState"], pairs["ActiveState"], pairs.get("SubState", ""), int(pid) if pid.isdigit() else 0,
        pairs.get("Result", ""), pairs.get("UnitFileState", ""),
    )  # fmt: skip


def read_unit(unit: Unit) -> tuple[ResourceState, str]:
    """Return the state that a unit's states mean, and what to say about it.

    A unit that systemd is about to start again is not offline: it may run any moment. It counts as there but broken.
    """
    if unit.load in ("not-found", "masked", "bad-setting", "error"):
        return ResourceState.UNKNOWN, f"the unit is {unit.load}"
    if unit.active in ("active", "reloading", "refreshing"):
        enabled = unit.enabled in ("enabled", "enabled-runtime")
        return ResourceState.ONLINE, "the unit is enabled, so it also starts at boot: systemctl disable" * enabled
    if unit.restarting:
        return ResourceState.ONLINE, f"the unit failed ({unit.result or 'no result'}), and systemd starts it again"
    if unit.active == "inactive":
        return ResourceState.OFFLINE, ""
    if unit.active == "failed":
        return ResourceState.OFFLINE, f"the unit failed: {unit.result or unit.sub}"
    return ResourceState.UNKNOWN, f"the unit is {unit.active} ({unit.sub})"


class Systemd(AgentBase):
    """Attributes Unit, AcceptUnguarded."""

    async def online(self, context: AgentContext) -> float:
        """Run ``systemctl start``."""
        _insist_guarded(context)
        await _insist(context, "start", "OnlineTimeout")
        return 0.0

    async def offline(self, context: AgentContext) -> float:
        """Run ``systemctl stop``."""
        await _insist(context, "stop", "OfflineTimeout")
        return 0.0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Ask for the unit's state."""
        unit = await _show(context)
        state, detail = read_unit(unit)
        pidfds: tuple[int, ...] = ()
        if state is ResourceState.ONLINE and unit.main_pid:
            with contextlib.suppress(ProcessLookupError):
                pidfds = (os.pidfd_open(unit.main_pid),)
        confidence = 100 if state is ResourceState.ONLINE and not unit.restarting else 0
        return MonitorResult(state, confidence, detail, pidfds, broken=unit.restarting)

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Kill everything of the unit, then stop it; True when it is down."""
        unit = _unit(context)
        await _systemctl(context, ["kill", "--signal=SIGKILL", unit], _SHOW_LIMIT_S)
        await _systemctl(context, ["stop", unit], foreignlog.limit_s(context, "CleanTimeout"))
        await _systemctl(context, ["reset-failed", unit], _SHOW_LIMIT_S)
        return read_unit(await _show(context))[0] is ResourceState.OFFLINE

    async def info(self, context: AgentContext) -> Mapping[str, str]:
        """Return the unit's states."""
        unit = await _show(context)
        return {"unit": _unit(context), "active": unit.active, "sub": unit.sub, "enabled": unit.enabled}


def _insist_guarded(context: AgentContext) -> None:
    if context.environment.get(ON_EXPIRY) == "reboot" or context.number("AcceptUnguarded"):
        return
    raise Refused(
        Refusal(
            "unguarded",
            f"{context.resource}: the guard of this system kills the group's processes, but cannot kill a systemd unit",
            'set on_expiry = "reboot" in the system\'s file, or AcceptUnguarded = 1 to run it without that safety',
        )
    )


async def _insist(context: AgentContext, verb: str, timeout: str) -> None:
    result = await _systemctl(context, [verb, _unit(context)], foreignlog.limit_s(context, timeout))
    if not result.ok:
        why = "ran out of time" if result.timed_out else foreignlog.last_line(result)
        raise HoldfastError(f"systemctl {verb} ended with {result.code}: {why}", f"journalctl -u {_unit(context)}")


async def _show(context: AgentContext) -> Unit:
    result = await _systemctl(context, ["show", f"--property={_PROPERTIES}", _unit(context)], _SHOW_LIMIT_S)
    if not result.ok:
        raise HoldfastError(f"systemctl show ended with {result.code}: {foreignlog.last_line(result)}")
    return parse(result.stdout)


async def _systemctl(context: AgentContext, words: list[str], limit_s: float) -> CommandResult:
    if not Path(_BOOTED).is_dir():
        raise Refused(
            Refusal(
                "no-systemd", f"{context.resource}: systemd does not run on {context.system}",
                "use type LSB, OCF or Application, or boot the system with systemd",
            )
        )  # fmt: skip
    return await context.commands.run(["systemctl", "--no-ask-password", *words], limit_s, context.environment)


def _unit(context: AgentContext) -> str:
    name = context.text("Unit").strip()
    if not name or name.startswith("-"):
        raise InputError(f"{context.resource} has no Unit", remedy="set Unit, for example nginx.service")
    return name if "." in name else f"{name}.service"
