"""Opens a store from its URL and serves one: the composition root of ``holdfast.store``.

* ``embedded:///var/lib/holdfast/cluster.db`` – a SQLite file of this machine
* ``served://10.77.9.1:7400`` – a store that another process serves, over mutual TLS; the identity directory is the
  query parameter ``identity`` or the environment variable ``HOLDFAST_IDENTITY``
* ``etcd://10.77.9.1:2379,10.77.9.2:2379,10.77.9.3:2379`` – an etcd cluster over mutual TLS, identity as above. A path
  is the root of the keys (``holdfast``); ``peer`` is the name that every member proves (``store:etcd``), or ``address``
  when their certificates name the addresses of the URL; with ``discover=yes`` the members say who the others are
* ``memory:`` – for trials within one process

Every short command opens one store: only the driver that the URL names is imported.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

import click

from holdfast.app.security import identity_directory
from holdfast.kernel.errors import InputError
from holdfast.runtime.identity import Identity, client_context, host_label, server_context
from holdfast.store.port import Store

WITNESS_NAME = "store:witness"
"""The name that a served store proves by its certificate."""
ETCD_NAME = "store:etcd"
"""The name that etcd's members prove by theirs, unless the URL says otherwise."""


_SERVE_HELP = """Serve an embedded store to other systems.

Example: holdfast store serve --path cluster.db --listen 10.77.9.1:7400 --identity tls
"""


def check_store(url: str) -> None:
    """Look at a URL without opening its store. Raises :class:`InputError` for one that names none."""
    try:
        parts = urlsplit(url)
        complete = bool(_COMPLETE[parts.scheme](parts))
    except (ValueError, KeyError):
        complete = False
    if not complete:
        raise InputError(f"{url!r} is not a store", remedy=_REMEDY)
    if parts.scheme in ("served", "etcd"):
        identity_directory(_identity_of(parts.query))


def _members_of(parts: SplitResult) -> list[str]:
    """Return the addresses of an etcd URL. Raises ``ValueError`` when one is not ``HOST:PORT``."""
    members = parts.netloc.split(",")
    for member in members:
        host, _, port = member.rpartition(":")
        if not host or "@" in host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(member)
    return members


_COMPLETE: dict[str, Callable[[SplitResult], object]] = {
    "embedded": lambda parts: parts.path,
    "served": lambda parts: parts.port,
    "etcd": _members_of,
    "memory": lambda parts: True,
}
_REMEDY = "use embedded:///PATH, served://HOST:PORT or etcd://HOST:PORT,HOST:PORT,HOST:PORT"


def _identity_of(query: str) -> str:
    return parse_qs(query).get("identity", [os.environ.get("HOLDFAST_IDENTITY", "")])[0]


def identity_of(url: str) -> str:
    """Return the directory of the identity with which a store is opened, or nothing for one of this machine."""
    parts = urlsplit(url)
    return str(identity_directory(_identity_of(parts.query))) if parts.scheme in ("served", "etcd") else ""


def open_store(url: str) -> Store:
    """Return the store that ``url`` names. Raises :class:`InputError` for a URL that names none."""
    check_store(url)
    parts = urlsplit(url)
    match parts.scheme:
        case "embedded":
            from holdfast.store.drivers.embedded import EmbeddedStore

            return EmbeddedStore(Path(parts.path))
        case "memory":
            from holdfast.store.drivers.memory import MemoryStore

            return MemoryStore()
        case "served":
            from holdfast.store.drivers.served import ServedStore

            identity = _identity_of(parts.query)
            if not parts.hostname or not parts.port:
                raise InputError(f"{url!r} names no host or port", remedy="write served://HOST:PORT?identity=DIRECTORY")
            context = client_context(identity_directory(identity))
            return ServedStore(parts.hostname, parts.port, context, host_label(WITNESS_NAME))
        case "etcd":
            return _open_etcd(parts)
        case _:
            raise InputError(f"{url!r} is not a store", remedy=_REMEDY)


def members_of(url: str) -> tuple[str, ...]:
    """Return the addresses of the etcd members that a store's URL names; none of another store."""
    parts = urlsplit(url)
    return tuple(_members_of(parts)) if parts.scheme == "etcd" else ()


def _open_etcd(parts: SplitResult) -> Store:
    from holdfast.store.drivers.etcd import EtcdStore
    from holdfast.store.drivers.etcd_members import Tls

    identity = Identity.load(identity_directory(_identity_of(parts.query)))
    peer = parse_qs(parts.query).get("peer", [ETCD_NAME])[0]
    name = "" if peer == "address" else host_label(peer)
    root = parts.path.strip("/") or "holdfast"
    discover = parse_qs(parts.query).get("discover", ["no"])[0] == "yes"
    tls = Tls(identity.ca, identity.cert, identity.key, name)
    return EtcdStore(_members_of(parts), tls, f"{root}/", discover=discover)


def store_commands() -> click.Group:
    """Return the commands of ``holdfast store``."""

    @click.group("store", help="The replicated state that every system reads and writes.")
    def store() -> None:
        """Group only."""

    @store.command("serve", help=_SERVE_HELP)
    @click.option("--path", required=True, type=click.Path(path_type=Path), help="The SQLite file; made when missing.")
    @click.option("--listen", required=True, metavar="HOST:PORT", help="Where to listen.")
    @click.option("--identity", required=True, type=click.Path(path_type=Path), help="Identity directory.")
    def serve(path: Path, listen: str, identity: Path) -> None:
        host, _, port = listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise InputError(f"{listen!r} is not HOST:PORT", remedy="write --listen 10.77.9.1:7400")
        asyncio.run(_serve(path, host, int(port), identity_directory(str(identity))))

    return store


async def _serve(path: Path, host: str, port: int, identity: Path) -> None:
    from holdfast.store.drivers.embedded import EmbeddedStore
    from holdfast.store.server import StoreServer

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    store = EmbeddedStore(path)
    server = StoreServer(store, server_context(identity))
    await server.start(host, port)
    click.echo("ready")
    await stopped.wait()
    await server.stop()
    await store.close()
