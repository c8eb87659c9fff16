"""DEFINE, UPDATE and DELETE of device classes, storage pools and volumes (sections 3 and 4).

Which parameter stands for which setting, within which bounds, and for which kind of pool it means anything, is one
table; defaults stand in ``model.pools``. What makes no sense for a kind is refused, not ignored.
"""

from __future__ import annotations

import fnmatch
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from holdfast.backup.model import messages
from holdfast.backup.model.policy import NOLIMIT
from holdfast.backup.model.pools import (
    COPY_DEFAULTS,
    DEFAULT_FILE_CAPACITY_BYTES,
    DEFAULT_SERVER_CAPACITY_BYTES,
    DISK,
    DISK_DEFAULTS,
    MINIMUM_CAPACITY_BYTES,
    NAME_LIMIT,
    POOL_LIMIT,
    PRIMARY_DEFAULTS,
    Collocate,
    DeviceType,
    PoolSettings,
    PoolType,
    VolumeAccess,
)
from holdfast.backup.model.virtual import DEFAULT_PREFIX
from holdfast.backup.service.admin.reply import Args, Reply, choice, identifier, number, refuse
from holdfast.backup.service.allocation import hierarchy
from holdfast.backup.service.catalog.schema import copygroups, devclasses, groups, pools, servers, volumes
from holdfast.backup.service.core import Core
from holdfast.backup.service.volumes import define_volume, update_volumes
from holdfast.kernel.errors import InputError, Refused
from holdfast.kernel.sizes import MIB, parse_size

_PREFIX_LIMIT = 8
_S3_WORDS = ("endpoint", "bucket", "region", "credentials")
_POOL_ACCESS = ("READWRITE", "READONLY", "UNAVAILABLE")
_SEQUENTIAL, _DISK, _COPY = "sequential", "DISK", "copy"
_NUMBERS: dict[str, tuple[str, int, int, int | None, tuple[str, ...]]] = {
    "highmig": ("highmig", 0, 100, None, (_SEQUENTIAL, _DISK)),
    "lowmig": ("lowmig", 0, 99, None, (_SEQUENTIAL, _DISK)),
    "migdelay": ("migdelay_days", 0, 9_999, None, (_SEQUENTIAL, _DISK)),
    "migprocess": ("migprocess", 1, 999, None, (_SEQUENTIAL, _DISK)),
    "reclaim": ("reclaim", 1, 100, None, (_SEQUENTIAL, _COPY)),
    "reclaimprocess": ("reclaimprocess", 1, 999, None, (_SEQUENTIAL, _COPY)),
    "maxscratch": ("maxscratch", 0, 100_000_000, None, (_SEQUENTIAL, _COPY)),
    "reusedelay": ("reusedelay_days", 0, 9_999, None, (_SEQUENTIAL, _COPY)),
    "offsitereclaimlimit": ("offsitereclaimlimit", 0, 99_999, NOLIMIT, (_COPY,)),
    "retentionlock": ("lock_days", 0, 30_000, None, (_SEQUENTIAL, _DISK, _COPY)),
}
"""Parameter → column, bounds, what NOLIMIT stands for, the kinds of pools that have it."""
_CHOICES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "access": ("access", _POOL_ACCESS, (_SEQUENTIAL, _DISK, _COPY)),
    "collocate": ("collocate", tuple(Collocate), (_SEQUENTIAL, _COPY)),
    "migcontinue": ("migcontinue", ("YES", "NO"), (_SEQUENTIAL, _DISK)),
    "crcdata": ("crcdata", ("YES", "NO"), (_SEQUENTIAL, _DISK, _COPY)),
    "cache": ("cache", ("YES", "NO"), (_DISK,)),
    "dataformat": ("", ("NATIVE",), (_SEQUENTIAL, _COPY)),
}
_POOLS = {"nextstgpool": ("next_pool", (_SEQUENTIAL, _DISK)), "reclaimstgpool": ("reclaim_pool", (_SEQUENTIAL,))}


