"""Volumes, extent pools, hosts and volume groups as pure functions: image and request in, the image after out.

What a thin volume takes from its pool is a fact of the disk, so it comes in as ``allocated``: bytes by volume. A volume
that is in a volume group is served only to hosts of such a group; one that is in none is served to every host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from holdfast.kernel.errors import Refused
from holdfast.replication.array.commands import find_volume, refuse
from holdfast.replication.array.machine import Change, Machine
from holdfast.replication.model.volumes import ArrayImage, HostConnection, Pool, Volume, VolumeGroup

_BLOCK_BYTES = 512
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")

# --- pools -----------------------------------------------------------------------------------------------------------


def pool_use(image: ArrayImage, pool: str, allocated: Mapping[str, int]) -> int:
    """Return the bytes that the volumes of a pool take: the whole of a standard volume, what is written of a thin."""
    return sum(
        allocated.get(volume.id, 0) if volume.thin else volume.size_bytes
        for volume in image.volumes.values()
        if volume.pool == pool
    )


def create_pool(machine: Machine, pool: Pool) -> Change:
    """Add an extent pool with a limit, or set the limit of volumes that already name it."""
    image = machine.image
    if pool.id in image.pools:
        raise refuse("exists", f"pool {pool.id} already exists", "choose an id that lsextpool does not list")
    if re.fullmatch(r"P[0-9]{1,4}", pool.id) is None:
        raise refuse("bad-request", f"{pool.id!r} is not a pool id", "write P and a number, for example P0")
    _check_limit(pool.limit_bytes)
    return Change(replace(image, pools={**image.pools, pool.id: pool}), {})


def change_pool(machine: Machine, pool: str, limit_bytes: int, allocated: Mapping[str, int]) -> Change:
    """Change a pool's limit. Refuses one below what is in use."""
    image = machine.image
    found = _find_pool(image, pool)
    _check_limit(limit_bytes)
    used = pool_use(image, pool, allocated)
    if limit_bytes < used:
        raise refuse("pool-full", f"pool {pool} has {used} bytes in use", "give a larger limit")
    return Change(replace(image, pools={**image.pools, pool: replace(found, limit_bytes=limit_bytes)}), {})


def remove_pool(machine: Machine, pool: str) -> Change:
    """Remove an empty pool."""
    image = machine.image
    _find_pool(image, pool)
    holds = sorted(volume.id for volume in image.volumes.values() if volume.pool == pool)
    if holds:
        raise refuse("in-use", f"pool {pool} has volume {holds[0]}", "remove its volumes first")
    return Change(replace(image, pools={k: v for k, v in image.pools.items() if k != pool}), {})


def _find_pool(image: ArrayImage, pool: str) -> Pool:
    found = image.pools.get(pool)
    if found is None:
        raise refuse("no-pool", f"pool {pool} does not exist on {image.image}", "list pools with lsextpool")
    return found


def _check_limit(limit_bytes: int) -> None:
    if limit_bytes <= 0:
        raise refuse("bad-size", f"{limit_bytes} bytes is no limit of a pool", "give a positive number")


def _check_pool(image: ArrayImage, pool: str, more_bytes: int, thin: bool, allocated: Mapping[str, int]) -> None:
    """Refuse what a pool has no room for. Without any pool defined there is no limit."""
    if not image.pools:
        return
    free = _find_pool(image, pool).limit_bytes - pool_use(image, pool, allocated)
    if free <= 0 or (not thin and more_bytes > free):
        wanted = "any volume" if thin else f"{more_bytes} bytes more"
        raise refuse(
            "pool-full", f"pool {pool} has {max(free, 0)} bytes left, not enough for {wanted}", "remove volumes, or "
            "give the pool a larger limit"
        )  # fmt: skip


# --- volumes ---------------------------------------------------------------------------------------------------------


def create_volume(machine: Machine, volume: Volume, allocated: Mapping[str, int] | None = None) -> Change:
    """Add a volume. Refuses an id in use, a pool without room and a size that is no whole number of blocks."""
    change, refused = create_volumes(machine, [volume], allocated)
    if refused:
        raise refused[volume.id]
    return change


def create_volumes(
    machine: Machine, volumes: Iterable[Volume], allocated: Mapping[str, int] | None = None
) -> tuple[Change, dict[str, Refused]]:
    """Add volumes in one step; return the change, and why each volume that it leaves out is refused."""
    image, refused = machine.image, dict[str, Refused]()
    for volume in volumes:
        try:
            if volume.id in image.volumes:
                raise refuse("exists", f"volume {volume.id} already exists", "choose an id that lsfbvol does not list")
            _check_size(volume.size_bytes)
            _check_pool(image, volume.pool, volume.size_bytes, volume.thin, allocated or {})
        except Refused as error:
            refused[volume.id] = error
        else:
            image = replace(image, volumes={**image.volumes, volume.id: volume})
    return Change(image, {}), refused


def change_volume(
    machine: Machine, volume: str, size_bytes: int | None, name: str | None, allocated: Mapping[str, int]
) -> Change:
    """Rename a volume or make it larger. Refuses to change the size of one in a copy relation, and to shrink any."""
    image = machine.image
    found = find_volume(image, volume)
    if size_bytes is not None and size_bytes != found.size_bytes:
        _check_size(size_bytes)
        if volume in image.pairs or machine.flashes_of(volume):
            raise refuse("in-relation", f"volume {volume} is in a copy relation", "remove the relation first")
        if size_bytes < found.size_bytes:
            raise refuse("bad-size", f"volume {volume} has {found.size_bytes} bytes: it cannot shrink", "copy it")
        _check_pool(image, found.pool, size_bytes - found.size_bytes, found.thin, allocated)
    changed = replace(found, size_bytes=size_bytes or found.size_bytes, name=found.name if name is None else name)
    return Change(replace(image, volumes={**image.volumes, volume: changed}), {})


