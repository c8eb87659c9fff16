"""Wires the backup domain: catalog, media and sessions into a server; options and sessions into the client."""

from __future__ import annotations

import signal
import threading
import time

from sqlalchemy import select

from holdfast.backup.drivers.files import FileMedia
from holdfast.backup.drivers.sqlite import SqliteDatabase
from holdfast.backup.drivers.virtual import VirtualMedia
from holdfast.backup.ports import Media
from holdfast.backup.service.admin.dispatch import run_operation
from holdfast.backup.service.catalog.schema import metadata, servers
from holdfast.backup.service.client.login import peer_of
from holdfast.backup.service.connection import Session
from holdfast.backup.service.core import Core, MediaDrivers
from holdfast.backup.service.keys import KeyRing
from holdfast.backup.service.remote import connect_vault
from holdfast.backup.service.server import Server
from holdfast.backup.service.setup import ADMIN, ADMIN_PASSWORD_FILE, CATALOG_FILE, ServerConfig, initialise
from holdfast.backup.session.messages import SignOn
from holdfast.kernel.errors import InputError
from holdfast.runtime.authority import Identity
from holdfast.runtime.rpc import RpcClient, RpcServer
from holdfast.runtime.secretfile import read_secret


def build_core(config: ServerConfig) -> Core:
    """Return the core of the server that ``config`` describes; its directory is created."""
    config.directory.mkdir(parents=True, exist_ok=True)
    config.directory.chmod(0o700)
    database = SqliteDatabase(config.directory / CATALOG_FILE, metadata)
    identity = Identity.load(config.identity)

    def remote(core: Core, server: str, prefix: str) -> Media:
        def grace_days() -> int:
            with core.database.read() as connection:
                return connection.execute(select(servers.c.grace_days).where(servers.c.name == server)).scalar() or 5

        return VirtualMedia(lambda: connect_vault(core, server, identity), prefix, grace_days, core.now_ns)

    keys = KeyRing(config.directory)
    return Core(config.name, config.directory, database, keys, time.time_ns, MediaDrivers(FileMedia, remote))


def init_server(config: ServerConfig) -> bool:
    """Create the server; False when it exists already."""
    core = build_core(config)
    try:
        return initialise(core, config)
    finally:
        core.close()


def serve(config: ServerConfig) -> None:
    """Run the server until SIGTERM or SIGINT."""
    if not (config.directory / CATALOG_FILE).exists():
        raise InputError("the server is not initialised", file=str(config.directory), remedy="holdfast server init")
    core = build_core(config)
    server = Server(core, run_operation)
    rpc = RpcServer(config.address, Identity.load(config.identity), server.methods(), workers=32)
    server.recover(config.address)
    rpc.start()
    if config.ready_file is not None:
        config.ready_file.write_text(f"{rpc.port}\n")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    rpc.stop()
    core.close()


def admin_session(config: ServerConfig, name: str = ADMIN, password: bytes = b"") -> Session:
    """Open an administrator's session with the server of ``config``; by default as the administrator made at init."""
    password = password or read_secret(config.directory / ADMIN_PASSWORD_FILE)
    client = RpcClient(config.address, peer_of(config.name), Identity.load(config.identity))
    return Session(client, "admin", SignOn(name), password)
