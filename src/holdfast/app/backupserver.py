"""Wires the backup server: catalog, media and transport into a core; the recovery of a lost one.

What a program calls: ``init_server``, ``serve``, ``make_recovery_kit``, ``recover_server``.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from holdfast.backup.drivers.copyingselect import CopyingSelector
from holdfast.backup.drivers.files import FileMedia
from holdfast.backup.drivers.objects import Bucket, ObjectMedia, open_bucket
from holdfast.backup.drivers.postgres import PostgresClaims, PostgresDatabase
from holdfast.backup.drivers.sqlite import SqliteDatabase
from holdfast.backup.drivers.sqliteselect import SqliteSelector
from holdfast.backup.drivers.virtual import VirtualMedia
from holdfast.backup.ports import AdminCommand, Database, Media
from holdfast.backup.service.admin.dispatch import perform, run_operation
from holdfast.backup.service.catalog.schema import metadata, servers, versions
from holdfast.backup.service.catalogrebuild import CatalogRebuild, RebuildReport
from holdfast.backup.service.core import Core, MediaDrivers
from holdfast.backup.service.databasebackup import inspect_volumes, newest_series, restore_database
from holdfast.backup.service.keys import FILE as SECRETS_FILE
from holdfast.backup.service.keys import KeyRing
from holdfast.backup.service.manager import ScheduleManager
from holdfast.backup.service.recovery import (
    Recovered,
    database_volumes,
    make_kit,
    no_series,
    note_database_volumes,
    open_kit,
    prime,
    readdress,
    relocate_pools,
    target_at,
)
from holdfast.backup.service.remote import connect_vault
from holdfast.backup.service.server import Server
from holdfast.backup.service.serverfile import ADMIN_PASSWORD_FILE, ServerConfig, write_config
from holdfast.backup.service.setup import CATALOG_FILE, initialise
from holdfast.backup.service.stgpool import mark_lost_primaries
from holdfast.backup.service.watch import Watch
from holdfast.dialects.tsm.language import read_command
from holdfast.kernel.errors import InputError
from holdfast.runtime.identity import Identity, save_identity
from holdfast.runtime.memory import for_bulk_data
from holdfast.runtime.rpc import RpcServer
from holdfast.runtime.secretfile import read_secret, write_secret


def build_core(config: ServerConfig, catalog: str = CATALOG_FILE) -> Core:
    """Return the core of the server that ``config`` describes, on the catalog file of that name; makes directories."""
    identity = Identity.load(config.identity)
    config.directory.mkdir(parents=True, exist_ok=True)
    config.directory.chmod(0o700)
    database: Database = (
        SqliteDatabase(config.directory / catalog, metadata)
        if not config.catalog
        else (PostgresDatabase(config.catalog, metadata))
    )

    def remote(core: Core, server: str, prefix: str) -> Media:
        def grace_days() -> int:
            with core.database.read() as connection:
                return connection.execute(select(servers.c.grace_days).where(servers.c.name == server)).scalar() or 5

        return VirtualMedia(lambda: connect_vault(core, server, identity), prefix, grace_days, core.now_ns)

    keys = KeyRing(config.directory)
    core = Core(config.name, config.directory, database, keys, time.time_ns, MediaDrivers(FileMedia, remote, _objects))
    core.read_command = _read_command
    if config.catalog:
        core.claims = PostgresClaims(config.catalog)
        core.selector = CopyingSelector(database, metadata)
    else:
        core.selector = SqliteSelector(config.directory / CATALOG_FILE)
    return core


def _objects(row: Any) -> Media:
    place = Bucket(row.endpoint, row.bucket, row.prefix, row.region, Path(row.credentials))
    return ObjectMedia(open_bucket(place))


def _read_command(text: str) -> AdminCommand:
    request = read_command(text)
    return AdminCommand(request.operation, request.args, request.text)


def init_server(config: ServerConfig) -> bool:
    """Create the server; False when it exists already."""
    core = build_core(config)
    try:
        return initialise(core, config)
    finally:
        core.close()


def serve(config: ServerConfig) -> None:
    """Run the server until SIGTERM or SIGINT."""
    if not config.catalog and not (config.directory / CATALOG_FILE).exists():
        raise InputError("the server is not initialised", file=str(config.directory), remedy="holdfast server init")
    for_bulk_data()
    core = build_core(config)
    server = Server(core, run_operation)
    rpc = RpcServer(config.address, Identity.load(config.identity), server.methods(), workers=32)
    server.recover(config.address)
    watch = Watch(core, perform)
    manager = ScheduleManager(core, perform)
    manager.start()
    rpc.start()
    watch.start()
    if config.ready_file is not None:
        config.ready_file.write_text(f"{rpc.port}\n")
    print("ready", flush=True)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    watch.stop()
    rpc.stop()
    manager.stop()
    core.close()


def rebuild_catalog(config: ServerConfig, directories: tuple[Path, ...], replace: bool) -> RebuildReport:
    """Make a new catalog from the volumes; the one that was there (``replace``) is kept as ``catalog.db.before``.

    Raises ``InputError`` when there is a catalog or no key file, ``Refused`` when no volume was found."""
    if config.catalog:
        remedy = "take the line catalog out of the file; move the rebuilt catalog to PostgreSQL afterwards"
        raise InputError("a catalog on PostgreSQL is not rebuilt in place", file=str(config.directory), remedy=remedy)
    catalog = config.directory / CATALOG_FILE
    if catalog.exists() and not replace:
        raise InputError("there is a catalog already", file=str(catalog), remedy="--replace sets it aside")
    if not (config.directory / SECRETS_FILE).exists():
        remedy = "bring it back from a backup or from the recovery kit"
        raise InputError("the key file is missing", file=str(config.directory / SECRETS_FILE), remedy=remedy)
    fresh = config.directory / f"{CATALOG_FILE}.new"
    for suffix in ("", "-wal", "-shm"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    core = build_core(config, fresh.name)
    try:
        found = [pool.directory for pool in config.pools]
        below = config.directory / "pools"
        found += sorted(path for path in below.iterdir() if path.is_dir()) if below.is_dir() else []
        rebuild = CatalogRebuild(core, lambda: initialise(core, config))
        report = rebuild.run(dict.fromkeys((*directories, *found)))
        with core.database.read() as connection:
            report.versions = connection.execute(select(func.count()).select_from(versions)).scalar_one()
        core.log_text(f"catalog rebuilt from {report.volumes} volumes: {report.versions} versions")
    finally:
        core.close()
    for suffix in ("-wal", "-shm", ""):
        old = catalog.with_name(CATALOG_FILE + suffix)
        if old.exists():
            old.replace(catalog.with_name(f"{CATALOG_FILE}.before{suffix}"))
    fresh.replace(catalog)
    return report


def make_recovery_kit(config: ServerConfig, out: Path, passphrase_file: Path) -> None:
    """Write the recovery kit of a server; it may be running."""
    core = build_core(config)
    try:
        password = read_secret(config.directory / ADMIN_PASSWORD_FILE)
        make_kit(core, Identity.load(config.identity), password, out, passphrase_file)
    finally:
        core.close()


def recover_server(
    kit_file: Path, passphrase_file: Path, target_address: str, directory: Path, address: str, ready_file: Path | None
) -> Recovered:
    """Make a server from a recovery kit and its vault. Raises ``InputError``, ``Refused``, ``Unavailable``."""
    kit = open_kit(kit_file, passphrase_file)
    if (directory / CATALOG_FILE).exists():
        raise InputError("there is a server already", file=str(directory), remedy="choose a new directory")
    target = target_at(kit, target_address)
    save_identity(Identity(*kit.identity), directory / "identity")
    config = ServerConfig(kit.name, directory, address, directory / "identity", ready_file, ())
    core = build_core(config)
    scratch = directory / f"{CATALOG_FILE}.new"
    try:
        prime(core, kit, target)
        media = core.media_of_class(target.devclass)
        assert isinstance(media, VirtualMedia)
        files = media.files()
        found = inspect_volumes(core, media, database_volumes(files, target.prefix, kit.name))
        series = newest_series(found)
        if not series:
            raise no_series(media, target)
        blocks = restore_database(core.keys, media, series, scratch)
    finally:
        core.close()
    for suffix in ("-wal", "-shm"):
        (directory / f"{CATALOG_FILE}{suffix}").unlink(missing_ok=True)
    scratch.replace(directory / CATALOG_FILE)
    write_secret(directory / ADMIN_PASSWORD_FILE, kit.admin_password)
    config_file = directory / "server.toml"
    write_config(config, config_file)
    core = build_core(config)
    try:
        with core.database.write() as connection:
            readdress(connection, target)
            note_database_volumes(connection, found, files, target)
            relocate_pools(connection, directory)
        destroyed = mark_lost_primaries(core)
        core.log_text(f"Server {kit.name} recovered from {target.server}: series {series[0][0].first.series}")
    finally:
        core.close()
    names = tuple(volume.name for backup in series for volume in backup)
    first = series[-1][0].first
    return Recovered(kit.name, first.series, first.operation, blocks, names, tuple(destroyed), config_file)
