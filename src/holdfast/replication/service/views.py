"""Rows that queries show: volumes, pairs, flash relations and paths as plain values with units in their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from holdfast.replication.array import storage
from holdfast.replication.model.flash import Flash
from holdfast.replication.model.pairs import Pair, Phase, Role
from holdfast.replication.model.paths import Path
from holdfast.replication.model.volumes import Volume
from holdfast.replication.service.engine import Engine
from holdfast.replication.service.mirror import Mirror

Row = dict[str, Any]


def volume_row(engine: Engine, volume: Volume) -> Row:
    """A volume, with what it uses on disk and whether hosts may write."""
    pair = engine.image.pairs.get(volume.id)
    target = pair is not None and (pair.standing.role is Role.TARGET or pair.superseded)
    return {
        "id": volume.id,
        "name": volume.name,
        "size_bytes": volume.size_bytes,
        "pool": volume.pool,
        "tracks": volume.tracks,
        "thin": volume.thin,
        "allocated_bytes": engine.media.allocated(volume.id),
        "writable": not target,
    }


def pair_row(mirror: Mirror, pair: Pair) -> Row:
    """A pair as this array sees it; ``source`` and ``target`` are endpoints."""
    machine = mirror.engine.machine
    here, there = mirror.local(pair.local), pair.remote
    is_source = pair.standing.role is Role.SOURCE
    source, target = (here, there) if is_source else (there, here)
    copying = pair.standing.phase is Phase.COPY_PENDING
    bits = machine.bits[pair.bits]
    return {
        "id": f"{source.volume}:{target.volume}",
        "local": pair.local,
        "source": str(source),
        "target": str(target),
        "role": pair.standing.role.value,
        "state": pair.standing.display,
        "reason": pair.standing.reason.value,
        "write_inhibited": pair.superseded,
        "attached": pair.local in machine.attached,
        "settled": pair.local not in machine.unsettled,
        "out_of_sync_tracks": len(bits) if is_source else 0,
        "tracks_total": pair.tracks_total,
        "tracks_to_copy": pair.tracks_to_copy,
        "tracks_copied": machine.copied.get(pair.local, 0) if copying else pair.tracks_copied,
        "critmode": pair.critical,
        "tgtread": pair.target_read,
        "generation": pair.generation,
        "since": pair.since,
    }


def flash_row(engine: Engine, flash: Flash) -> Row:
    """A flash relation. ``tracks_to_copy`` is what the last point in time had to copy."""
    left = len(engine.machine.bits[flash.uncopied])
    options = flash.options
    return {
        "id": f"{flash.source}:{flash.target}",
        "source": flash.source,
        "target": flash.target,
        "sequence": options.sequence,
        "recording": options.record,
        "persistent": options.persistent,
        "background_copy": options.background_copy,
        "target_inhibited": options.target_inhibit,
        "source_inhibited": flash.revertible,
        "revertible": flash.revertible,
        "state": "Invalid" if flash.failed else "Valid",
        "failure": flash.failed,
        "out_of_sync_tracks": left,
        "tracks_total": flash.tracks_total,
        "tracks_to_copy": flash.tracks_to_copy,
        "tracks_copied": flash.tracks_to_copy - left,
        "created": flash.created,
        "synced": flash.synced,
    }


def link_row(mirror: Mirror, peer: str) -> Row:
    """The link to one peer array."""
    link = mirror.links[peer]
    return {"peer": peer, "address": link.address, "state": "Success" if link.up else "Failed"}


def path_row(mirror: Mirror, path: Path) -> Row:
    """The path between a subsystem here and one of a peer."""
    link = mirror.links.get(path.remote)
    return {
        "peer": path.remote,
        "source_lss": path.source_lss,
        "target_lss": path.target_lss,
        "state": "Success" if link is not None and link.up else "Failed",
        "consistgrp": path.consistent,
        "ports": list(path.ports),
    }


def pool_rows(engine: Engine) -> list[Row]:
    """Extent pools; a pool that volumes name without a limit has none."""
    image, allocated = engine.image, engine.allocated()
    names = sorted({*image.pools, *(volume.pool for volume in image.volumes.values())})
    return [
        {
            "id": name,
            "limit_bytes": image.pools[name].limit_bytes if name in image.pools else None,
            "used_bytes": storage.pool_use(image, name, allocated),
            "volumes": sum(volume.pool == name for volume in image.volumes.values()),
        }
        for name in names
    ]


def group_rows(engine: Engine) -> list[Row]:
    """Volume groups."""
    groups = engine.image.groups.values()
    return [{"id": one.id, "name": one.name, "volumes": sorted(one.volumes)} for one in groups]


def host_rows(engine: Engine) -> list[Row]:
    """Host connections."""
    return [{"id": one.id, "host": one.host, "volgroup": one.group} for one in engine.image.hosts.values()]


STORES: Mapping[str, Callable[[Engine], list[Row]]] = {
    "pools": pool_rows,
    "volgroups": group_rows,
    "hosts": host_rows,
}
"""Query → its rows."""
