"""A server's configuration file: TOML, read once, refused with file and key when it cannot be used.

::

    name = "DELHI"
    directory = "/var/lib/holdfast/delhi"
    address = "10.1.0.5:1500"
    identity = "/etc/holdfast/delhi"          # ca.pem, cert.pem, key.pem of the name server:DELHI
    ready_file = "/run/holdfast/delhi.ready"  # optional: written when the server answers
    catalog = "postgresql://holdfast@/holdfast?host=/run/postgresql"  # optional: default a SQLite file in the directory

    [[pools]]                                 # optional: FILE pools made at init; default BACKUPPOOL, ARCHIVEPOOL
    name = "BACKUPPOOL"
    directory = "/srv/pools/backup"           # default DIRECTORY/pools/NAME
    capacity = "10G"                          # of one volume
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.backup.model.pools import DEFAULT_FILE_CAPACITY_BYTES
from holdfast.kernel.errors import InputError
from holdfast.kernel.sizes import parse_size
from holdfast.runtime.textfile import host_port, read_toml

ADMIN = "ADMIN"
ADMIN_PASSWORD_FILE = "admin.password"
_KEYS = {
    "name": str,
    "directory": str,
    "address": str,
    "identity": str,
    "ready_file": str,
    "catalog": str,
    "pools": list,
}


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """A primary pool to make at init."""

    name: str
    directory: Path
    capacity_bytes: int = DEFAULT_FILE_CAPACITY_BYTES


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What the configuration file says."""

    name: str
    directory: Path
    address: str
    identity: Path
    ready_file: Path | None
    pools: tuple[PoolConfig, ...]
    catalog: str = ""
    """The address of a PostgreSQL database; empty for a SQLite file in the directory."""


def load_config(path: Path) -> ServerConfig:
    """Read the file. Raises ``InputError`` naming what is wrong."""
    raw = read_toml(path)
    for key, value in raw.items():
        if key not in _KEYS or not isinstance(value, _KEYS[key]):
            raise InputError(f"{key} is not understood", file=str(path), remedy=f"known: {', '.join(_KEYS)}")
    for key in ("name", "directory", "address", "identity"):
        if not raw.get(key):
            raise InputError(f"{key} is missing", file=str(path), remedy=f'add {key} = "..."')
    directory = Path(raw["directory"])
    ready = Path(raw["ready_file"]) if raw.get("ready_file") else None
    host_port(raw["address"], "address", path)
    chosen = tuple(_pool(item, directory, path) for item in raw.get("pools", ()))
    names = [pool.name for pool in chosen]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise InputError(f"pools: {twice} stands twice", file=str(path), remedy="keep one")
    chosen = chosen or tuple(PoolConfig(n, directory / "pools" / n) for n in ("BACKUPPOOL", "ARCHIVEPOOL"))
    return ServerConfig(
        raw["name"].upper(), directory, raw["address"], Path(raw["identity"]), ready, chosen, raw.get("catalog", "")
    )


def _pool(item: Any, directory: Path, path: Path) -> PoolConfig:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        text = "a pool has no name" if isinstance(item, dict) else f"each is a table, not {item!r}"
        raise InputError(f"pools: {text}", file=str(path), remedy='write [[pools]] above name = "BACKUPPOOL"')
    name = item["name"].upper()
    where = Path(str(item.get("directory", directory / "pools" / name)))
    try:
        capacity = parse_size(str(item["capacity"])) if "capacity" in item else DEFAULT_FILE_CAPACITY_BYTES
    except InputError as error:
        raise error.inside(str(path), f"pools: {name}: capacity") from error
    return PoolConfig(name, where, capacity)


def write_config(config: ServerConfig, path: Path) -> None:
    """Write a configuration file that ``load_config`` reads back (without pools: they are in the catalog)."""
    lines = [
        f'name = "{config.name}"',
        f'directory = "{config.directory}"',
        f'address = "{config.address}"',
        f'identity = "{config.identity}"',
    ]
    if config.catalog:
        lines.append(f'catalog = "{config.catalog}"')
    if config.ready_file is not None:
        lines.append(f'ready_file = "{config.ready_file}"')
    path.write_text("\n".join(lines) + "\n")
