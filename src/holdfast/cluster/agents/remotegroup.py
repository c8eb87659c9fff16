"""RemoteGroup: a service group of another cluster as a resource here, so that an application can stand on a database
that somebody else's cluster keeps.

The resource is online when it was brought online here and the group is online there. What it may do to the group is its
ControlMode: ``OnOff`` starts and stops it, ``OnlineOnly`` starts it and leaves it running, ``MonitorOnly`` touches it
never. Clean leaves the group alone in every mode: that this cluster lost sight of it is no reason to stop it. The other
cluster is reached by its store; when it cannot be, nothing is known, and nothing goes down for that.

VCS logs in with a name and a password that stand in main.cf. Here the certificates of the store's address do that, so
``Store`` takes the place of IpAddress, Port, Username and Password.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from holdfast.cluster.model.facts import CleanReason, ResourceState
from holdfast.cluster.ports import AgentBase, AgentContext, MonitorResult, OtherClusters
from holdfast.kernel.errors import HoldfastError, InputError, Unavailable

ANY = "ANY"
MODES = ("OnOff", "OnlineOnly", "MonitorOnly")


class RemoteGroup(AgentBase):
    """Attributes Store, GroupName, VCSSysName (a system, or ANY), ControlMode."""

    def __init__(self, others: OtherClusters) -> None:
        self._others = others

    async def open(self, context: AgentContext) -> None:
        """A new life of this system has brought nothing online yet, and must not stop what another relies on now."""
        _mark(context).unlink(missing_ok=True)

    async def online(self, context: AgentContext) -> float:
        """Start the group there unless it is online; MonitorOnly only takes note that it is watched."""
        store, group, system = _named(context)
        if not _is_up(await self._others.states(store, group), system):
            if _mode(context) == "MonitorOnly":
                text = f"{group} is not online there, and ControlMode is MonitorOnly"
                raise HoldfastError(f"{context.resource}: {text}", "start it in its own cluster")
            await self._others.ask(store, "group.online", group, system, _limit_s(context, "OnlineTimeout"))
        _mark(context).write_text(f"{group}\n")
        return 0.0

    async def offline(self, context: AgentContext) -> float:
        """Stop the group there with ControlMode OnOff; forget it otherwise."""
        store, group, system = _named(context)
        if _mode(context) == "OnOff" and _is_up(await self._others.states(store, group), system):
            await self._others.ask(store, "group.offline", group, system, _limit_s(context, "OfflineTimeout"))
        _mark(context).unlink(missing_ok=True)
        return 0.0

    async def monitor(self, context: AgentContext) -> MonitorResult:
        """Online when it was brought online here and the group is online there. A system there that is silent may run
        it: then nothing is known, until that cluster has settled it."""
        store, group, system = _named(context)
        if not _mark(context).exists():
            return MonitorResult(ResourceState.OFFLINE)
        try:
            found = await self._others.states(store, group)
        except Unavailable as error:
            return MonitorResult(ResourceState.UNKNOWN, 0, f"the other cluster cannot be reached: {error}")
        if _is_up(found, system):
            return MonitorResult(ResourceState.ONLINE)
        told = f"{group} is not online there: {' '.join(f'{name}={flags}' for name, flags in found.items())}"
        silent = any("UNKNOWN" in flags.split("|") for name, flags in found.items() if system in ("", name))
        return MonitorResult(ResourceState.UNKNOWN if silent else ResourceState.OFFLINE, 0, told)

    async def clean(self, context: AgentContext, reason: CleanReason) -> bool:
        """Forget the group; it is left as it is."""
        _mark(context).unlink(missing_ok=True)
        return True

    async def info(self, context: AgentContext) -> Mapping[str, str]:
        """Return the group's state on each system there."""
        store, group, _ = _named(context)
        return await self._others.states(store, group)


def _is_up(states: Mapping[str, str], system: str) -> bool:
    if system and system not in states:
        there = " ".join(states) or "none"
        raise InputError(f"there is no system {system!r} there; there are {there}", remedy="correct VCSSysName")
    return any("ONLINE" in flags.split("|") for name, flags in states.items() if system in ("", name))


def _named(context: AgentContext) -> tuple[str, str, str]:
    """Return store, group and system (empty for any). Raises ``InputError`` for what is missing or wrong."""
    store, group = context.text("Store").strip(), context.text("GroupName").strip()
    if not store or not group:
        raise InputError(
            f"{context.resource} names no other cluster or no group",
            remedy="set GroupName, and Store to the other cluster's store, e.g. etcd://10.0.0.1:2379?identity=/etc/...",
        )
    _mode(context)
    system = context.text("VCSSysName").strip()
    return store, group, "" if system == ANY else system


def _mode(context: AgentContext) -> str:
    mode = context.text("ControlMode").strip() or MODES[0]
    if mode not in MODES:
        raise InputError(f"{context.resource}: ControlMode is {mode!r}", remedy=f"write {', '.join(MODES)}")
    return mode


def _limit_s(context: AgentContext, attribute: str) -> float:
    return max(1.0, context.number(attribute) - 1.0)


def _mark(context: AgentContext) -> Path:
    return context.run_directory / f"{context.resource}.remote"