def existing(connection: Connection, table: Any, kind: str, name: str, what: str) -> Any:
    """Return a row by name. Raises ``Refused`` (not-found)."""
    row = connection.execute(select(table).where(table.c.name == name)).first()
    if row is None:
        raise refuse("not-found", messages.text("ANR2102E", what=what, kind=kind, name=name))
    return row


def _absent(connection: Connection, table: Any, kind: str, name: str, what: str) -> None:
    if connection.execute(select(table).where(table.c.name == name)).first() is not None:
        raise refuse("exists", messages.text("ANR2101E", what=what, kind=kind, name=name))


def _in_use(what: str, name: str, reason: str, remedy: str) -> Refused:
    return refuse("referenced", messages.text("ANR2103E", what=what, reason=f"{name} {reason}"), remedy)


# --- device classes ---------------------------------------------------------------------------------------------


def define_devclass(core: Core, args: Args) -> Reply:
    """DEFINE DEVCLASS name DEVTYPE=FILE|SERVER|S3 ..."""
    name = identifier(args, "name", NAME_LIMIT)
    kind = choice(args, "devtype", "", DeviceType.FILE.value, DeviceType.SERVER.value, DeviceType.S3.value)
    server = kind == DeviceType.SERVER.value
    base = {
        "capacity_bytes": DEFAULT_SERVER_CAPACITY_BYTES if server else DEFAULT_FILE_CAPACITY_BYTES,
        "mountlimit": 1 if server else 20,
        "prefix": DEFAULT_PREFIX if server else "",
        "directory": str(core.directory / "pools" / name) if kind == DeviceType.FILE.value else "",
    }
    if kind == DeviceType.S3.value:
        _reach(core, base, args)
    with core.database.write() as connection:
        _absent(connection, devclasses, "Device class", name, "DEFINE DEVCLASS")
        if server and not args.get("servername"):
            raise refuse("invalid", "ANR2022E One or more parameters are missing - SERVERNAME")
        values = {**base, **_devclass_values(connection, args, kind)}
        connection.execute(insert(devclasses), {"name": name, "type": kind, **values})
    return Reply([core.log("ANR2203I", name=name)])


def _reach(core: Core, base: dict[str, Any], args: Args) -> None:
    """Refuse an S3 class that cannot be reached now: a slip of the pen is found before data depends on it."""
    missing = [key for key in ("endpoint", "bucket", "credentials") if not args.get(key)]
    if missing:
        raise refuse("invalid", f"ANR2022E One or more parameters are missing - {', '.join(missing).upper()}")
    words = {key: args.get(key, "") for key in (*_S3_WORDS, "prefix")}
    core.probe_objects(SimpleNamespace(**{**base, **words}))


def update_devclass(core: Core, args: Args) -> Reply:
    """UPDATE DEVCLASS name ...: what is not named keeps its value."""
    name = identifier(args, "name", NAME_LIMIT)
    with core.database.write() as connection:
        row = existing(connection, devclasses, "Device class", name, "UPDATE DEVCLASS")
        if row.type == DeviceType.DISK.value:
            raise refuse("invalid", "ANR2103E device class DISK is predefined and cannot be changed")
        values = _devclass_values(connection, args, row.type)
        if values:
            connection.execute(update(devclasses).where(devclasses.c.name == name).values(values))
    core.forget_media()
    return Reply([core.log("ANR2205I", name=name)])


