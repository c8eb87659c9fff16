"""Defining: nodes, administrators, policy, device classes, pools, servers. Defaults stand in ``model``."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, insert, select, update

from holdfast.backup.model import messages
from holdfast.backup.model.policy import ACTIVE, NOLIMIT, ArchiveCopyGroup, BackupCopyGroup
from holdfast.backup.model.pools import (
    NAME_LIMIT,
    PoolType,
)
from holdfast.backup.model.virtual import DEFAULT_GRACE_DAYS
from holdfast.backup.service.admin.reply import Args, Reply, choice, identifier, number, refuse
from holdfast.backup.service.catalog.policy import backup_group, group_values
from holdfast.backup.service.catalog.schema import (
    admins,
    copygroups,
    domains,
    mgmtclasses,
    nodes,
    policysets,
    pools,
    servers,
)
from holdfast.backup.service.core import Core
from holdfast.backup.service.keys import ServerSecret
from holdfast.backup.service.signon import credentials


def _new(connection: Connection, table: Table, kind: str, **key: str) -> None:
    where = [table.c[name] == value for name, value in key.items()]
    if connection.execute(select(table).where(*where)).first() is not None:
        name = list(key.values())[-1]
        raise refuse("exists", messages.text("ANR2101E", what="DEFINE", kind=kind, name=name))


def _existing(connection: Connection, table: Table, kind: str, **key: str) -> Any:
    where = [table.c[name] == value for name, value in key.items()]
    row = connection.execute(select(table).where(*where)).first()
    if row is None:
        name = list(key.values())[-1]
        raise refuse("not-found", messages.text("ANR2102E", what="DEFINE", kind=kind, name=name))
    return row


def register_node(core: Core, args: Args) -> Reply:
    """REGISTER NODE name password DOMAIN= TYPE=CLIENT|SERVER."""
    name, domain = identifier(args, "name"), args.get("domain", "STANDARD").upper()
    kind = choice(args, "type", "CLIENT", "CLIENT", "SERVER")
    password = _password(args)
    with core.database.write() as connection:
        if connection.execute(select(nodes).where(nodes.c.name == name)).first() is not None:
            raise refuse("exists", messages.text("ANR2147E", what="REGISTER NODE", name=name))
        _existing(connection, domains, "Policy domain", name=domain)
        values = {"name": name, "domain": domain, "type": kind, "registered_ns": core.now_ns(), **_deletion(args)}
        connection.execute(insert(nodes), {**values, **credentials(password)})
    return Reply([core.log("ANR2060I", name=name, domain=domain)])


def _deletion(args: Args) -> dict[str, int]:
    """What a node's own clients may delete: archives (ARCHDELETE=YES) and no backups (BACKDELETE=NO)."""
    allowed = (("backdelete", "NO"), ("archdelete", "YES"))
    return {name: int(choice(args, name, default, "YES", "NO") == "YES") for name, default in allowed}


def register_admin(core: Core, args: Args) -> Reply:
    """REGISTER ADMIN name password."""
    name, password = identifier(args, "name"), _password(args)
    with core.database.write() as connection:
        _new(connection, admins, "Administrator", name=name)
        connection.execute(insert(admins), {"name": name, "privilege": "SYSTEM", **credentials(password)})
    return Reply([core.log("ANR2068I", name=name)])


def _password(args: Args) -> bytes:
    if not args.get("password"):
        raise refuse("invalid", "ANR2022E One or more parameters are missing - PASSWORD")
    return args["password"].encode()


def define_domain(core: Core, args: Args) -> Reply:
    """DEFINE DOMAIN name DESCRIPTION=."""
    name = identifier(args, "name", NAME_LIMIT)
    with core.database.write() as connection:
        _new(connection, domains, "Policy domain", name=name)
        connection.execute(insert(domains), {"name": name, "description": args.get("description", "")})
    return Reply([core.log("ANR1500I", name=name)])


def define_policyset(core: Core, args: Args) -> Reply:
    """DEFINE POLICYSET domain name."""
    domain, name = identifier(args, "domain"), identifier(args, "name", NAME_LIMIT)
    with core.database.write() as connection:
        _existing(connection, domains, "Policy domain", name=domain)
        _new(connection, policysets, "Policy set", domain=domain, name=name)
        connection.execute(insert(policysets), {"domain": domain, "name": name})
    return Reply([core.log("ANR1510I", name=name, domain=domain)])


