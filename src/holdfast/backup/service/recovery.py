"""The recovery kit, and a new server made from it and the target's address alone.

The kit holds what the vault must not: keys, the node's password, authority and identity; wrapped with a passphrase. It
does not hold the verification code: the new server's sessions are read-only until an administrator says FORCESYNC, so a
copy of the kit alone cannot overwrite the vault.

Recovery: list the database volumes at the target → newest usable series → catalog → note the database volumes found in
the volume history (the restored catalog predates its own backup) → mark the lost primary volumes DESTROYED. From then
on client restores are served from the copy pool's virtual volumes, and RESTORE STGPOOL rebuilds the primaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from holdfast.backup.model.virtual import VolumeUse
from holdfast.backup.ports import Media
from holdfast.backup.service.catalog.schema import devclasses, servers, volhistory
from holdfast.backup.service.core import Core
from holdfast.backup.service.databasebackup import FoundVolume
from holdfast.backup.service.keys import Secrets, unwrap, wrap
from holdfast.backup.session.messages import RemoteFile
from holdfast.kernel.errors import InputError, Refusal, Refused
from holdfast.runtime.identity import Identity
from holdfast.runtime.secretfile import read_secret, write_secret


class KitTarget(msgspec.Struct, frozen=True):
    """A target that keeps this server's volumes."""

    server: str
    nodename: str
    address: str
    devclass: str
    prefix: str


class RecoveryKit(msgspec.Struct, frozen=True):
    """Everything a new server needs besides the vault."""

    name: str
    identity: tuple[bytes, bytes, bytes]
    secrets: Secrets
    targets: tuple[KitTarget, ...]
    admin_password: bytes


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery brought back."""

    name: str
    series: int
    operation: int
    blocks: int
    database_volumes: tuple[str, ...]
    destroyed_volumes: tuple[str, ...]
    config_file: Path


def make_kit(core: Core, identity: Identity, admin_password: bytes, out: Path, passphrase_file: Path) -> None:
    """Write the kit, wrapped, with mode 600. Raises ``Refused`` when no SERVER device class is defined yet."""
    with core.database.read() as connection:
        rows = connection.execute(
            select(devclasses, servers.c.hladdress, servers.c.lladdress, servers.c.nodename)
            .join(servers, servers.c.name == devclasses.c.server)
            .where(devclasses.c.type == "SERVER")
        ).all()
    if not rows:
        raise Refused(Refusal("not-found", "no device class of type SERVER is defined", "define the vault first"))
    targets = tuple(
        KitTarget(row.server, row.nodename, f"{row.hladdress}:{row.lladdress}", row.name, row.prefix) for row in rows
    )
    secrets = core.keys.secrets
    without_codes = {
        name: msgspec.structs.replace(secret, verification=b"", reset=False) for name, secret in secrets.servers.items()
    }
    kit = RecoveryKit(
        core.name,
        (identity.ca, identity.cert, identity.key),
        Secrets(secrets.pools, without_codes),
        targets,
        admin_password,
    )
    write_secret(out, wrap(msgspec.msgpack.encode(kit), read_secret(passphrase_file)))


def open_kit(path: Path, passphrase_file: Path) -> RecoveryKit:
    """Read a kit. Raises ``InputError`` for a wrong passphrase or a damaged file."""
    try:
        sealed = path.read_bytes()
    except OSError as error:
        raise InputError(f"kit cannot be read: {error.strerror}", file=str(path)) from error
    return msgspec.msgpack.decode(unwrap(sealed, read_secret(passphrase_file), str(path)), type=RecoveryKit)


def target_at(kit: RecoveryKit, address: str) -> KitTarget:
    """Return the kit's target, reached at ``address`` now. With several, the one whose address it was."""
    found = [target for target in kit.targets if target.address == address] or list(kit.targets[:1])
    return msgspec.structs.replace(found[0], address=address)


def prime(core: Core, kit: RecoveryKit, target: KitTarget) -> None:
    """Give an empty catalog the one server and device class that reading the vault needs."""
    core.keys.replace(kit.secrets)
    host, _, port = target.address.rpartition(":")
    with core.database.write() as connection:
        for table in (servers, devclasses):
            connection.execute(delete(table))
        values = {"name": target.server, "hladdress": host, "lladdress": port, "nodename": target.nodename}
        connection.execute(insert(servers), values)
        connection.execute(
            insert(devclasses),
            {"name": target.devclass, "type": "SERVER", "server": target.server, "prefix": target.prefix},
        )


def database_volumes(files: tuple[RemoteFile, ...], prefix: str, server: str) -> list[tuple[str, int]]:
    """Return (volume, size) of the database volumes among a target's files, newest name last."""
    start = f"{prefix}.{server}.{VolumeUse.DATABASE.value}."
    chosen = [file for file in files if file.name.startswith(start) and file.present]
    return sorted((file.name.removeprefix(f"{prefix}."), file.size_bytes) for file in chosen)


def readdress(connection: Connection, target: KitTarget) -> None:
    """Point the restored catalog's server definition at where the target answers now."""
    host, _, port = target.address.rpartition(":")
    mine = servers.c.name == target.server
    connection.execute(update(servers).where(mine).values(hladdress=host, lladdress=port))


def note_database_volumes(
    connection: Connection, found: list[FoundVolume], files: tuple[RemoteFile, ...], target: KitTarget
) -> None:
    """Enter database volumes that the restored catalog does not know into its volume history."""
    known = set(connection.execute(select(volhistory.c.volume)).scalars())
    dates = {file.name.removeprefix(f"{target.prefix}."): file.written_ns for file in files}
    for volume in found:
        if volume.name in known:
            continue
        note = volume.first
        values = {
            "at_ns": note.at_ns,
            "type": "BACKUPFULL" if note.full else "BACKUPINCR",
            "series": note.series,
            "operation": note.operation,
            "sequence": note.sequence,
            "devclass": target.devclass,
            "volume": volume.name,
            "size_bytes": volume.size_bytes,
            "written_ns": dates[volume.name],
            "command": "found at recovery",
        }
        connection.execute(insert(volhistory), values)


def no_series(media: Media, target: KitTarget) -> Refused:
    """Return the refusal for a vault without a usable series."""
    media.close()
    reason = f"{target.server} keeps no complete database backup of node {target.nodename}"
    return Refused(Refusal("not-found", reason, "check the address; only a full series can be restored"))


def relocate_pools(connection: Connection, directory: Path) -> None:
    """Give FILE device classes whose directory was lost a place in the new server's directory."""
    for row in connection.execute(select(devclasses).where(devclasses.c.type == "FILE")).all():
        if not Path(row.directory).is_dir():
            mine = devclasses.c.name == row.name
            new = str(directory / "pools" / row.name)
            connection.execute(update(devclasses).where(mine).values(directory=new))