def _devclass_values(connection: Connection, args: Args, kind: str) -> dict[str, Any]:
    server = kind == DeviceType.SERVER.value
    values: dict[str, Any] = {}
    if args.get("maxcapacity"):
        values["capacity_bytes"] = _size(args, "maxcapacity")
        if values["capacity_bytes"] < MINIMUM_CAPACITY_BYTES:
            raise refuse("invalid", f"ANR2020E Invalid parameter - MAXCAPACITY={args['maxcapacity']}", "1M or more")
    bounds = {
        "mountlimit": ("mountlimit", 1, 4_096),
        "mountretention": ("mountretention_min", 0, 9_999),
        "retryperiod": ("retryperiod_min", 0, 9_999),
        "retryinterval": ("retryinterval_s", 1, 9_999),
    }
    for key, (column, low, high) in bounds.items():
        if args.get(key):
            values[column] = number(args, key, 0, low, high)
    s3 = kind == DeviceType.S3.value
    rights = {"servername": server, "prefix": server or s3, "directory": kind == DeviceType.FILE.value}
    for key, allowed in {**rights, **dict.fromkeys(_S3_WORDS, s3)}.items():
        if args.get(key) and not allowed:
            raise refuse("invalid", f"ANR2020E Invalid parameter - {key.upper()}", f"not for DEVTYPE={kind}")
    if args.get("servername"):
        values["server"] = identifier(args, "servername")
        existing(connection, servers, "Server", values["server"], "DEFINE DEVCLASS")
    if args.get("prefix"):
        values["prefix"] = args["prefix"].strip("/") if s3 else _prefix(args["prefix"].upper())
    values.update({key: args[key] for key in _S3_WORDS if args.get(key)})
    if args.get("directory"):
        if not Path(args["directory"]).is_absolute():
            raise refuse("invalid", f"ANR2020E Invalid parameter - DIRECTORY={args['directory']}", "a full path")
        values["directory"] = args["directory"]
    return values


def _prefix(text: str) -> str:
    if len(text) > _PREFIX_LIMIT or not all(part.isalnum() for part in text.split(".")):
        raise refuse(
            "invalid", f"ANR2020E Invalid parameter - PREFIX={text}", "at most 8 characters, dotted qualifiers"
        )
    return text


def _size(args: Args, key: str) -> int:
    try:
        return parse_size(args[key])
    except InputError as error:
        raise refuse("invalid", f"ANR2020E Invalid parameter - {key.upper()}={args[key]}", error.remedy) from error


def delete_devclass(core: Core, args: Args) -> Reply:
    """DELETE DEVCLASS name: refused while a pool or a volume uses it."""
    name, what = identifier(args, "name", NAME_LIMIT), "DELETE DEVCLASS"
    with core.database.write() as connection:
        row = existing(connection, devclasses, "Device class", name, what)
        if row.type == DeviceType.DISK.value:
            raise refuse("invalid", "ANR2103E device class DISK is predefined and cannot be deleted")
        pool = connection.execute(select(pools.c.name).where(pools.c.devclass == name)).scalar()
        if pool:
            raise _in_use(what, f"device class {name}", f"is used by storage pool {pool}", "DELETE STGPOOL first")
        connection.execute(delete(devclasses).where(devclasses.c.name == name))
    core.forget_media()
    return Reply([core.log("ANR2204I", name=name)])


# --- storage pools ----------------------------------------------------------------------------------------------


def define_stgpool(core: Core, args: Args) -> Reply:
    """DEFINE STGPOOL name devclass POOLTYPE=PRIMARY|COPY ..."""
    name, devclass, what = identifier(args, "name", NAME_LIMIT), identifier(args, "devclass"), "DEFINE STGPOOL"
    kind = choice(args, "pooltype", "PRIMARY", "PRIMARY", "COPY")
    with core.database.write() as connection:
        existing(connection, devclasses, "Device class", devclass, what)
        _absent(connection, pools, "Storage pool", name, what)
        if connection.execute(select(func.count()).select_from(pools)).scalar_one() >= POOL_LIMIT:
            raise refuse("invalid", f"ANR2103E there are {POOL_LIMIT} storage pools already")
        if kind == PoolType.COPY.value and devclass == DISK:
            raise refuse("invalid", "ANR2103E a copy pool needs a device class of sequential access")
        base = COPY_DEFAULTS if kind == "COPY" else DISK_DEFAULTS if devclass == DISK else PRIMARY_DEFAULTS
        settings = _settings(connection, args, base, _kind(kind, devclass), name)
        connection.execute(insert(pools), {"name": name, "devclass": devclass, "type": kind, **asdict(settings)})
    core.keys.pool(name)
    return Reply([core.log("ANR2200I", name=name, devclass=devclass)])


