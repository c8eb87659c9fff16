"""Whether every group has come to rest: what runs on the hosts is what the store wants, and nothing more has to happen.

Returns words for people, so that a run that never rests says at once what is amiss.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.cluster.model.configuration import Configuration, Group
from holdfast.cluster.model.facts import Intent, Wanted
from holdfast.sim.host import Host
from holdfast.sim.services import Level


def unrest(configuration: Configuration, intents: Mapping[str, Intent], hosts: Mapping[str, Host]) -> list[str]:
    """Return what is not at rest, group by group; empty when all is well."""
    found = []
    for group in configuration.groups.values():
        reason = _unrest(group, intents, hosts)
        if reason:
            found.append(f"{group.name}: {reason}")
    return found


def _unrest(group: Group, intents: Mapping[str, Intent], hosts: Mapping[str, Host]) -> str:
    intent = intents.get(group.name, Intent(group.name))
    viable = [name for name in group.priorities if hosts[name].up]
    running = {name: hosts[name].services.running(group.name) for name in viable}
    if not viable:
        return ""
    if not intent.owner:
        return "it was never given to a system" if not _bound(group, intents) else ""
    if intent.frozen or intent.in_maintenance:
        return "it is still frozen or in maintenance"
    if intent.following:
        return f"it is still on its way from {intent.owner} to {intent.following}"
    elsewhere = [name for name, what in running.items() if what and name != intent.owner]
    if elsewhere:
        return f"it runs on {elsewhere[0]}, but belongs to {intent.owner}"
    if intent.wanted is Wanted.OFFLINE:
        return f"it still runs on {intent.owner}" if running.get(intent.owner) else ""
    if intent.owner not in viable:
        return "" if _bound(group, intents) else f"it waits for {intent.owner}, which is down"
    return _down(group, hosts[intent.owner], intent)


def _down(group: Group, host: Host, intent: Intent) -> str:
    guard = host.guard
    if guard is not None and guard.incarnation != intent.incarnation:
        return f"its intent names an earlier incarnation of {host.name}"
    down = [
        name
        for name, service in host.services.of(group.name)
        if service.level is not Level.UP and intent.overrides.get(name) is not Wanted.OFFLINE
    ]
    return f"{down[0]} is not up on {host.name}" if down else ""


def _bound(group: Group, intents: Mapping[str, Intent]) -> bool:
    """It may have to wait for a group that it requires."""
    return bool(group.group_links)
