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
from holdfast.continuity.plan.resync import ARRAY
from holdfast.continuity.service.resync import NAME, Resync, recovery_points
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.replication.ports import FlashCopies
from holdfast.runtime.procedure import unsettled

Result = TypeVar("Result")


def snapshot_commands() -> click.Group:
    """Return the commands of ``holdfast snapshot``."""
    return snapshot.commands(
        snapshot.Wire(
            resync=lambda group, request, verify: _carry_out(group, lambda work: work.run(request, verify)),
            settle=lambda group: _carry_out(group, lambda work: work.settle()),
            listed=lambda group: asyncio.run(_listed(group)),
            copies=_file_copies,
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

        async def way(kind: str) -> FlashCopies:
            return await _array_copies(client, group, settings) if kind == ARRAY else _file_copies(kind)

        return await what(Resync(client, store, way, group, by))
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
    assert isinstance(settings, dict)
    _insist(settings, ("system", "store"))
    return settings


def _insist(settings: Mapping[str, Any], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in settings]
    if missing:
        file = os.environ.get("HOLDFAST_SYSTEM_CONFIG", "")
        raise InputError(f"[settings] lacks {missing[0]}", file=file, remedy="see examples/two-sites")


def _file_copies(kind: str) -> FlashCopies:
    from holdfast.replication.drivers.filecopies import KINDS

    return KINDS[kind]()


async def _array_copies(client: ClusterClient, group: str, settings: Mapping[str, Any]) -> FlashCopies:
    from holdfast.continuity.service.arraycopies import ArrayCopies
    from holdfast.continuity.service.evidence import mirrors
    from holdfast.replication.drivers.ds8000 import Console, Ds8000
    from holdfast.replication.drivers.softarray import SoftArray

    _insist(settings, ("storage_image", "arrays", "identity"))
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

    return ArrayCopies(
        Ds8000(console, image),
        lambda: array.run("flashes").rows,
        lambda: array.run("connections").rows,
        lambda volumes: array.run("digest", volumes).rows,
    )