def update_stgpool(core: Core, args: Args) -> Reply:
    """UPDATE STGPOOL name ...: what is not named keeps its value; a retention lock can only become longer."""
    name, what = identifier(args, "name", NAME_LIMIT), "UPDATE STGPOOL"
    with core.database.write() as connection:
        row = existing(connection, pools, "Storage pool", name, what)
        base = PoolSettings(**{field: getattr(row, field) for field in asdict(PRIMARY_DEFAULTS)})
        settings = _settings(connection, args, base, _kind(row.type, row.devclass), name)
        if settings.lock_days < row.lock_days:
            reason = f"ANR2103E the retention lock of {name} is {row.lock_days} days and cannot become shorter"
            raise refuse("locked", reason, "nobody can shorten it")
        connection.execute(update(pools).where(pools.c.name == name).values(asdict(settings)))
    core.changed.set()
    core.sparse.set()
    return Reply([core.log("ANR2202I", name=name)])


def _kind(pool_type: str, devclass: str) -> str:
    if pool_type == PoolType.COPY.value:
        return _COPY
    return _DISK if devclass == DISK else _SEQUENTIAL


def _settings(connection: Connection, args: Args, base: PoolSettings, kind: str, name: str) -> PoolSettings:
    values: dict[str, Any] = {}
    for key, (column, low, high, unlimited, kinds) in _NUMBERS.items():
        if _given(args, key, kind, kinds):
            values[column] = number(args, key, 0, low, high, unlimited)
    for key, (column, options, kinds) in _CHOICES.items():
        if _given(args, key, kind, kinds):
            chosen = choice(args, key, "", *options)
            if column:
                values[column] = chosen == "YES" if "YES" in options else chosen
    for key, (column, kinds) in _POOLS.items():
        if _given(args, key, kind, kinds):
            values[column] = _pool_named(connection, args[key].strip("\"'").upper(), key, name)
    if _given(args, "maxsize", kind, (_SEQUENTIAL, _DISK)):
        unlimited = "NOLIMIT".startswith(args["maxsize"].upper()) and len(args["maxsize"]) >= 3
        values["maxsize_bytes"] = 0 if unlimited else _size(args, "maxsize")
    if "description" in args:
        values["description"] = args["description"]
    made = replace(base, **values)
    if made.lowmig > made.highmig:
        raise refuse("invalid", f"ANR2020E Invalid parameter - LOWMIG={made.lowmig}", f"at most HIGHMIG={made.highmig}")
    return made


def _given(args: Args, key: str, kind: str, kinds: tuple[str, ...]) -> bool:
    if key not in args:
        return False
    if kind not in kinds:
        raise refuse("invalid", f"ANR2020E Invalid parameter - {key.upper()}", f"not for a {kind} pool")
    return True


def _pool_named(connection: Connection, chosen: str, key: str, name: str) -> str:
    if not chosen:
        return ""
    row = existing(connection, pools, "Storage pool", chosen, key.upper())
    if row.type != PoolType.PRIMARY.value:
        raise refuse("invalid", f"ANR2103E {key.upper()}: {chosen} is not a primary storage pool")
    if key == "nextstgpool" and any(one.name == name for one in hierarchy(connection, chosen)):
        raise refuse("invalid", f"ANR2103E NEXTSTGPOOL={chosen} leads back to {name}", "a hierarchy has an end")
    if chosen == name:
        raise refuse("invalid", f"ANR2103E {key.upper()} cannot be the pool itself")
    return chosen