def define_mgmtclass(core: Core, args: Args) -> Reply:
    """DEFINE MGMTCLASS domain set name."""
    domain, policyset = identifier(args, "domain"), identifier(args, "policyset")
    name = identifier(args, "name", NAME_LIMIT)
    with core.database.write() as connection:
        _changeable(connection, domain, policyset)
        _new(connection, mgmtclasses, "Management class", domain=domain, policyset=policyset, name=name)
        connection.execute(insert(mgmtclasses), {"domain": domain, "policyset": policyset, "name": name})
    return Reply([core.log("ANR1520I", name=name, domain=domain, policyset=policyset)])


def _changeable(connection: Connection, domain: str, policyset: str) -> None:
    if policyset == ACTIVE:
        raise refuse("invalid", "ANR2103E the ACTIVE policy set cannot be changed", "change its source, then activate")
    _existing(connection, policysets, "Policy set", domain=domain, name=policyset)


def define_copygroup(core: Core, args: Args, change: bool = False) -> Reply:
    """DEFINE COPYGROUP domain set class [STANDARD] TYPE=BACKUP|ARCHIVE DESTINATION= ..."""
    domain, policyset, name = identifier(args, "domain"), identifier(args, "policyset"), identifier(args, "mgmtclass")
    kind = choice(args, "type", "BACKUP", "BACKUP", "ARCHIVE")
    key = {"domain": domain, "policyset": policyset, "mgmtclass": name}
    with core.database.write() as connection:
        _changeable(connection, domain, policyset)
        _existing(connection, mgmtclasses, "Management class", domain=domain, policyset=policyset, name=name)
        old = None
        if change:
            old = _existing(connection, copygroups, "Copy group", **key, type=kind)
            connection.execute(
                delete(copygroups).where(*[copygroups.c[k] == v for k, v in {**key, "type": kind}.items()])
            )
        else:
            _new(connection, copygroups, "Copy group", **key, type=kind)
        destination = args.get("destination", old.destination if old else "").upper()
        _primary(connection, destination)
        values = group_values(_copygroup(args, kind, destination, old))
        connection.execute(insert(copygroups), {**key, **values})
    id = "ANR1530I" if kind == "BACKUP" else "ANR1535I"
    return Reply([core.log(id, name=name, domain=domain, policyset=policyset)])


def update_copygroup(core: Core, args: Args) -> Reply:
    """UPDATE COPYGROUP: what is not named keeps its value."""
    return define_copygroup(core, args, change=True)


def _copygroup(args: Args, kind: str, destination: str, old: Any) -> BackupCopyGroup | ArchiveCopyGroup:
    if kind == "ARCHIVE":
        kept = old.retver_days if old else ArchiveCopyGroup(destination).retver_days
        return ArchiveCopyGroup(destination, number(args, "retver", kept, 0, 30_000, NOLIMIT))
    base = backup_group(old) if old else BackupCopyGroup(destination)
    return BackupCopyGroup(
        destination,
        number(args, "verexists", base.verexists, 1, 9_999, NOLIMIT),
        number(args, "verdeleted", base.verdeleted, 0, 9_999, NOLIMIT),
        number(args, "retextra", base.retextra_days, 0, 30_000, NOLIMIT),
        number(args, "retonly", base.retonly_days, 0, 30_000, NOLIMIT),
        number(args, "frequency", base.frequency_days, 0, 9_999),
        choice(args, "mode", base.mode, "MODIFIED", "ABSOLUTE"),
        choice(args, "serialization", base.serialization, "SHRSTATIC", "STATIC", "SHRDYNAMIC", "DYNAMIC"),
    )


def _primary(connection: Connection, name: str) -> None:
    if not name:
        raise refuse("invalid", "ANR2022E One or more parameters are missing - DESTINATION")
    row = _existing(connection, pools, "Storage pool", name=name)
    if row.type != PoolType.PRIMARY.value:
        raise refuse("invalid", f"ANR2103E {name} is not a primary storage pool", "name a primary pool")


def assign_defmgmtclass(core: Core, args: Args) -> Reply:
    """ASSIGN DEFMGMTCLASS domain set class."""
    domain, policyset, name = identifier(args, "domain"), identifier(args, "policyset"), identifier(args, "name")
    with core.database.write() as connection:
        _changeable(connection, domain, policyset)
        _existing(connection, mgmtclasses, "Management class", domain=domain, policyset=policyset, name=name)
        where = (policysets.c.domain == domain, policysets.c.name == policyset)
        connection.execute(update(policysets).where(*where).values(default_class=name))
    return Reply([core.log("ANR1538I", name=name, domain=domain, policyset=policyset)])


