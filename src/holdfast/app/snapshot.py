"""``holdfast snapshot``: flash copies of a service group at one point in time, wired to the store and the array.

The drivers of the array are imported when a resync is carried out: help and the list do not wait for them.
"""

from __future__ import annotations

import asyncio
import os
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from holdfast.app.store import open_store
from holdfast.cli import snapshot
from holdfast.cluster.service.client import ClusterClient, configuration_of
from holdfast.continuity.service.resync import NAME, CopyTools, Resync, recovery_points
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.runtime.procedure import unsettled

Result = TypeVar("Result")


def snapshot_commands() -> click.Group:
    """Return the commands of ``holdfast snapshot``."""
    return snapshot.commands(
        snapshot.Wire(
            resync=lambda group, request, verify: _carry_out(group, lambda work: work.run(request, verify)),
            settle=lambda group: _carry_out(group, lambda work: work.settle()),
            listed=lambda group: asyncio.run(_listed(group)),
            names=_names,
        )
    )


def _names(store: str, kind: str) -> Sequence[str]:
    from holdfast.app.cluster import names

    return names(store, kind)


def _carry_out(group: str, what: Callable[[Resync], Awaitable[Result]]) -> Result:
    return asyncio.run(_with_tools(group, what))


async def _with_tools(group: str, what: Callable[[Resync], Awaitable[Result]]) -> Result:
    settings = _settings()
    store = open_store(settings["store"])
    try:
        by = f"snapshot on {settings['system']}"
        client = ClusterClient(store, by)
        tools = await _tools(client, group, settings)
        return await what(Resync(client, store, tools, group, by))
    finally:
        await store.close()


async def _listed(group: str) -> dict[str, Any]:
    store = open_store(_settings()["store"])
    try:
        under_way = [entry for entry in await unsettled(store) if (entry.name, entry.subject) == (NAME, group)]
        return {
            "group": group,
            "points": await recovery_points(store, group),
            "unsettled": [{"by": one.by, "began": one.began, "progress": one.progress} for one in under_way],
        }
    finally:
        await store.close()


def _settings() -> Mapping[str, Any]:
    file = os.environ.get("HOLDFAST_SYSTEM_CONFIG", "")
    if not file:
        raise InputError("this system's file is not named", remedy="set HOLDFAST_SYSTEM_CONFIG to its TOML file")
    try:
        settings = tomllib.loads(Path(file).read_text("utf-8")).get("settings", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot be read: {error}", file=file, remedy="correct HOLDFAST_SYSTEM_CONFIG") from error
    missing = [name for name in ("system", "store", "storage_image", "arrays", "identity") if name not in settings]
    if missing:
        raise InputError(f"[settings] lacks {missing[0]}", file=file, remedy="see examples/two-sites")
    assert isinstance(settings, dict)
    return settings


async def _tools(client: ClusterClient, group: str, settings: Mapping[str, Any]) -> CopyTools:
    from holdfast.continuity.service.evidence import mirrors
    from holdfast.replication.drivers.ds8000 import Console, Ds8000
    from holdfast.replication.drivers.softarray import SoftArray

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

    def users() -> Mapping[str, str]:
        exports = [row["export"].rpartition("/") for row in array.run("connections").rows]
        return {volume: host for host, _, volume in exports}

    return CopyTools(Ds8000(console, image), counters, digests, users)
