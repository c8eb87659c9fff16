"""The cluster of a run: systems, groups, resources and links by chance, as the main.cf that a person would write."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

TYPES = """
type Thing (
    static int MonitorInterval = 6
    static int OfflineMonitorInterval = 20
    static int MonitorTimeout = 6
    static int FaultOnMonitorTimeouts = 2
    static int OnlineTimeout = 15
    static int OfflineTimeout = 8
    static int CleanTimeout = 6
    static int ConfInterval = 60
    )
type Wire (
    static str Operations = None
    static int MonitorInterval = 6
    static int OfflineMonitorInterval = 6
    )
"""
NAMES = ("hosta", "hostb", "hostc", "hostd")
_GROUP_LINKS = ("online local firm", "online local soft", "online global soft", "online global firm", "offline local")


@dataclass(frozen=True, slots=True)
class Timing:
    """How a cluster of a run is set: seconds, as in ``Settings`` of the daemon."""

    heartbeat_interval_s: float
    lease_ttl_s: float
    margin_s: float


TIMINGS = (Timing(1.0, 4.0, 0.6), Timing(2.0, 6.0, 0.8), Timing(2.5, 9.0, 1.0))


def systems(chance: random.Random) -> tuple[str, ...]:
    """Return the names of the systems: three, or four."""
    return NAMES[: chance.choice((3, 3, 4))]


def main_cf(chance: random.Random, names: Sequence[str]) -> str:
    """Return the configuration's text."""
    groups = [f"g{letter}" for letter in "abc"[: chance.choice((1, 2, 2, 3))]]
    text = TYPES + "cluster simulated ( )\n" + "".join(f"system {name} ( )\n" for name in names)
    for place, group in enumerate(groups):
        text += _group(chance, group, names, groups[:place])
    return text


def _group(chance: random.Random, group: str, names: Sequence[str], earlier: Sequence[str]) -> str:
    members = [name for name in names if chance.random() < 0.85]
    members = members if len(members) > 1 else list(names)
    chance.shuffle(members)
    ranked = ", ".join(f"{name} = {rank}" for rank, name in enumerate(members))
    count = chance.choice((1, 2, 3, 4))
    lines = [f"group {group} (", f"    SystemList = {{ {ranked} }}", f"    AutoStartList = {{ {', '.join(members)} }}"]
    lines.append("    )")
    for number in range(count):
        lines.append(f"    Thing {group}{number} ( RestartLimit = {chance.choice((0, 0, 1, 2))}")
        critical, retries = chance.choice((1, 1, 1, 0)), chance.choice((0, 0, 1))
        lines.append(f"        Critical = {critical} OnlineRetryLimit = {retries} )")
    if chance.random() < 0.4:
        lines.append(f"    Wire {group}wire ( )")
        lines.append(f"    {group}0 requires {group}wire")
    if earlier and chance.random() < 0.4:
        lines.append(f"    requires group {chance.choice(earlier)} {chance.choice(_GROUP_LINKS)}")
    for number in range(1, count):
        lines.append(f"    {group}{number} requires {group}{chance.randrange(number)}")
    return "\n".join(lines) + "\n"
