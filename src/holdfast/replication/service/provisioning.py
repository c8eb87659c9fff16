"""The verbs of volumes, pools, volume groups, hosts and paths: options in, one pure command, committed.

Each function takes the name of one object and returns the name that the answer shows: ids of groups and hosts are
given by the array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from holdfast.kernel.errors import HoldfastError
from holdfast.replication.array import storage
from holdfast.replication.array.commands import refuse
from holdfast.replication.model.identity import parse_volume
from holdfast.replication.model.volumes import Pool, Volume
from holdfast.replication.service.engine import Engine

Options = Mapping[str, Any]
Provision = Callable[[Engine, str, Options], str]
_SPACE = {"ese": True, "standard": False}


def _size(options: Options) -> int:
    if options.get("size_bytes") is None:
        raise refuse("bad-request", "no size is given", "give size_bytes")
    return int(options["size_bytes"])


def make_volumes(engine: Engine, names: Sequence[str], options: Options) -> dict[str, HoldfastError]:
    """``mkfbvol`` of several volumes in one step; ``sam`` is ``ese`` (takes what is written) or ``standard`` (takes its
    whole size). Returns why each name that was left out was refused."""
    failed: dict[str, HoldfastError] = {}
    made: dict[str, Volume] = {}
    for name in names:
        try:
            volume = _volume(name, options)
            if any(other.id == volume.id for other in made.values()):
                raise refuse("exists", f"volume {volume.id} is named twice", "name each once")
            made[name] = volume
        except HoldfastError as error:
            failed[name] = error
    pool = str(options.get("pool", "P0"))
    change, refused = storage.create_volumes(engine.machine, made.values(), engine.allocated(pool))
    failed |= {name: refused[volume.id] for name, volume in made.items() if volume.id in refused}
    if len(failed) < len(names):
        engine.commit(change)
    return failed


def make_volume(engine: Engine, name: str, options: Options) -> str:
    """``mkfbvol`` of one volume."""
    for error in make_volumes(engine, [name], options).values():
        raise error
    return name


def _volume(name: str, options: Options) -> Volume:
    sam = str(options.get("sam", "ese"))
    if sam not in _SPACE:
        raise refuse("bad-request", f"-sam {sam} is not known", "use ese or standard")
    label, pool = str(options.get("name", name)), str(options.get("pool", "P0"))
    return Volume(parse_volume(name), label, _size(options), pool, _SPACE[sam])


def change_volume(engine: Engine, name: str, options: Options) -> str:
    """``chfbvol``: a larger size, another name."""
    size = None if options.get("size_bytes") is None else _size(options)
    label = options.get("name")
    change = storage.change_volume(engine.machine, parse_volume(name), size, label, engine.allocated())
    engine.commit(change)
    return name


def remove_volume(engine: Engine, name: str, options: Options) -> str:
    """``rmfbvol``."""
    engine.commit(storage.remove_volume(engine.machine, parse_volume(name)))
    return name


def make_pool(engine: Engine, name: str, options: Options) -> str:
    """``mkextpool`` with a limit."""
    engine.commit(storage.create_pool(engine.machine, Pool(name.upper(), _size(options))))
    return name


def change_pool(engine: Engine, name: str, options: Options) -> str:
    """``chextpool``: another limit."""
    pool = name.upper()
    engine.commit(storage.change_pool(engine.machine, pool, _size(options), engine.allocated(pool)))
    return name


def remove_pool(engine: Engine, name: str, options: Options) -> str:
    """``rmextpool``."""
    engine.commit(storage.remove_pool(engine.machine, name.upper()))
    return name


def make_group(engine: Engine, name: str, options: Options) -> str:
    """``mkvolgrp``; returns the new id."""
    change, ident = storage.create_group(engine.machine, name, _volumes(options, "volumes"))
    engine.commit(change)
    return ident


def change_group(engine: Engine, name: str, options: Options) -> str:
    """``chvolgrp``: add and remove volumes, rename."""
    add, remove = _volumes(options, "add"), _volumes(options, "remove")
    engine.commit(storage.change_group(engine.machine, name.upper(), add, remove, options.get("name")))
    return name


def remove_group(engine: Engine, name: str, options: Options) -> str:
    """``rmvolgrp``."""
    engine.commit(storage.remove_group(engine.machine, name.upper()))
    return name


def make_host(engine: Engine, name: str, options: Options) -> str:
    """``mkhostconnect``; returns the new id."""
    change, ident = storage.create_host(engine.machine, name, str(options.get("volgroup", "")).upper())
    engine.commit(change)
    return ident


def change_host(engine: Engine, name: str, options: Options) -> str:
    """``chhostconnect``: another volume group."""
    engine.commit(storage.change_host(engine.machine, name, str(options.get("volgroup", "")).upper()))
    return name


def remove_host(engine: Engine, name: str, options: Options) -> str:
    """``rmhostconnect``."""
    engine.commit(storage.remove_host(engine.machine, name))
    return name


def _volumes(options: Options, key: str) -> frozenset[str]:
    return frozenset(parse_volume(str(name)) for name in options.get(key, ()))


PROVISIONS: Mapping[str, Provision] = {
    "mkvolume": make_volume,
    "chvolume": change_volume,
    "rmvolume": remove_volume,
    "mkpool": make_pool,
    "chpool": change_pool,
    "rmpool": remove_pool,
    "mkvolgroup": make_group,
    "chvolgroup": change_group,
    "rmvolgroup": remove_group,
    "mkhost": make_host,
    "chhost": change_host,
    "rmhost": remove_host,
}
"""Verb → what carries it out."""
