"""The array's configuration file: TOML, read once at start, refused with file and key when it cannot be used.

    storage_image = "IBM.2107-75FA120"
    directory     = "/var/lib/holdfast/array"
    management    = "10.77.1.20:7501"
    nbd           = "10.77.1.20:10809"
    mirror        = "10.77.1.20:7502"
    identity      = "/etc/holdfast/tls/array"
    users         = "/etc/holdfast/array.users"     # optional: dscli users
    store         = "embedded:///var/lib/holdfast/cluster.db"
    nbd_tls       = "offer"                         # or "require", "off"; with the certificates of identity
    callers       = ["operator*", "admin*", "system:*", "lab*", "array:*"]  # optional
    flash_copy_rate = "100M"                       # optional: bytes per second of all background copies together
    flash_cascading = false                        # optional: a FlashCopy target may be the source of another
    paths         = "automatic"                    # optional: "explicit" needs mkpprcpath before mkpprc
    long_busy_s   = 60                             # optional: how long a freeze holds writes at most
    [peers]
    "IBM.2107-75FA150" = "10.77.2.20:7502"

Relative paths are relative to the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.kernel.errors import InputError
from holdfast.kernel.sizes import parse_size
from holdfast.replication.model.identity import parse_image
from holdfast.replication.model.volumes import DEFAULT_FEATURES, Features
from holdfast.replication.service.longbusy import LONG_BUSY_LIMIT_S, LONG_BUSY_S
from holdfast.runtime.textfile import choice_in, host_port, read_toml

DEFAULT_CALLERS = ("operator*", "admin*", "system:*", "lab*", "drill*", "array:*")
_KEYS = {
    *("storage_image", "directory", "management", "nbd", "mirror", "identity", "users", "store", "callers", "peers"),
    *("flash_copy_rate", "flash_cascading", "paths", "long_busy_s", "nbd_tls"),
}
NBD_TLS = ("offer", "require", "off")
_PATHS = {"automatic": False, "explicit": True}


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
    features: Features = DEFAULT_FEATURES
    flash_copy_rate: int = 0
    long_busy_s: float = LONG_BUSY_S
    nbd_tls: str = NBD_TLS[0]


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
        features=_features(table, path),
        flash_copy_rate=_rate(table, path),
        long_busy_s=_seconds(table, path),
        nbd_tls=choice_in(table, "nbd_tls", NBD_TLS, NBD_TLS[0], path),
        peers={image("peers", str(name)): host_port(value, f"peers.{name}", path) for name, value in peers.items()},
    )


def _features(table: Mapping[str, object], path: Path) -> Features:
    cascading, paths = table.get("flash_cascading", False), table.get("paths", "automatic")
    if not isinstance(cascading, bool):
        raise InputError("flash_cascading must be true or false", file=str(path), remedy="write flash_cascading = true")
    if not isinstance(paths, str) or paths not in _PATHS:
        raise InputError(f"paths is {paths!r}", file=str(path), remedy=f"use one of {', '.join(_PATHS)}")
    return Features(cascading, _PATHS[paths])


def _rate(table: Mapping[str, object], path: Path) -> int:
    """Return bytes per second; 0 means no limit."""
    value = table.get("flash_copy_rate", "")
    if value == "":
        return 0
    remedy = 'write bytes per second, for example flash_copy_rate = "100M"'
    try:
        rate = parse_size(str(value))
    except InputError as error:
        raise InputError(f"flash_copy_rate is {value!r}", file=str(path), remedy=remedy) from error
    if rate <= 0:
        raise InputError(f"flash_copy_rate is {value!r}", file=str(path), remedy=remedy)
    return rate


def _seconds(table: Mapping[str, object], path: Path) -> float:
    value = table.get("long_busy_s", LONG_BUSY_S)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONG_BUSY_LIMIT_S:
        remedy = f"write seconds, more than 0 and at most {LONG_BUSY_LIMIT_S:.0f}"
        raise InputError(f"long_busy_s is {value!r}", file=str(path), remedy=remedy)
    return float(value)
