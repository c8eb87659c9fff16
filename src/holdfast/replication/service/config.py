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

from dataclasses import dataclass
from pathlib import Path

from holdfast.kernel.errors import InputError
from holdfast.replication.model.identity import parse_image
from holdfast.runtime.textfile import host_port, read_toml

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
    table = read_toml(path)
    unknown = sorted(table.keys() - _KEYS)
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r}", file=str(path), remedy=f"known: {', '.join(sorted(_KEYS))}")

    def text(key: str, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (not value and default is None):
            raise InputError(f"{key} must be a text", file=str(path), remedy=f'write {key} = "..."')
        return value

    def image(key: str, value: str) -> str:
        try:
            return parse_image(value)
        except InputError as error:
            raise error.inside(str(path), key) from error

    base = path.parent
    peers = table.get("peers", {})
    callers = table.get("callers", list(DEFAULT_CALLERS))
    if not isinstance(peers, dict) or not isinstance(callers, list):
        remedy = 'write [peers] above "IMAGE" = "HOST:PORT", and callers = ["system:*"]'
        raise InputError("peers must be a table and callers a list", file=str(path), remedy=remedy)
    return ArrayConfig(
        storage_image=image("storage_image", text("storage_image")),
        directory=base / text("directory"),
        management=host_port(text("management"), "management", path),
        nbd=host_port(text("nbd"), "nbd", path),
        mirror=host_port(text("mirror"), "mirror", path),
        identity=base / text("identity"),
        users=base / text("users") if "users" in table else None,
        store=text("store", ""),
        callers=tuple(str(name) for name in callers),
        peers={image("peers", str(name)): host_port(value, f"peers.{name}", path) for name, value in peers.items()},
    )