def remove_volume(machine: Machine, volume: str) -> Change:
    """Remove a volume. Refuses one that is in a copy relation or in a volume group."""
    image = machine.image
    find_volume(image, volume)
    if volume in image.pairs or machine.flashes_of(volume):
        raise refuse("in-relation", f"volume {volume} is in a copy relation", "remove the relation first")
    groups = sorted(group.id for group in image.groups.values() if volume in group.volumes)
    if groups:
        raise refuse("in-use", f"volume {volume} is in volume group {groups[0]}", "chvolgrp -action remove first")
    return Change(replace(image, volumes={k: v for k, v in image.volumes.items() if k != volume}), {})


def _check_size(size_bytes: int) -> None:
    if size_bytes <= 0 or size_bytes % _BLOCK_BYTES:
        raise refuse("bad-size", f"{size_bytes} bytes is not a positive number of 512-byte blocks", "round it")


# --- hosts and volume groups -----------------------------------------------------------------------------------------


def create_group(machine: Machine, name: str, volumes: frozenset[str]) -> tuple[Change, str]:
    """Add a volume group; return the change and the id that the group got."""
    image = machine.image
    _check_name(name)
    for volume in volumes:
        find_volume(image, volume)
    ident = _next_id("V{}", image.groups)
    group = VolumeGroup(ident, name, volumes)
    return Change(replace(image, groups={**image.groups, ident: group}), {}), ident


def change_group(machine: Machine, group: str, add: frozenset[str], remove: frozenset[str], name: str | None) -> Change:
    """Add volumes to a group, take some out, rename it. Hosts that lose a volume are refused at their next request."""
    image = machine.image
    found = find_group(image, group)
    for volume in add:
        find_volume(image, volume)
    missing = sorted(remove - found.volumes)
    if missing:
        raise refuse("not-in-group", f"volume {missing[0]} is not in volume group {group}", "list it with showvolgrp")
    if name is not None:
        _check_name(name)
    volumes = (found.volumes | add) - remove
    changed = replace(found, volumes=volumes, name=found.name if name is None else name)
    return Change(replace(image, groups={**image.groups, group: changed}), {})


def remove_group(machine: Machine, group: str) -> Change:
    """Remove a volume group. Refuses one that a host connection uses: its volumes would be open to every host."""
    image = machine.image
    find_group(image, group)
    users = sorted(host.id for host in image.hosts.values() if host.group == group)
    if users:
        raise refuse("in-use", f"host connection {users[0]} uses volume group {group}", "rmhostconnect first")
    return Change(replace(image, groups={k: v for k, v in image.groups.items() if k != group}), {})


def create_host(machine: Machine, host: str, group: str) -> tuple[Change, str]:
    """Add a host connection; return the change and the id that it got. Refuses a host that is known."""
    image = machine.image
    _check_name(host)
    known = [one.id for one in image.hosts.values() if one.host == host]
    if known:
        raise refuse("exists", f"host {host} is connection {known[0]} already", "use chhostconnect")
    if group:
        find_group(image, group)
    ident = _next_id("{:04X}", image.hosts)
    made = HostConnection(ident, host, group)
    return Change(replace(image, hosts={**image.hosts, ident: made}), {}), ident


def change_host(machine: Machine, ident: str, group: str) -> Change:
    """Give a host connection another volume group; none with an empty name."""
    image = machine.image
    found = find_host(image, ident)
    if group:
        find_group(image, group)
    return Change(replace(image, hosts={**image.hosts, found.id: replace(found, group=group)}), {})


def remove_host(machine: Machine, ident: str) -> Change:
    """Remove a host connection."""
    found = find_host(machine.image, ident)
    left = {key: value for key, value in machine.image.hosts.items() if key != found.id}
    return Change(replace(machine.image, hosts=left), {})


def find_group(image: ArrayImage, group: str) -> VolumeGroup:
    """Return the volume group. Refuses when there is none."""
    found = image.groups.get(group)
    if found is None:
        raise refuse("no-group", f"volume group {group} does not exist", "list groups with lsvolgrp")
    return found


def find_host(image: ArrayImage, ident: str) -> HostConnection:
    """Return the host connection of that id, or of that host name. Refuses when there is none."""
    found = image.hosts.get(ident) or next((one for one in image.hosts.values() if one.host == ident), None)
    if found is None:
        raise refuse("no-host", f"host connection {ident} does not exist", "list hosts with lshostconnect")
    return found


def _next_id(form: str, known: Mapping[str, object]) -> str:
    return next(ident for number in range(len(known) + 1) if (ident := form.format(number)) not in known)


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise refuse("bad-request", f"{name!r} is no name", "use letters, digits, and . _ -, at most 64")


def revoke(machine: Machine, host: str, key: int) -> Change:
    """Bar every key of ``host`` up to ``key``; the image's counter numbers the confirmation."""
    image = machine.image
    barred = {**image.barred, host: max(key, image.barred.get(host, -1))}
    return Change(replace(image, barred=barred, sequence=image.sequence + 1), {})
