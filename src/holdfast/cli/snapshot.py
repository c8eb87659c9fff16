"""``holdfast snapshot``: flash copies of a service group at one point in time, around the running service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

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


@dataclass(frozen=True, slots=True)
class Wire:
    """``resync(group, request, verify)`` carries the procedure out and returns the recovery point."""

    resync: Callable[[str, ResyncRequest, bool], dict[str, Any]]


def commands(wire: Wire) -> click.Group:
    """Return the commands of ``holdfast snapshot``."""

    @click.group("snapshot", help="Cluster-aware flash copies of a service group.")
    def snapshot() -> None:
        """Group only."""

    @snapshot.command("resync", help=_RESYNC_HELP)
    @click.argument("group")
    @click.argument("pairs", nargs=-1, required=True)
    @click.option("--min-delay", default=0.0, help="Refuse sooner than this many seconds after the last resync.")
    @click.option("--force", is_flag=True, help="Ignore --min-delay.")
    @click.option("--verify", is_flag=True, help="Compare the bytes of sources and targets (software array only).")
    @click.option("--json", "as_json", is_flag=True, help="Print the recovery point as JSON.")
    def resync(group: str, pairs: tuple[str, ...], min_delay: float, force: bool, verify: bool, as_json: bool) -> None:
        named = tuple(pair for text in pairs for pair in expand_pairs(text))
        point = wire.resync(group, ResyncRequest(named, min_delay, force), verify)
        emit(point, as_json, _text(point))

    return snapshot


def _text(point: Mapping[str, Any]) -> str:
    return (
        f"{point['group']}: {' '.join(point['pairs'])} at one point in time, {point['consistency']}; "
        f"{point['tracks_copied']} of {point['tracks_total']} tracks changed; "
        f"the service was away for {point['away_seconds']} s"
    )
