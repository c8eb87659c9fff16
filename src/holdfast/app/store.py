"""Opens a store from its URL and serves one: the composition root of ``holdfast.store``.

* ``embedded:///var/lib/holdfast/cluster.db`` – a SQLite file of this machine
* ``served://10.77.9.1:7400`` – a store that another process serves, over mutual TLS; the identity directory is the
  query parameter ``identity`` or the environment variable ``HOLDFAST_IDENTITY``
* ``memory:`` – for trials within one process

Every short command opens one store: only the driver that the URL names is imported.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click

from holdfast.app.security import identity_directory
from holdfast.kernel.errors import InputError
from holdfast.runtime.identity import client_context, host_label, server_context
from holdfast.store.port import Store

WITNESS_NAME = "store:witness"
"""The name that a served store proves by its certificate."""


_SERVE_HELP = """Serve an embedded store to other systems.

Example: holdfast store serve --path cluster.db --listen 10.77.9.1:7400 --identity tls
"""


def check_store(url: str) -> None:
    """Look at a URL without opening its store. Raises :class:`InputError` for one that names none."""
    try:
        parts = urlsplit(url)
        complete = parts.scheme == "memory" or bool(parts.path if parts.scheme == "embedded" else parts.port)
    except ValueError:
        complete = False
    if not complete or parts.scheme not in ("embedded", "served", "memory"):
        raise InputError(f"{url!r} is not a store", remedy="use embedded:///PATH or served://HOST:PORT")
    if parts.scheme == "served":
        identity_directory(_identity_of(parts.query))


def _identity_of(query: str) -> str:
    return parse_qs(query).get("identity", [os.environ.get("HOLDFAST_IDENTITY", "")])[0]


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
        case _:
            raise InputError(f"{url!r} is not a store", remedy="use embedded:///PATH or served://HOST:PORT")


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