def delete_stgpool(core: Core, args: Args) -> Reply:
    """DELETE STGPOOL name: refused while it has volumes, or policy, a pool or stored data is bound to it."""
    name, what = identifier(args, "name", NAME_LIMIT), "DELETE STGPOOL"
    with core.database.write() as connection:
        existing(connection, pools, "Storage pool", name, what)
        held = connection.execute(select(volumes.c.name).where(volumes.c.pool == name)).scalar()
        if held:
            raise _in_use(what, name, f"still has volume {held}", "MOVE DATA, DELETE VOLUME")
        group = connection.execute(select(copygroups).where(copygroups.c.destination == name)).first()
        if group is not None:
            where = f"{group.domain} {group.policyset} {group.mgmtclass}"
            raise _in_use(what, name, f"is the destination of a copy group of {where}", "change it and activate")
        other = connection.execute(
            select(pools.c.name).where(or_(pools.c.next_pool == name, pools.c.reclaim_pool == name))
        ).scalar()
        if other:
            raise _in_use(what, name, f"follows pool {other}", f"UPDATE STGPOOL {other}")
        if connection.execute(select(groups.c.id).where(groups.c.pool == name).limit(1)).first() is not None:
            raise _in_use(what, name, "received data that other pools keep now", "its key is needed until that expires")
        connection.execute(delete(pools).where(pools.c.name == name))
    return Reply([core.log("ANR2201I", name=name)])


# --- volumes ----------------------------------------------------------------------------------------------------


def define_volume_command(core: Core, args: Args) -> Reply:
    """DEFINE VOLUME pool name ACCESS= FORMATSIZE=megabytes (DISK) LOCATION=."""
    pool, name = identifier(args, "pool"), args["name"]
    with core.database.read() as connection:
        row = existing(connection, pools, "Storage pool", pool, "DEFINE VOLUME")
    if row.devclass == DISK:
        if not Path(name).is_absolute() or "/../" in name:
            raise refuse("invalid", f"ANR2020E Invalid parameter - {name}", "the full path of the file")
        if not args.get("formatsize"):
            raise refuse("invalid", "ANR2022E One or more parameters are missing - FORMATSIZE", "megabytes")
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    else:
        name = identifier(args, "name")
    access = choice(args, "access", "READWRITE", *_POOL_ACCESS)
    capacity = number(args, "formatsize", 0, 1, 8_388_608) * MIB
    define_volume(core, pool, name, access, capacity, args.get("location", ""))
    return Reply([core.log("ANR2206I", name=name, pool=pool, devclass=row.devclass)])


def update_volume(core: Core, args: Args) -> Reply:
    """UPDATE VOLUME name ACCESS= LOCATION= WHERESTGPOOL= WHEREACCESS=; the name takes ``*`` and ``?``."""
    values: dict[str, Any] = {}
    if args.get("access"):
        values["access"] = choice(args, "access", "", *(access.value for access in VolumeAccess))
    if "location" in args:
        values["location"] = args["location"]
    if not values:
        raise refuse("invalid", "ANR2022E One or more parameters are missing - ACCESS, LOCATION")
    names = matching_volumes(core, args["name"], args.get("wherestgpool", "*"), args.get("whereaccess", "*"))
    if not names:
        raise refuse("not-found", messages.text("ANR2034E", what="UPDATE VOLUME"))
    count = update_volumes(core, names, values)
    return Reply([core.log("ANR2207I", name=name) for name in names], figures={"volumes": count})


def matching_volumes(core: Core, name: str, pool: str = "*", access: str = "*") -> list[str]:
    """Return the names of volumes that fit patterns of name, pool and access."""
    with core.database.read() as connection:
        rows = connection.execute(select(volumes).order_by(volumes.c.name)).all()
    return [
        row.name
        for row in rows
        if fnmatch.fnmatchcase(row.name.upper(), name.upper())
        and fnmatch.fnmatchcase(row.pool, pool.upper())
        and fnmatch.fnmatchcase(row.access, access.upper())
    ]


COMMANDS = {
    "define devclass": define_devclass,
    "update devclass": update_devclass,
    "delete devclass": delete_devclass,
    "define stgpool": define_stgpool,
    "update stgpool": update_stgpool,
    "delete stgpool": delete_stgpool,
    "define volume": define_volume_command,
    "update volume": update_volume,
}
"""By operation name."""
