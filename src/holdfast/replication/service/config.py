"""The array's configuration file: TOML, read once at start, refused with file and key when it cannot be used.

    storage_image = "IBM.2107-75FA120"
    directory     = "/var/lib/holdfast/array"
    management    = "10.77.1.20:7501"
    nbd           = "10.77.1.20:10809"
    mirror        = "10.77.1.20:7502"
    identity      = "/etc/holdfast/tls/array"
    users         = "/etc/holdfast/array.users"     # optional: dscli users
    store         = "embedded:///var/lib/holdfast/cluster.db"
    callers       = ["operator*", "admin*", "system:*", "lab*", "array:*"]  # optional
    [peers]
    "IBM.2107-75FA150" = "10.77.2.20:7502"

Relative paths are relative to the file.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from holdfast.kernel.errors import InputError
from holdfast.replication.model.identity import parse_image

DEFAULT_CALLERS = ("operator*", "admin*", "system:*", "lab*", "drill*", "array:*")
_KEYS = {"storage_image", "directory", "management", "nbd", "mirror", "identity", "users", "store", "callers", "peers"}


@dataclass(frozen=True, slots=True)
class ArrayConfig:
    """Where an array keeps its data, where it listens, and whom it knows."""

    storage_image: str
    directory: Path
    management: str
    nbd: str
    mirror: str
    identity: Path
    users: Path | None
    store: str
    callers: tuple[str, ...]
    peers: dict[str, str]


def load_config(path: Path) -> ArrayConfig:
    """Read the configuration. Raises :class:`InputError`."""
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not TOML: {error}", file=str(path), remedy="correct the line that is named") from error
    unknown = sorted(table.keys() - _KEYS)
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r}", file=str(path), remedy=f"known: {', '.join(sorted(_KEYS))}")

    def text(key: str, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (not value and default is None):
            raise InputError(f"{key} must be a text", file=str(path), remedy=f'write {key} = "..."')
        return value

    def address(key: str, value: str) -> str:
        if not value.rpartition(":")[2].isdigit():
            raise InputError(f"{key}: {value!r} is not HOST:PORT", file=str(path), remedy="write 10.77.1.20:7501")
        return value

    base = path.parent
    peers = table.get("peers", {})
    callers = table.get("callers", list(DEFAULT_CALLERS))
    if not isinstance(peers, dict) or not isinstance(callers, list):
        raise InputError("peers must be a table and callers a list", file=str(path))
    return ArrayConfig(
        storage_image=parse_image(text("storage_image")),
        directory=base / text("directory"),
        management=address("management", text("management")),
        nbd=address("nbd", text("nbd")),
        mirror=address("mirror", text("mirror")),
        identity=base / text("identity"),
        users=base / text("users") if "users" in table else None,
        store=text("store", ""),
        callers=tuple(str(name) for name in callers),
        peers={parse_image(str(name)): address(f"peers.{name}", str(value)) for name, value in peers.items()},
    )
