"""``holdfast snapshot``: flash copies of a service group at one point in time, wired to the store and the array."""

from __future__ import annotations

import asyncio
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from holdfast.app.store import open_store
from holdfast.cli.frame import emit
from holdfast.cluster.service.client import ClusterClient, configuration_of
from holdfast.continuity.plan.resync import ResyncRequest
from holdfast.continuity.service.evidence import mirrors
from holdfast.continuity.service.resync import CopyTools, Resync
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.replication.drivers.ds8000 import Console, Ds8000
from holdfast.replication.drivers.softarray import SoftArray
from holdfast.replication.model.identity import expand_pairs

_RESYNC_HELP = """Move flash copies of a group's volumes to now, around the running service.

The group goes into maintenance, the application stops, file systems are released, all copies get one point in time,
everything comes back. Run it on the system that owns the group.

\b
Example:
  holdfast snapshot resync VCS_Cluster 1260:1360 1261:1361
"""


def commands() -> click.Group:
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
        point = asyncio.run(_resync(group, ResyncRequest(named, min_delay, force), verify))
        emit(point, as_json, _text(point))

    return snapshot


async def _resync(group: str, request: ResyncRequest, verify: bool) -> dict[str, Any]:
    settings = _settings()
    store = open_store(settings["store"])
    try:
        client = ClusterClient(store, f"snapshot on {settings['system']}")
        tools = await _tools(client, group, settings)
        return await Resync(client, store, tools, group).run(request, verify)
    finally:
        await store.close()


def _settings() -> Mapping[str, Any]:
    file = os.environ.get("HOLDFAST_SYSTEM_CONFIG", "")
    if not file:
        raise InputError("this system's file is not named", remedy="set HOLDFAST_SYSTEM_CONFIG to its TOML file")
    settings = tomllib.loads(Path(file).read_text("utf-8")).get("settings", {})
    missing = [name for name in ("system", "store", "storage_image", "arrays", "identity") if name not in settings]
    if missing:
        raise InputError(f"[settings] lacks {missing[0]}", file=file, remedy="see examples/two-sites")
    assert isinstance(settings, dict)
    return settings


async def _tools(client: ClusterClient, group: str, settings: Mapping[str, Any]) -> CopyTools:
    found = configuration_of(await client.state()).groups.get(group)
    resources = mirrors(found) if found is not None else ()
    if not resources:
        raise Refused(
            Refusal("no-volumes", f"{group} has no MetroMirror resource", "name a group with mirrored volumes")
        )
    resource, system = resources[0], settings["system"]
    console = Console(
        program=(f"{resource.get('DSCliHome', system)}/dscli",),
        hmc1=str(resource.get("HMC1", system)),
        hmc2=str(resource.get("HMC2", system) or ""),
        user=str(resource.get("User", system)),
        pwfile=str(resource.get("PasswdFile", system)),
    )
    image = str(resource.get("LocalStorageImageID", system))
    array = SoftArray(settings["arrays"][image], Path(settings["identity"]), image)

    def counters() -> Mapping[str, Mapping[str, int]]:
        return {row["id"]: row for row in array.run("flashes").rows}

    def digests(volumes: Sequence[str]) -> Mapping[str, str]:
        return {row["id"]: row["blake3"] for row in array.run("digest", list(volumes)).rows}

    return CopyTools(Ds8000(console, image), counters, digests)


def _text(point: Mapping[str, Any]) -> str:
    return (
        f"{point['group']}: {' '.join(point['pairs'])} at one point in time, {point['consistency']}; "
        f"{point['tracks_copied']} of {point['tracks_total']} tracks changed; "
        f"the service was away for {point['away_seconds']} s"
    )