def validate_policyset(core: Core, args: Args) -> Reply:
    """VALIDATE POLICYSET domain set."""
    domain, name = identifier(args, "domain"), identifier(args, "name")
    with core.database.read() as connection:
        warnings = _validate(connection, domain, name)
    return Reply([*warnings, core.log("ANR1515I", name=name, domain=domain)])


def _validate(connection: Connection, domain: str, name: str) -> list[str]:
    row = _existing(connection, policysets, "Policy set", domain=domain, name=name)
    if not row.default_class:
        raise refuse("invalid", f"ANR2103E policy set {name} has no default class", "ASSIGN DEFMGMTCLASS")
    groups = connection.execute(
        select(copygroups.c.type).where(
            copygroups.c.domain == domain, copygroups.c.policyset == name, copygroups.c.mgmtclass == row.default_class
        )
    ).scalars()
    if "ARCHIVE" not in set(groups):
        return [messages.text("ANR1554W", name=row.default_class, domain=domain, policyset=name)]
    return []


def activate_policyset(core: Core, args: Args) -> Reply:
    """ACTIVATE POLICYSET domain set: ACTIVE becomes a copy of it."""
    domain, name = identifier(args, "domain"), identifier(args, "name")
    with core.database.write() as connection:
        warnings = _validate(connection, domain, name)
        for table in (copygroups, mgmtclasses):
            connection.execute(delete(table).where(table.c.domain == domain, table.c.policyset == ACTIVE))
            rows = connection.execute(select(table).where(table.c.domain == domain, table.c.policyset == name)).all()
            if rows:
                connection.execute(insert(table), [{**row._mapping, "policyset": ACTIVE} for row in rows])
        default = _existing(connection, policysets, "Policy set", domain=domain, name=name).default_class
        connection.execute(delete(policysets).where(policysets.c.domain == domain, policysets.c.name == ACTIVE))
        values = {"domain": domain, "name": ACTIVE, "default_class": default, "activated_from": name}
        connection.execute(insert(policysets), values)
    return Reply([*warnings, core.log("ANR1514I", name=name, domain=domain)])


def define_server(core: Core, args: Args) -> Reply:
    """DEFINE SERVER name PASSWORD= HLADDRESS= LLADDRESS= NODENAME= DELGRACEPERIOD=."""
    name = identifier(args, "name")
    if name == core.name:
        raise refuse(
            "same-server", f"ANR2103E {name} is this server: virtual volumes need another", "name another server"
        )
    if not args.get("hladdress") or not args.get("lladdress"):
        raise refuse("invalid", "ANR2022E One or more parameters are missing - HLADDRESS, LLADDRESS")
    values = {
        "name": name,
        "hladdress": args["hladdress"],
        "lladdress": args["lladdress"],
        "nodename": args.get("nodename", core.name).upper(),
        "description": args.get("description", ""),
        "grace_days": number(args, "delgraceperiod", DEFAULT_GRACE_DAYS, 0, 9_999),
    }
    password = _password(args)
    with core.database.write() as connection:
        _new(connection, servers, "Server", name=name)
        core.keys.set_server(name, ServerSecret(password))
        connection.execute(insert(servers), values)
    return Reply([core.log("ANR1660I", name=name)])


def update_server(core: Core, args: Args) -> Reply:
    """UPDATE SERVER name PASSWORD= HLADDRESS= LLADDRESS= NODENAME= DELGRACEPERIOD= FORCESYNC=YES|NO."""
    name = identifier(args, "name")
    columns = {"hladdress": "hladdress", "lladdress": "lladdress", "nodename": "nodename", "description": "description"}
    values: dict[str, Any] = {column: args[key] for key, column in columns.items() if args.get(key)}
    if args.get("delgraceperiod"):
        values["grace_days"] = number(args, "delgraceperiod", DEFAULT_GRACE_DAYS, 0, 9_999)
    reset = choice(args, "forcesync", "NO", "YES", "NO") == "YES"
    with core.database.write() as connection:
        _existing(connection, servers, "Server", name=name)
        if values:
            connection.execute(update(servers).where(servers.c.name == name).values(values))
    secret = core.keys.secrets.servers.get(name, ServerSecret(b""))
    if args.get("password"):
        secret = msgspec.structs.replace(secret, password=args["password"].encode())
    if reset:
        secret = msgspec.structs.replace(secret, verification=b"", reset=True)
    core.keys.set_server(name, secret)
    core.forget_media()
    changed = sorted(key.upper() for key in args if key != "name")
    texts = [core.log("ANR1639I", name=name, attributes=", ".join(changed))]
    return Reply([*texts, *([core.log("ANR4375I", name=name)] if reset else [])])
