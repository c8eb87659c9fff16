"""``holdfast snapshot``: flash copies of a service group at one point in time, around the running service."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from holdfast.cli.completion import Names, completer, no_names
from holdfast.cli.frame import emit
from holdfast.continuity.plan.resync import ResyncRequest
from holdfast.replication.model.identity import expand_pairs

_RESYNC_HELP = """Move flash copies of a group's volumes to now, around the running service.

The group goes into maintenance, the application stops, file systems are released, all copies get one point in time,
everything comes back. Run it on the system that owns the group.

\b
Example:
  holdfast snapshot resync VCS_Cluster 1260:1360 1261:1361
"""


_SETTLE_HELP = """End what a resync left whose process died: forward if the copies were made, else back.

Every resync does this first; say it when you do not want another one.

\b
Example:
  holdfast snapshot settle VCS_Cluster
"""
_LIST_HELP = """List a group's recovery points, and the resync that is under way or was left unsettled.

\b
Example:
  holdfast snapshot list VCS_Cluster --json
"""


@dataclass(frozen=True, slots=True)
class Wire:
    """The operations behind the commands.

    ``resync(group, request, verify)`` carries the procedure out and returns the recovery point; ``settle(group)`` ends
    what a dead one left, None if nothing; ``listed(group)`` returns recovery points and what is not settled;
    ``names`` completes groups.
    """

    resync: Callable[[str, ResyncRequest, bool], dict[str, Any]]
    settle: Callable[[str], dict[str, Any] | None]
    listed: Callable[[str], dict[str, Any]]
    names: Names = no_names


def commands(wire: Wire) -> click.Group:
    """Return the commands of ``holdfast snapshot``."""
    of_group = click.argument("group", shell_complete=completer(wire.names, "store", "group"))

    @click.group("snapshot", help="Cluster-aware flash copies of a service group.")
    def snapshot() -> None:
        """Group only."""

    @snapshot.command("resync", help=_RESYNC_HELP)
    @of_group
    @click.argument("pairs", nargs=-1, required=True)
    @click.option(
        "--min-delay",
        default=0.0,
        metavar="SECONDS",
        help="Refuse sooner than this many seconds after the last resync.",
    )
    @click.option("--force", is_flag=True, help="Ignore --min-delay.")
    @click.option("--verify", is_flag=True, help="Compare the bytes of sources and targets (software array only).")
    @click.option("--json", "as_json", is_flag=True, help="Print the recovery point as JSON.")
    def resync(group: str, pairs: tuple[str, ...], min_delay: float, force: bool, verify: bool, as_json: bool) -> None:
        named = tuple(pair for text in pairs for pair in expand_pairs(text))
        point = wire.resync(group, ResyncRequest(named, min_delay, force), verify)
        emit(point, as_json, _text(point))

    @snapshot.command("settle", help=_SETTLE_HELP)
    @of_group
    @click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
    def settle(group: str, as_json: bool) -> None:
        found = wire.settle(group) or {"group": group, "outcome": "nothing to settle", "point": None}
        emit(found, as_json, f"{group}: {found['outcome']}" + (f"; {_text(found['point'])}" if found["point"] else ""))

    @snapshot.command("list", help=_LIST_HELP)
    @of_group
    @click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
    def listed(group: str, as_json: bool) -> None:
        found = wire.listed(group)
        rows = [f"{_when(point['at'])}  {_text(point)}" for point in found["points"]]
        rows += [f"{_when(one['began'])}  resync by {one['by']}: {one['progress']}" for one in found["unsettled"]]
        emit(found, as_json, "\n".join(rows) or f"{group} has no recovery point")

    return snapshot


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _text(point: Mapping[str, Any]) -> str:
    away = point["away_seconds"]
    return (
        f"{point['group']}: {' '.join(point['pairs'])} at one point in time, {point['consistency']}; "
        f"{point['tracks_copied']} of {point['tracks_total']} tracks changed; "
        + ("interrupted, settled later" if away is None else f"the service was away for {away} s")
    )
